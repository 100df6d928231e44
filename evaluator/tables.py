"""What commands print: a table for people, a document for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from evaluator.phase_rows import phase_rows
from evaluator.predicate import SCORED, RefusedPhase
from evaluator.proven import charge_line, leakage_line, sentences
from evaluator.result import PREDICATE_TYPE
from evaluator.shell_lines import commands

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

    from evaluator.dataset.importing import ImportReport
    from evaluator.dataset.sealed import Description
    from evaluator.record import Record
    from evaluator.result import Result
    from evaluator.spending import Spending
    from evaluator.verify import Verified


def show(*parts: object) -> None:
    """Print tables and lines for people."""
    from rich.console import Console  # noqa: PLC0415  # documents go without rich

    # Paths and names are printed as they are: no markup, no wrapping, no guessed colours.
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for part in parts:
        console.print(part)


def print_import(report: ImportReport) -> None:
    """What an import made, and what it left out."""
    dataset = report.dataset
    training = dataset.training.size if dataset.training else 0
    show(
        f"Sealed as version {dataset.version}: {training} training tiles, "
        f"{dataset.holdout.size} held out, {len(dataset.classes)} classes."
    )
    if dataset.holdout.size != report.asked:
        show(f"The holdout was to have {report.asked} tiles; whole groups or classes decided.")
    if report.duplicates:
        show(f"{report.duplicates} tiles are exact copies of another on their side.")
    if report.skipped:
        show(f"{report.skipped} tiles were left out:", *(f"  {why}" for why in report.left_out))


def print_dataset(description: Description) -> None:
    """Aggregates of the current version."""
    from rich.table import Table  # noqa: PLC0415  # as in `show`

    shape = " x ".join(map(str, description.shape))
    title = f"dataset version {description.version}: {shape}, {description.dtype}"
    if description.range:
        low, high = description.range
        title += f"; targets in {description.unit}, {low:g} to {high:g}"
    table = Table(title=title)
    table.add_column("class")
    for name in ("training", "share", "holdout", "share"):
        table.add_column(name, justify="right")
    for row in description.classes:
        table.add_row(
            f"{row.name} (rare)" if row.rare else row.name,
            str(row.training),
            "" if row.training_share is None else _share(row.training_share),
            str(row.holdout),
            _share(row.holdout_share),
        )
    table.add_section()
    table.add_row("all", str(description.training), "", str(description.holdout), "")
    bands = Table(title="bands")
    for name in ("band", "mean", "standard deviation", "minimum", "maximum"):
        bands.add_column(name, justify="right")
    for number, band in enumerate(description.bands, 1):
        values = (band.mean, band.std, band.minimum, band.maximum)
        bands.add_row(str(number), *(f"{value:.4g}" for value in values))
    show(table, bands)


def dataset_document(description: Description) -> dict[str, Any]:
    """`evaluator data show --json`."""
    return asdict(description) | {"bands": [dict(band) for band in description.bands]}


def print_record(record: Record) -> None:
    """The scores of a run, and where its documents are."""
    predicate = record.result.model_dump(mode="json", by_alias=True)["predicate"]
    show(_phase_table(record.result), *_messages(record), charge_line(predicate))
    show(
        leakage_line(predicate),
        f"Signed result: {record.signed}",
        f"Exact counts, for the data owner alone: {record.private}",
    )


def _messages(record: Record) -> list[str]:
    phases = {"baseline": record.evaluation.baseline, "fine-tuned": record.evaluation.tuned}
    return [
        f"{name}: {phase.status}: {phase.message}"
        for name, phase in phases.items()
        if phase and phase.message
    ]


def record_document(record: Record) -> dict[str, Any]:
    """`evaluator run --json`; `status` is the first that is not OK."""
    failed = next((phase for phase in record.evaluation.phases if phase.status != "OK"), None)
    return {
        "run": record.result.predicate.run,
        "status": failed.status if failed else "OK",
        "message": failed.message if failed else "",
        "statement": record.result.model_dump(mode="json", by_alias=True),
        "result": str(record.signed),
        "private": str(record.private),
    }


def print_verified(verified: Verified, result: Path, public_key: Path | None) -> None:
    """What was proven, in sentences, and how to prove the signature without this program."""
    table = [_phase_table(verified.result)] if verified.kind == PREDICATE_TYPE else []
    show(*table, *sentences(verified), *commands(verified, result, public_key))


def print_spending(spent: Spending) -> None:
    """The account of bits: the sum, each vendor, each run."""
    from rich.table import Table  # noqa: PLC0415  # as in `show`

    sums = Table(title="bits that results may carry about the tiles, all versions together")
    for name in ("", "bits", "tiles"):
        sums.add_column(name, justify="right" if name else "left")
    amounts: dict[str, float] = {
        "released": spent.released,
        "reserved": spent.reserved,
        "budget": spent.budget,
        "one tile": spent.tile,
    }
    for name, bits in amounts.items():
        sums.add_row(name, f"{bits:,}", f"{bits / spent.tile:.4g}")
    vendors = Table(title="by vendor")
    for name in ("vendor", "runs", "bits"):
        vendors.add_column(name, justify="left" if name == "vendor" else "right")
    for name, (count, bits) in spent.of_vendors().items():
        vendors.add_row(name, str(count), f"{bits:,}")
    rows = Table(title="by run")
    for name in ("run", "time", "vendor", "version", "state", "bits"):
        rows.add_column(name, justify="right" if name in {"version", "bits"} else "left")
    for entry in spent.entries:
        took = f"{entry.tenths / 10:,}"
        rows.add_row(entry.run, entry.started, entry.vendor, str(entry.version), entry.state, took)
    show(sums, *((vendors, rows) if spent.entries else ()))
    show(f"{spent.runs_left} more runs fit, at {spent.run} bits each.")
    if spent.reserved:
        show("Reserved is a run that has not ended; the next one settles it if it was killed.")
    if spent.unlisted:
        show(f"{spent.unlisted} results are not in the ledger; the next run adds them.")


def spending_document(spent: Spending) -> dict[str, Any]:
    """`evaluator leakage --json`; bits, and shares of one tile."""
    return {
        "released": spent.released,
        "reserved": spent.reserved,
        "budget": spent.budget,
        "tile_bits": spent.tile,
        "released_tiles": spent.released / spent.tile,
        "run_bits": spent.run,
        "runs_left": spent.runs_left,
        "unlisted_results": spent.unlisted,
        "vendors": [
            {"vendor": name, "runs": runs, "bits": bits}
            for name, (runs, bits) in spent.of_vendors().items()
        ],
        "runs": [
            {
                "run": entry.run,
                "time": entry.started,
                "vendor": entry.vendor,
                "dataset_version": entry.version,
                "state": entry.state,
                "bits": entry.tenths / 10,
            }
            for entry in spent.entries
        ],
    }


def _phase_table(result: Result) -> Table:
    """A row for each figure; for each phase its value and interval, and what was gained."""
    from rich.table import Table  # noqa: PLC0415  # as in `show`

    predicate = result.predicate
    phases = {"baseline": predicate.phases.baseline, "fine-tuned": predicate.phases.tuned}
    there = {name: phase for name, phase in phases.items() if phase}
    endings = ", ".join(f"{name}: {phase.status}" for name, phase in there.items())
    table = Table(title=f"{predicate.vendor}  run {predicate.run}  {endings}")
    for phase in there.values():
        if isinstance(phase, RefusedPhase):
            table.add_column("broken rules")
            table.add_row(", ".join(phase.rules))
            return table
    scored = [name for name, phase in there.items() if isinstance(phase, SCORED)]
    if not scored:
        return table
    table.add_column("figure")
    for name in scored:
        table.add_column(f"{name}, {predicate.dataset.unit or '%'}", no_wrap=True)
    if predicate.phases.gain:
        table.add_column("change" if predicate.dataset.unit else "gain", justify="right")
    for name, cells, ends in phase_rows(predicate):
        table.add_row(name, *cells, end_section=ends)
    table.caption = (
        "in brackets the approximate 95 % interval; errors are prediction minus target, R2 has no "
        "unit, and an error that fell is an improvement"
        if predicate.dataset.unit
        else "in brackets the 95 % interval; gains in points"
    )
    return table


def _share(value: float) -> str:
    """As many decimals as were published, none added."""
    return f"{100 * value:.4g} %"
