"""Submissions handed in: copied, counted and kept, or not there at all."""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import os
import signal
import stat
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from evaluator import incoming, queue
from evaluator.dataset.importing import ImportRules, import_tiles
from evaluator.errors import OwnerError, Refused
from evaluator.founding import found
from evaluator.ledger import Ledger, SubmissionRow, Vendor, open_ledger
from evaluator.queue import (
    Request,
    drop,
    folder,
    give_back,
    limits_of,
    submit,
    sweep,
    taken_in,
)
from evaluator.recipe import Recipe
from evaluator.signers import Signers
from evaluator.signing import load_key, load_log_key
from evaluator.submission import Submission
from evaluator.workspace import CONFIG, Workspace
from sandbox import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MODEL = b"a model" * 1000
RUN = "0123456789abcdef"
TIB = 2**40


@pytest.fixture
def farm(tmp_path: Path, class_folders: Callable[..., Path]) -> Workspace:
    """A workspace of sixteen tiles, half of them held out, that knows one vendor."""
    workspace = found(tmp_path / "farm", class_sizes=False).workspace
    change(workspace, "submissions_per_day = 5", "submissions_per_day = 50")
    change(workspace, "submission_bytes = 21_474_836_480", "submission_bytes = 1_048_576")
    source = class_folders({"barley": 10, "corn": 6})
    rules = ImportRules(rare=1)
    import_tiles(workspace.data, source, rules, holdout=8, progress=lambda *_: None)
    with open_ledger(workspace.ledger) as ledger:
        ledger.add_vendor(Vendor("acme"))
    return workspace


def signers(workspace: Workspace) -> Signers:
    """The workspace's two keys."""
    origin = workspace.settings().log.origin
    return Signers(load_key(workspace.key), load_log_key(workspace.log_key, origin))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A vendor's file."""
    path = tmp_path / "model.onnx"
    path.write_bytes(MODEL)
    return path


def change(workspace: Workspace, old: str, new: str) -> None:
    """Change a line of the settings."""
    path = workspace.root / CONFIG
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def request(
    path: Path, recipe: bytes | None = None, vendor: str = "acme", phases: str | None = None
) -> Request:
    """A file, handed in."""
    assert phases in {None, "baseline", "both"}
    asked: dict[str, object] = {"phases": phases, "recipe": recipe}
    return Request(Submission("onnx", path, ""), vendor, **asked)  # type: ignore[arg-type]


def say(_line: str) -> None:
    """Nobody listens."""


def rows(workspace: Workspace) -> list[SubmissionRow]:
    """All submissions of the ledger."""
    with open_ledger(workspace.ledger) as ledger:
        return list(ledger.submissions())


def states(workspace: Workspace) -> list[str]:
    """The state of each, and why it was aborted."""
    return [f"{row.state} {row.reason}".strip() for row in rows(workspace)]


def folders(workspace: Workspace) -> list[str]:
    """The names of what lies in the queue."""
    return sorted(path.name for path in workspace.queue.glob("[0-9]*"))


def slots(workspace: Workspace) -> int:
    """How many of the vendor's submissions count."""
    today = dt.datetime.now(dt.UTC).date()
    with open_ledger(workspace.ledger) as ledger:
        return ledger.slots("acme", today, today)


# Handed in


def test_a_submission_is_copied_and_waits(farm: Workspace, model: Path) -> None:
    """The vendor's own file may change or go; the copy is read by no other user."""
    told: list[str] = []
    number = submit(farm, request(model), signers(farm), told.append)
    model.unlink()
    place = folder(farm, number)
    copy = place / "submission"

    assert copy.read_bytes() == MODEL
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert stat.S_IMODE(copy.stat().st_mode) == 0o444  # a container's uid reads it
    with open_ledger(farm.ledger) as ledger:
        queued = ledger.queued(number)
        assert ledger.next() == queued
    digest = hashlib.sha256(MODEL).hexdigest()
    assert (queued.sha256, queued.content, queued.size) == (digest, digest, len(MODEL))
    assert (queued.vendor, queued.kind, queued.digest_of) == ("acme", "onnx", "file")
    assert (queued.phases, queued.recipe) == ("both", None)
    assert told == ["Receiving the submission ..."]


def test_each_submission_has_a_folder_of_its_own(farm: Workspace, model: Path) -> None:
    """The same bytes twice are two submissions."""
    numbers = [submit(farm, request(model), signers(farm), say) for _ in range(2)]

    assert folders(farm) == [str(number) for number in numbers]
    assert states(farm) == ["queued", "queued"]


def test_a_larger_file_is_measured_and_not_kept(farm: Workspace, tmp_path: Path) -> None:
    """It will be refused by its size, so no more than the limit of it is copied."""
    path = tmp_path / "large.onnx"
    path.write_bytes(bytes(3 * 2**20))
    number = submit(farm, request(path), signers(farm), say)

    (row,) = rows(farm)
    assert (row.id, row.size) == (number, 3 * 2**20)
    assert (folder(farm, number) / "submission").stat().st_size <= 2**20


@pytest.mark.parametrize(("asked", "phases"), [(None, "both"), ("both", "both"), ("baseline",) * 2])
def test_both_phases_are_run_unless_the_baseline_alone_is_asked_for(
    farm: Workspace, model: Path, asked: str | None, phases: str
) -> None:
    """Where there are training tiles."""
    submit(farm, request(model, phases=asked), signers(farm), say)

    assert [row.phases for row in rows(farm)] == [phases]


def test_without_training_tiles_there_is_the_baseline_alone(
    farm: Workspace, model: Path, tmp_path: Path
) -> None:
    """And nothing is kept of a submission that asks for more."""
    source, rules = tmp_path / "source", ImportRules(rare=1)
    import_tiles(farm.data, source, rules, holdout=16, progress=lambda *_: None)
    submit(farm, request(model), signers(farm), say)
    with pytest.raises(OwnerError, match="no training tiles"):
        submit(farm, request(model, phases="both"), signers(farm), say)

    assert [row.phases for row in rows(farm)] == ["baseline"]
    assert len(folders(farm)) == 1


# The vendor's recipe


def test_a_recipe_is_kept_in_our_own_spelling(farm: Workspace, model: Path) -> None:
    """Never in the vendor's: two spellings of one recipe are one, with every default in it."""
    for raw in (b'{"epochs": 3}', b' {\n"epochs":3,"batch_size": 64}\n'):
        submit(farm, request(model, raw), signers(farm), say)
    with open_ledger(farm.ledger) as ledger:
        kept = [ledger.queued(row.id).recipe for row in ledger.submissions()]

    assert kept == [Recipe(epochs=3).canonical()] * 2


@pytest.mark.parametrize(
    "raw", [b"", b"{", b'{"epoch": 3}', b'{"epochs": 201}', b'{"seed": "\xff"}']
)
def test_a_recipe_that_is_refused_keeps_nothing(farm: Workspace, model: Path, raw: bytes) -> None:
    """It takes no slot, and its words are ours."""
    with pytest.raises(Refused) as refused:
        submit(farm, request(model, raw), signers(farm), say)

    assert refused.value.rule == "EVA401"
    assert (rows(farm), folders(farm)) == ([], [])


def test_a_recipe_needs_a_training(farm: Workspace, model: Path) -> None:
    """Otherwise it would be dropped without a word."""
    with pytest.raises(OwnerError, match="A recipe is for training"):
        submit(farm, request(model, b"{}", phases="baseline"), signers(farm), say)

    assert (rows(farm), folders(farm)) == ([], [])


# Limits


def test_beyond_the_quota_nothing_is_kept(farm: Workspace, model: Path) -> None:
    """Five are taken; of the sixth there is no row, no folder and no copy."""
    for _ in range(5):
        submit(farm, request(model), signers(farm), say)
    with pytest.raises(OwnerError, match="acme has used 5 of 5 submissions"):
        submit(farm, request(model), signers(farm), say)

    assert states(farm) == ["queued"] * 5
    assert len(folders(farm)) == 5


@pytest.mark.parametrize("closes", ["2000-01-02", "2999-01-02"])
def test_outside_the_window_nothing_is_kept(farm: Workspace, model: Path, closes: str) -> None:
    """Before it as after it; the ledger says so before a byte is copied."""
    window = farm.settings().window
    change(farm, f"closes = {window.closes}", f"closes = {closes}")
    change(farm, f"opens = {window.opens}", f"opens = {closes[:-1]}1")
    with pytest.raises(OwnerError, match="The window is"):
        submit(farm, request(model), signers(farm), say)

    assert (rows(farm), folders(farm)) == ([], [])


def test_an_unknown_vendor_hands_nothing_in(farm: Workspace, model: Path) -> None:
    """The operator is told how to add it."""
    with pytest.raises(OwnerError, match="evaluator vendors add zenith"):
        submit(farm, request(model, vendor="zenith"), signers(farm), say)

    assert (rows(farm), folders(farm)) == ([], [])


def test_limits_are_those_of_the_settings(farm: Workspace) -> None:
    """Petaflops in whole millionths."""
    change(farm, "petaflops = 100.0", "petaflops = 0.3")
    limits, window = limits_of(farm.settings()), farm.settings().window

    assert (limits.total, limits.per_day, limits.micro_petaflops) == (5, 50, 300_000)
    assert (limits.opens, limits.closes) == (window.opens, window.closes)


def test_of_twenty_at_once_the_quota_takes_five(farm: Workspace, model: Path) -> None:
    """Each is another process; those that came too late leave nothing."""
    children = [forked(lambda: _tried(farm, model)) for _ in range(20)]
    ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]

    assert sorted(ends) == [0] * 5 + [2] * 15
    assert states(farm) == ["queued"] * 5
    assert len(folders(farm)) == 5
    assert all((folder(farm, row.id) / "submission").read_bytes() == MODEL for row in rows(farm))


def _tried(farm: Workspace, model: Path) -> int:
    try:
        submit(farm, request(model), signers(farm), say)
    except OwnerError:
        return 2
    return 0


# What is interrupted, and what is killed


def forked(work: Callable[[], int]) -> int:
    """A child that does the work and ends with its answer."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        code = work()
    finally:
        os._exit(code)


@contextmanager
def receiving(farm: Workspace, tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A process that copies a file of a tebibyte, and where it copies it to."""
    path = tmp_path / "endless.onnx"
    with path.open("wb") as file:
        file.truncate(TIB)
    child = forked(lambda: submit(farm, request(path), signers(farm), say) and 0)
    copy = folder(farm, 1) / "submission"
    try:
        end = time.monotonic() + 30
        while not (copy.exists() and copy.stat().st_size == 2**20):
            assert time.monotonic() < end
            time.sleep(0.01)
        yield child, copy
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(child, 0)


def test_a_killed_receiver_is_swept_and_its_slot_is_free(farm: Workspace, tmp_path: Path) -> None:
    """Nothing of what it had copied stays; a receiver that is alive is left alone, the control."""
    with receiving(farm, tmp_path) as (child, copy):
        sweep(farm)
        assert (states(farm), slots(farm)) == (["receiving"], 1)
        assert copy.exists()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert (states(farm), slots(farm)) == (["receiving"], 1)
        sweep(farm)

    assert (states(farm), slots(farm)) == (["aborted killed"], 0)
    assert folders(farm) == []
    sweep(farm)  # a second time changes nothing
    assert states(farm) == ["aborted killed"]


def kill_at(wanted: int) -> None:
    """Have this process killed before its `wanted`-th call that changes the disk or a lock."""
    steps = iter(range(1, 1000))

    def wrap(real: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object, **more: object) -> object:
            if next(steps) == wanted:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **more)

        return step

    for owner, names in (
        (os, ("open", "mkdir", "fchmod", "close")),
        (fcntl, ("flock",)),
        (Ledger, ("receive", "queue")),
    ):
        for name in names:
            setattr(owner, name, wrap(getattr(owner, name)))


def test_a_kill_at_any_step_leaves_a_submission_that_waits_or_none(
    farm: Workspace, model: Path
) -> None:
    """After a sweep: whole and queued, or its slot free again and nothing on the disk."""
    change(farm, "submissions = 5", "submissions = 500")
    change(farm, "submissions_per_day = 50", "submissions_per_day = 500")
    ends: set[tuple[str, str]] = set()
    for wanted in range(1, 100):

        def work(wanted: int = wanted) -> int:
            kill_at(wanted)
            return submit(farm, request(model), signers(farm), say) and 0

        before, (_, status) = rows(farm), os.waitpid(forked(work), 0)
        sweep(farm)
        new = rows(farm)[len(before) :]
        ends |= {(str(row.state), row.reason) for row in new} or {("none", "")}
        queued = [row.id for row in rows(farm) if row.state == "queued"]
        assert sorted(folders(farm), key=int) == [str(number) for number in queued]
        assert all((folder(farm, n) / "submission").read_bytes() == MODEL for n in queued)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
    else:
        pytest.fail("it never came to its end")

    assert slots(farm) == len(queued)
    assert ends == {("none", ""), ("aborted", "killed"), ("queued", "")}


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (OwnerError("unreadable"), "operator"),
        (SandboxError("the engine is gone"), "host"),
        (OSError(28, "No space left on device"), "host"),
    ],
)
def test_an_interrupted_receive_gives_its_slot_back(
    farm: Workspace,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    trouble: BaseException,
    why: str,
) -> None:
    """At once, with a word of why and nothing on the disk; the next one is taken."""

    def half(_: object, scratch: Path, *_more: object) -> None:
        (scratch / "submission").write_bytes(b"half")
        raise trouble

    with monkeypatch.context() as patch:
        patch.setattr(queue, "receive", half)
        with pytest.raises(type(trouble)):
            submit(farm, request(model), signers(farm), say)
    assert (states(farm), slots(farm), folders(farm)) == ([f"aborted {why}"], 0, [])

    submit(farm, request(model), signers(farm), say)
    assert states(farm) == [f"aborted {why}", "queued"]


def test_what_is_kept_of_a_large_file_has_no_slot(
    farm: Workspace, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its copy goes on when the file is handed in again, as another submission."""
    monkeypatch.setattr(incoming, "KEPT_FROM", 1)
    kept, told = farm.incoming / "acme" / "copy", []

    def advance(here: int, of: int) -> None:
        told.append((here, of))
        if len(told) == 1:
            raise KeyboardInterrupt

    def hand_in() -> int:
        return taken_in(farm, request(model), signers(farm), say, advance).id

    with pytest.raises(KeyboardInterrupt):
        hand_in()
    assert (states(farm), slots(farm), folders(farm)) == (["aborted interrupted"], 0, [])
    assert kept.read_bytes() == MODEL
    sweep(farm)  # a younger one than a week stays
    number = hand_in()

    assert states(farm) == ["aborted interrupted", "queued"]
    assert (folder(farm, number) / "submission").read_bytes() == MODEL
    assert not kept.exists()


def test_a_folder_that_cannot_be_made_gives_the_slot_back(farm: Workspace, model: Path) -> None:
    """The disk's trouble is nobody's submission."""
    (farm.queue / "1").touch()
    with pytest.raises(OSError, match="exists"):
        submit(farm, request(model), signers(farm), say)

    assert (states(farm), slots(farm)) == (["aborted host"], 0)


# What a sweep leaves, and a run that never began


def test_a_sweep_removes_the_bytes_of_what_has_ended_alone(farm: Workspace, model: Path) -> None:
    """What waits and what runs keeps its folder."""
    waiting, running, aborted = (submit(farm, request(model), signers(farm), say) for _ in range(3))
    with open_ledger(farm.ledger) as ledger:
        ledger.start(RUN, running, "acme", 1, bits=1, bit_budget=100)
        ledger.abort_submission(aborted, "operator")
    sweep(farm)

    assert folders(farm) == [str(waiting), str(running)]


def test_a_submission_whose_run_never_began_is_given_back(farm: Workspace, model: Path) -> None:
    """With its bytes, and the reason of the error."""
    number = submit(farm, request(model), signers(farm), say)
    give_back(farm, number, SandboxError("no engine"))

    assert (states(farm), slots(farm), folders(farm)) == (["aborted host"], 0, [])


def test_a_submission_that_runs_elsewhere_is_not_taken_from_there(
    farm: Workspace, model: Path
) -> None:
    """Whoever waited for it and was interrupted gives nothing back."""
    number = submit(farm, request(model), signers(farm), say)
    with open_ledger(farm.ledger) as ledger:
        ledger.start(RUN, number, "acme", 1, bits=1, bit_budget=100)
    give_back(farm, number, KeyboardInterrupt())

    assert states(farm) == ["running"]
    assert (folder(farm, number) / "submission").read_bytes() == MODEL


def test_what_is_dropped_is_gone(farm: Workspace, model: Path) -> None:
    """Twice is once."""
    number = submit(farm, request(model), signers(farm), say)
    for _ in range(2):
        drop(farm, number)

    assert folders(farm) == []
