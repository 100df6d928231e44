"""The files of an image we build: Debian packages, wheels and our own, in one tar.

Nothing here runs as root or needs a Dockerfile: packages are unpacked by mmdebstrap
without their scripts, wheels are unpacked by us, and every member belongs to root with a
fixed date. What images/base/exclude.txt names is left out.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from fnmatch import translate
from pathlib import Path
from typing import IO, TYPE_CHECKING

from evaluator.workspace import shipped
from sandbox import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

Member = tuple[tarfile.TarInfo, "IO[bytes] | None"]

SUITE = "bookworm"  # its Python is 3.11, whatever this host runs
SITE_PACKAGES = "usr/local/lib/python3.11/dist-packages"
# Every tag that bookworm's glibc 2.36 satisfies.
PLATFORMS = ["manylinux2014_x86_64", *(f"manylinux_2_{minor}_x86_64" for minor in range(5, 37))]
# A root file system has these whatever the packages say; the rest is mounted at start.
DIRECTORIES = {"dev": 0o755, "etc": 0o755, "proc": 0o555, "run": 0o755, "sys": 0o555, "tmp": 0o1777}


def cache() -> Path:
    """Where wheels stay between builds, and builds have their scratch files."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(base) / "evaluator"
    path.mkdir(parents=True, exist_ok=True)
    return path


def mmdebstrap(packages: tuple[str, ...], target: str) -> list[str]:
    """Return the command that writes the packages, and all they depend on, as the tar `target`."""
    # extract and chrootless: nothing of a package runs, so neither root nor a namespace is needed
    options = ["--quiet", "--mode=chrootless", "--variant=extract", "--architectures=amd64"]
    return ["mmdebstrap", *options, f"--include={','.join(packages)}", SUITE, target]


def debian_packages(packages: tuple[str, ...], target: Path) -> None:
    """Write the packages as a tar with this host's mmdebstrap."""
    message = "mmdebstrap could not fetch Debian packages; it needs Debian's package servers."
    _run(mmdebstrap(packages, str(target)), message)


def fetch_wheels(requirements: Path) -> list[Path]:
    """The wheels of a requirements file, from the cache or else through pip.

    A *.lock is taken to be complete and hashed: nothing that it does not name is fetched.
    """
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]
    complete = cache() / "wheels" / digest
    if not complete.is_dir():
        complete.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=complete.parent) as scratch:
            _download(requirements, Path(scratch) / digest)
            os.replace(Path(scratch) / digest, complete)  # noqa: PTH105 - atomic, or it is no cache
    return sorted(complete.glob("*.whl"))


def _download(requirements: Path, target: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--implementation=cp", "--python-version=3.11"]
    command += [f"--platform={platform}" for platform in PLATFORMS]
    command += ["--dest", str(target), "--requirement", str(requirements)]
    if requirements.suffix == ".lock":
        command += ["--no-deps", "--require-hashes"]
    _run(command, "pip could not fetch the wheels; it needs to be installed, and a package index.")


def _run(command: list[str], message: str) -> None:
    """Run a program; SandboxError with `message` and its last words where it fails.

    In a session of its own, so that nothing it started outlives an interruption.
    """
    try:
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise SandboxError(f"{message} ({error.strerror}: {command[0]})") from error
    try:
        words = process.communicate()[1]
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if process.returncode:
        raise SandboxError("\n".join([message, *words.strip().splitlines()[-3:]]))


def write_rootfs(
    target: Path, base: Path, wheels: list[Path], files: dict[str, Path], program: str
) -> None:
    """Join the tar `base`, unpacked wheels and own files {path inside: source} into `target`.

    Of all programs only `program` stays.
    """
    left_out = exclusions(shipped("images") / "base" / "exclude.txt")
    with tarfile.open(target, "w") as out:
        for member, content in _members(base, wheels, files):
            if member.name == program or not left_out.fullmatch(member.name):
                out.addfile(member, content)


def exclusions(path: Path) -> re.Pattern[str]:
    """One expression for all patterns of an exclude file."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return re.compile("|".join(translate(line) for line in lines if line and line[0] != "#"))


def _members(base: Path, wheels: list[Path], files: dict[str, Path]) -> Iterator[Member]:
    yield from _debian_members(base)
    for wheel in wheels:
        yield from _wheel_members(wheel)
    for name, source in files.items():
        with source.open("rb") as content:
            yield _member(name.lstrip("/"), tarfile.REGTYPE, 0o644, source.stat().st_size), content
    for name, mode in DIRECTORIES.items():
        yield _member(name, tarfile.DIRTYPE, mode), None


def _debian_members(base: Path) -> Iterator[Member]:
    with tarfile.open(base) as packages:
        for found in packages:
            name = found.name.removeprefix("./")
            if name in {".", *DIRECTORIES}:
                continue
            member = _member(name, found.type, found.mode & 0o777, found.size)  # no setuid stays
            member.linkname = found.linkname.removeprefix("./") if found.islnk() else found.linkname
            yield member, packages.extractfile(found) if found.isreg() else None


def _wheel_members(wheel: Path) -> Iterator[Member]:
    """A wheel's modules; its scripts, headers and data have no use here (PEP 427)."""
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            name = re.sub(r"^[^/]+\.data/(purelib|platlib)/", "", info.filename)
            if info.is_dir() or re.match(r"[^/]+\.data/", name):
                continue
            mode = 0o755 if info.external_attr >> 16 & 0o100 else 0o644
            member = _member(f"{SITE_PACKAGES}/{name}", tarfile.REGTYPE, mode, info.file_size)
            with archive.open(info) as content:
                yield member, content


def _member(name: str, kind: bytes, mode: int, size: int = 0) -> tarfile.TarInfo:
    """A member that belongs to root and has no date of its own."""
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.size = kind, mode, size
    return member
