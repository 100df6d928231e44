"""Docker 26 with either image store, beside the engine of this host."""

from __future__ import annotations

import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import sandbox
from evaluator.images import ONNX_RUNNER, ONNX_RUNNER_GPU, find_onnx_runner, name_of
from sandbox.readback import differences
from sandbox.wall import create_arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from docker import APIClient

    from sandbox import Spec

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("runner_image")]

ROOT = Path(__file__).parents[2]
# Docker's own image store, and containerd's.
# A stable release, so that no new engine fails an old commit; `.ci/engine forky` has a later one.
ENGINES = {
    "own-store": ["trixie"],
    "containerd-store": ["trixie", "--containerd-store"],
}
GPU = "nvidia.com/gpu=0"  # as .ci/engine describes it
GOOD = "head -c 30 /dev/zero > /output/predictions"


@pytest.fixture(scope="module", params=ENGINES)
def address(
    request: pytest.FixtureRequest, newer_engine: Callable[..., AbstractContextManager[str]]
) -> Iterator[str]:
    """The socket of a newer engine, which ends with this process's pipe to it."""
    with newer_engine(*ENGINES[request.param]) as found:
        yield found


@pytest.fixture
def newer(address: str, engine: APIClient, monkeypatch: pytest.MonkeyPatch) -> APIClient:
    """A client of the newer engine, which has our ONNX runner; all that follows uses it."""
    runner = name_of(ONNX_RUNNER)
    saved = engine.get_image(runner)
    monkeypatch.setenv("DOCKER_HOST", address)
    client = sandbox.connect()
    if find_onnx_runner() is None:
        for _ in client.load_image(saved):
            pass
    return client


@pytest.fixture
def run(workspace: Path, command: Callable[..., Any]) -> Callable[..., Any]:
    """Run a submission."""

    def run(submission: object) -> Any:  # noqa: ANN401 - conftest's Ended, which no module exports
        arguments = ("run", submission, "--vendor", "acme", "--json", "--workspace", workspace)
        return command(*arguments)

    return run


def save(client: APIClient, image: str, file: Path) -> Path:
    """`docker save IMAGE -o FILE`."""
    with file.open("wb") as archive:
        archive.writelines(client.get_image(image))
    return file


def load(client: APIClient, archive: Path) -> str:
    """`docker load -i FILE`; the id of the one image that is new."""
    before = {image["Id"] for image in client.images()}
    with archive.open("rb") as file:
        for _ in client.load_image(file):
            pass
    (image,) = {image["Id"] for image in client.images()} - before
    return str(image)


def test_the_wall_is_read_back_alike(newer: APIClient) -> None:
    """No false refusal, and every widening is named: the tests of the wall, on this engine."""
    assert newer.version()["Version"] > "26"
    tests = ROOT / "tests" / "sandbox" / "test_readback.py"
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout


def test_a_model_an_archive_and_an_image_are_scored(
    run: Callable[..., Any],
    save_model: Callable[..., Path],
    make_image: Callable[..., str],
    engine: APIClient,
    newer: APIClient,
    tmp_path: Path,
) -> None:
    """The archive is the older engine's; the image is known by the id that this one gives it."""
    archive = save(engine, make_image(GOOD + " # alike"), tmp_path / "image.tar")
    image = load(newer, archive)
    try:
        ended = [run(submission) for submission in (save_model(), archive, image)]
    finally:
        newer.remove_image(image, force=True)

    assert [one.code for one in ended] == [0, 0, 0], [one.stderr for one in ended]
    statement = ended[2].document()["statement"]
    by_manifest = "containerd" in str(newer.info()["DriverStatus"])
    kind = "manifest" if by_manifest else "config"
    assert statement["subject"][0]["digest"] == {"sha256": image.removeprefix("sha256:")}
    assert statement["predicate"]["submission"] == {"kind": "image", "digest_of": kind}
    assert newer.images(filters={"label": "evaluator.run"}) == []


def test_what_it_saves_runs_on_every_engine(
    run: Callable[..., Any],
    make_image: Callable[..., str],
    engine: APIClient,
    newer: APIClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An OCI layout with manifest.json beside it, layers packed or not."""
    image = load(newer, save(engine, make_image(GOOD + " # saved"), tmp_path / "older.tar"))
    archive = save(newer, image, tmp_path / "image.tar")
    newer.remove_image(image, force=True)
    here = run(archive)
    monkeypatch.delenv("DOCKER_HOST")
    there = run(archive)

    assert (here.code, there.code) == (0, 0), here.stderr + there.stderr
    assert here.document()["statement"]["subject"] == there.document()["statement"]["subject"]


@pytest.fixture
def gpu_image(
    make_image: Callable[..., str], engine: APIClient, newer: APIClient, tmp_path: Path
) -> Path:
    """An image that predicts only where it finds the device."""
    image = make_image(f"[ -c /dev/example-gpu ] && {GOOD}")
    assert newer.ping()
    return save(engine, image, tmp_path / "gpu.tar")


@pytest.mark.usefixtures("driver")
def test_a_device_by_its_cdi_name_reaches_the_container(
    run: Callable[..., Any], set_limit: Callable[..., None], gpu_image: Path
) -> None:
    """With it the image predicts; without it, the control, it does not."""
    without = run(gpu_image).document()["status"]
    set_limit(gpus=1, gpu_devices=[GPU])

    assert (run(gpu_image).document()["status"], without) == ("OK", "NONZERO_EXIT")


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ([{"Driver": "cdi", "DeviceIDs": [GPU]}], []),
        ([{"Driver": "cdi", "DeviceIDs": [GPU, "nvidia.com/gpu=1"]}], ["DeviceRequests"]),
        ([{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=1"]}], ["DeviceRequests"]),
        ([{"Driver": "cdi", "DeviceIDs": [GPU]}] * 2, ["DeviceRequests"]),
        ([{"Driver": "cdi", "DeviceIDs": [GPU], "Options": {"a": "b"}}], ["DeviceRequests"]),
        ([], ["DeviceRequests"]),
        (None, ["DeviceRequests", "Devices"]),
    ],
)
def test_a_gpu_that_was_not_asked_for_is_read_back(
    newer: APIClient,
    make_spec: Callable[..., Spec],
    scratch: Path,
    given: list[dict[str, Any]] | None,
    wrong: list[str],
) -> None:
    """One device by its name and nothing else; the first row is the control."""
    image = find_onnx_runner()
    assert image is not None
    asked = create_arguments(make_spec(image, gpus=(GPU,)), str(scratch / "predictions"), 1, "{}")
    (scratch / "predictions").touch()
    really = deepcopy(asked)
    really["HostConfig"]["DeviceRequests"] = given
    if given is None:  # as a device and not as a request
        device = {"PathOnHost": "/dev/null", "PathInContainer": "/dev/example-gpu"}
        really["HostConfig"]["Devices"] = [device | {"CgroupPermissions": "rw"}]
    container = newer.create_container_from_config(really)["Id"]
    try:
        found = newer.inspect_container(container)
    finally:
        newer.remove_container(container, v=True, force=True)

    named = differences(asked, newer.inspect_image(image)["Config"], found)
    assert named == [f"HostConfig.{name}" for name in wrong]


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("nvidia.com/gpu=without-library", "UNSEALED (gpu-self-test)"),
        ("nvidia.com/gpu=9", "no CDI specification"),
        ("nvidia.com/gpu=without-node", "no CDI specification"),
        ("nvidia.com/gpu=without-hook", "A hook of the host's own failed"),
        ("GPU-00000000-0000-0000-0000-000000000000", "has no driver for the GPUs"),
    ],
)
def test_a_device_that_cannot_be_given_is_the_hosts_trouble(
    run: Callable[..., Any],
    set_limit: Callable[..., None],
    gpu_image: Path,
    device: str,
    words: str,
) -> None:
    """One sentence that says what to do, and no vendor is charged for it."""
    set_limit(gpus=1, gpu_devices=[device])
    ended = run(gpu_image)

    assert (ended.code, ended.stdout) == (3, ""), ended.stderr
    assert words in ended.stderr


@pytest.mark.usefixtures("driver")
def test_a_model_is_not_scored_without_the_gpu_that_was_asked_for(
    run: Callable[..., Any],
    set_limit: Callable[..., None],
    save_model: Callable[..., Path],
    newer: APIClient,
) -> None:
    """The device is there and computes nothing: the runner says so before any tile is mounted."""
    repository, _, tag = name_of(ONNX_RUNNER_GPU).partition(":")
    newer.tag(name_of(ONNX_RUNNER), repository, tag)  # stands in for 1.4 GB
    set_limit(gpus=1, gpu_devices=[GPU])
    try:
        ended = run(save_model())
    finally:
        newer.remove_image(f"{repository}:{tag}")

    assert (ended.code, ended.stdout) == (3, ""), ended.stderr
    assert "our image for ONNX models got none" in ended.stderr
