"""The same image rows in the open, or behind one control alone: their positive controls."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trials import OpenTry

OPEN: dict[str, OpenTry] = {}
