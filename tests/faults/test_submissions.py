"""Submissions that are no plain file, and would be read for ever."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.docker


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_submission_without_an_end_is_an_error_at_once(
    kind: str, evaluator: Callable[..., tuple[int, str]], farm: Path, tmp_path: Path
) -> None:
    """A named pipe, or /dev/zero: exit 2, and what to give instead."""
    submission = tmp_path / "model.onnx" if kind == "pipe" else Path("/dev/zero")
    if kind == "pipe":
        os.mkfifo(submission)
    code, said = evaluator("run", submission, "--vendor", "acme", "--workspace", farm)

    assert (code, "a device or a pipe never is" in said) == (2, True), said
