"""The benchmark of publication runs; how fast it is, it says to whoever runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.publish_scale import measure

if TYPE_CHECKING:
    from pathlib import Path


def test_two_hundred_results_are_published(tmp_path: Path) -> None:
    """The whole way, from entries to pages."""
    seconds = measure(200, 8, tmp_path)

    assert len(seconds) == 6
    assert (tmp_path / "public" / "board" / "index.html").exists()
