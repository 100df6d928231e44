"""Flags as Go programs read them."""

from __future__ import annotations

import pytest

from evaluator.doctor.gvisor_rules import flag


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (("--network=host",), "host"),
        (("-network=host",), "host"),
        (("--network", "host"), "host"),
        (("--network", "--debug"), "true"),
        (("--network",), "true"),
        (("--network=none", "--network=HOST"), "host"),
        (("--networks=host",), None),
        (("network=host",), None),
        ((), None),
    ],
)
def test_a_flag_is_read_as_go_reads_it(arguments: tuple[str, ...], value: str | None) -> None:
    """One dash or two, "=" or the next word, the last one wins."""
    assert flag(arguments, "network") == value
