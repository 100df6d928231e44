"""docs/vendors.md, pasted into a shell from top to bottom, by a vendor in a clean directory.

Nothing in its blocks is changed but the registry's address. What this machine lacks comes in from
outside, in variables and files that a vendor needs none of:

- the package is a wheel of this tree, and what it depends on is this environment's;
- BASE names a local image, where a vendor's first build looks up what python:3.11-slim is;
- oras and cosign are Debian's, fetched by .ci/interop-tools.

The other side is the owner's: `evaluator challenge` before, and `evaluator watch` in between.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from evaluator.kits import write_kit
from evaluator.ledger import open_ledger
from evaluator.workspace import shipped
from sandbox.wall import create_arguments
from tests.helpers.clock import make_clock
from tests.helpers.python_base import build_python_base
from tests.helpers.registry import local_registry
from tests.helpers.tokens import READER, password_of, token_server
from tests.helpers.tools import interop_tools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from docker import APIClient

    from sandbox import Spec
    from tests.helpers.clock import Clock
    from tests.helpers.registry import LocalRegistry

pytestmark = [pytest.mark.docker, pytest.mark.interop]

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "vendors.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
KIT = shipped("images") / "kits" / "container"
BASE = "evaluator.test/python:3.11-slim"
WELL = "An official run would answer: baseline OK, tuned OK."
HOURS = 1  # of a release slot: the shortest there is
SOON = 120


@dataclass(frozen=True)
class Shell:
    """A vendor's shell: what a block sets, and where it goes, is there for the next one."""

    folder: Path
    environment: dict[str, str]

    def paste(self, block: str) -> str:
        """Run a block as it stands; return all that it printed."""
        state = self.folder / ".shell"
        kept = f"export -p > {state}/variables; pwd > {state}/folder"
        known = f'. {state}/variables; cd "$(cat {state}/folder)"' if state.exists() else "true"
        state.mkdir(exist_ok=True)
        done = subprocess.run(
            ["sh", "-c", f"set -aeu\n{known}\n{block}\n{kept}"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}"
        return done.stdout

    def names(self, folder: str) -> list[str]:
        """The files in a folder of its own."""
        return sorted(path.name for path in (self.folder / folder).iterdir())


@dataclass(frozen=True)
class Owner:
    """The other side: a workspace, a registry, and a clock."""

    farm: Path
    registry: LocalRegistry
    clock: Clock

    def run(self, *arguments: object) -> str:
        """Run a command on the workspace, and return its stdout."""
        done = subprocess.run(
            [sys.executable, "-m", "evaluator", *map(str, arguments), "--workspace", self.farm],
            env={**os.environ, **self.clock.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def watching(self, folder: Path) -> Iterator[Path]:
        """`evaluator watch`, and the file with all it says."""
        said, credentials = folder / "watch.log", folder / "credentials"
        credentials.write_text(f"{READER}:{password_of(READER)}\n")
        command = [sys.executable, "-m", "evaluator", "watch", self.registry.url]
        command += ["--credentials", str(credentials), "--interval", "1"]
        command += ["--workspace", str(self.farm)]
        with said.open("w") as log:
            process = subprocess.Popen(
                command, env={**os.environ, **self.clock.environment}, stderr=log, stdout=log
            )
        try:
            yield said
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(SOON)

    def ended(self) -> list[str]:
        """The runs that have ended."""
        with open_ledger(self.farm / "ledger.sqlite") as ledger:
            return [row.run for row in ledger.contents().runs if row.state == "released"]


def until(found: Callable[[], object], said: Path) -> None:
    """Wait for something."""
    end = time.monotonic() + SOON
    while not found():
        assert time.monotonic() < end, said.read_text()
        time.sleep(0.1)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, busybox: bytes) -> Iterator[str]:
    """What stands in for python:3.11-slim."""
    folder = tmp_path_factory.mktemp("base")
    build_python_base(BASE, folder, busybox, KIT / "requirements.lock")
    yield BASE
    subprocess.run(["docker", "rmi", "--force", BASE], check=False, capture_output=True)


@pytest.fixture
def owner(workspace: Path, tmp_path: Path) -> Iterator[Owner]:
    """A workspace whose results come each hour, and a registry where each vendor has its names."""
    clock = make_clock(tmp_path)
    if clock is None:
        pytest.skip("The clock needs a C compiler (apt-get install gcc libc6-dev).")
    settings = workspace / "evaluator.toml"
    text = settings.read_text()
    settings.write_text(text.replace("release_every_hours = 24", f"release_every_hours = {HOURS}"))
    grants = {"acme": ("acme/*",), "zenith": ("zenith/*",)}
    with (
        token_server(tmp_path / "tokens", grants) as tokens,
        local_registry(tmp_path / "registry", auth=tokens.auth) as registry,
    ):
        yield Owner(workspace, registry, clock)


@pytest.fixture(scope="session")
def tools() -> Path:
    """The folder of oras and cosign."""
    return interop_tools() / "bin"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A clean directory that every user of the host may read, as the guide asks of root."""
    with tempfile.TemporaryDirectory(prefix="vendor-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def vendor(owner: Owner, tools: Path, base: str, folder: Path, tmp_path: Path) -> Shell:
    """A vendor with what the owner has given it, and nothing else."""
    wheels = tmp_path / "wheels"
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    owner.run("challenge", "--output", folder / "challenge.json")
    (folder / "trust.toml").write_text(owner.run("trust", "export"))
    (folder / "password").write_text(password_of("acme"))
    environment = {
        "HOME": str(tmp_path / "home"),
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
        "DOCKER_HOST": os.environ.get("DOCKER_HOST", ""),
        "PATH": f"{tools}:{Path(sys.base_prefix) / 'bin'}:{os.environ['PATH']}",
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_FIND_LINKS": str(wheels),
        "BASE": base,
        "COLUMNS": "120",
        "NO_COLOR": "1",
    }
    return Shell(folder, {name: value for name, value in environment.items() if value})


def test_the_guide_leads_from_nothing_to_a_verified_result(
    vendor: Shell, owner: Owner, engine: APIClient, tmp_path: Path
) -> None:
    """Every block, in its order: kit, build, validate, push, fetch, verify."""
    blocks = iter(BLOCKS)
    address = owner.registry.address.replace("127.0.0.1", "localhost")  # where oras asks for no TLS

    def paste(words: str) -> str:
        block = next(blocks)
        assert words in block
        return vendor.paste(block.replace("registry.example", address))

    try:
        assert "Login Succeeded" in paste("docker login")
        paste("pip install submission-evaluator")
        (installed,) = vendor.folder.glob("tools/lib/python3*/site-packages")
        (installed / "its-dependencies.pth").write_text(str(Path(np.__file__).parents[1]))
        assert "validate.sh" in paste("evaluator new container")
        assert WELL in paste("sh validate.sh")
        paste("docker push")
        artifact = paste("RepoDigests").strip()
        with owner.watching(tmp_path) as said:
            until(owner.ended, said)
            owner.clock.set(2 * HOURS * 3600)
            (run,) = owner.ended()
            until(lambda: f"{run} is attached" in said.read_text(), said)
            assert f"{run}.sigstore.json" in paste("oras pull")
            assert vendor.names("my-model/results") == sorted(
                f"{name}.{suffix}"
                for name in ("submission-1", run)
                for suffix in ("sigstore.json", "tlog-proof")
            )
            assert paste("evaluator.verify").count("Verified: ") == 2
            assert "Verified OK" in paste("cosign verify-blob-attestation")
            read = paste("fromjson | .predicate'")
            assert artifact.partition("@sha256:")[2] in read
            predicate = json.JSONDecoder().raw_decode(read)[0]
            assert [predicate["phases"][name]["status"] for name in ("baseline", "tuned")] == [
                "OK"
            ] * 2
            assert WELL in paste("evaluator new onnx")
            until(lambda: "submission-2 is attached" in said.read_text(), said)
        assert paste("docker run --rm --network none").splitlines()[-1] == "10"
        assert list(blocks) == []
    finally:
        for image in engine.images(filters={"reference": f"{address}/acme/*"}):
            engine.remove_image(image["Id"], force=True)


def test_the_guides_command_is_the_wall(
    engine: APIClient,
    make_image: Callable[..., str],
    make_spec: Callable[..., Spec],
    tmp_path: Path,
) -> None:
    """The engine makes of it what an official run asks for, but for the files and the log."""
    image, gib = make_image(""), 2**30
    spec = make_spec(
        image,
        cpus=2.0,
        memory=2 * gib,
        tmp=gib // 2,
        shm=gib // 4,
        processes=512,
        open_files=4096,
    )
    official = create_arguments(spec, "/nowhere", 2_000_000, "{}")
    (block,) = [block for block in BLOCKS if "docker run --rm" in block]
    for name in ("input", "predictions"):
        (tmp_path / name).mkdir()
    (tmp_path / "seccomp.json").write_text("{}")
    words = shlex.split(_command(block))
    words = [word.replace("$PWD", str(tmp_path)) for word in words[:-1]]
    command = ["docker", "create", *words, image, "predict"]
    created = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    try:
        seen = engine.inspect_container(created.stdout.strip())
    finally:
        engine.remove_container(created.stdout.strip())
    wanted = official["HostConfig"]
    wanted = {name: wanted[name] for name in set(wanted) - {"Mounts", "LogConfig", "Runtime"}}

    assert differing(wanted, seen["HostConfig"]) == {}
    assert {(mount["Destination"], mount["RW"]) for mount in seen["Mounts"]} == {
        ("/input", False),
        ("/output/predictions", True),
    }
    assert seen["Config"]["User"] == official["User"]
    assert seen["Config"]["Hostname"] == official["Hostname"]
    hidden = {"LD_PRELOAD", "NVIDIA"}  # empty ones, which undo what an image sets
    given = {each for each in official["Env"] if not each.startswith(tuple(hidden))}
    assert given <= set(seen["Config"]["Env"])


def _command(block: str) -> str:
    """The options of its `docker run`, on one line."""
    return block.partition("docker run --rm")[2].partition(" predict\n")[0].replace("\\\n", " ")


def differing(wanted: dict[str, Any], seen: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What is not the same, where nothing, zero and empty are."""
    return {
        name: (value, seen[name])
        for name, value in wanted.items()
        if (plain(value) or None) != (plain(seen[name]) or None)
    }


def plain(value: object) -> object:
    """A list of limits in an order of ours."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return sorted((each["Name"], each["Soft"], each["Hard"]) for each in value)
    return value


def test_the_kit_pins_its_base_by_digest(base: str, engine: APIClient, tmp_path: Path) -> None:
    """`sh pin.sh` asks the registry what the tag is today, and the kit then builds from that."""
    kit = tmp_path / "kit"
    write_kit("container", kit, b"{}")
    with local_registry(tmp_path / "registry") as registry:
        name = f"{registry.address}/python"
        registry.push(base, "python", "3.11-slim", engine)
        dockerfile = kit / "Dockerfile"
        text = dockerfile.read_text().replace("=python:", f"={name}:")
        dockerfile.write_text(text)
        for _ in range(2):  # a second time it looks up the tag again
            subprocess.run(["sh", "pin.sh"], cwd=kit, check=True, capture_output=True)
        try:
            (line,) = re.findall("^ARG BASE=(.*)$", dockerfile.read_text(), re.MULTILINE)
            command = ["docker", "build", "--quiet", "--network=none", "."]
            built = subprocess.run(command, cwd=kit, capture_output=True, text=True, check=True)
            engine.remove_image(built.stdout.strip())
        finally:
            for image in engine.images(name):
                for tag in image["RepoTags"] or ():
                    engine.remove_image(tag)

    assert re.fullmatch(re.escape(f"{name}:3.11-slim@") + "sha256:[0-9a-f]{64}", line)
    assert dockerfile.read_text() == text.replace(f"={name}:3.11-slim", f"={line}")
