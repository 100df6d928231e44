"""Versions as distributions write them, and the holes that they have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.doctor.versions import (
    ADVISORIES,
    Version,
    build_date,
    is_fixed,
    is_packaged,
    open_holes,
    parse_version,
)

_NUMBERS = st.tuples(*[st.integers(0, 9999)] * 3)
_SUFFIXES = st.sampled_from(
    ["", "+ds1", "~ds1-1+deb12u3", "+dfsg1", "-0ubuntu1~22.04.2", "-1.el9", "+unknown", "-g6c52b3f"]
)


def version(text: str) -> Version:
    """A version that must parse."""
    parsed = parse_version(text)
    assert parsed is not None
    return parsed


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("20.10.24+dfsg1", (20, 10, 24)),
        ("1.6.20~ds1 1.6.20~ds1-1+deb12u3", (1, 6, 20)),
        ("v2.1.5", (2, 1, 5)),
        ("1.1.12-0ubuntu3", (1, 1, 12)),
        ("NVIDIA Container Toolkit CLI version 1.17.8\ncommit: f202b80", (1, 17, 8)),
        ("cli-version: 1.17.8\nlib-version: 1.17.8", (1, 17, 8)),
        ("26.1", (26, 1, 0)),
    ],
)
def test_what_a_distribution_appends_is_left_out(text: str, numbers: tuple[int, ...]) -> None:
    """As recorded from the programs."""
    assert version(text)[:3] == numbers


@pytest.mark.parametrize("text", ["", "unknown", "20", "v", "one.two.three", "9" * 5000 + ".1"])
def test_what_is_no_version_is_none(text: str) -> None:
    """Never a guess, and never an error."""
    assert parse_version(text) is None


@given(_NUMBERS, _SUFFIXES)
def test_a_suffix_changes_nothing(numbers: tuple[int, int, int], suffix: str) -> None:
    """The three numbers are read back, whatever stands behind them."""
    text = ".".join(map(str, numbers))

    assert version(text + suffix) == version(text)
    assert version(text)[:3] == numbers


@given(_NUMBERS, _NUMBERS)
def test_versions_sort_as_their_numbers(
    one: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    """1.10 is past 1.9."""
    texts = [".".join(map(str, numbers)) for numbers in (one, other)]

    assert (version(texts[0]) < version(texts[1])) == (one < other)


@given(_NUMBERS, st.integers(0, 99), st.sampled_from(["-rc.", "-rc", "~rc", "rc"]))
def test_a_candidate_is_before_its_release(
    numbers: tuple[int, int, int], candidate: int, written: str
) -> None:
    """And a later candidate past an earlier one."""
    text = ".".join(map(str, numbers))

    assert version(f"{text}-beta.2") <= version(f"{text}{written}{candidate}") < version(text)
    assert version(f"{text}{written}{candidate}") < version(f"{text}{written}{candidate + 1}")


@given(st.text())
def test_any_text_is_a_version_or_none(text: str) -> None:
    """What a program prints is not ours to choose."""
    parsed = parse_version(text)

    assert parsed is None or len(parsed) == 4
    assert build_date(text) is None or "20" in text


@given(_NUMBERS)
def test_a_fixed_release_stays_fixed(numbers: tuple[int, int, int]) -> None:
    """On its branch and past the newest branch; what is before every branch is not."""
    found = version(".".join(map(str, numbers)))
    for advisory in ADVISORIES:
        later_patch = any(
            found[:2] == release[:2] and found >= release for release in advisory.fixed
        )
        assert is_fixed(found, advisory.fixed) == (later_patch or found >= max(advisory.fixed))
        assert found >= min(advisory.fixed) or not is_fixed(found, advisory.fixed)


@pytest.mark.parametrize(
    ("component", "text", "holes"),
    [
        ("runc", "1.1.11", 5),
        ("runc", "1.1.12", 4),
        ("runc", "1.2.7", 4),
        ("runc", "1.2.8", 1),
        ("runc", "1.3.3", 1),
        ("runc", "1.3.6", 0),
        ("runc", "1.4.0-rc.2", 4),
        ("runc", "1.4.0-rc.3", 1),
        ("runc", "1.4.3", 0),
        ("runc", "1.5.0", 0),
        ("containerd", "1.7.28", 1),
        ("containerd", "1.7.29", 0),
        ("containerd", "2.0.6", 1),
        ("docker", "28.5.2", 4),
        ("docker", "29.4.2", 3),
        ("docker", "29.5.1", 0),
        ("nvidia-toolkit", "1.17.7", 1),
        ("nvidia-toolkit", "1.17.8", 0),
    ],
)
def test_each_branch_has_its_own_fix(component: str, text: str, holes: int) -> None:
    """The releases before and at each fix."""
    assert len(open_holes(component, version(text))) == holes


def test_a_build_of_gvisor_is_its_day() -> None:
    """In both ways of writing it."""
    assert build_date("runsc version 0.0~20221219.0\nspec: 1.0.2-dev") == 20221219
    assert build_date("runsc version release-20260907.0\nspec: 1.2.0") == 20260907
    assert build_date("runsc version VERSION_MISSING") is None


@pytest.mark.parametrize("text", ["1.1.5+ds1", "20.10.24+dfsg1", "1.7.2-0ubuntu1", "1.1.5-1.el9"])
def test_a_distributions_package_is_known(text: str) -> None:
    """It may carry a fix that its number does not show."""
    assert is_packaged(text)


@pytest.mark.parametrize("text", ["29.6.0", "v2.2.5 e2b5d1b", "1.4.3 v1.4.3-0-gabcdef0"])
def test_a_projects_own_release_is_no_package(text: str) -> None:
    """Its number is all there is to go by."""
    assert not is_packaged(text)
