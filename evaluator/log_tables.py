"""What `evaluator log show` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from evaluator.kinds import BASE
from evaluator.tables import show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from evaluator.log.checkpoint import Checkpoint
    from evaluator.log.entries import Entry


def entry_document(entry: Entry) -> dict[str, Any]:
    """One entry: where it is, who signed it, and the statement."""
    return {
        "position": entry.position,
        "keyid": entry.keyid,
        "statement": entry.statement.model_dump(mode="json", by_alias=True),
    }


def print_entries(entries: Iterable[Entry], checkpoint: Checkpoint) -> None:
    """The kind of each entry, and whose it is."""
    table = Table(title=f"{checkpoint.origin}: {checkpoint.size} entries")
    table.add_column("position", justify="right")
    for name in ("entry", "vendor", "about"):
        table.add_column(name)
    for entry in entries:
        said = entry.statement.predicate
        kind = entry.statement.predicate_type.removeprefix(BASE).removesuffix("/v1")
        about = _about(entry, entry.name.partition("/")[2])
        table.add_row(str(entry.position), kind, getattr(said, "vendor", ""), about)
    show(table, f"root {checkpoint.root.hex()}")


def _about(entry: Entry, number: str) -> str:
    said: Any = entry.statement.predicate
    about: dict[str, Callable[[], str]] = {
        "received": lambda: f"submission {number}" if said.number else f"of {said.adapted}'s model",
        "end": lambda: f"ends {number}: {getattr(said, 'run', '') or said.reason}",
        "withdrawn": lambda: f"{said.run}: {said.reason}",
        "commitment": lambda: f"version {said.version}, {said.count} tiles",
        "policy": lambda: f"{said.window.opens} to {said.window.closes}",
        "key": lambda: str(said.key.keyid),
        "published": lambda: said.early_reason or "",
    }
    return about[entry.name.partition("/")[0]]()
