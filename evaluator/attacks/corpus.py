"""The corpus: one row per technique, read from the TOML files beside this module.

    rows/network.toml, filesystem.toml, kernel.toml, limits.toml, image.toml, model.toml, ...

A row says what a submission would do, which controls stop it (each of them alone), how it is
tried, and how each try ends on an ordinary host under each runtime.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

Outcome = Literal["blocked", "contained", "succeeds", "absent", "unknown", "-"]
"""What came of a try: stopped; done, but to gVisor's own kernel only; done; not possible here
whatever the settings; no answer; not tried."""

Runtime = Literal["runc", "runsc"]


@dataclass(frozen=True, slots=True)
class Expected:
    """How the three tries end: behind the wall, behind one control alone, in the open."""

    wall: Outcome
    alone: Outcome
    open: Outcome


@dataclass(frozen=True, slots=True)
class Attack:
    """One technique.

    `how` names the kind of try: "probe" is a program of the probe image, the others are functions
    of this package. `witness` is what shows success from outside ("kernel": only the answer of the
    host's own kernel does). `quick` rows are in the quick half of `doctor`. A row that is `alone`
    has a container to itself, since it uses up its limits. `plain` rows succeed in a container that
    has no more privilege than `docker run --user` gives. `needs` names an extra of the open ground.
    A row without `must` is a residual risk: the wall does not claim to stop it.
    """

    id: str
    category: str
    sentence: str
    controls: tuple[str, ...]
    how: str
    witness: str
    quick: bool
    alone: bool
    plain: bool
    must: bool
    needs: tuple[str, ...]
    note: str
    runc: Expected
    runsc: Expected
    runsc_controls: tuple[str, ...]

    def expected(self, runtime: str) -> Expected:
        """The row's expectation under `runtime`."""
        return self.runsc if runtime == "runsc" else self.runc

    def stopped_by(self, runtime: str) -> tuple[str, ...]:
        """The controls that stop it alone under `runtime`."""
        return self.runsc_controls if runtime == "runsc" else self.controls


_DEFAULTS = {
    "controls": (),
    "how": "probe",
    "witness": "kernel",
    "quick": True,
    "alone": False,
    "plain": False,
    "must": True,
    "needs": (),
    "note": "",
}


@cache
def corpus() -> tuple[Attack, ...]:
    """Every row, by category and then in the order of its file."""
    folder = resources.files("evaluator.attacks") / "rows"
    files = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".toml"))
    rows: list[Attack] = []
    for name in files:
        document = tomllib.loads((folder / name).read_text())
        rows += [_attack(name.removesuffix(".toml"), row) for row in document["attack"]]
    return tuple(rows)


def attack(name: str) -> Attack:
    """The row of that id."""
    return next(row for row in corpus() if row.id == name)


def _attack(category: str, row: dict[str, object]) -> Attack:
    values = {**_DEFAULTS, "category": category, **row}
    # A profile of system calls is not handed to gVisor's kernel, so alone it stops nothing there.
    values.setdefault("runsc_controls", [c for c in values["controls"] if c != "seccomp"])  # type: ignore[attr-defined]  # a list, as in the files
    for name, value in values.items():
        if isinstance(value, list):
            values[name] = Expected(*value) if name in {"runc", "runsc"} else tuple(value)
    return Attack(**values)  # type: ignore[arg-type]  # the tests hold the files to the fields' types
