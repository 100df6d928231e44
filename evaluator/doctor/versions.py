"""Which known holes a version of the container stack still has."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Major, minor, patch, and the number of a release candidate; _FINAL sorts above them all.
Version = tuple[int, int, int, int]
_FINAL = 1_000_000

# Nine digits are more than any version has; without a bound int() refuses thousands of them.
_VERSION = re.compile(
    r"(?<![\d.])v?(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?(?:[-~.]?(?P<pre>alpha|beta|rc)[.-]?(\d{0,6}))?"
)
_BUILD = re.compile(r"(?<!\d)(20\d{6})(?!\d)")
_PACKAGED = re.compile(r"[+~-](?:ds|dfsg|deb)\d|ubuntu|\.(?:el|fc|amzn)\d")


def parse_version(text: str) -> Version | None:
    """The first version in `text`, or None: "v1.1.5+ds1-1+deb12u1" is (1, 1, 5, final).

    What a distribution appends is left out; an alpha or beta counts as candidate 0.
    """
    found = _VERSION.search(text)
    if found is None:
        return None
    major, minor, patch, pre, number = found.groups()
    candidate = _FINAL if pre is None else int(number or 0) if pre == "rc" else 0
    return int(major), int(minor), int(patch or 0), candidate


def build_date(text: str) -> int | None:
    """The day of a gVisor build as 20221219: it counts no versions, only days."""
    found = _BUILD.search(text)
    return int(found[1]) if found else None


def is_packaged(text: str) -> bool:
    """Whether a distribution built it, which may fix holes without raising the version."""
    return _PACKAGED.search(text) is not None


@dataclass(frozen=True, slots=True)
class Advisory:
    """One hole: the component, the id it is known by, and the first fixed release per branch."""

    component: str
    cve: str
    fixed: tuple[Version, ...]


def _releases(*names: str) -> tuple[Version, ...]:
    return tuple(sorted(version for name in names if (version := parse_version(name))))


_RUNC_2025 = _releases("1.2.8", "1.3.3", "1.4.0-rc.3")
_RUNC_2026 = _releases("1.3.6", "1.4.3", "1.5.0-rc.3")
_CONTAINERD_2025 = _releases("1.7.29", "2.0.7", "2.1.5", "2.2.0")

# From the projects' own advisories. Holes that need something this program never asks for
# (checkpoints, Kubernetes, a swarm, a build) are left out.
ADVISORIES = (
    # A descriptor of the host leaked to the program: WORKDIR /proc/self/fd/N.
    Advisory("runc", "CVE-2024-21626", _releases("1.1.12")),
    # Links and races in an image's /dev, /proc and /dev/console: writes outside the container.
    Advisory("runc", "CVE-2025-31133", _RUNC_2025),
    Advisory("runc", "CVE-2025-52565", _RUNC_2025),
    Advisory("runc", "CVE-2025-52881", _RUNC_2025),
    # As above, where /dev itself is a link.
    Advisory("runc", "CVE-2026-41579", _RUNC_2026),
    # A uid beyond 31 bits becomes root.
    Advisory("containerd", "CVE-2024-40635", _releases("1.6.38", "1.7.27", "2.0.4")),
    # Its directories were open to every user of the host.
    Advisory("containerd", "CVE-2024-25621", _CONTAINERD_2025),
    # AF_ALG writes to the page cache of read-only files; the default profile allowed it.
    Advisory("docker", "CVE-2026-31431", _releases("29.4.2")),
    # Copying into a container ran a program of its image as root on the host.
    Advisory("docker", "CVE-2026-41567", _releases("29.5.1")),
    # Races of copies into and out of a container.
    Advisory("docker", "CVE-2026-41568", _releases("29.5.1")),
    Advisory("docker", "CVE-2026-42306", _releases("29.5.1")),
    # A mount swapped between its check and its use.
    Advisory("nvidia-toolkit", "CVE-2024-0132", _releases("1.16.2")),
    # A hook ran as root on the host with the environment of the image.
    Advisory("nvidia-toolkit", "CVE-2025-23266", _releases("1.17.8")),
)


def open_holes(component: str, version: Version) -> tuple[str, ...]:
    """The ids of the holes that this version still has, by its number alone."""
    return tuple(
        advisory.cve
        for advisory in ADVISORIES
        if advisory.component == component and not is_fixed(version, advisory.fixed)
    )


def is_fixed(version: Version, fixed: tuple[Version, ...]) -> bool:
    """Whether `version` is at or past the fix of its own branch, or past every branch's."""
    same_branch = (release for release in fixed if release[:2] == version[:2])
    return version >= max(fixed) or any(version >= release for release in same_branch)
