"""What `evaluator data eda` prints: tables for people, a document for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

from evaluator.tables import show

if TYPE_CHECKING:
    from evaluator.eda import ClassRow, Eda


def print_eda(eda: Eda) -> None:
    """Class sizes and bands, as the page has them."""
    shape = " x ".join(map(str, eda.shape))
    title = f"dataset version {eda.version}: {shape}, {eda.dtype}; for publication"
    bands = Table(title=title)
    for name in ("band", "mean", "standard deviation", "mean, 0 to 1", "deviation, 0 to 1"):
        bands.add_column(name, justify="right")
    for number, band in enumerate(eda.bands, 1):
        values = (f"{band.mean:.4g}", f"{band.std:.4g}", f"{band.level:.4f}", f"{band.spread:.4f}")
        bands.add_row(str(number), *values)
    if eda.absent:
        show(bands, f"No class sizes: {eda.absent}")
        return
    classes = Table(title=size_title(eda))
    classes.add_column("class")
    classes.add_column("tiles" if eda.step is None else "share", justify="right")
    for row in eda.classes:
        classes.add_row(f"{row.name} (rare)" if row.rare else row.name, size(row))
    show(classes, bands, *notes(eda))


def eda_document(eda: Eda) -> dict[str, Any]:
    """`evaluator data eda --json`; a hidden class has null."""
    return asdict(eda)


def size_title(eda: Eda) -> str:
    """What the sizes of classes count."""
    side = "training" if eda.counted == "training" else "held-out"
    exactly = "" if eda.step is None else f", in steps of {eda.step} %"
    return f"{eda.total:,} {side} tiles by class{exactly}"


def size(row: ClassRow) -> str:
    """Tiles or share of one class; a share of 0 is one that was rounded."""
    if row.hidden:
        return "not shown"
    if row.percent is None:
        return f"{row.tiles:,}"
    return f"{row.percent} %"


def notes(eda: Eda) -> list[str]:
    """What a reader must know of the figures, in sentences."""
    said = []
    if any(row.hidden for row in eda.classes):
        said.append(
            f"Classes of fewer than {eda.suppress_below} tiles are not shown, and one larger class "
            "with them, so that none follows from the sum."
        )
    if eda.step is not None:
        said.append("Shares are rounded, and need not add up to 100 %.")
    if not eda.spectra and not eda.absent:
        said.append(
            "There are no spectra by class: the tiles were imported by an earlier version of this "
            "program."
        )
    return said
