"""Statistics from a process of their own are the same, and no trouble of it passes unseen."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evaluator.dataset.bands import BandStatistics, of_tiles
from evaluator.dataset.draft import new_version
from evaluator.dataset.pool import Pool
from evaluator.dataset.scratch import Scratch
from evaluator.dataset.tally import Tally
from evaluator.errors import OwnerError

TILES = np.random.default_rng(3).integers(0, 9999, (40, 8, 8, 3)).astype(np.uint16)
LABELS = np.arange(40) % 2
CLASSES = ("barley", "corn")


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    """A pool of forty tiles."""
    pool = Pool(tmp_path / "pool")
    scratch = pool.new_scratch()
    for tile, label in zip(TILES, LABELS, strict=True):
        pool.add(scratch.append(tile), CLASSES[label], None)
    return pool


def children() -> list[int]:
    """The processes that this one has started and not yet ended."""
    return [*map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())]


def test_statistics_are_those_of_the_rows_that_were_added(pool: Pool) -> None:
    """No others, each with its class, and nothing is left over."""
    before = children()
    with Tally(pool, CLASSES) as tally:
        tally.add([30, 2, 11])
        tally.add(range(12, 20))
        found = tally.result()
        assert children() != before  # the control

    rows = [30, 2, 11, *range(12, 20)]
    expected = BandStatistics(2, 3)
    expected.add(of_tiles(TILES[rows]), LABELS[rows])
    assert children() == before
    for ours, theirs in zip(found.bands(), expected.bands(), strict=True):
        assert ours.model_dump() == pytest.approx(theirs.model_dump())
    assert [len(moments) for moments in found.moments()] == [3, 3]


def test_tile_that_cannot_be_read_is_an_error_here(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much is added after it: a version never has the statistics of a part."""

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Scratch, "read", fail)
    with Tally(pool, CLASSES) as tally:
        for _ in range(2000):
            tally.add([*range(40)])
        with pytest.raises(OSError, match="Input/output error"):
            tally.result()


def test_process_that_is_killed_is_an_error_here(pool: Pool) -> None:
    """As where memory is short: nothing hangs, and nothing is made up."""
    before = children()
    with Tally(pool, CLASSES) as tally:
        (child,) = set(children()) - set(before)
        os.kill(child, signal.SIGKILL)
        for _ in range(2000):
            tally.add([*range(40)])
        with pytest.raises(OSError, match="was ended"):
            tally.result()
    assert children() == before


PARENT = """
import os, signal, sys, time
from pathlib import Path
from evaluator.dataset.child import Child
from evaluator.dataset.draft import new_version
with new_version(Path(sys.argv[1])):
    Child(lambda _: time.sleep(60))
    print(Path(f"/proc/self/task/{os.getpid()}/children").read_text(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_child_that_outlives_an_import_does_not_keep_the_next_out(tmp_path: Path) -> None:
    """The lock ends with the import that took it, and not before."""
    with (tmp_path / "said").open("w") as said:  # a pipe would not end before the child
        subprocess.run(
            [sys.executable, "-c", PARENT, tmp_path / "data"], stdout=said, timeout=60, check=False
        )
    child = int((tmp_path / "said").read_text())
    try:
        with new_version(tmp_path / "data") as draft:
            assert Path("/proc", str(child)).exists()  # the control: it is still there
            (draft.folder / "file").touch()
    finally:
        os.kill(child, signal.SIGKILL)


def test_child_that_ends_does_not_give_the_lock_up(tmp_path: Path, pool: Pool) -> None:
    """It lets go of the lock for itself alone."""
    with new_version(tmp_path / "data"):
        with Tally(pool, CLASSES) as tally:
            tally.add([1])
            tally.result()
        with pytest.raises(OwnerError, match="Another import"), new_version(tmp_path / "data"):
            raise AssertionError
