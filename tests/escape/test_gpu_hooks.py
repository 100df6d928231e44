"""What of an image's variables a GPU toolkit's hooks would get, with stand-ins that take notes.

The hooks run as root on the host. NVIDIA's reads its switches (which GPUs, RDMA devices, channels)
from the variables of the container; a program that a hook starts may have them as its own, and
then LD_PRELOAD of an image is code on the host (CVE-2025-23266).
"""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

import sandbox
from evaluator.workspace import shipped
from sandbox.wall import RUN_LABEL, create_arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from docker import APIClient
    from engine import PrivateEngine

    from sandbox import Spec

pytestmark = pytest.mark.docker

GPU = "GPU-00000000-0000-0000-0000-00000000000a"
HOSTILE = {
    "LD_PRELOAD": "/proc/self/cwd/hostile.so",
    "NVIDIA_VISIBLE_DEVICES": "all",
    "NVIDIA_DRIVER_CAPABILITIES": "all",
    "NVIDIA_MOFED": "enabled",
    "NVIDIA_GDS": "enabled",
    "NVIDIA_GDRCOPY": "enabled",
    "NVIDIA_NVSWITCH": "enabled",
    "NVIDIA_IMEX_CHANNELS": "0",
}
# Both hooks write down their own variables, and those that they find in the container's bundle.
HOOK = """#!/usr/bin/python3
import json, os, sys
text = sys.stdin.read()
env = json.load(open(json.loads(text)["bundle"] + "/config.json"))["process"]["env"]
note = {"own": dict(os.environ), "bundle": env, "arguments": sys.argv[1:]}
name = os.path.basename(sys.argv[0])
with open(f"@FOLDER@/{name}.json", "w") as file:
    json.dump(note, file)
"""
TOOLKIT, CREATE = "nvidia-container-runtime-hook", "create-container-hook"
Note = dict[str, Any]


@pytest.fixture
def client(private: PrivateEngine, monkeypatch: pytest.MonkeyPatch) -> APIClient:
    """The private engine, for all that follows."""
    monkeypatch.setenv("DOCKER_HOST", private.address)
    return sandbox.connect()


@pytest.fixture
def notes(private: PrivateEngine, tmp_path: Path) -> Iterator[Callable[[str], Note]]:
    """A function that reads what one hook wrote down; the engine's own stand-ins come back."""
    programs = {name: private.folder / "bin" / name for name in (TOOLKIT, CREATE)}
    before = {path: path.read_text() for path in programs.values()}
    for path in before:
        path.write_text(HOOK.replace("@FOLDER@", str(tmp_path)))

    def read(name: str) -> Note:
        note = json.loads((tmp_path / f"{name}.json").read_text())
        note["bundle"] = dict(entry.split("=", 1) for entry in note["bundle"])
        return note  # type: ignore[no-any-return]

    yield read
    for path, text in before.items():
        path.write_text(text)


@pytest.fixture
def hostile(client: APIClient, probe: str) -> Iterator[str]:
    """An image with every variable that a toolkit heeds, as no intake would let it through."""
    labels = {RUN_LABEL: "0" * 16}
    container = client.create_container_from_config(
        {"Image": probe, "Cmd": ["alive"], "Labels": labels}
    )["Id"]
    settings = {"Env": [f"{name}={value}" for name, value in HOSTILE.items()], "Labels": labels}
    image = str(client.commit(container, conf=settings)["Id"])
    client.remove_container(container, force=True)
    yield image
    client.remove_image(image, force=True, noprune=True)  # the probe is its parent


@pytest.fixture
def start(
    client: APIClient, hostile: str, make_spec: Callable[..., Spec], scratch: Path
) -> Callable[..., None]:
    """A function that starts the image with a GPU, as the wall asks or without its variables."""

    def start(*, wall: bool, runtime: str = "runc") -> None:
        output = scratch / "predictions"
        output.touch()
        asked = create_arguments(make_spec(hostile, gpus=(GPU,)), str(output), 2_000_001, "{}")
        asked = deepcopy(asked)
        asked["HostConfig"]["Runtime"] = runtime
        asked["HostConfig"]["SecurityOpt"] = ["no-new-privileges:true"]
        if not wall:
            asked["Env"] = []
        container = client.create_container_from_config(asked)["Id"]
        try:
            client.start(container)
            client.wait(container, timeout=30)
        finally:
            client.remove_container(container, v=True, force=True)

    return start


def test_a_raw_images_switches_reach_the_toolkits_hook(
    start: Callable[..., None], notes: Callable[[str], Note]
) -> None:
    """The control: without the wall's variables the hook finds the image's, all but the GPU's name.

    The engine appends that one itself, and the last one counts.
    """
    start(wall=False)
    note = notes(TOOLKIT)

    assert note["arguments"] == ["prestart"]
    assert note["bundle"] == HOSTILE | note["bundle"] | {
        "NVIDIA_VISIBLE_DEVICES": GPU,
        "NVIDIA_DRIVER_CAPABILITIES": note["bundle"]["NVIDIA_DRIVER_CAPABILITIES"],
    }
    assert HOSTILE.items() - note["bundle"].items() <= {
        ("NVIDIA_VISIBLE_DEVICES", "all"),
        ("NVIDIA_DRIVER_CAPABILITIES", "all"),
    }


def test_the_walls_variables_turn_every_switch_off(
    start: Callable[..., None], notes: Callable[[str], Note]
) -> None:
    """The same image: one GPU, to compute, and nothing of the image's."""
    start(wall=True)
    bundle = notes(TOOLKIT)["bundle"]

    assert bundle["NVIDIA_VISIBLE_DEVICES"] == GPU
    assert set(bundle["NVIDIA_DRIVER_CAPABILITIES"].split(",")) <= {"compute", "gpu"}
    others = HOSTILE.keys() - {"NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES"}
    assert {bundle[name] for name in others} == {""}


def test_the_toolkits_hook_has_the_engines_variables_and_not_the_images(
    start: Callable[..., None], notes: Callable[[str], Note]
) -> None:
    """Even of a raw image nothing is a variable of the hook itself: so it is with this engine."""
    start(wall=False)

    assert not HOSTILE.keys() & notes(TOOLKIT)["own"].keys()


def test_a_preloaded_library_reaches_a_create_container_hook_of_a_raw_image_only(
    start: Callable[..., None], notes: Callable[[str], Note]
) -> None:
    """Such a hook has the container's variables as its own: here the image's code would run."""
    start(wall=False, runtime="runc-hooked")
    raw = notes(CREATE)["own"].get("LD_PRELOAD", "")
    start(wall=True, runtime="runc-hooked")

    assert raw == HOSTILE["LD_PRELOAD"]
    assert notes(CREATE)["own"].get("LD_PRELOAD", "") == ""


def test_a_run_with_a_gpu_gets_past_its_hook(
    client: APIClient,
    probe: str,
    notes: Callable[[str], Note],
    make_spec: Callable[..., Spec],
    scratch: Path,
) -> None:
    """The whole way of a run: created, read back, started; the hook saw the one GPU."""
    assert client.ping()
    spec = make_spec(probe, verb="alive", gpus=(GPU,), output_size=8)
    ended = sandbox.run(spec, scratch, (shipped("policies") / "seccomp.json").read_text())

    assert ended.exit_code is not None
    assert notes(TOOLKIT)["bundle"]["NVIDIA_VISIBLE_DEVICES"] == GPU


@pytest.mark.usefixtures("client", "notes")  # which puts the other hook back
def test_a_toolkit_that_finds_no_driver_is_the_hosts_trouble(
    private: PrivateEngine,
    probe: str,
    make_spec: Callable[..., Spec],
    scratch: Path,
) -> None:
    """Its hook fails and the container does not start: no vendor is told that its program did."""
    message = "nvidia-container-cli: initialization error: nvml error: driver not loaded"
    hook = private.folder / "bin" / TOOLKIT
    hook.write_text(f'#!/bin/sh\necho "{message}" >&2\nexit 1\n')

    with pytest.raises(sandbox.SandboxError, match="Toolkit could not give the run its GPUs"):
        sandbox.run(make_spec(probe, verb="alive", gpus=(GPU,)), scratch, "{}")
