"""The command, submissions, workspaces to spoil, and what a run left behind."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import numpy as np
import pytest
from onnx import TensorProto, helper

from evaluator.images import ONNX_RUNNER, build_onnx_runner, name_of
from sandbox.lock import lock_path
from tests.faults.engine import SOON, Door, Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HELD_OUT = 12


@pytest.fixture(scope="session")
def engine_to_break() -> Iterator[Engine]:
    """The engine of all these tests: what they kill, fill and count is nobody else's."""
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("An engine that may be killed needs root and dockerd.")
    folder = Path(tempfile.mkdtemp(prefix="faults-"))  # short: it is part of a socket's address
    folder.chmod(0o755)
    engine = Engine(folder)
    engine.start()
    yield engine
    engine.remove()


@pytest.fixture
def door(engine_to_break: Engine) -> Iterator[Door]:
    """A door that is open until a test says what to hold."""
    with tempfile.TemporaryDirectory(prefix="door-") as folder:
        door = Door(engine_to_break, Path(folder) / "docker.sock")
        yield door
        door.close()


@pytest.fixture
def start(engine_to_break: Engine) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A function that starts the `evaluator` command in a process group of its own."""
    started = []

    def begin(
        *arguments: object, prefix: tuple[str, ...] = (), **environment: str
    ) -> subprocess.Popen[str]:
        if arguments[0] == "run" and "--phase" not in arguments:  # what most of these break
            arguments = (*arguments, "--phase", "baseline")
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "evaluator", *map(str, arguments)],
            env={
                **os.environ,
                "DOCKER_HOST": engine_to_break.address,
                "PYTHONFAULTHANDLER": "1",
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:  # a failed test says where it hung
            process.send_signal(signal.SIGABRT)
        with contextlib.suppress(ValueError):  # the test has read its pipes to the end
            sys.stderr.writelines(process.communicate(timeout=SOON))


@contextlib.contextmanager
def waiting_for_the_host(
    start: Callable[..., subprocess.Popen[str]], submission: Path, farm: Path
) -> Iterator[subprocess.Popen[str]]:
    """A run that has received its submission, while the host is somebody else's."""
    lock_path().touch(0o444)
    with lock_path().open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = start("run", submission, "--vendor", "acme", "--workspace", farm)
        assert process.stderr is not None
        assert process.stderr.readline().startswith("Receiving")
        assert process.stderr.readline().startswith("Another run has this host")
        yield process


@pytest.fixture
def evaluator(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., tuple[int, str]]:
    """A function that runs the `evaluator` command to its end: exit code and stderr."""

    def run(*arguments: object, **more: str) -> tuple[int, str]:
        process = start(*arguments, **more)
        _, said = process.communicate(timeout=SOON)
        return process.returncode, said

    return run


@dataclass(frozen=True)
class Images:
    """Submissions as archives; `waits` writes its predictions only when it gets SIGUSR1."""

    quick: Path
    quick_id: str
    waits: Path
    exits_137: Path


@pytest.fixture(scope="session")
def images(
    engine_to_break: Engine, busybox: bytes, tmp_path_factory: pytest.TempPathFactory
) -> Images:
    """Container submissions that predict the first class for every tile."""
    folder = tmp_path_factory.mktemp("images")
    client = engine_to_break.client()

    def archive(name: str, script: str) -> tuple[Path, str]:
        image = _import(engine_to_break, busybox, script)
        path = folder / f"{name}.tar"
        path.write_bytes(b"".join(client.get_image(image)))
        return path, image

    predict = f"head -c {HELD_OUT} /dev/zero > /output/predictions"
    quick, quick_id = archive("quick", predict)
    waits, _ = archive("waits", f"trap '{predict}; exit' USR1\nwhile :; do sleep 0.05; done")
    exits, _ = archive("exits", "exit 137")
    return Images(quick, quick_id, waits, exits)


def _import(engine: Engine, busybox: bytes, script: str) -> str:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("sh", "head", "sleep"):
            program = tarfile.TarInfo(f"bin/{name}")
            program.size, program.mode = len(busybox), 0o755
            archive.addfile(program, io.BytesIO(busybox))
        file = tarfile.TarInfo("predict.sh")
        file.size, file.mode = len(script), 0o644
        archive.addfile(file, io.BytesIO(script.encode()))
    changes = ['ENTRYPOINT ["/bin/sh", "/predict.sh"]']
    answer = engine.client().import_image_from_data(buffer.getvalue(), changes=changes)
    return str(answer).rpartition('"status":"')[2].partition('"')[0]


@pytest.fixture(scope="session")
def model(engine_to_break: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX submission, and our runner in the engine of these tests."""
    build_onnx_runner(lambda _: None)
    chunks = docker.APIClient(version="auto").get_image(name_of(ONNX_RUNNER))
    for _ in engine_to_break.client().load_image(chunks):
        pass
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["tiles"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", ["pixels"], ["flat"]),
            helper.make_node("Slice", ["flat", "first", "last", "axis"], ["logits"]),
        ],
        "corner",
        [helper.make_tensor_value_info("tiles", TensorProto.UINT8, ["N", 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3])],
        [
            helper.make_tensor(name, TensorProto.INT64, [1], [value])
            for name, value in {"first": 0, "last": 3, "axis": 1}.items()
        ],
    )
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    opsets = [helper.make_opsetid("", 18)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    path.write_bytes(made.SerializeToString())
    return path


@pytest.fixture(scope="session")
def sealed(engine_to_break: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of 48 tiles in three classes, 12 held out, and little reserved for a run.

    The wall of the engine to break has been tried, so that a run starts at once.
    """
    folder = tmp_path_factory.mktemp("sealed")
    _write_tiles(folder / "tiles", 48)
    root = folder / "farm"
    _once("init", root, "--class-sizes")
    _set_values(root / "evaluator.toml", tile=[8, 8], rare=1, memory_bytes=2**29, cpus=1.0)
    caps = dict.fromkeys(("tmp_bytes", "shm_bytes", "model_bytes"), 2**20)
    _set_values(root / "policies" / "sandbox.toml", **caps)
    for vendor in ("a", "acme", "next", "zenith"):
        _once("vendors", "add", vendor, "--workspace", root)
    _set_values(root / "policies" / "admission.toml", kept=0)
    _once("data", "import", folder / "tiles", "--holdout", HELD_OUT, "--workspace", root)
    _once("calibrate", "--workspace", root)
    _once("doctor", "--workspace", root, DOCKER_HOST=engine_to_break.address)
    return root


def _once(*arguments: object, **environment: str) -> None:
    command = [sys.executable, "-m", "evaluator", *map(str, arguments)]
    environment = {**os.environ, **environment}
    subprocess.run(
        command, env=environment, check=True, stdin=subprocess.DEVNULL, capture_output=True
    )


def _write_tiles(folder: Path, count: int) -> Path:
    folder.mkdir()
    random = np.random.default_rng(2)
    np.save(folder / "tiles.npy", random.integers(0, 256, (count, 8, 8), dtype=np.uint8))
    np.save(folder / "labels.npy", np.arange(count, dtype=np.uint8) % 3)
    return folder


def _set_values(path: Path, **values: object) -> None:
    text = path.read_text()
    for name, value in values.items():
        text, found = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
        assert found == 1, name
    path.write_text(text)


@pytest.fixture
def farm(sealed: Path, tmp_path: Path) -> Path:
    """A workspace to spoil."""
    return Path(shutil.copytree(sealed, tmp_path / "farm"))


@pytest.fixture
def traces(engine_to_break: Engine, images: Images) -> Callable[[Path], list[str]]:  # noqa: ARG001 - theirs are counted before
    """A function that lists what a workspace and the engine have that they had not before."""
    client = engine_to_break.client()

    def found() -> set[str]:
        listed = client.images(all=True)
        tags = {tag for image in listed for tag in image["RepoTags"] or ()}
        volumes = {volume["Name"] for volume in client.volumes()["Volumes"] or ()}
        ids = {entry["Id"] for entry in (*listed, *client.containers(all=True))}
        return tags | volumes | ids

    before = found()

    def left(workspace: Path) -> list[str]:
        files = [
            *(workspace / "tmp").rglob("*"),
            *(workspace / "queue").glob("[0-9]*"),
            *workspace.rglob("*.part"),
            *(workspace / "data").glob(".*.tmp"),
            *(path for path in (workspace / "private").rglob("*")),
            *(path for path in (workspace / "results").rglob("*") if path.is_file()),
        ]
        return sorted([*(found() - before), *map(str, files)])

    return left


@pytest.fixture(scope="session")
def set_values() -> Callable[..., None]:
    """A function that changes values in a TOML file."""
    return _set_values


@pytest.fixture(scope="session")
def write_tiles() -> Callable[[Path, int], Path]:
    """A function that writes tiles.npy and labels.npy of distinct 8x8 tiles."""
    return _write_tiles
