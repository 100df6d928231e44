"""How a reader proves what the site says, with our program and without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.site.shell import render

if TYPE_CHECKING:
    from evaluator.site.view import View


def verify_page(view: View) -> str:
    """Return the page of the commands, and of what each of them proves."""
    return view.page(
        "How to verify",
        render("verify.html", view=view, log=view.board.checkpoint),
        here="How to verify",
    )
