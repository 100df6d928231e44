"""Containers that behave and containers that do not, on a real engine, under both runtimes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sandbox
from sandbox import Mount, Outcome, SandboxError, Spec, Status
from sandbox.run import remove_leftovers
from sandbox.wall import RUN_LABEL

if TYPE_CHECKING:
    from collections.abc import Callable

    import docker

pytestmark = pytest.mark.docker

SECCOMP = (Path(__file__).parents[2] / "policies" / "seccomp.json").read_text()
RUNTIMES = [
    pytest.param("runc", id="runc"),
    pytest.param("runsc", id="runsc", marks=pytest.mark.gvisor),
]
MiB = 2**20


@pytest.fixture
def check(
    make_image: Callable[..., str],
    make_spec: Callable[..., Spec],
    scratch: Path,
    engine: docker.APIClient,
) -> Callable[..., Outcome]:
    """Run a shell script behind the wall, and see that nothing of the run is left."""

    def run(script: str, **changes: object) -> Outcome:
        spec = make_spec(make_image(script), **changes)
        outcome = sandbox.run(spec, scratch, SECCOMP)

        assert engine.containers(all=True, filters={"label": f"{RUN_LABEL}={spec.run}"}) == []
        assert list(scratch.iterdir()) == []
        return outcome

    return run


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("script", "status", "output"),
    [
        ("printf 1234 > /output/predictions", Status.OK, b"1234"),
        ("printf 12 > /output/predictions", Status.OK, b"12"),
        ("yes > /output/predictions", Status.NONZERO_EXIT, b"y\ny\ny"),  # one more than asked for
        ("true", Status.OK, b""),
        ("exit 3", Status.NONZERO_EXIT, b""),
        ("head -c 50000000 /dev/zero; head -c 50000000 /dev/zero >&2", Status.OK, b""),
        ("rm /output/predictions; printf 12 > /output/predictions", Status.OK, b"12"),
        ("ln -sf /etc/passwd /output/predictions", Status.NONZERO_EXIT, b""),
        ("mkdir /output/more", Status.NONZERO_EXIT, b""),
    ],
)
def test_each_ending_has_its_status(
    check: Callable[..., Outcome], runtime: str, script: str, status: Status, output: bytes
) -> None:
    """A program ends as the engine says it did, and its file is read no further than needed."""
    outcome = check(script, runtime=runtime)

    assert (status, output) == (outcome.status, outcome.output)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_sleeping_for_ever_is_a_timeout(check: Callable[..., Outcome], runtime: str) -> None:
    """The deadline ends what does not end itself."""
    outcome = check("trap '' TERM INT; sleep 3600", runtime=runtime, seconds=3.0)

    assert outcome.status is Status.TIMEOUT
    assert outcome.seconds < 20


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_allocating_more_than_the_limit_is_out_of_memory(
    check: Callable[..., Outcome], runtime: str
) -> None:
    """The kernel's own word for it, not the program's exit status."""
    outcome = check("exec dd if=/dev/zero of=/dev/null bs=1G count=1", runtime=runtime)

    assert outcome.status is Status.OUT_OF_MEMORY


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_thousand_forks_stay_inside(check: Callable[..., Outcome], runtime: str) -> None:
    """A fork bomb runs into its process limit and leaves no process behind."""
    outcome = check(
        "for i in $(seq 1000); do sleep 77777 & done; wait", runtime=runtime, seconds=10.0
    )
    alive = [path for path in Path("/proc").glob("[0-9]*/cmdline") if b"77777" in _read(path)]

    assert outcome.status in {Status.TIMEOUT, Status.NONZERO_EXIT}
    assert alive == []


def _read(path: Path) -> bytes:
    """A file of /proc, whose process may have ended meanwhile."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("entrypoint", ['["/nowhere"]', '["/etc"]', '["/bin"]'])
def test_an_entry_point_that_cannot_start_is_the_submissions_fault(
    make_image: Callable[..., str],
    make_spec: Callable[..., Spec],
    scratch: Path,
    runtime: str,
    entrypoint: str,
) -> None:
    """Missing or not executable: START_FAILED, whatever words the engine has for it."""
    spec = make_spec(make_image("true", entrypoint=entrypoint), runtime=runtime)

    assert sandbox.run(spec, scratch, SECCOMP).status is Status.START_FAILED


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_container_sees_no_network_no_write_and_no_privilege(
    check: Callable[..., Outcome], runtime: str, tmp_path: Path
) -> None:
    """Only loopback, only the output file writable, no capability, a uid of no account."""
    tiles = tmp_path / "tiles.npy"
    tiles.write_bytes(b"tiles")
    outcome = check(
        """
        { ls /sys/class/net | tr '\\n' ' '
          { echo x >> /input/tiles.npy; } 2>/dev/null && echo wrote-tiles
          { echo x > /new; } 2>/dev/null && echo wrote-root
          mount -t tmpfs none /input 2>/dev/null && echo mounted
          [ "$(id -u)" -ge 2000000 ] && echo ok; } > /tmp/said
        cat /tmp/said > /output/predictions
        """,
        runtime=runtime,
        inputs=(Mount(tiles, "/input/tiles.npy"),),
        output_size=200,
    )

    assert outcome.output in {b"lo ok\n", b"ok\n"}  # gVisor without a network lists nothing
    assert tiles.read_bytes() == b"tiles"


def test_without_the_wall_the_same_probes_succeed(
    engine: docker.APIClient, make_image: Callable[..., str], tmp_path: Path
) -> None:
    """The control of the test above: an ordinary container does all of it."""
    image = make_image("ls /sys/class/net; echo x >> /input/tiles.npy && echo x > /new && id -u")
    tiles = tmp_path / "tiles.npy"
    tiles.write_bytes(b"tiles")
    host = {"Binds": [f"{tiles}:/input/tiles.npy"], "NetworkMode": "host"}
    container = engine.create_container_from_config({"Image": image, "HostConfig": host})["Id"]
    try:
        engine.start(container)
        engine.wait(container)
        said = engine.logs(container).decode().split()
    finally:
        engine.remove_container(container, force=True)

    assert said == [*sorted(os.listdir("/sys/class/net")), "0"]  # noqa: PTH208 - names only
    assert tiles.read_bytes() == b"tilesx\n"


def test_a_signal_to_the_harness_removes_the_container(
    engine: docker.APIClient, make_image: Callable[..., str], tmp_path: Path
) -> None:
    """Ctrl-C while a container runs leaves neither container nor file."""
    process, scratch = _running(make_image("sleep 3600"), engine, tmp_path)
    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=60) != 0
    assert engine.containers(all=True, filters={"label": f"{RUN_LABEL}={'5' * 16}"}) == []
    assert list(scratch.iterdir()) == []


def test_a_killed_harness_is_cleaned_up_by_the_next(
    engine: docker.APIClient, make_image: Callable[..., str], tmp_path: Path
) -> None:
    """After kill -9 the container is still there, and the next run's sweep removes it."""
    process, _ = _running(make_image("sleep 3600"), engine, tmp_path)
    process.kill()
    process.wait(timeout=60)

    assert remove_leftovers(engine, "5" * 16) == 1
    assert remove_leftovers(engine, "5" * 16) == 0


def _running(
    image: str, engine: docker.APIClient, tmp_path: Path
) -> tuple[subprocess.Popen[bytes], Path]:
    """A harness of its own process, with its container running."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    program = textwrap.dedent(f"""
        import pathlib, sandbox
        limits = sandbox.Limits(1.0, 2**28, 2**25, 2**25, 64, 256, 600.0)
        spec = sandbox.Spec("{"5" * 16}", "{image}", "predict", (), 4, limits)
        sandbox.run(spec, pathlib.Path("{scratch}"), {SECCOMP!r})
    """)
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not engine.containers(filters={"label": f"{RUN_LABEL}={'5' * 16}"}):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    return process, scratch


def test_a_disk_without_room_refuses_before_the_start(
    make_image: Callable[..., str], make_spec: Callable[..., Spec], tmp_path: Path
) -> None:
    """The space that a program could fill is set aside first, or there is no run."""
    if os.geteuid() != 0:
        pytest.skip("A small file system of its own needs root to mount.")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m", "none", small], check=True)
    try:
        spec = make_spec(make_image("true"))
        with pytest.raises(SandboxError, match="sets aside 96 MiB"):
            sandbox.run(spec, small, SECCOMP)
        left = list(small.iterdir())
    finally:
        subprocess.run(["umount", small], check=True)

    assert left == []


def test_an_engine_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing, and how to get it."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")

    with pytest.raises(SandboxError, match=r"apt-get install docker\.io"):
        sandbox.connect()


def test_an_engine_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mounts are paths of this host, and tiles stay on it."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2375")

    with pytest.raises(SandboxError, match="another machine"):
        sandbox.connect()
