"""Fixtures of the whole suite: the engine, tiny images, and what a skip means in CI."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import signal
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker.errors
import hypothesis
import pytest

import sandbox
from sandbox import Limits, Mount, Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IN_CI = os.environ.get("EVALUATOR_CI") == "1"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "evaluator-tests"
TEST_LABEL = "evaluator.test"
MiB = 2**20

# A shell starts what it puts in the background with Ctrl-C ignored; commands would inherit it.
for number, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

# Machines vary fivefold; a slow one is not a counterexample.
hypothesis.settings.register_profile("evaluator", deadline=None)
hypothesis.settings.load_profile("evaluator")


def _engine() -> docker.APIClient | str:
    try:
        return sandbox.connect()
    except sandbox.SandboxError as error:
        return str(error)


@pytest.fixture(scope="session")
def engine() -> docker.APIClient:
    """A client of the local engine; a machine without one skips, and fails in CI."""
    found = _engine()
    if isinstance(found, str):
        pytest.skip(found)
    return found


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine cannot run, with the sentence its operator would read."""
    if not {"docker", "gvisor"} & {mark.name for mark in item.iter_markers()}:
        return
    found = _engine()
    if isinstance(found, str):
        pytest.skip(found)
    if item.get_closest_marker("gvisor") and "runsc" not in found.info()["Runtimes"]:
        pytest.skip("The engine knows no runtime named runsc: install gVisor and register it.")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Count a skipped test of another program as failed in CI: unseen is untested."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]  # pluggy's, untyped here
    marks = {mark.name for mark in item.iter_markers()}
    if IN_CI and report.skipped and marks & {"browser", "docker", "gvisor", "interop"}:
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"


@pytest.fixture(scope="session")
def busybox() -> bytes:
    """A static busybox, from the distribution's own package."""
    cached = CACHE / "busybox"
    if not cached.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "busybox-static"], cwd=CACHE, check=True)
        package = next(CACHE.glob("busybox-static_*.deb"))
        subprocess.run(["dpkg-deb", "-x", package, CACHE / "unpacked"], check=True)
        (CACHE / "unpacked/bin/busybox").rename(cached)
    return cached.read_bytes()


@pytest.fixture(scope="session")
def make_image(engine: docker.APIClient, busybox: bytes) -> Iterator[Callable[..., str]]:
    """A function from a shell script (and Dockerfile lines) to the id of an image that runs it."""
    made = []

    def make(
        script: str,
        *changes: str,
        entrypoint: str = '["/bin/sh", "/predict.sh"]',
        more: dict[str, bytes] | None = None,
    ) -> str:
        files = {"bin/busybox": busybox, "predict.sh": script.encode()} | (more or {})
        changes = (*changes, f"LABEL {TEST_LABEL}=1")
        if entrypoint:
            changes = (*changes, f"ENTRYPOINT {entrypoint}")
        answer = engine.import_image_from_data(_root(files), changes=list(changes))
        image = str(answer).rpartition('"status":"')[2].partition('"')[0]
        made.append(image)
        return image

    yield make
    for image in set(made):
        with contextlib.suppress(docker.errors.ImageNotFound):  # a test untagged it
            engine.remove_image(image, force=True)


def _root(files: dict[str, bytes]) -> bytes:
    applets = (
        "sh cat head sleep dd ls id env rm ln mkdir mv yes kill tr wc touch ps mount test [ seq"
    )
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
        for applet in applets.split():
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    return buffer.getvalue()


@pytest.fixture
def make_spec(tmp_path: Path) -> Callable[..., Spec]:
    """A function from an image id to a small Spec; keywords replace its limits and fields."""
    manifest = tmp_path / "manifest.json"
    manifest.write_text("{}")

    def make(image: str, **changes: object) -> Spec:
        limits: dict[str, Any] = {
            "cpus": 1.0,
            "memory": 256 * MiB,
            "tmp": 32 * MiB,
            "shm": 32 * MiB,
            "processes": 128,
            "open_files": 256,
            "seconds": 60.0,
        }
        fields: dict[str, Any] = {
            "run": secrets.token_hex(8),
            "image": image,
            "verb": "predict",
            "inputs": (Mount(manifest, "/input/manifest.json"),),
            "output_size": 4,
            "runtime": "runc",
        }
        for name, value in changes.items():
            (limits if name in limits else fields)[name] = value
        return Spec(**fields, limits=Limits(**limits))

    return make


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A directory of the operator's own."""
    path = tmp_path / "scratch"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KiB."""
    if os.geteuid() != 0:
        pytest.skip("A small file system needs root.")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", disk], check=True)
    yield disk
    subprocess.run(["umount", disk], check=True)
