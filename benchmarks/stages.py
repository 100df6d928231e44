"""Run the `evaluator` command, and write how many seconds each of its stages took.

    python -m benchmarks.stages SECONDS.json run model.onnx --vendor ...

Functions of the product are wrapped from outside; their names are looked up when this runs, and
one that is no longer there ends it with a line that says which. A stage has the time that passes
in its functions less that of other stages inside; of a context manager that is its beginning and
its end. So the stages add up to all the time there was. What other threads do meanwhile is written
apart from them. Nothing is imported here that the command might not import itself.
"""

from __future__ import annotations

import builtins
import json
import os
import sys
import threading
import time
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

BEGAN = "EVALUATOR_STAGES_BEGAN"  # the monotonic clock when this process was asked for
IMPORTS, REST = "python and its imports", "all else"

Stage = str | tuple[str, str]
# (stage, module:function), of a context manager (stage of its beginning, stage of its end). Of a
# function whose name ends with "()" it is what it returns, a function too, that is timed.
STAGES: tuple[tuple[Stage, str], ...] = (
    ("settings and keys", "evaluator.cli.options:open_signers"),
    ("settings and keys", "evaluator.workspace:Workspace.settings"),
    ("settings and keys", "evaluator.admission_policy:load_admission_policy"),
    ("settings and keys", "sandbox.policy:load_policy"),
    (("take in", "take in"), "evaluator.queue:handed_in"),
    ("take in: copy and hash", "evaluator.admission:receive"),
    ("log", "evaluator.journal:log_received"),
    ("log", "evaluator.journal:log_started"),
    (("locks and sweep", "locks and sweep"), "evaluator.official:_place"),
    ("locks and sweep", "evaluator.official:_sweep"),
    (("locks and sweep", "locks and sweep"), "evaluator.one_run:_scratch"),
    ("locks and sweep", "evaluator.queue:drop_ended"),
    ("proof of the wall", "evaluator.doctor.gate:require_sealed"),
    ("dataset, peaks, images", "evaluator.one_run:_job"),
    ("ledger", "evaluator.one_run:_issuer"),
    ("ledger", "evaluator.queue:enqueue"),
    ("ledger", "evaluator.record:reserve"),
    ("dataset hashing", "evaluator.dataset.sealed:check_seal"),
    ("dataset hashing", "evaluator.dataset.commitment:check_commitment"),
    ("dataset hashing, waited for", "evaluator.meanwhile:meanwhile()"),
    (("admission", "admission"), "evaluator.admission:admit"),
    ("connect to the engine", "sandbox.engine:connect"),
    (("output file", "output file"), "sandbox.run:_output_file"),
    (("create", "remove"), "sandbox.run:_container"),
    ("read back", "sandbox.run:require_equal"),
    ("metering", "sandbox.metering:Meter.__enter__"),
    ("metering", "sandbox.metering:Meter.__exit__"),
    ("start", "sandbox.run:_start"),
    ("model load", "sandbox.run:Container.answer"),
    ("inference", "sandbox.run:Container._wait"),
    ("collect", "sandbox.run:Container.outcome"),
    ("score", "evaluator.evaluate:_counted"),
    ("sign", "evaluator.signing:sign"),
    ("write, ledger", "evaluator.record:write_record"),
)


class Clock:
    """Gives every moment of the main thread to its innermost stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.meanwhile: dict[str, float] = {}  # of other threads
        self._stages = [IMPORTS]
        self._at = float(os.environ.get(BEGAN) or time.monotonic())
        self._thread = threading.get_ident()

    def tick(self) -> None:
        """Give what has passed to the stage that there was."""
        now, stage = time.monotonic(), self._stages[-1]
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._at
        self._at = now

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time given to `stage`."""

        def wrapped(*args: Any, **more: Any) -> Any:  # noqa: ANN401 - any function at all
            if threading.get_ident() != self._thread:
                return self._beside(stage, function, *args, **more)
            self.tick()
            self._stages.append(stage)
            try:
                return function(*args, **more)
            finally:
                self.tick()
                self._stages.pop()

        return wrapped

    def _beside(self, stage: str, function: Callable[..., Any], *args: Any, **more: Any) -> Any:  # noqa: ANN401 - as above
        if stage == IMPORTS:
            return function(*args, **more)
        begun = time.monotonic()
        try:
            return function(*args, **more)
        finally:
            self.meanwhile[stage] = self.meanwhile.get(stage, 0.0) + time.monotonic() - begun

    def returned(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with the time of what it returns given to `stage`."""
        return lambda *args, **more: self.timed(stage, function(*args, **more))

    def spans(self, begins: str, ends: str, manager: Callable[..., Any]) -> Callable[..., Any]:
        """The context manager, with its beginning and its end given to stages."""

        def wrapped(*args: Any, **more: Any) -> Span:  # noqa: ANN401 - as above
            made = manager(*args, **more)
            return Span(self.timed(begins, made.__enter__), self.timed(ends, made.__exit__))

        return wrapped

    def main(self, run: Callable[[], None]) -> None:
        """From here on what no stage takes is the rest."""
        self.tick()
        self._stages[:] = [REST]
        builtins.__import__ = self.timed(IMPORTS, builtins.__import__)
        try:
            run()
        finally:
            self.tick()


class Span:
    """A context manager of two functions."""

    def __init__(self, begin: Callable[..., Any], end: Callable[..., Any]) -> None:
        self.__enter, self.__exit = begin, end

    def __enter__(self) -> Any:  # noqa: ANN401, D105 - what the manager gives
        return self.__enter()

    def __exit__(self, *error: object) -> Any:  # noqa: ANN401, D105 - as above
        return self.__exit(*error)


def install(clock: Clock) -> None:
    """Wrap all functions of the table; SystemExit names those that are not there."""
    missing = []
    for stage, name in STAGES:
        try:
            owner, last, function = _found(name)
        except (ImportError, AttributeError):
            missing.append(name)
            continue
        if not isinstance(stage, str):
            as_stages = clock.spans(*stage, function)
        elif name.endswith("()"):
            as_stages = clock.returned(stage, function)
        else:
            as_stages = clock.timed(stage, function)
        _replace(owner, last, function, as_stages)
    if missing:
        sys.exit(f"benchmarks/stages.py times functions that are gone: {', '.join(missing)}")


def _found(name: str) -> tuple[Any, str, Callable[..., Any]]:
    """What holds a function, the function's own name there, and the function."""
    module, _, path = name.removesuffix("()").partition(":")
    owner: Any = import_module(module)
    *classes, last = path.split(".")
    for each in classes:
        owner = getattr(owner, each)
    return owner, last, getattr(owner, last)


def _replace(owner: object, last: str, old: object, new: object) -> None:
    """Replace a function where it is and, of a module, wherever it was imported by name."""
    setattr(owner, last, new)
    if isinstance(owner, ModuleType):
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in {"evaluator", "sandbox"}:
                for word, value in list(vars(module).items()):
                    if value is old:
                        setattr(module, word, new)


def main() -> None:
    """Run the command with its own arguments, and write the seconds whatever came of it."""
    clock, target = Clock(), sys.argv[1]
    sys.argv[:2] = ["evaluator"]
    from evaluator.cli import main as evaluator  # noqa: PLC0415 - an import that is timed

    install(clock)
    try:
        clock.main(evaluator)
    finally:
        with open(target, "w", encoding="utf-8") as file:  # noqa: PTH123 - no pathlib is needed yet
            json.dump({"stages": clock.seconds, "meanwhile": clock.meanwhile}, file)


if __name__ == "__main__":
    main()
