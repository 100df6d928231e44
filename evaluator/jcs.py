"""Write JSON in the one spelling of RFC 8785: the bytes that are signed, and hashed into the log.

    canonical(value)   the bytes of a value
    read(raw)          the value of such bytes, and of no others

Without a library, so that whoever verifies a result needs none; the tests hold it to `rfc8785`,
which is what signs.
"""

import json
from typing import Any

_LARGEST = 2**53 - 1
"""Above it a double skips whole numbers (RFC 7493, section 2.2)."""

_quote = json.JSONEncoder(ensure_ascii=False).encode
"""A string as RFC 8785, section 3.2.2.2, has it: short escapes, else \\u00xx, all else as it is."""


def canonical(value: Any) -> bytes:  # noqa: ANN401  # anything JSON can say
    """Return the RFC 8785 bytes of JSON as Python holds it.

    Raises ValueError for what has none: NaN, an infinity, a whole number beyond 2^53 - 1, a lone
    surrogate, a key that is no string, any other type; and RecursionError for what is too deep.
    """
    parts: list[str] = []
    _write(value, parts)
    return "".join(parts).encode()


def as_read(record: Any) -> dict[str, Any]:  # noqa: ANN401  # any dataclass with slots
    """Return the fields of a record of figures as JSON reads them back: a pair is a list there.

    `dataclasses.asdict` would be slower by far.
    """
    return {name: _read_back(getattr(record, name)) for name in record.__slots__}


def _read_back(value: Any) -> Any:  # noqa: ANN401  # anything a figure can be
    if isinstance(value, dict):
        return {key: list(v) if isinstance(v, tuple) else v for key, v in value.items()}
    return list(value) if isinstance(value, tuple) else value


def read(raw: bytes) -> Any:  # noqa: ANN401  # as above
    """Return the JSON in `raw`; ValueError or RecursionError unless it is spelled by RFC 8785.

    Where every byte and number is of the kind that `json` writes just so, `json` is asked, which
    is ten times as fast: whoever makes a leaderboard reads 100,000 of these.
    """
    text = raw.decode()
    common = text.isascii() and not _is_rare(f"{text},")

    def whole(token: str) -> int:
        nonlocal common
        common &= len(token) < 16
        return int(token)

    value = json.loads(text, parse_int=whole, parse_constant=_no_number)
    if not (common and _sorted(value) == text) and canonical(value) != raw:
        raise ValueError("this is not in RFC 8785 form")
    return value


def _is_rare(text: str) -> bool:
    """Whether there may be a number in it that Python's repr and RFC 8785 spell in two ways."""
    if any(end in text for end in (".0,", ".0}", ".0]", "e+")):
        return True
    place = text.find("e-")
    while place > 0 and not text[place - 1].isdigit():
        place = text.find("e-", place + 1)
    return place > 0


_sorted = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
).encode


def _no_number(token: str) -> None:
    raise ValueError(f"{token} is no JSON")


def _write(value: Any, parts: list[str]) -> None:  # noqa: ANN401  # as above
    if isinstance(value, str):
        parts.append(_quote(value))
    elif value is None or isinstance(value, bool):
        parts.append({None: "null", True: "true", False: "false"}[value])
    elif isinstance(value, int):
        parts.append(_whole(value))
    elif isinstance(value, float):
        parts.append(_number(value))
    elif isinstance(value, dict):
        separator = "{"
        for key in sorted(value, key=_utf16):
            parts += (separator, _quote(key), ":")
            _write(value[key], parts)
            separator = ","
        parts.append("}" if value else "{}")
    elif isinstance(value, list | tuple):
        separator = "["
        for item in value:
            parts.append(separator)
            _write(item, parts)
            separator = ","
        parts.append("]" if value else "[]")
    else:
        raise ValueError("this is no JSON")  # one error for all that has none


def _utf16(key: object) -> bytes:
    """Keys are sorted by their UTF-16 code units (RFC 8785, section 3.2.3)."""
    if not isinstance(key, str):
        raise ValueError("a key of a JSON object is a string")  # noqa: TRY004  # as above
    return key.encode("utf-16-be")


def _whole(value: int) -> str:
    if abs(value) > _LARGEST:
        raise ValueError("a double cannot hold this whole number")
    return str(value)


def _number(value: float) -> str:
    """A double as ECMAScript's Number::toString writes it (ECMA-262, section 6.1.6.1.20).

    Python's repr has the same shortest digits, and another layout.
    """
    if value != value or value in {float("inf"), float("-inf")}:  # noqa: PLR0124  # NaN
        raise ValueError("JSON knows neither NaN nor an infinity")
    if value == 0:
        return "0"
    text = repr(value)
    sign, text = ("-", text[1:]) if text[0] == "-" else ("", text)
    mantissa, _, exponent = text.partition("e")
    before, _, after = mantissa.partition(".")
    after = "" if after == "0" else after
    digits = (before + after).lstrip("0")
    # The value is 0.DIGITS times ten to this.
    point = len(before + after) - len(after) - (len(before + after) - len(digits))
    point += int(exponent or 0)
    digits = digits.rstrip("0")
    return sign + _laid_out(digits, point)


def _laid_out(digits: str, point: int) -> str:
    """The steps of Number::toString, with its k = len(digits) and n = point."""
    if len(digits) <= point <= 21:
        return digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return "0." + "0" * -point + digits
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{point - 1:+d}"
