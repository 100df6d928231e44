"""The wall as a value: what every container is created with."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import Limits, Mount, PolicyError, SandboxError, Spec
from sandbox.wall import create_arguments

GOLDEN = Path(__file__).parent.parent / "golden"
LIMITS = Limits(2.0, 8 * 2**30, 512 * 2**20, 256 * 2**20, 512, 4096, 3600.0)
IMAGE = "sha256:" + "a" * 64


def arguments(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a Spec
    """The create request of a plain run, with `changes` to its Spec."""
    fields: dict[str, Any] = {
        "run": "0123456789abcdef",
        "image": IMAGE,
        "verb": "predict",
        "inputs": (Mount(Path("/data/tiles.npy"), "/input/tiles.npy"),),
        "output_size": 5000,
        "limits": LIMITS,
    }
    return create_arguments(Spec(**(fields | changes)), "/scratch/predictions", 2_345_678, "{}")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("create-runc.json", {}),
        ("create-runsc.json", {"runtime": "runsc"}),
        ("create-gpu.json", {"gpus": ("GPU-7a4b", "nvidia.com/gpu=0")}),
    ],
)
def test_create_request_is_the_one_reviewed(name: str, changes: dict[str, Any]) -> None:
    """Any change of the wall is a change of a file; UPDATE_GOLDEN=1 pytest rewrites them."""
    text = json.dumps(arguments(**changes), indent=2) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / name).write_text(text)

    assert (GOLDEN / name).read_text() == text


names = st.text(min_size=1, max_size=40).filter(lambda text: "\0" not in text)
specs = st.fixed_dictionaries(
    {
        "verb": names,
        "inputs": st.lists(st.builds(Mount, names.map(Path), names), max_size=4).map(tuple),
        "output_size": st.integers(0, 10**9),
        "runtime": names,
        "gpus": st.lists(names, max_size=3).map(tuple),
    }
)


@given(specs)
def test_no_spec_opens_the_wall(changes: dict[str, Any]) -> None:
    """Whatever a Spec says, the container is sealed and has one writable file."""
    asked = arguments(**changes)
    host = asked["HostConfig"]

    assert host["NetworkMode"] == "none"
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["CapAdd"] == []
    assert host["Privileged"] is False
    assert host["SecurityOpt"][0] == "no-new-privileges:true"
    assert host["MemorySwap"] == host["Memory"]
    assert host["LogConfig"]["Type"] == "none"
    assert int(asked["User"].partition(":")[0]) >= 1000
    assert [m["Source"] for m in host["Mounts"] if not m["ReadOnly"]] == ["/scratch/predictions"]
    assert {m["Type"] for m in host["Mounts"]} == {"bind"}


@pytest.mark.parametrize("image", ["evaluator:latest", "--privileged", "sha256:" + "a" * 63, ""])
def test_only_an_image_id_can_run(image: str) -> None:
    """A name could be moved to another image between admission and start."""
    with pytest.raises(SandboxError, match="local id"):
        arguments(image=image)


def test_scratch_beyond_half_the_memory_is_refused() -> None:
    """Scratch is charged to the program's memory, so it must leave room for the program."""
    with pytest.raises(PolicyError, match="half of it"):
        Limits(1.0, 2**30, 2**29, 1, 10, 10, 1.0)
