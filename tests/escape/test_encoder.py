"""A colluding submission recovers no more bits from its result than the result says.

Twice: one encoder that uses every figure, for many messages; and every behaviour there is, on tiny
holdouts. test_encoder_run.py is a real run of it.
"""

from __future__ import annotations

import json
import random
from itertools import product
from math import log2

import numpy as np
import pytest
from encoder import encoder
from encoder.encoder import Channel
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator.leakage import Account, release_time
from evaluator.predicate import (
    About,
    Commitment,
    Dataset,
    DigestSet,
    Evaluator,
    Policy,
    Release,
    Sandbox,
    Steps,
    Submission,
    Wall,
)
from evaluator.result import Result, private_document
from evaluator.scoring import Counts, Grid, count
from evaluator.status import STATUSES, UNTOUCHED

DAY, LONGEST = 86_400, 3720
RANDOM = random.Random(5)  # noqa: S311 - messages, not secrets
DIGEST = DigestSet(sha256="0" * 64)
IMAGE = "sha256:" + "0" * 64
USE_CASE = (694, 694, 694, 579, 579, 579, 463, 463, 255)  # 5,000 tiles, as rare as their crops
FAILURES = tuple(status for status in STATUSES if status not in {"OK", *UNTOUCHED})


def about(sizes: tuple[int, ...], rare: tuple[int, ...], grid: Grid, slot: int = 0) -> About:
    """What a result says of a run that ended in this slot."""
    names = tuple(f"crop {index}" for index in range(len(sizes)))
    return About(
        run="0" * 16,
        vendor="acme",
        release=Release(at=release_time(slot * DAY, DAY), every_hours=24, longest_seconds=LONGEST),
        submission=Submission(kind="image", digest_of="file"),
        evaluator=Evaluator(version="1"),
        dataset=Dataset(
            version=1,
            holdout_commitment=Commitment(name="commitment.json", digest=DIGEST),
            holdout_tiles=sum(sizes),
            classes=names,
            rare_classes=tuple(names[index] for index in rare),
            class_sizes=sizes,
        ),
        policy=Policy(sandbox=DIGEST, seccomp=DIGEST, admission=DIGEST),
        sandbox=Sandbox(
            runtime="runc",
            engine="20",
            runner=None,
            device="cpu",
            cpus=1.0,
            memory_bytes=2**30,
            wall=Wall(verdict="SEALED", probe=IMAGE, stopped=(), residual=()),
        ),
        grid=Steps.of(grid),
    )


def scored(facts: About, predictions: bytes) -> tuple[Result, Counts]:
    """The record of these predictions, labels being in the order of their classes."""
    sizes = facts.dataset.class_sizes
    assert sizes is not None
    labels = np.repeat(np.arange(len(sizes)), sizes).astype(np.uint8)
    classes, rare = facts.dataset.classes, facts.dataset.rare_classes
    counts = count(labels, np.frombuffer(predictions, np.uint8), classes, rare)
    return Result.scored(DIGEST.sha256, facts, counts, Account(0.0, 16_384)), counts


def read_figures(payload: bytes, channel: Channel) -> int:
    """The vendor's end: the message in a signed statement, from its figures."""
    predicate = json.loads(payload)["predicate"]
    phase, classes = predicate["phases"]["baseline"], predicate["dataset"]["classes"]
    return encoder.decode(
        [round(phase["recall"][name] * channel.recall) for name in classes],
        round(phase["rare_accuracy"] * channel.rare_accuracy),
        round(phase["accuracy"] * channel.accuracy),
        channel,
    )


def send(symbol: int, channel: Channel, facts: About) -> bytes:
    """The payload signed when the submission sends `symbol`: by a status, or by figures."""
    if symbol < len(encoder.STATUSES):
        status = encoder.STATUSES[symbol]
        return Result.failed(DIGEST.sha256, facts, status, Account(0.0, 16_384)).payload()
    right = encoder.encode(symbol - len(encoder.STATUSES), channel)
    labels = bytes(index for index, size in enumerate(channel.sizes) for _ in range(size))
    answer = encoder.predictions(labels, right, [0] * len(right), len(right))
    return scored(facts, answer)[0].payload()


def receive(payload: bytes, channel: Channel) -> int:
    """The symbol in it."""
    status = json.loads(payload)["predicate"]["phases"]["baseline"]["status"]
    if status != "OK":
        return encoder.STATUSES.index(status)
    return read_figures(payload, channel) + len(encoder.STATUSES)


CASES = {
    "use case": (USE_CASE, (5, 6, 7, 8), Grid()),
    "coarse": (USE_CASE, (8,), Grid(accuracy=1000, recall=20, rare_accuracy=100)),
    "few tiles": ((40, 30, 20, 10), (3,), Grid()),
    "two classes": ((900, 100), (1,), Grid(accuracy=1000, recall=5, rare_accuracy=100)),
}
REACHED = {"use case": 0.80, "coarse": 0.80, "few tiles": 0.60, "two classes": 0.70}
"""How near to the bits stated this encoder comes; measured, rounded down."""


@pytest.mark.parametrize("case", CASES)
def test_the_encoder_comes_near_the_bits_stated_and_not_past_them(case: str) -> None:
    """200 messages by status, figures and slot, each read back whole from the payload alone."""
    sizes, rare, grid = CASES[case]
    channel = Channel(sizes, rare, grid.accuracy, grid.recall, grid.rare_accuracy)
    symbols = channel.capacity + len(encoder.STATUSES)
    slots = 2  # a program that starts shortly before midnight can end after it
    recovered = []
    for index in range(200):
        symbol = index if index < len(encoder.STATUSES) else RANDOM.randrange(symbols)
        slot = RANDOM.randrange(slots)
        payload = send(symbol, channel, about(sizes, rare, grid, slot))
        read = json.loads(payload)["predicate"]
        assert receive(payload, channel) == symbol
        assert read["release"]["at"] == release_time(slot * DAY, DAY)
        recovered.append((log2(symbols * slots), read["leakage_bits"]["run"]))

    assert all(bits <= stated for bits, stated in recovered)
    assert all(bits >= REACHED[case] * stated for bits, stated in recovered)


@pytest.mark.parametrize("case", ["use case", "coarse"])
def test_exact_counts_would_carry_more_than_the_bits_stated(case: str) -> None:
    """The control: to whoever read private/RUN.json, the same predictions say more than that."""
    sizes, rare, grid = CASES[case]
    channel = Channel(sizes, rare, grid.accuracy, grid.recall, grid.rare_accuracy)
    bits = "".join(RANDOM.choices("01", k=1000))
    right, shifts = encoder.split_bits(bits, channel)
    labels = bytes(index for index, size in enumerate(sizes) for _ in range(size))
    result, counts = scored(
        about(sizes, rare, grid), encoder.predictions(labels, right, shifts, len(sizes))
    )
    figures = read_figures(result.payload(), channel)
    confusion = json.loads(private_document("0" * 16, {}, counts))["counts"]["confusion"]
    found = [row[(index + 1) % len(row)] for index, row in enumerate(confusion)]
    hidden = encoder.room([row[index] for index, row in enumerate(confusion)], channel)
    both = f"{figures:0{channel.capacity.bit_length() - 1}b}" + "".join(
        f"{value:0{width}b}" for value, width in zip(found, hidden, strict=True) if width
    )

    assert bits.startswith(both)
    assert len(both) > result.predicate.leakage_bits.run


tiny = st.tuples(
    st.sampled_from([(1, 1), (2, 1), (3, 2), (1, 1, 1), (2, 1, 1)]),
    st.tuples(*[st.sampled_from([1, 2, 5, 10])] * 3).map(lambda steps: Grid(*steps)),
)


def every_record(sizes: tuple[int, ...], grid: Grid) -> tuple[set[bytes], set[str], float]:
    """Every payload and every private document there can be, and the bits stated."""
    payloads, exact, stated = set(), set(), set()
    for slot in range(2):
        facts = about(sizes, (0,), grid, slot)
        for answer in product(range(len(sizes)), repeat=sum(sizes)):
            result, counts = scored(facts, bytes(answer))
            payloads.add(result.payload())
            exact.add(private_document("0" * 16, {}, counts))
            stated.add(result.predicate.leakage_bits.run)
        for status in FAILURES:
            result = Result.failed(DIGEST.sha256, facts, status, Account(0.0, 16_384))
            payloads.add(result.payload())
            stated.add(result.predicate.leakage_bits.run)
    (bits,) = stated
    return payloads, exact, bits


@settings(max_examples=30)
@given(tiny)
def test_no_behaviour_at_all_tells_more_than_the_bits_stated(
    case: tuple[tuple[int, ...], Grid],
) -> None:
    """Every answer to every tile, every failure, every slot: few enough different payloads."""
    payloads, _, bits = every_record(*case)

    assert log2(len(payloads)) <= bits


def test_every_behaviour_would_tell_more_through_exact_counts() -> None:
    """The control: on a grid of one step, the confusion matrices alone are too many."""
    payloads, exact, bits = every_record((2, 2, 2), Grid(1, 1, 1))

    assert log2(len(exact)) > bits >= log2(len(payloads)) > 0.6 * bits
