"""Decoding in other processes changes nothing: not the order, not the words, not what is left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from evaluator.dataset import decoders as module
from evaluator.dataset.decoders import Decoders
from evaluator.dataset.decoding import decode
from evaluator.dataset.digests import Digests
from evaluator.dataset.importing import ImportRules, import_tiles
from evaluator.dataset.pixels import Pixels
from evaluator.dataset.problems import ImportProblems, Problem
from evaluator.dataset.scratch import Scratch
from evaluator.dataset.tiles import File, Kept
from tests.evaluator.conftest import png_bytes

Folders = Callable[..., Path]


class Files:
    """Scratch files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[Scratch] = []

    def __call__(self) -> Scratch:
        """Make another."""
        self.made.append(Scratch(self.folder / "scratch", len(self.made)))
        return self.made[-1]

    def pixels(self, kept: Kept) -> Pixels:
        """Read a tile back."""
        pixels = np.empty(kept.pixels.shape, kept.pixels.dtype)
        self.made[kept.pixels.scratch].read(pixels, kept.pixels.offset)
        return pixels


def tile(number: int) -> bytes:
    """A PNG whose pixels tell its number."""
    return png_bytes(np.full((4, 4), number % 251, np.uint8) + np.eye(4, dtype=np.uint8))


def killed_by(wanted: bytes) -> Callable[[bytes], Pixels]:
    """A decoder that one file kills, as a flaw in a library of C would."""

    def decode_or_die(data: bytes) -> Pixels:
        if data == wanted:
            os.kill(os.getpid(), signal.SIGKILL)
        return decode(data)

    return decode_or_die


def children() -> str:
    """The processes that this one has started and not yet ended."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


def test_results_come_in_the_order_of_files(tmp_path: Path) -> None:
    """Over many chunks, with problems among them, each result is that of its file."""
    files = Files(tmp_path)
    found = [
        Problem("missing", str(number))
        if number % 7 == 0
        else File(str(number), "a", None, b"no image" if number % 11 == 0 else tile(number))
        for number in range(500)
    ]
    with Decoders(files, grayscale=False) as decoders:
        results = list(decoders.decode(found))

    assert len(results) == 500
    for number, result in enumerate(results):
        if isinstance(result, Kept):
            assert result.where == str(number)
            assert (files.pixels(result) == decode(tile(number))).all()
        else:
            kind = "missing" if number % 7 == 0 else "not an image"
            assert (result.kind, result.text.split(":")[0]) == (kind, str(number))


def test_file_that_kills_its_decoder_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named, all other tiles come in, and nothing hangs or is left over."""
    monkeypatch.setattr(module, "decode", killed_by(tile(70)))
    files, before = Files(tmp_path), children()
    with Decoders(files, grayscale=False) as decoders:
        found = [File(str(number), "a", None, tile(number)) for number in range(200)]
        results = list(decoders.decode(found))

    assert children() == before
    problems = [result for result in results if isinstance(result, Problem)]
    assert [(p.kind, p.text.split(":")[0], p.tiles) for p in problems] == [("corrupt", "70", 1)]
    kept = [result for result in results if isinstance(result, Kept)]
    assert [result.where for result in kept] == [str(n) for n in range(200) if n != 70]
    assert all((files.pixels(k) == decode(tile(int(k.where)))).all() for k in kept)


def test_import_names_the_file_that_kills_its_decoder(
    class_folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is imported, or with skip_bad everything else."""
    source = class_folders({"barley": 8, "corn": 8})
    killer = (source / "corn" / "0003.png").read_bytes()
    monkeypatch.setattr(module, "decode", killed_by(killer))

    def bring_in(*, skip_bad: bool) -> int:
        report = import_tiles(
            tmp_path / "data",
            source,
            ImportRules(rare=1),
            holdout=4,
            skip_bad=skip_bad,
            progress=lambda *_: None,
        )
        return report.skipped

    with pytest.raises(ImportProblems, match=r"corn/0003\.png: damaged in a way"):
        bring_in(skip_bad=False)
    assert bring_in(skip_bad=True) == 1


def test_workers_end_where_an_import_is_given_up(tmp_path: Path) -> None:
    """Ctrl-C in the middle leaves no process."""
    before = children()
    found = (File(str(number), "a", None, tile(number)) for number in range(10**6))

    def give_up() -> None:
        with Decoders(Files(tmp_path), grayscale=False) as decoders:
            for _ in decoders.decode(found):
                assert children() != before  # the control
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        give_up()
    assert children() == before


PARENT = """
import os, signal, sys
from pathlib import Path
from evaluator.dataset.decoders import Decoders
from evaluator.dataset.scratch import Scratch
from evaluator.dataset.tiles import File
made = iter(range(99))
with Decoders(lambda: Scratch(Path(sys.argv[1]) / "s", next(made)), grayscale=False) as decoders:
    for _ in decoders.decode(File("x", "a", None, b"no image") for _ in range(10**6)):
        print(Path(f"/proc/self/task/{os.getpid()}/children").read_text(), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    """They see that nobody asks any more, and hold nobody's standard output open."""
    parent = subprocess.run(
        [sys.executable, "-c", PARENT, tmp_path], capture_output=True, timeout=60, check=False
    )
    workers = parent.stdout.split()

    assert workers  # the control
    until = time.monotonic() + 30
    while time.monotonic() < until and any(Path("/proc", w.decode()).exists() for w in workers):
        time.sleep(0.01)
    assert not any(_runs(Path("/proc", worker.decode())) for worker in workers)


def _runs(process: Path) -> bool:
    """A process that nobody waited for is there and has ended."""
    try:
        return process.joinpath("stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_full_disk_under_a_worker_is_its_parents_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the scratch file is no problem of a tile."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Scratch, "append", fail)
    with (
        pytest.raises(OSError, match="No space left"),
        Decoders(Files(tmp_path), grayscale=False) as decoders,
    ):
        list(decoders.decode([File("x", "a", None, tile(1))]))


def test_digests_find_the_first_of_each() -> None:
    """Also after the table has grown many times."""
    digests = Digests()
    for number in range(5000):
        digest = sha256(b"%d" % (number % 4000)).digest()
        assert digests.find(digest) == (number % 4000 if number >= 4000 else None)
        digests.append(digest)

    assert len(digests) == 5000
    assert list(digests.first) == [*range(4000), *range(1000)]
    assert digests[4001] == sha256(b"1").digest()
