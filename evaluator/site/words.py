"""How figures are written on pages: as many decimals as were published, none added."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Callable

MISSING = "\N{EN DASH}"
"""What a cell says where there is no figure."""


def percent(value: float | None) -> str:
    """A share of 1 in per cent: 0.845 is 84.5 and 0.84531, which no result says, 84.53."""
    return MISSING if value is None else _decimals(f"{100 * value:.2f}")


def points(change: float | None) -> str:
    """A difference of shares in percentage points, with its sign."""
    return MISSING if change is None else _decimals(f"{100 * change:+.2f}")


def tenths(value: float, sign: str = "") -> str:
    """A share of 1 in per cent, to a tenth; `sign` is + where a plus is to be seen."""
    return _minus(f"{100 * value:{sign}.1f}")


def number(value: float | None) -> str:
    """A figure in the labels' own unit."""
    return MISSING if value is None else _minus(f"{value:.6g}")


def signed(change: float | None) -> str:
    """A difference in the labels' own unit."""
    return MISSING if change is None else _minus(f"{change:+.6g}")


def rough(value: float, sign: str = "") -> str:
    """An end of an interval in the labels' own unit: three digits are as much as it is worth."""
    return _minus(f"{value:{sign}.3g}" if abs(value) < 1000 else f"{value:{sign}.0f}")


def _decimals(text: str) -> str:
    """One decimal, and a second where there is one."""
    return _minus(text.removesuffix("0"))


def _minus(text: str) -> str:
    """A true minus, as wide as the plus, not a hyphen."""
    return text.replace("-", "\N{MINUS SIGN}")


def whole(count: int) -> str:
    """A count: 100000 is 100,000."""
    return f"{count:,}"


def short(text: str, length: int = 40) -> str:
    """The text, cut where it is longer; what no font draws, or turns text around, is replaced."""
    clean = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
    return clean if len(clean) <= length else clean[: length - 1] + "…"


def moment(time: str) -> str:
    """A time of a result, 2026-03-01T12:00:00Z, to the minute."""
    return f"{time[:10]} {time[11:16]}" if time else MISSING


def capitalised(text: str) -> str:
    """The text with a capital at its start, and the rest as it is."""
    return text[:1].upper() + text[1:]


def status(word: str | None) -> Markup:
    """How a phase ended; anything but OK stands out."""
    if word is None:
        return Markup('<span class="note">not run</span>')
    return Markup("OK") if word == "OK" else Markup('<span class="tag bad">{}</span>').format(word)


FILTERS: dict[str, Callable[..., str]] = {
    "percent": percent,
    "points": points,
    "capitalised": capitalised,
    "number": number,
    "status": status,
    "whole": whole,
    "short": short,
    "moment": moment,
}
"""By these names in templates."""
