"""The benchmark of the log runs: a small one, without a word about time."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

PROGRAM = Path(__file__).parents[3] / "benchmarks/log_curve.py"


def test_the_curve_is_measured_printed_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row for each size, a picture, and nothing left on the disk."""
    main = runpy.run_path(str(PROGRAM))["main"]
    folder, picture = tmp_path / "log", tmp_path / "curve.png"

    assert main([str(folder), "--sizes", "20,300", "--bytes", "50", "--plot", str(picture)]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == ["size", "20", "300"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert not folder.exists()
