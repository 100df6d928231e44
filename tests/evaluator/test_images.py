"""The images we build: named by what goes into them, small, and silent."""

from __future__ import annotations

import dataclasses
import errno
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from evaluator import images, rootfs
from evaluator.cli import data
from evaluator.workspace import shipped
from sandbox import SandboxError

if TYPE_CHECKING:
    from pathlib import Path

    import docker

MB = 10**6
SHELLS = {"sh", "bash", "dash", "busybox", "dpkg", "apt", "apt-get", "perl", "tar"}


@pytest.fixture(scope="module")
def runner() -> str:
    """The id of the ONNX runner; the first build of a machine fetches 40 MB."""
    return images.build_onnx_runner(print)


@pytest.fixture(scope="module")
def members(
    runner: str, engine: docker.APIClient, tmp_path_factory: pytest.TempPathFactory
) -> list[tarfile.TarInfo]:
    """Every file of the ONNX runner."""
    container = engine.create_container(runner, ["check"])["Id"]
    path = tmp_path_factory.mktemp("export") / "runner.tar"
    try:
        with path.open("wb") as out:
            out.writelines(engine.export(container))
    finally:
        engine.remove_container(container, force=True)
    with tarfile.open(path) as archive:
        return archive.getmembers()


def copied(tmp_path: Path) -> Path:
    """Copy images/, to change it."""
    return shutil.copytree(shipped("images"), tmp_path / "images")


@pytest.mark.parametrize("changed", ["onnx/classifier.py", "onnx/requirements.lock"])
def test_an_image_is_named_after_its_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    """A changed source or lock is another image; an unrelated file is not."""
    name = images.name_of(images.ONNX_RUNNER)
    folder = copied(tmp_path)
    monkeypatch.setattr(images, "shipped", lambda _: folder)
    (folder / "CONTRACT.md").write_text("other words")
    assert images.name_of(images.ONNX_RUNNER) == name
    (folder / changed).write_text("other")
    assert images.name_of(images.ONNX_RUNNER) != name


def test_the_recipe_itself_is_part_of_the_name() -> None:
    """Another entry point or package is another image."""
    other = dataclasses.replace(images.ONNX_RUNNER, packages=("busybox",))
    assert images.name_of(other) != images.name_of(images.ONNX_RUNNER)


@pytest.mark.parametrize("gpu", [True, False])
def test_an_examples_gpu_variant_is_built_beside_it(
    monkeypatch: pytest.MonkeyPatch, *, gpu: bool
) -> None:
    """Where it has one, and where it is asked for."""
    monkeypatch.setattr(images, "build", lambda recipe, _: recipe.repository)
    options = ["build", "--example", "torch", "--example", "perl", *(["--gpu"] if gpu else [])]
    shown = CliRunner().invoke(data.images, options)

    examples = [line.split() for line in shown.stdout.splitlines() if "example" in line]
    names = ["torch", "perl", *(["torch-gpu"] if gpu else [])]
    assert examples == [[f"example-{name}", f"evaluator/example-{name}"] for name in names]


def test_both_variants_of_the_torch_example_have_the_same_torch() -> None:
    """And so has who builds it by the Dockerfile; the CPU's is the build without CUDA."""
    by_hand = shipped("images") / "examples/torch/requirements.txt"
    cpu, gpu = (
        "".join(
            (shipped("images") / name).read_text() for name in kind["torch"].requirements
        ).splitlines()
        for kind in (images.EXAMPLES, images.EXAMPLES_GPU)
    )
    pinned = by_hand.read_text().splitlines()

    assert set(pinned) <= set(gpu)
    assert {line.replace("+cpu", "").removesuffix(" \\") for line in cpu} >= set(pinned)
    assert any(line.startswith("torch==") and "+cpu" in line for line in cpu)


@pytest.mark.docker
def test_the_second_build_finds_the_first(runner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same inputs nothing is fetched and nothing is built."""
    monkeypatch.setattr(rootfs, "mmdebstrap", None)
    assert images.build_onnx_runner(pytest.fail) == runner
    assert images.find_onnx_runner() == runner


@pytest.mark.docker
def test_a_failed_build_leaves_nothing(
    engine: docker.APIClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No container, image or file stays of a build whose last step fails."""
    recipe = dataclasses.replace(images.EXAMPLES["perl"], repository="evaluator/never")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(rootfs, "debian_packages", _program_that_fails)
    broken = dataclasses.replace(recipe, entrypoint=("/usr/bin/python3.11",))
    with pytest.raises(SandboxError):
        images.build(broken, print)
    ours = {"label": images.BUILD_LABEL}
    assert engine.containers(all=True, filters=ours) == []
    assert engine.images(filters=ours) == []
    assert engine.images(name="evaluator/never") == []
    assert not (tmp_path / "evaluator/build").exists()


def test_a_full_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Running out of space says where it happened and how much room is needed."""

    def full(_: object, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", target)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(images, "find_image", lambda _: None)
    monkeypatch.setattr(images, "_remove_leftovers", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/mmdebstrap")
    monkeypatch.setattr(rootfs, "debian_packages", full)
    with pytest.raises(SandboxError, match=r"No space left on device\. Make room there"):
        images.build(images.EXAMPLES["perl"], print)


def _program_that_fails(_: object, target: Path) -> None:
    with tarfile.open(target, "w") as out:
        member = tarfile.TarInfo("./usr/bin/python3.11")
        member.mode = 0o755
        out.addfile(member)


@pytest.mark.docker
def test_the_runner_is_small_and_flat(runner: str, engine: docker.APIClient) -> None:
    """One layer of at most 137 MB: hiding a file below another layer would save nothing."""
    found = engine.inspect_image(runner)
    assert found["Size"] <= 137 * MB
    assert len(found["RootFS"]["Layers"]) == 1


@pytest.mark.docker
def test_the_runner_has_no_shell_and_no_package_manager(members: list[tarfile.TarInfo]) -> None:
    """Python is the only program (and the dynamic loader, without which there is none)."""
    programs = {member.name for member in members if "bin/" in member.name and not member.isdir()}
    assert programs == {"usr/bin/python3.11"}
    assert not SHELLS & {member.name.rpartition("/")[2] for member in members if member.isfile()}
    assert not [member.name for member in members if member.mode & 0o6000]


@pytest.mark.docker
def test_every_module_comes_with_its_bytecode(members: list[tarfile.TarInfo]) -> None:
    """A read-only root cannot keep what a start compiles, so nothing is left to compile."""
    names = {member.name for member in members}
    sources = [name for name in names if name.endswith(".py") and "/python3.11/" in name]
    compiled = {
        f"{folder}/__pycache__/{file.removesuffix('.py')}.cpython-311.pyc"
        for folder, _, file in (name.rpartition("/") for name in sources)
    }
    assert f"{rootfs.SITE_PACKAGES}/runner.py" in sources
    assert compiled <= names


def files_after_import(image: str, telemetry_disabled: str) -> str:
    """Return what importing onnxruntime leaves in the only writable place."""
    program = (
        "import onnxruntime, os; "
        "print(*(f'{where}/{file}' for where, _, files in os.walk('/tmp') for file in files))"
    )
    command = ["docker", "run", "--rm", "--network=none", "--read-only", "--user=12345"]
    command += ["--tmpfs=/tmp:mode=1777", "--env=HOME=/tmp"]
    command += [f"--env=ORT_DISABLE_TELEMETRY={telemetry_disabled}"] if telemetry_disabled else []
    command += ["--entrypoint=/usr/bin/python3.11", image, "-I", "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.docker
def test_onnxruntime_writes_no_telemetry(runner: str) -> None:
    """The image's own environment silences it; without that it leaves a device id and a queue."""
    assert files_after_import(runner, telemetry_disabled="") == ""
    assert ".onnxruntime/deviceid" in files_after_import(runner, telemetry_disabled="0")
