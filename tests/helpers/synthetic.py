"""Logs as a window leaves them: genuine signed statements about runs that never were.

    log = make(results=300, vendors=5)     its entries, and the key that signed them
    log = make(20, 3, task="regression")   the same of yields in t/ha
    board = board(results=300, vendors=5)  what is read from them
    log.reader()                           as LogReader, from memory

Vendors differ in skill, and a submission in luck; a few end without a result, fail, are refused or
withdrawn. Figures come from counts of tiles, or from sums of errors, by the program's own
rounding, so results verify. For one of the vendors the owner runs a trained model again. Without a
log of its own there is no log key: `reader` is believed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from evaluator import merkle
from evaluator.board.reading import read_board
from evaluator.bundle import PAYLOAD_TYPE, fingerprint, pae
from evaluator.error_phases import ErrorSteps
from evaluator.evaluate import Evaluation, Phase
from evaluator.leakage import Account, tenths
from evaluator.log.checkpoint import Checkpoint
from evaluator.log.statements import (
    Aborted,
    Allowed,
    Changed,
    Committed,
    HandedIn,
    HoldoutCommitment,
    Key,
    KeyChange,
    Opened,
    PolicyChange,
    Published,
    ResultWithdrawn,
    Rules,
    RunAborted,
    SubmissionReceived,
    WindowDays,
    WindowPublished,
    Withdrawn,
)
from evaluator.petaflops import MICRO
from evaluator.predicate import (
    About,
    Commitment,
    Compute,
    Dataset,
    DigestSet,
    Evaluator,
    LogPosition,
    Offer,
    Policy,
    Release,
    Sandbox,
    Steps,
    Submission,
    Training,
    Wall,
)
from evaluator.regression import EXPONENT, ErrorGrid, Errors, Sums
from evaluator.result import Result
from evaluator.scoring import Counts, Grid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evaluator.board.reading import Board
    from evaluator.decision.assumptions import Task
    from evaluator.log.statements import Statement

ORIGIN = "log.example/farm-3f2a"
SIZES = {
    "wheat": 1240,
    "maize": 905,
    "barley": 760,
    "rapeseed": 610,
    "sunflower": 480,
    "soy": 390,
    "sugar beet": 265,
    "potato": 180,
    "rye": 110,
    "pea": 60,
}
"""Tiles of the holdout by class; the last four are the rare ones."""
RARE = ("pea", "rye", "potato", "sugar beet")
NAMES = ("agrisense", "cropline", "terravue", "fieldwise", "norsat", "harvest-ai", "ceres", "loam")
UNIT, RANGE = "t/ha", (0.0, 12.0)
ERROR_GRID = ErrorGrid.of(RANGE, 0.01, 0.1, 100)
"""Where yields are predicted; the steps are those of `Synthetic.rules`."""
OPENS = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 31
POLICY = {"sandbox.toml": "2" * 64, "seccomp.json": "3" * 64, "admission.toml": "6" * 64}
TEMPLATES = 24
"""Results of a vendor that differ in their figures; of more, some repeat another's."""


@dataclass
class Reader:
    """What a board needs of a log."""

    all: Sequence[bytes]
    origin: str = ORIGIN
    note: bytes = b"signed by nobody\n"

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The log as it is."""
        return Checkpoint(self.origin, len(self.all), self.root(len(self.all)))

    @cached_property
    def _leaves(self) -> list[bytes]:
        return [merkle.leaf_hash(entry) for entry in self.all]

    def root(self, size: int) -> bytes:
        """The root of the first entries."""
        return merkle.root(self._leaves[:size])

    def entries(self, start: int, stop: int) -> Iterator[bytes]:
        """The entries."""
        return iter(self.all[start:stop])


@dataclass
class Synthetic:
    """The entries of a log that grows, and who signs them."""

    key: ec.EllipticCurvePrivateKey
    entries: list[bytes] = field(default_factory=list)
    numbers: int = 0

    @property
    def keys(self) -> tuple[bytes]:
        """Whom to trust: PEM."""
        public = self.key.public_key()
        return (public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),)

    @property
    def keyid(self) -> str:
        """The key's fingerprint."""
        return _fingerprint(self.key)

    def reader(self) -> Reader:
        """The log as it is now."""
        return Reader(tuple(self.entries))

    def board(self, **asked: Any) -> Board:  # noqa: ANN401  # as read_board
        """The board of the log as it is now."""
        return read_board(self.reader(), self.keys, **asked)

    def sign(self, payload: bytes) -> bytes:
        """The envelope of a payload: an entry."""
        signature = self.key.sign(pae(payload), ec.ECDSA(SHA256()))
        return json.dumps(
            {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"keyid": self.keyid, "sig": base64.b64encode(signature).decode()}],
            },
            sort_keys=True,
            separators=(",", ":"),
        ).encode()

    def enter(self, payload: bytes) -> int:
        """Append a statement, and return its position."""
        self.entries.append(self.sign(payload))
        return len(self.entries) - 1

    def say(self, statement: Statement) -> int:
        """Append a statement, and return its position."""
        return self.enter(statement.payload())

    def begin(
        self,
        *,
        version: int = 1,
        rank_by: str = "accuracy",
        size: bool = True,
        task: Task = "classification",
    ) -> None:
        """Enter the key, the rules of the window and the holdout."""
        self.say(key_change(self.key, None))
        self.rules(rank_by=rank_by, size=size)
        self.commit(version, task=task)

    def rules(
        self, *, rank_by: str = "accuracy", size: bool = True, opens: datetime = OPENS
    ) -> int:
        """Enter the rules of a window of 31 days."""
        closes = opens + timedelta(days=DAYS - 1)
        rules = Rules(
            window=WindowDays(opens=f"{opens:%Y-%m-%d}", closes=f"{closes:%Y-%m-%d}"),
            publish=Published(
                class_sizes=size,
                release_every_hours=24,
                leakage_budget_bits=2**40,
                accuracy_steps=1000,
                recall_steps=100,
                rare_accuracy_steps=1000,
                charge_steps=100,
                error_step=0.01,
                crop_error_step=0.1,
                r2_steps=100,
                rank_by=rank_by,
                suppress_below=10,
            ),
            limits=Allowed(submissions=100_000, petaflops=100.0),
            evaluator="0.1.0",
        )
        return self.say(PolicyChange.of(POLICY, rules))

    def commit(self, version: int, root: str = "", *, task: Task = "classification") -> int:
        """Enter the commitment to a version of the holdout."""
        committed = Committed(
            version=version,
            count=sum(SIZES.values()),
            root=root or digest(f"root {version}"),
            task=task,
            classes=tuple(SIZES),
        )
        subject = {"commitment.json": digest(f"commitment {version}")}
        return self.say(HoldoutCommitment.of(subject, committed))

    def rotate(self, new: ec.EllipticCurvePrivateKey) -> None:
        """Enter that another key signs from here on: by the old one, and by the new."""
        change = key_change(new, self.keyid).payload()
        self.enter(change)
        self.key = new
        self.enter(change)

    def receive(self, vendor: str, *, adapted: str | None = None, price: str | None = None) -> int:
        """Enter that something of a vendor's was received."""
        self.numbers += 1
        said = HandedIn(
            number=None if adapted else self.numbers,
            run=run_name(self.numbers) if adapted else None,
            vendor=vendor,
            kind="onnx",
            digest_of="file",
            phases="baseline" if adapted else "both",
            recipe=None,
            adapted=adapted,
            offer=Offer(currency="EUR", per_km2=price) if price else None,
            received=f"{OPENS:%Y-%m-%dT%H:%M:%SZ}",
        )
        return self.say(SubmissionReceived.of({"submission": digest(str(self.numbers))}, said))

    def end(self, received: int, template: dict[str, Any], **changes: Any) -> int:  # noqa: ANN401  # JSON
        """Enter a result of what was received there: `template` with what is its own."""
        number = changes.pop("number", self.numbers)
        predicate = template["predicate"] | {
            "log": {"origin": ORIGIN, "received": received},
            "run": run_name(number),
        }
        subject = [{"name": "submission", "digest": {"sha256": digest(str(number))}}]
        return self.enter(
            compact(template | {"predicate": predicate | changes, "subject": subject})
        )

    def abort(self, received: int, vendor: str) -> int:
        """Enter that nothing came of what was received there, the last thing received."""
        aborted = Aborted(received=received, vendor=vendor, reason="host")
        return self.say(RunAborted.of({"submission": digest(str(self.numbers))}, aborted))

    def withdraw(self, position: int, vendor: str, reason: str = "a label was wrong") -> int:
        """Enter that the newest result, which is there, is withdrawn."""
        said = Withdrawn(result=position, run=run_name(self.numbers), vendor=vendor, reason=reason)
        return self.say(ResultWithdrawn.of({"submission": digest(str(self.numbers))}, said))

    def publish(self, early_reason: str | None = None) -> int:
        """Enter that the window is over."""
        log = self.reader().checkpoint
        closes = OPENS + timedelta(days=DAYS - 1)
        opened = Opened(
            size=log.size,
            root=log.root.hex(),
            closes=f"{closes:%Y-%m-%d}",
            early_reason=early_reason,
        )
        subject = {"checkpoint": hashlib.sha256(log.text().encode()).hexdigest()}
        return self.say(WindowPublished.of(subject, opened))


def make(
    results: int = 100,
    vendors: int = 5,
    seed: int = 1,
    *,
    version: int = 1,
    sizes: bool = True,
    published: bool = True,
    rank_by: str = "accuracy",
    task: Task = "classification",
) -> Synthetic:
    """Return a window of so many results (aborted runs come on top), the same for the same seed.

    `sizes` says whether the owner publishes class sizes, `published` whether the window is.
    """
    luck = random.Random(seed)  # noqa: S311  # nothing secret
    log = Synthetic(new_key(seed))
    log.begin(version=version, rank_by=rank_by, size=sizes, task=task)
    names = [vendor_name(number) for number in range(vendors)]
    kept = [
        list(
            templates(
                about(name, version, sizes=sizes, task=task),
                luck,
                min(TEMPLATES, results // vendors + 1),
            )
        )
        for name in names
    ]
    prices = [f"{luck.randrange(5, 40) / 100:.2f}" if luck.random() < 0.9 else None for _ in names]
    bits = 0
    for number in range(results):
        who = luck.randrange(vendors)
        received = log.receive(names[who], price=prices[who])
        if luck.random() < 0.03:
            log.abort(received, names[who])
            received = log.receive(names[who], price=prices[who])
        template = luck.choice(kept[who])
        bits += tenths(template["predicate"]["leakage_bits"]["run"])
        position = log.end(received, template, **released(number, results, template, bits))
        if luck.random() < 0.02:
            log.withdraw(position, names[who])
    _adapt(log, about(names[0], version, sizes=sizes, task=task), luck)
    log.receive(names[-1], price=prices[-1])  # and has not ended
    if published:
        log.publish()
    return log


def board(results: int = 100, vendors: int = 5, seed: int = 1, **asked: Any) -> Board:  # noqa: ANN401  # as `make`
    """Return the board of such a window; `metric` is the board's, the rest as `make` has it."""
    metric = asked.pop("metric", None)
    return make(results, vendors, seed, **asked).board(metric=metric)


def released(
    number: int, results: int, template: dict[str, Any], bits: int
) -> dict[str, dict[str, Any]]:
    """What of a result depends on those before it: when it is released, and the sum of bits."""
    said = template["predicate"]
    at = OPENS + timedelta(days=1 + number * (DAYS - 1) // results)
    leakage = said["leakage_bits"] | {"dataset": bits / 10 if bits % 10 else bits // 10}
    return {
        "release": said["release"] | {"at": f"{at:%Y-%m-%dT%H:%M:%SZ}"},
        "leakage_bits": leakage,
    }


def templates(found: About, luck: random.Random, count: int) -> Iterator[dict[str, Any]]:
    """Statements of a vendor's results, as JSON: about one in ten failed or was refused."""
    skill = luck.uniform(0.68, 0.88)
    task = found.dataset.task
    for number in range(count):
        ending = luck.random() if number else 1.0
        before = scored(luck, skill + luck.gauss(0, 0.02), luck.randrange(1, 5), task)
        after = scored(luck, skill + luck.uniform(0.05, 0.1), luck.randrange(8, 60), task)
        if ending < 0.03:
            evaluation = Evaluation(Phase("REFUSED", rules=("EVA301",)), None)
        elif ending < 0.06:
            evaluation = Evaluation(Phase("TIMEOUT", charge=3 * MICRO), None)
        elif ending < 0.1:
            evaluation = Evaluation(before, Phase("OUT_OF_MEMORY", charge=20 * MICRO))
        else:
            evaluation = Evaluation(before, after)
        yield statement(found, evaluation)


def statement(found: About, evaluation: Evaluation, adapted: str | None = None) -> dict[str, Any]:
    """A result as JSON; spelt as RFC 8785 has it by `compact`."""
    result = Result.of("0" * 64, found, evaluation, Account(0.0, 2**40), adapted)
    read: dict[str, Any] = json.loads(result.payload())
    return read


def _adapt(log: Synthetic, found: About, luck: random.Random) -> None:
    """The owner runs a trained model of a vendor's again, and it scores better than any."""
    earlier = run_name(1)
    received = log.receive(found.vendor, adapted=earlier)
    after = scored(luck, 0.995, 2, found.dataset.task)
    log.end(received, statement(found, Evaluation(None, after), earlier))


def scored(luck: random.Random, skill: float, charge: int, task: Task = "classification") -> Phase:
    """A phase that got about this share of the tiles right, less of rare classes.

    Where yields are predicted an RMSE of about 5 t/ha for each 1 that is missing of the skill.
    """
    if task == "regression":
        return Phase("OK", _errors(luck, 5 * (1 - skill)), charge=charge * MICRO)
    names = tuple(SIZES)
    rows = []
    for index, (name, size) in enumerate(SIZES.items()):
        share = skill - (0.08 if name in RARE else 0) + luck.gauss(0, 0.03)
        right = min(size, max(0, round(size * share)))
        row = [0] * len(names)
        row[index] = right
        row[(index + 1) % len(names)] = size - right
        rows.append(tuple(row))
    return Phase("OK", Counts(names, RARE, tuple(rows)), charge=charge * MICRO)


def _errors(luck: random.Random, error: float) -> Errors:
    """Half of a crop's tiles are too high, a quarter are too low by half of that, the rest right.

    The targets' standard deviation is 3 t/ha.
    """
    crops, one = [], 1 << EXPONENT
    for name, size in SIZES.items():
        share = (1.6 if name in RARE else 1.3) + luck.gauss(0, 0.05)
        most, high, low = int(error * share * 2**20) * one >> 20, size // 2, size // 4
        crops.append(
            Sums(
                tiles=size,
                signed=high * most - low * most // 2,
                absolute=high * most + low * most // 2,
                squared=high * most**2 + low * most**2 // 4,
            )
        )
    return Errors(tuple(SIZES), RARE, tuple(crops), (sum(SIZES.values()) * 3 * one) ** 2)


class _NoLuck:
    """A chance that never strays from the mean."""

    def gauss(self, mean: float, _deviation: float) -> float:
        """The mean."""
        return mean


@cache
def _template(vendor: str, skill: float, version: int, *, sizes: bool, task: Task) -> str:
    luck: Any = _NoLuck()
    before, after = scored(luck, skill - 0.1, 3, task), scored(luck, skill, 20, task)
    made = statement(about(vendor, version, sizes=sizes, task=task), Evaluation(before, after))
    return json.dumps(made)


def template(
    vendor: str = "acme",
    skill: float = 0.9,
    version: int = 1,
    *,
    sizes: bool = True,
    task: Task = "classification",
) -> dict[str, Any]:
    """A vendor's result of this skill; `Synthetic.end` fills in what is its own."""
    made: dict[str, Any] = json.loads(_template(vendor, skill, version, sizes=sizes, task=task))
    return made


def about(
    vendor: str, version: int = 1, *, sizes: bool = True, task: Task = "classification"
) -> About:
    """What a result says whatever came of the run."""
    yields = task == "regression"
    return About(
        run="0" * 16,
        vendor=vendor,
        log=LogPosition(origin=ORIGIN, received=0),
        release=Release(at="2026-03-02T00:00:00Z", every_hours=24, longest_seconds=21_840),
        submission=Submission(kind="onnx", digest_of="file"),
        evaluator=Evaluator(version="0.1.0"),
        dataset=Dataset(
            version=version,
            task=task,
            unit=UNIT if yields else None,
            range=RANGE if yields else None,
            holdout_commitment=Commitment(
                name="commitment.json", digest=DigestSet(sha256=digest(f"commitment {version}"))
            ),
            holdout_tiles=sum(SIZES.values()),
            classes=tuple(SIZES),
            rare_classes=RARE,
            class_sizes=tuple(SIZES.values()) if sizes else None,
        ),
        policy=Policy(
            **{name.partition(".")[0]: DigestSet(sha256=d) for name, d in POLICY.items()}
        ),
        sandbox=Sandbox(
            runtime="runsc",
            engine="27.5.1",
            runner="sha256:" + "4" * 64,
            trainer="sha256:" + "8" * 64,
            co_resident=False,
            device="cpu",
            cpus=2.0,
            memory_bytes=2**33,
            wall=Wall(
                verdict="SEALED",
                probe="sha256:" + "7" * 64,
                stopped=("net-connect", "fs-write-root"),
                residual=(),
            ),
        ),
        compute=Compute(budget=100.0, step=1.0, cpu_peak=1.25e11, gpu_peak=None),
        training=Training(tiles=20_000, recipe=None),
        grid=ErrorSteps.of(ERROR_GRID) if yields else Steps.of(Grid()),
    )


@cache
def _fingerprint(key: ec.EllipticCurvePrivateKey) -> str:
    return fingerprint(key.public_key())


def key_change(key: ec.EllipticCurvePrivateKey, previous: str | None) -> KeyChange:
    """The statement that from here on this key signs."""
    public = key.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    changed = Changed(
        purpose="result",
        key=Key(keyid=fingerprint(public), algorithm="ecdsa-p256", pem=pem.decode()),
        previous=previous,
        not_before="2026-01-01T00:00:00Z",
        reason=None,
    )
    return KeyChange.of({"result-key": hashlib.sha256(pem).hexdigest()}, changed)


def new_key(seed: int) -> ec.EllipticCurvePrivateKey:
    """A key, the same for the same seed."""
    return ec.derive_private_key(seed + 1, ec.SECP256R1())


def vendor_name(number: int) -> str:
    """Names that a reader can tell apart."""
    name = NAMES[number % len(NAMES)]
    return f"{name}-{number // len(NAMES) + 1}" if number >= len(NAMES) else name


def digest(text: str) -> str:
    """A SHA-256, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def run_name(number: int) -> str:
    """The run of the submission of this number."""
    return digest(f"run {number}")[:16]


def compact(statement: dict[str, Any]) -> bytes:
    """RFC 8785 of what was read from RFC 8785: floats have the same spelling in Python."""
    return json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
