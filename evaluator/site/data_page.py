"""The page of the data: what its owner publishes of it, from the seal's aggregates alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from evaluator.eda_tables import notes, size, size_title
from evaluator.site.data_plots import sizes_plot, spectra_plot
from evaluator.site.shell import page, render

if TYPE_CHECKING:
    from evaluator.eda import Eda


def data_page(eda: Eda) -> str:
    """Return a page that stands alone, as text."""
    return page("Data set", data_body(eda))


def data_body(eda: Eda) -> Markup:
    """Return what a page of the data says: for `View.page` of a site, with its navigation."""
    return render(
        "data.html",
        eda=eda,
        size=size,
        size_title=size_title(eda),
        notes=notes(eda),
        sizes=sizes_plot(eda) if eda.classes else Markup(),
        spectra=spectra_plot(eda) if eda.spectra else Markup(),
    )
