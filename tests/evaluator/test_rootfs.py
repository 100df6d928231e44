"""The tar that becomes an image: what enters, what stays out, and in whose name."""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from evaluator import rootfs
from evaluator.workspace import shipped
from sandbox import SandboxError

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = "usr/bin/python3.11"


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A tar as mmdebstrap writes it: a program, a shell, a setuid file and a device's folder."""
    path = tmp_path / "base.tar"
    with tarfile.open(path, "w") as out:
        for name, mode in [(PROGRAM, 0o755), ("bin/sh", 0o755), ("lib/x.so", 0o4755)]:
            member = tarfile.TarInfo(f"./{name}")
            member.size, member.mode, member.uid, member.mtime = 3, mode, 1000, 1_700_000_000
            out.addfile(member, io.BytesIO(b"abc"))
        root = tarfile.TarInfo("./")
        root.type = tarfile.DIRTYPE
        out.addfile(root)
    return path


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel with a module, a test, and the three kinds of .data folders that matter."""
    path = tmp_path / "thing-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in [
            "thing/__init__.py",
            "thing/tests/test_it.py",
            "thing-1.data/purelib/thing/more.py",
            "thing-1.data/scripts/thing",
        ]:
            archive.writestr(name, "x = 1\n")
    return path


def written(target: Path) -> dict[str, tarfile.TarInfo]:
    """Return the members of a finished tar by name."""
    with tarfile.open(target) as archive:
        members = archive.getmembers()
    assert len({member.name for member in members}) == len(members), "docker import refuses these"
    return {member.name: member for member in members}


def test_only_the_entry_point_stays_of_all_programs(packages: Path, tmp_path: Path) -> None:
    """A shell in a package is left out; it stays where it is itself the entry point."""
    target = tmp_path / "rootfs.tar"
    rootfs.write_rootfs(target, packages, [], {}, PROGRAM)
    assert PROGRAM in written(target)
    assert "bin/sh" not in written(target)
    rootfs.write_rootfs(target, packages, [], {}, "bin/sh")
    assert "bin/sh" in written(target)


def test_every_member_is_roots_without_date_or_setuid(packages: Path, tmp_path: Path) -> None:
    """Whoever builds, and whenever: the same bytes."""
    rootfs.write_rootfs(tmp_path / "rootfs.tar", packages, [], {}, PROGRAM)
    members = written(tmp_path / "rootfs.tar")
    assert {(member.uid, member.gid, member.mtime) for member in members.values()} == {(0, 0, 0)}
    assert members["lib/x.so"].mode == 0o755
    assert members["tmp"].mode == 0o1777


def test_a_wheel_is_unpacked_where_python_looks(
    packages: Path, wheel: Path, tmp_path: Path
) -> None:
    """Modules arrive, from purelib too; tests and scripts do not."""
    rootfs.write_rootfs(tmp_path / "rootfs.tar", packages, [wheel], {}, PROGRAM)
    site = f"{rootfs.SITE_PACKAGES}/"
    found = {name.removeprefix(site) for name in written(tmp_path / "rootfs.tar") if site in name}
    assert found == {"thing/__init__.py", "thing/more.py"}


def test_own_files_keep_their_bytes(packages: Path, tmp_path: Path) -> None:
    """A file of ours lands at its path inside, readable by everyone."""
    source = tmp_path / "runner.py"
    source.write_bytes(b"print()\n")
    target = tmp_path / "rootfs.tar"
    rootfs.write_rootfs(target, packages, [], {"/opt/runner.py": source}, PROGRAM)
    assert written(target)["opt/runner.py"].mode == 0o644
    with tarfile.open(target) as archive:
        content = archive.extractfile("opt/runner.py")
        assert content is not None
        assert content.read() == b"print()\n"


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-gpu.lock"])
def test_every_locked_wheel_has_a_version_and_a_hash(lock: str) -> None:
    """Each entry is name==version with one sha256, and no line names an index or a URL."""
    text = (shipped("images") / "onnx" / lock).read_text()
    entries = [line for line in text.splitlines() if not line.startswith("#")]
    pairs = list(zip(entries[::2], entries[1::2], strict=True))
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+ \\", name) for name, _ in pairs)
    assert all(re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}", digest) for _, digest in pairs)
    assert "://" not in text


def test_a_lock_without_hashes_fetches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unhashed entry is refused, pip's own words arrive, and no half cache stays."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    lock = tmp_path / "requirements.lock"
    lock.write_text("numpy==2.4.6\n")
    with pytest.raises(SandboxError, match="hash"):
        rootfs.fetch_wheels(lock)
    assert list((tmp_path / "evaluator/wheels").iterdir()) == []


def test_cached_wheels_need_no_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second build of the same lock runs no program and reaches no network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    lock = tmp_path / "requirements.lock"
    lock.write_text("anything\n")

    def download(_: Path, target: Path) -> None:
        target.mkdir()
        (target / "anything-1-py3-none-any.whl").touch()

    monkeypatch.setattr(rootfs, "_download", download)
    first = rootfs.fetch_wheels(lock)
    monkeypatch.setattr(rootfs, "_download", None)
    assert rootfs.fetch_wheels(lock) == first
    assert [wheel.name for wheel in first] == ["anything-1-py3-none-any.whl"]
