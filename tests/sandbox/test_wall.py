"""The wall as a value: what every container is created with."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import Allowance, Limits, Mount, PolicyError, SandboxError, Spec
from sandbox.wall import create_arguments, model_volume, uid_of, volume_arguments

GOLDEN = Path(__file__).parent.parent / "golden"
LIMITS = Limits(2.0, 8 * 2**30, 512 * 2**20, 256 * 2**20, 512, 4096, 3600.0)
IMAGE = "sha256:" + "a" * 64
VOLUME = "evaluator-model-0123456789abcdef"


TRAIN: dict[str, Any] = {
    "verb": "train",
    "inputs": (
        Mount(Path("/data/tiles.npy"), "/input/tiles.npy"),
        Mount(Path("/data/labels.npy"), "/input/labels.npy"),
    ),
    "output_size": 0,
    "model": "write",
    "frames": True,
}


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
        ("create-train.json", TRAIN),
        ("create-tuned.json", {"model": "read", "cpuset": "4-7"}),
        ("create-keep.json", {"verb": "keep", "inputs": (), "output_size": 1, "model": "read"}),
    ],
)
def test_create_request_is_the_one_reviewed(name: str, changes: dict[str, Any]) -> None:
    """Any change of the wall is a change of a file; UPDATE_GOLDEN=1 pytest rewrites them."""
    text = json.dumps(arguments(**changes), indent=2) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / name).write_text(text)

    assert (GOLDEN / name).read_text() == text


runs = st.text("0123456789abcdef", min_size=16, max_size=16)
names = st.text(min_size=1, max_size=40).filter(lambda text: "\0" not in text)
specs = st.fixed_dictionaries(
    {
        "verb": names,
        "inputs": st.lists(st.builds(Mount, names.map(Path), names), max_size=4).map(tuple),
        "output_size": st.integers(0, 10**9),
        "runtime": names,
        "gpus": st.lists(names, max_size=3).map(tuple),
        "model": st.sampled_from(["", "read", "write"]),
        "cpuset": names,
        "kept": st.none() | names.map(Path),
        "frames": st.booleans(),
        "allowance": st.builds(Allowance, st.floats(0), st.floats(0), st.floats(0)),
    }
)


@given(specs)
def test_no_spec_opens_the_wall(changes: dict[str, Any]) -> None:
    """Whatever a Spec says, the container is sealed; it may write its output and its own model."""
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
    writable = {(m["Source"], m["Target"]) for m in host["Mounts"] if not m["ReadOnly"]}
    output = {("/scratch/predictions", "/output/predictions")} if changes["output_size"] else set()
    model = {(VOLUME, "/opt/ml/model")} if changes["model"] == "write" else set()
    assert writable == output | model
    volumes = [m["Source"] for m in host["Mounts"] if m["Type"] == "volume"]
    assert volumes == [VOLUME] * bool(changes["model"])
    assert {m["Type"] for m in host["Mounts"]} <= {"bind", "volume"}


@given(specs)
def test_a_container_is_attached_for_frames_alone(changes: dict[str, Any]) -> None:
    """Those of a program of ours, on its stderr; neither stdin nor stdout, whatever a Spec says."""
    asked = arguments(**changes)

    assert asked["AttachStderr"] is changes["frames"]
    assert not asked["AttachStdin"]
    assert not asked["AttachStdout"]
    assert not asked["OpenStdin"]
    assert not asked["Tty"]


def test_a_plain_spec_has_no_model_and_is_not_attached() -> None:
    """What is not asked for is not there: the default is the narrow end."""
    asked = arguments()

    assert asked["AttachStderr"] is False
    assert asked["HostConfig"]["CpusetCpus"] == ""
    assert {mount["Type"] for mount in asked["HostConfig"]["Mounts"]} == {"bind"}


def test_kept_output_changes_the_file_and_nothing_else() -> None:
    """Which file takes the output is the caller's business; the request is the same."""
    assert arguments(kept=Path("/anywhere")) == arguments()


# The model volume


@given(runs, st.integers(1, 2**40), st.integers(0, 2**31))
def test_no_run_opens_the_model_volume(run: str, size: int, uid: int) -> None:
    """In memory, of that size, for that uid alone, without devices and without setuid programs."""
    asked = volume_arguments(run, size, uid)

    assert (asked["Driver"], asked["Labels"]) == ("local", {"evaluator.run": run})
    options = asked["DriverOpts"]
    assert (options["type"], options["device"]) == ("tmpfs", "tmpfs")
    assert options["o"].split(",") == [
        f"size={size}",
        "nr_inodes=65536",
        f"uid={uid}",
        f"gid={uid}",
        "mode=0700",
        "nosuid",
        "nodev",
    ]


@given(runs, runs)
def test_each_run_has_a_volume_of_its_own(one: str, other: str) -> None:
    """Found by the name of the run, so that no run is given another's."""
    assert (model_volume(one) == model_volume(other)) == (one == other)


@given(runs)
def test_the_containers_of_a_run_share_a_uid_that_no_account_has(run: str) -> None:
    """The model that one leaves is for its own uid alone, and another has to read it."""
    assert uid_of(run) == uid_of(run)
    assert 2_000_000 <= uid_of(run) < 3_000_000


@pytest.mark.parametrize("image", ["evaluator:latest", "--privileged", "sha256:" + "a" * 63, ""])
def test_only_an_image_id_can_run(image: str) -> None:
    """A name could be moved to another image between admission and start."""
    with pytest.raises(SandboxError, match="local id"):
        arguments(image=image)


@pytest.mark.parametrize("run", ["", "0123456789abcde", "0123456789ABCDEF", "../../etc/passwd01"])
def test_a_run_has_a_name_of_its_own(run: str) -> None:
    """It becomes the name of a volume and of a lock."""
    with pytest.raises(SandboxError, match="16 hexadecimal digits"):
        arguments(run=run)


@pytest.mark.parametrize(("tmp", "model"), [(2**29, 0), (2**28, 2**28), (0, 2**29)])
def test_scratch_beyond_half_the_memory_is_refused(tmp: int, model: int) -> None:
    """Scratch is charged to the program's memory, so it must leave room for the program."""
    with pytest.raises(PolicyError, match="half of it"):
        Limits(1.0, 2**30, tmp, 1, 10, 10, 1.0, model)


def test_the_largest_file_is_as_large_as_the_largest_scratch() -> None:
    """A model of one file fits the volume; where there is none, it widens nothing."""
    assert Limits(1.0, 2**30, 1000, 10, 10, 10, 1.0).file_size == 1000
    assert Limits(1.0, 2**30, 1000, 10, 10, 10, 1.0, 5000).file_size == 5000
