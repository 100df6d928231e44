"""A kill at every step of writing the two documents of a run."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from evaluator import record
from evaluator.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIGNED, EXACT = b"signed" * 1000, b"exact" * 1000


def write(workspace: Workspace) -> None:
    """What `write_record` does at its end."""
    run = "0123456789abcdef"
    record._write_both(  # noqa: SLF001 - the part of it that a kill can cut in two
        (workspace.result("acme", run), SIGNED), (workspace.private(run), EXACT)
    )


def counted(monkeypatch: pytest.MonkeyPatch, at_step: Callable[[int], None]) -> None:
    """Call `at_step` with 1, 2, ... before each call that changes the disk."""
    steps = iter(range(1, 1000))

    def wrap(real: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object, **more: object) -> object:
            at_step(next(steps))
            return real(*arguments, **more)

        return step

    for name in ("open", "fsync", "rename", "mkdir"):
        monkeypatch.setattr(os, name, wrap(getattr(os, name)))


def number_of_steps(folder: Path) -> int:
    """How many there are."""
    seen: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        counted(patch, seen.append)
        write(Workspace(folder))
    return len(seen)


def documents(workspace: Workspace) -> list[bytes]:
    """The contents of every file that is there."""
    return sorted(path.read_bytes() for path in workspace.root.rglob("*") if path.is_file())


def test_a_kill_at_any_step_leaves_both_documents_or_neither(tmp_path: Path) -> None:
    """After the next run's sweep; and before it, exact counts never stand without a result."""
    outcomes = []
    for killed_at in range(1, number_of_steps(tmp_path / "whole") + 1):
        workspace = Workspace(tmp_path / str(killed_at))
        child = os.fork()
        if child == 0:

            def kill(step: int, wanted: int = killed_at) -> None:
                if step == wanted:
                    os.kill(os.getpid(), signal.SIGKILL)

            counted(pytest.MonkeyPatch(), kill)
            write(workspace)
            os._exit(1)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        alone = list(workspace.root.glob("private/[0-9a-f]*"))
        assert not alone or list(workspace.root.glob("results/acme/[0-9a-f]*"))
        record.finish_records(workspace)
        outcomes.append(documents(workspace))

    assert [] in outcomes
    assert [EXACT, SIGNED] in outcomes
    assert all(outcome in ([], [EXACT, SIGNED]) for outcome in outcomes)


def test_an_error_at_any_step_leaves_neither_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, or Ctrl-C."""
    for failed_at in range(1, number_of_steps(tmp_path / "whole") + 1):
        workspace = Workspace(tmp_path / str(failed_at))

        def fail(step: int, wanted: int = failed_at) -> None:
            if step == wanted:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            counted(patch, fail)
            with pytest.raises(KeyboardInterrupt):
                write(workspace)
        assert documents(workspace) == []
