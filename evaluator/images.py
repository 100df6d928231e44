"""The images we build ourselves: the ONNX runner and trainer, and the example submissions.

    Debian packages + wheels + our files -> one tar -> bytecode by its own Python -> one flat layer

An image is named after a digest of everything that goes into it, so a second build finds
the first one's and does nothing. No Dockerfile: the engine needs no builder and no network.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shlex
import shutil
import tarfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluator import rootfs
from evaluator.workspace import shipped
from sandbox import SandboxError, connect, engine_errors, find_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Progress = Callable[[str], None]

_FOLDER = "build"  # in the cache, while a build is on or was killed
BUILD_LABEL = "evaluator.build"  # on all that a build leaves behind when it is killed
DEBIAN = f"debian:{rootfs.SUITE}-slim"
PYTHON = ("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6")
COMPILE = ["/usr/bin/python3.11", "-I", "-m", "compileall", "-q", "-j", "0"]
# Checked against nothing: no date can match in an image, and a read-only root cannot rewrite it.
COMPILE += [
    "--invalidation-mode",
    "unchecked-hash",
    "/usr/lib/python3.11",
    f"/{rootfs.SITE_PACKAGES}",
]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What goes into an image; `files` are {path inside: path below images/}."""

    repository: str
    packages: tuple[str, ...]
    files: dict[str, str]
    entrypoint: tuple[str, ...]
    requirements: tuple[str, ...] = ()  # below images/
    environment: tuple[str, ...] = ()  # NAME=value


MODEL_FILE = ("model_file", "calls", "findings", "protobuf")  # the walk before onnxruntime


def _onnx(suffix: str) -> Recipe:
    modules = ("runner", "classifier", "preprocessing", *MODEL_FILE)
    return Recipe(
        repository=f"evaluator/onnx-runner{suffix}",
        packages=PYTHON,
        files={f"/{rootfs.SITE_PACKAGES}/{name}.py": f"onnx/{name}.py" for name in modules},
        entrypoint=("/usr/bin/python3.11", "-I", "-m", "runner"),
        requirements=(f"onnx/requirements{suffix}.lock",),
        environment=("OPENBLAS_NUM_THREADS=1",),  # its threads would never be used
    )


def _trainer(suffix: str, *requirements: str) -> Recipe:
    shared = ("runner", "classifier", "preprocessing", *MODEL_FILE)
    files = {f"/{rootfs.SITE_PACKAGES}/{name}.py": f"onnx/{name}.py" for name in shared}
    own = sorted((shipped("images") / "trainer").glob("*.py"))
    own += [shipped("images") / "trainer" / "operators.txt"]
    files |= {f"/{rootfs.SITE_PACKAGES}/{each.name}": f"trainer/{each.name}" for each in own}
    return Recipe(
        repository=f"evaluator/onnx-trainer{suffix}",
        packages=PYTHON,
        files=files,
        entrypoint=("/usr/bin/python3.11", "-I", "-m", "trainer"),
        requirements=requirements,
    )


ONNX_RUNNER = _onnx("")
ONNX_RUNNER_GPU = _onnx("-gpu")
ONNX_TRAINER = _trainer("", "trainer/requirements.lock", "trainer/torch-cpu.lock")
ONNX_TRAINER_GPU = _trainer("-gpu", "trainer/requirements-gpu.txt")
PROBE = Recipe(
    repository="evaluator/probe",
    packages=PYTHON,
    files={
        f"/{rootfs.SITE_PACKAGES}/probe/{module.name}": f"probe/{module.name}"
        for module in sorted((shipped("images") / "probe").glob("*.py"))
    },
    entrypoint=("/usr/bin/python3.11", "-I", "-m", "probe"),
)
HOLDER = Recipe(
    repository="evaluator/holder",
    packages=PYTHON,
    files={f"/{rootfs.SITE_PACKAGES}/holder.py": "holder/holder.py"},
    entrypoint=("/usr/bin/python3.11", "-I", "-m", "holder"),
)


def _torch(suffix: str, *requirements: str) -> Recipe:
    return Recipe(
        repository=f"evaluator/example-torch{suffix}",
        packages=PYTHON,
        files={f"/opt/{name}": f"examples/torch/{name}" for name in ("predict.py", "weights.pt")},
        entrypoint=("/usr/bin/python3.11", "/opt/predict.py"),
        requirements=requirements,
    )


EXAMPLES = {
    "perl": Recipe(
        repository="evaluator/example-perl",
        packages=("perl-base",),
        files={
            "/opt/predict.pl": "examples/perl/predict.pl",
            "/opt/centroids.txt": "examples/perl/centroids.txt",
        },
        entrypoint=("/usr/bin/perl", "/opt/predict.pl"),
    ),
    "torch": _torch("", "examples/torch/requirements.lock", "trainer/torch-cpu.lock"),
}
EXAMPLES_GPU = {"torch": _torch("-gpu", "examples/torch/requirements-gpu.txt")}


def find_onnx_runner(*, gpu: bool = False) -> str | None:
    """The local id of the ONNX runner that today's sources describe, or None."""
    return find_image(name_of(ONNX_RUNNER_GPU if gpu else ONNX_RUNNER))


def build_onnx_runner(progress: Progress, *, gpu: bool = False) -> str:
    """Build the ONNX runner unless it is there; return its local id.

    The first build fetches Debian packages and wheels (40 MB, for the GPU 1.4 GB).
    SandboxError says what is missing on this host.
    """
    return build(ONNX_RUNNER_GPU if gpu else ONNX_RUNNER, progress)


def find_onnx_trainer(*, gpu: bool = False) -> str | None:
    """The local id of the ONNX trainer that today's sources describe, or None."""
    return find_image(name_of(ONNX_TRAINER_GPU if gpu else ONNX_TRAINER))


def build_onnx_trainer(progress: Progress, *, gpu: bool = False) -> str:
    """Build the ONNX trainer as build_onnx_runner does; it fetches 250 MB, for the GPU 4 GB."""
    return build(ONNX_TRAINER_GPU if gpu else ONNX_TRAINER, progress)


def build_probe(progress: Progress) -> str:
    """Build the probe that `doctor` tries the wall with, as build_onnx_runner does."""
    return build(PROBE, progress)


def build_holder(progress: Progress) -> str:
    """Build what keeps a trained model between two containers, as build_onnx_runner does."""
    return build(HOLDER, progress)


def build_example(name: str, progress: Progress, *, gpu: bool = False) -> str:
    """Build the example submission `name`, a key of EXAMPLES, as build_onnx_runner does.

    For a GPU, where EXAMPLES_GPU has it too, it fetches as much as the trainer.
    """
    return build((EXAMPLES_GPU if gpu else EXAMPLES)[name], progress)


def name_of(recipe: Recipe) -> str:
    """repository:digest of the recipe, every file it names, and the code that follows it."""
    images = shipped("images")
    named = [*recipe.files.values(), "base/exclude.txt"]
    named += recipe.requirements
    sources = [images / name for name in named] + [Path(__file__), Path(rootfs.__file__)]
    parts = [hashlib.sha256(source.read_bytes()).hexdigest() for source in sources]
    digest = hashlib.sha256(json.dumps([repr(recipe), *parts]).encode()).hexdigest()
    return f"{recipe.repository}:{digest[:16]}"


def build(recipe: Recipe, progress: Progress) -> str:
    """Build an image unless one of the same inputs is there; return its local id."""
    name = name_of(recipe)
    found = find_image(name)
    # As before nearly every run: no lock, and no sweep where no build was killed.
    if found and not (rootfs.cache() / _FOLDER).exists():
        return found
    with _build_folder() as folder:
        found = find_image(name)  # another build may have made it meanwhile
        if found:
            return found
        images = shipped("images")
        progress("fetching Debian packages")
        if shutil.which("mmdebstrap"):
            rootfs.debian_packages(recipe.packages, folder / "base.tar")
        else:
            _debian_packages_in_container(recipe.packages, folder / "base.tar")
        progress("fetching wheels")
        locks = [images / name for name in recipe.requirements]
        wheels = [wheel for lock in locks for wheel in rootfs.fetch_wheels(lock)]
        progress(f"building {name}")
        files = {inside: images / source for inside, source in recipe.files.items()}
        program = recipe.entrypoint[0].lstrip("/")
        rootfs.write_rootfs(folder / "rootfs.tar", folder / "base.tar", wheels, files, program)
        if "python" in program:
            return _import_compiled(folder / "rootfs.tar", recipe, name)
        with (folder / "rootfs.tar").open("rb") as layer:
            return _import(layer, name, recipe)


@contextmanager
def _build_folder() -> Iterator[Path]:
    """An empty folder for one build at a time; what a killed one left is removed first."""
    folder = rootfs.cache() / _FOLDER
    with (rootfs.cache() / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(folder, ignore_errors=True)
        _remove_leftovers()
        folder.mkdir()
        try:
            yield folder
        except OSError as error:
            raise SandboxError(
                f"The image cannot be built in {folder}: {error.strerror}. Make room there (3 GB "
                "for the GPU runner), or set XDG_CACHE_HOME to another place."
            ) from error
        finally:
            _remove_leftovers()
            shutil.rmtree(folder, ignore_errors=True)  # last: it says that something may be left


def _remove_leftovers() -> None:
    """Remove every container and image of a build that did not become its result."""
    client = connect()
    mine = {"label": BUILD_LABEL}
    with engine_errors():
        for container in client.containers(all=True, quiet=True, filters=mine):
            client.remove_container(container["Id"], force=True, v=True)
        for image in client.images(quiet=True, filters=mine):
            client.remove_image(image, force=True)


def _debian_packages_in_container(packages: tuple[str, ...], target: Path) -> None:
    """Write the packages as a tar where the host has no mmdebstrap: Debian's own image can."""
    command = "apt-get update && apt-get install --yes --no-install-recommends mmdebstrap && "
    command += shlex.join(rootfs.mmdebstrap(packages, "/base.tar"))
    try:
        fetched = _file_from_container(command, "/base.tar", target)
    except SandboxError:
        fetched = False
    if not fetched:
        raise SandboxError(
            "Debian packages cannot be fetched: mmdebstrap is not installed (apt-get install "
            f"mmdebstrap is the short way), and a container of {DEBIAN} could not stand in for it."
        )


def _file_from_container(command: str, path: str, target: Path) -> bool:
    """Copy the file that a shell command wrote in a Debian container; False if it failed."""
    client = connect()
    with engine_errors():
        if not find_image(DEBIAN):
            client.pull(DEBIAN)
        container = client.create_container(
            DEBIAN, ["sh", "-c", command], labels=[BUILD_LABEL], use_config_proxy=False
        )["Id"]
        client.start(container)
        if client.wait(container)["StatusCode"] != 0:
            return False
        chunks, _ = client.get_archive(container, path)
        _write_only_member(chunks, target)
    return True


def _write_only_member(chunks: Iterable[bytes], target: Path) -> None:
    """Unwrap the tar of one file that the engine makes of a copy out of a container."""
    wrapped = target.with_suffix(".wrapped")
    with wrapped.open("wb") as out:
        out.writelines(chunks)
    with tarfile.open(wrapped) as archive, target.open("wb") as out:
        content = archive.extractfile(archive.getmembers()[0])
        assert content is not None  # noqa: S101 - our own container wrote a regular file
        shutil.copyfileobj(content, out)


def _import_compiled(layer: Path, recipe: Recipe, name: str) -> str:
    """Let the image's own Python write its bytecode, then flatten the two layers into one.

    Without it each start would compile anew (0.2 s): a read-only root keeps nothing.
    """
    client = connect()
    with layer.open("rb") as data:
        stage = _import(data, f"{BUILD_LABEL}:{name.partition(':')[2]}", None)
    with engine_errors():
        settings = client.create_host_config(network_mode="none", cap_drop=["ALL"])
        container = client.create_container(
            stage, COMPILE, host_config=settings, labels=[BUILD_LABEL], use_config_proxy=False
        )["Id"]
        client.start(container)
        if client.wait(container)["StatusCode"] != 0:
            raise SandboxError(f"The Python of {name} could not compile its modules.")
        return _import(client.export(container), name, recipe)


def _import(data: Any, name: str, recipe: Recipe | None) -> str:  # noqa: ANN401 - a file or chunks
    """Make an image of one layer out of a tar, a stage of the build without a recipe; its id."""
    changes = [f"LABEL {BUILD_LABEL}=stage"]
    if recipe:
        changes = [f"ENV {each}" for each in ("ORT_DISABLE_TELEMETRY=1", *recipe.environment)]
        changes.append(f"ENTRYPOINT {json.dumps(recipe.entrypoint)}")
    repository, _, tag = name.partition(":")
    with engine_errors():
        connect().import_image_from_data(data, repository, tag, changes)
    found = find_image(name)
    if found is None:
        raise SandboxError(f"The Docker engine took the files of {name} and made no image of them.")
    return found
