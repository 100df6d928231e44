"""A colluding submission recovers no more bits from its result than the result says.

Twice: one encoder that uses every figure and every charge of both phases, for many messages; and
every behaviour there is, on tiny holdouts. test_encoder_run.py is a real run of it.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from itertools import product
from math import log2
from typing import Any

import numpy as np
import pytest
from encoder import encoder
from encoder.encoder import Channel
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator.evaluate import Evaluation, Phase
from evaluator.leakage import Account, release_time
from evaluator.predicate import (
    About,
    Commitment,
    Compute,
    Dataset,
    DigestSet,
    Evaluator,
    LogPosition,
    Policy,
    Release,
    Sandbox,
    Steps,
    Submission,
    Training,
    Wall,
)
from evaluator.result import Result, private_document
from evaluator.scoring import Grid, count
from evaluator.status import STATUSES, UNTOUCHED

DAY, LONGEST = 86_400, 21_840
PF = 1_000_000  # micro-petaflops, and one step of the charge
RANDOM = random.Random(5)  # noqa: S311 - messages, not secrets
DIGEST = DigestSet(sha256="0" * 64)
IMAGE = "sha256:" + "0" * 64
USE_CASE = (694, 694, 694, 579, 579, 579, 463, 463, 255)  # 5,000 tiles, as rare as their crops
FAILURES = tuple(status for status in STATUSES if status not in {"OK", *UNTOUCHED})


def about(
    sizes: tuple[int, ...], rare: tuple[int, ...], grid: Grid, slot: int = 0, steps: int = 100
) -> About:
    """What a result says of a run that ended in this slot, charged in so many steps at most."""
    names = tuple(f"crop {index}" for index in range(len(sizes)))
    return About(
        run="0" * 16,
        vendor="acme",
        log=LogPosition(origin="log.example/farm", received=3),
        release=Release(at=release_time(slot * DAY, DAY), every_hours=24, longest_seconds=LONGEST),
        submission=Submission(kind="image", digest_of="file"),
        evaluator=Evaluator(version="1"),
        dataset=Dataset(
            version=1,
            task="classification",
            unit=None,
            range=None,
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
            trainer=None,
            co_resident=False,
            device="cpu",
            cpus=1.0,
            memory_bytes=2**30,
            wall=Wall(verdict="SEALED", probe=IMAGE, stopped=(), residual=()),
        ),
        compute=Compute(budget=float(steps), step=1.0, cpu_peak=1.0, gpu_peak=None),
        training=Training(tiles=1, recipe=None),
        grid=Steps.of(grid),
    )


def scored(facts: About, predictions: bytes, charge: int = 0) -> Phase:
    """A phase of these predictions, labels being in the order of their classes."""
    sizes = facts.dataset.class_sizes
    assert sizes is not None
    labels = np.repeat(np.arange(len(sizes)), sizes).astype(np.uint8)
    classes, rare = facts.dataset.classes, facts.dataset.rare_classes
    counts = count(labels, np.frombuffer(predictions, np.uint8), classes, rare)
    return Phase("OK", counts, charge=charge * PF)


def signed(facts: About, *phases: Phase) -> Result:
    """The record of a run."""
    return Result.of(DIGEST.sha256, facts, Evaluation(*phases), Account(0.0, 16_384))


def read_figures(phase: dict[str, Any], classes: list[str], channel: Channel) -> int:
    """The vendor's end: the message in the figures of a phase."""
    return encoder.decode(
        [round(phase["recall"][name] * channel.recall) for name in classes],
        round(phase["rare_accuracy"] * channel.rare_accuracy),
        round(phase["accuracy"] * channel.accuracy),
        channel,
    )


@dataclass(frozen=True)
class Said:
    """What one phase says: a status or figures, and how many steps of compute it used."""

    symbol: int
    charge: int


def phase_of(said: Said, channel: Channel, facts: About) -> Phase:
    """The phase of a program that says this: by a status, or by figures."""
    if said.symbol < len(encoder.STATUSES):
        return Phase(encoder.STATUSES[said.symbol], charge=said.charge * PF)
    right = encoder.encode(said.symbol - len(encoder.STATUSES), channel)
    labels = bytes(index for index, size in enumerate(channel.sizes) for _ in range(size))
    answer = encoder.predictions(labels, right, [0] * len(right), len(right))
    return scored(facts, answer, said.charge)


def read_phase(predicate: dict[str, Any], name: str, channel: Channel) -> Said:
    """What a phase said, from the signed statement."""
    phase, classes = predicate["phases"][name], predicate["dataset"]["classes"]
    if phase["status"] != "OK":
        return Said(encoder.STATUSES.index(phase["status"]), phase["charge"])
    symbol = read_figures(phase, classes, channel) + len(encoder.STATUSES)
    return Said(symbol, phase["charge"])


CASES = {
    "use case": (USE_CASE, (5, 6, 7, 8), Grid()),
    "coarse": (USE_CASE, (8,), Grid(accuracy=1000, recall=20, rare_accuracy=100)),
    "few tiles": ((40, 30, 20, 10), (3,), Grid()),
    "two classes": ((900, 100), (1,), Grid(accuracy=1000, recall=5, rare_accuracy=100)),
}
REACHED = {"use case": 0.80, "coarse": 0.80, "few tiles": 0.60, "two classes": 0.70}
"""How near to the bits stated this encoder comes; measured, rounded down."""
CHARGED = 51
"""Charges that either phase can choose whatever the other does: half of the budget, or less."""


@pytest.mark.parametrize("case", CASES)
def test_the_encoder_comes_near_the_bits_stated_and_not_past_them(case: str) -> None:
    """200 messages by all that both phases and the slot can say, each read back whole."""
    sizes, rare, grid = CASES[case]
    channel = Channel(sizes, rare, grid.accuracy, grid.recall, grid.rare_accuracy)
    symbols = channel.capacity + len(encoder.STATUSES)
    slots = 2  # a program that starts shortly before midnight can end after it
    recovered = []
    for index in range(200):
        symbol = index if index < len(encoder.STATUSES) else RANDOM.randrange(symbols)
        said = [
            Said(symbol, RANDOM.randrange(CHARGED)),
            Said(RANDOM.randrange(symbols), RANDOM.randrange(CHARGED)),
        ]
        slot = RANDOM.randrange(slots)
        facts = about(sizes, rare, grid, slot)
        result = signed(facts, *(phase_of(each, channel, facts) for each in said))
        read = json.loads(result.payload())["predicate"]
        assert [read_phase(read, name, channel) for name in ("baseline", "tuned")] == said
        assert read["release"]["at"] == release_time(slot * DAY, DAY)
        values = (symbols * CHARGED) ** 2 * slots
        recovered.append((log2(values), read["leakage_bits"]["run"]))

    assert all(bits <= stated for bits, stated in recovered)
    assert all(bits >= REACHED[case] * stated for bits, stated in recovered)


@pytest.mark.parametrize("case", ["use case", "coarse"])
def test_the_second_phase_carries_no_more_than_its_own_bits(case: str) -> None:
    """A program that has seen training tiles can say of them what one phase says, and no more."""
    sizes, rare, grid = CASES[case]
    channel = Channel(sizes, rare, grid.accuracy, grid.recall, grid.rare_accuracy)
    symbols = channel.capacity + len(encoder.STATUSES)
    facts, silent = about(sizes, rare, grid), Said(len(encoder.STATUSES), 0)
    for _ in range(50):
        said = Said(RANDOM.randrange(symbols), RANDOM.randrange(101))
        phases = (phase_of(each, channel, facts) for each in (silent, said))
        read = json.loads(signed(facts, *phases).payload())["predicate"]
        stated = read["leakage_bits"]["tuned"]
        assert read_phase(read, "tuned", channel) == said
        assert REACHED[case] * stated <= log2(symbols * 101) <= stated


@pytest.mark.parametrize("case", ["use case", "coarse"])
def test_exact_counts_would_carry_more_than_the_bits_stated(case: str) -> None:
    """The control: to whoever read private/RUN.json, the same predictions say more than that."""
    sizes, rare, grid = CASES[case]
    channel = Channel(sizes, rare, grid.accuracy, grid.recall, grid.rare_accuracy)
    facts = about(sizes, rare, grid)
    bits = "".join(RANDOM.choices("01", k=1000))
    read, phases = "", []
    for _ in range(2):
        right, shifts = encoder.split_bits(bits[len(read) :], channel)
        labels = bytes(index for index, size in enumerate(sizes) for _ in range(size))
        phases.append(scored(facts, encoder.predictions(labels, right, shifts, len(sizes))))
        read += _from_figures(signed(facts, phases[-1]), channel)
        read += _from_mistakes(Evaluation(phases[-1]), channel)

    assert bits.startswith(read)
    assert len(read) > signed(facts, *phases).predicate.leakage_bits.run


def _from_figures(result: Result, channel: Channel) -> str:
    predicate = json.loads(result.payload())["predicate"]
    phase, classes = predicate["phases"]["baseline"], predicate["dataset"]["classes"]
    width = channel.capacity.bit_length() - 1
    return f"{read_figures(phase, classes, channel):0{width}b}"


def _from_mistakes(evaluation: Evaluation, channel: Channel) -> str:
    document = json.loads(private_document("0" * 16, {}, evaluation))
    confusion = document["baseline"]["counts"]["confusion"]
    found = [row[(index + 1) % len(row)] for index, row in enumerate(confusion)]
    hidden = encoder.room([row[index] for index, row in enumerate(confusion)], channel)
    pairs = zip(found, hidden, strict=True)
    return "".join(f"{value:0{width}b}" for value, width in pairs if width)


tiny = st.tuples(
    st.sampled_from([(1, 1), (2, 1), (3, 2), (1, 1, 1), (2, 1, 1)]),
    st.tuples(*[st.sampled_from([1, 2, 5, 10])] * 3).map(lambda steps: Grid(*steps)),
)


def every_phase(facts: About) -> tuple[list[Phase], set[str]]:
    """Phases for every record of one, whatever the program does, and every private document."""
    sizes = facts.dataset.class_sizes
    assert sizes is not None
    different: dict[str, Phase] = {}
    exact = set()
    for answer in product(range(len(sizes)), repeat=sum(sizes)):
        phase = scored(facts, bytes(answer))
        record = signed(facts, phase).predicate.phases.baseline
        assert record is not None
        different[record.model_dump_json()] = phase
        exact.add(private_document("0" * 16, {}, Evaluation(phase)))
    return [*different.values(), *(Phase(status) for status in FAILURES)], exact


def every_record(
    sizes: tuple[int, ...], grid: Grid, *, both: bool
) -> tuple[set[bytes], set[str], float]:
    """Every payload and every private document of one phase there can be, and the bits stated.

    The budget is one step, which either phase can use up or neither.
    """
    payloads, stated, exact = set(), set(), set[str]()
    for slot in range(2):
        facts = about(sizes, (0,), grid, slot, steps=1)
        phases, exact = every_phase(facts)
        for pair in product(phases, repeat=2 if both else 1):
            for charges in ((0, 0), (PF, 0), (0, PF)):
                charged = (
                    replace(phase, charge=charge)
                    for phase, charge in zip(pair, charges, strict=False)
                )
                result = signed(facts, *charged)
                payloads.add(result.payload())
                stated.add(result.predicate.leakage_bits.run)
    (bits,) = stated
    return payloads, exact, bits


@settings(max_examples=20)
@given(tiny)
def test_no_behaviour_at_all_tells_more_than_the_bits_stated(
    case: tuple[tuple[int, ...], Grid],
) -> None:
    """Every answer to every tile, failure, charge and slot: few enough different payloads."""
    payloads, _, bits = every_record(*case, both=False)

    assert log2(len(payloads)) <= bits


@pytest.mark.parametrize("sizes", [(1, 1), (2, 1)])
def test_no_behaviour_in_two_phases_tells_more_than_the_bits_stated(sizes: tuple[int, ...]) -> None:
    """What is gained follows from the two, and adds nothing to them."""
    payloads, _, bits = every_record(sizes, Grid(10, 5, 5), both=True)

    assert 0.6 * bits < log2(len(payloads)) <= bits


def test_every_behaviour_would_tell_more_through_exact_counts() -> None:
    """The control: on a grid of one step, the confusion matrices alone are too many."""
    payloads, exact, bits = every_record((3, 2, 2), Grid(1, 1, 1), both=False)

    assert log2(len(exact)) > bits >= log2(len(payloads)) > 0.6 * bits
