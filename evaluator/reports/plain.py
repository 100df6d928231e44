"""A vendor's words, made harmless for whoever prints them.

Variables, histories, paths and logs are the vendor's. `validate` shows them to the vendor; in a
terminal, a log of a build or a web page they must stay words. Nothing is left that moves a cursor,
turns the direction of writing, hides, ends a line, or is a command to a build that reads the log:
GitHub obeys `::` at the beginning of a line, and, as Azure does, `##[` anywhere in it.
"""

from __future__ import annotations

import re
import unicodedata

MOST = 400  # characters of one message
_CUT = " ..."
# A word's beginning is where a line can be broken.
_COMMANDS = re.compile(r"(?<!\S):(?=:)|#(?=#\w*\[)")


def plain(text: str, most: int = MOST) -> str:
    """Text on one line of at most `most` characters, everything unprintable escaped."""
    shown = "".join(_shown(character) for character in text[: most + 1])
    shown = _COMMANDS.sub(lambda sign: _escaped(sign[0]), shown)
    return shown if len(shown) <= most else shown[: most - len(_CUT)] + _CUT


def plain_lines(text: str, most: int = 2000) -> list[str]:
    """The lines of a log, each harmless, each at most `most` characters."""
    return [plain(line, most) for line in text.split("\n")]


def _shown(character: str) -> str:
    if character == "\t":
        return " "
    # C: control, format (bidi, zero width), surrogate, private, unassigned; Zl, Zp: line ends.
    kind = unicodedata.category(character)
    if kind[0] == "C" or kind in {"Zl", "Zp"}:
        return _escaped(character)
    return character


def _escaped(character: str) -> str:
    return f"\\u{{{ord(character):x}}}"
