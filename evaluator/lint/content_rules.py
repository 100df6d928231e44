"""EVA210 on: what the layers of an image hold, as `intake.marks` counted it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.lint.making import asks, block, image_of, rules_of
from evaluator.lint.rule import Hit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.lint.facts import Facts

_CACHED = 20 * 2**20  # bytes of package caches that nobody minds
_DELETED = 100  # whiteouts; every apt step leaves a few
_MANY = 300_000  # entries: a conda environment with everything has 200,000
# Variables with which a package says nothing to its maker, and asks it nothing.
_QUIET = {
    "wandb": ("WANDB_MODE", "WANDB_DISABLED"),
    "mlflow": ("MLFLOW_DISABLE_TELEMETRY",),
    "comet_ml": ("COMET_MODE", "COMET_DISABLE_AUTO_LOGGING"),
    "clearml": ("CLEARML_OFFLINE_MODE",),
    "neptune": ("NEPTUNE_MODE",),
    "huggingface_hub": ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"),
    "transformers": ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"),
    "ultralytics": ("YOLO_OFFLINE",),
    "gradio": ("GRADIO_ANALYTICS_ENABLED",),
    "streamlit": ("STREAMLIT_BROWSER_GATHER_USAGE_STATS",),
}
_FRAMEWORKS = ("torch", "tensorflow", "jax", "onnxruntime", "cupy")


def _counted(facts: Facts, mark: str, words: str, most: int = 0) -> Iterator[Hit]:
    """One finding where something was seen more often than `most`."""
    seen = image_of(facts).mark(mark)
    if seen > most:
        yield Hit(f"{seen:,} {words}", "layers")


@asks(
    210,
    "not-readable-by-others",
    "warning",
    needs=("image",),
    title="Files are readable for everyone",
    why="A container runs under a random uid. What only its owner may read, or a directory that "
    "only its owner may enter, does not exist for it: the usual reason for a NONZERO_EXIT.",
    fix="Open what you copy." + block("dockerfile", "COPY --chmod=755 app /app"),
)
def _not_readable_by_others(facts: Facts) -> Iterator[Hit]:
    return _counted(facts, "unreadable", "files or directories that only their owner may use")


@asks(
    211,
    "secrets-in-layers",
    "warning",
    needs=("image",),
    title="No layer holds keys or credentials",
    why="A layer is a file that everyone who has the image can open; deleting it in a later step "
    "leaves it there.",
    fix="Revoke it, keep it out of the build's context, and build again."
    + block("sh", "printf '%s\\n' .env .aws .netrc 'id_*' .git >> .dockerignore"),
)
def _secrets_in_layers(facts: Facts) -> Iterator[Hit]:
    return _counted(facts, "secrets", "files with names of keys or credentials")


@asks(
    212,
    "repository-in-layers",
    "warning",
    needs=("image",),
    title="No layer holds a .git directory",
    why="It has every version of every file, those with passwords too, and names of people.",
    fix="Keep it out of the build's context." + block("sh", "echo .git >> .dockerignore"),
)
def _repository_in_layers(facts: Facts) -> Iterator[Hit]:
    return _counted(facts, "git", "git repositories")


@asks(
    213,
    "package-caches-in-layers",
    "note",
    needs=("image",),
    title="No layer holds caches of package managers",
    why="They are read when something is installed, and nothing is installed where an image runs.",
    fix="Clean up in the step that installs, or keep the cache out of the image."
    + block(
        "dockerfile",
        "RUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt",
    ),
)
def _package_caches_in_layers(facts: Facts) -> Iterator[Hit]:
    cached = image_of(facts).mark("package_cache_bytes")
    if cached > _CACHED:
        yield Hit(f"{cached / 2**20:,.0f} MiB of apt, pip, conda or npm caches", "layers")


@asks(
    214,
    "weights-under-the-model-path",
    "warning",
    needs=("image",),
    title="The image's own weights lie outside /opt/ml/model",
    why="In the fine-tuned phase that path is what `train` left: it hides what the image has, "
    "so `train` cannot start from those weights, and `predict` after it does not find them.",
    fix="Keep the weights elsewhere; let `train` write its own to `/opt/ml/model`, and let "
    "`predict` look there first."
    + block(
        "python",
        'tuned = Path("/opt/ml/model/weights.pt")',
        'weights = tuned if tuned.exists() else Path("/app/weights.pt")',
    ),
)
def _weights_under_the_model_path(facts: Facts) -> Iterator[Hit]:
    return _counted(facts, "model_files", "files below /opt/ml/model, hidden after `train`")


@asks(
    215,
    "telemetry-on-import",
    "note",
    needs=("image",),
    title="Packages that call home are told not to",
    why="Without a network each call waits for a resolver that is not there, on some at every "
    "import, and a few raise. Time is charged.",
    fix="Say so in the image."
    + block(
        "dockerfile",
        "ENV HF_HUB_OFFLINE=1 WANDB_MODE=disabled YOLO_OFFLINE=true",
        "ENV MLFLOW_DISABLE_TELEMETRY=true GRADIO_ANALYTICS_ENABLED=False",
    ),
)
def _telemetry_on_import(facts: Facts) -> Iterator[Hit]:
    image = image_of(facts)
    said = {name for name, _ in image.variables}
    for package, variables in _QUIET.items():
        if image.mark(f"package_{package}") and not said & set(variables):
            yield Hit(f"{package} is installed and {variables[0]} is not set", "layers")


@asks(
    216,
    "compiles-at-start",
    "note",
    needs=("image",),
    title="Nothing has to be compiled when the container starts",
    why="torch.compile, Triton and Numba's cache=True write shared libraries or locks to a cache. "
    "`/tmp` is `noexec`, file locks (flock) are refused, and what was compiled is gone afterwards, "
    "so it is compiled, and charged, in every container.",
    fix="Compile ahead of time (torch.export, ONNX, numba's AOT), or fill the cache in the build."
    + block("dockerfile", "ENV TORCHDYNAMO_DISABLE=1"),
)
def _compiles_at_start(facts: Facts) -> Iterator[Hit]:
    image = image_of(facts)
    off = any(name == "TORCHDYNAMO_DISABLE" and value == "1" for name, value in image.variables)
    triton, numba = image.mark("package_triton") and not off, image.mark("package_numba")
    for package in ("triton",) * bool(triton) + ("numba",) * bool(numba):
        yield Hit(f"{package} is installed, which compiles at start where it is used", "layers")


@asks(
    217,
    "weights-in-a-home-directory",
    "warning",
    needs=("image",),
    title="No weights wait in an account's cache",
    why="HOME is /tmp, so `~/.cache/torch` and `~/.cache/huggingface` are empty there: the library "
    "does not find what the build downloaded, and tries the network.",
    fix="Download to a path of the image, and name it."
    + block(
        "dockerfile",
        "ENV HF_HOME=/opt/weights/huggingface TORCH_HOME=/opt/weights/torch HF_HUB_OFFLINE=1",
        "RUN python /app/download.py && chmod -R a+rX /opt/weights",
    ),
)
def _weights_in_a_home_directory(facts: Facts) -> Iterator[Hit]:
    image = image_of(facts)
    told = {"HF_HOME", "TORCH_HOME", "XDG_CACHE_HOME", "HF_HUB_CACHE", "KERAS_HOME"}
    if not told & {name for name, _ in image.variables}:
        yield from _counted(facts, "home_weights", "files in a ~/.cache that HOME=/tmp hides")


@asks(
    218,
    "root-home-closed",
    "warning",
    needs=("image",),
    title="Nothing that is needed lies below /root",
    why="Base images close /root to everyone but root, and a submission is not root. Packages of "
    "`pip install --user`, of pyenv, of uv and rust land there.",
    fix="Install elsewhere, or open it." + block("dockerfile", "RUN chmod a+rx /root"),
)
def _root_home_closed(facts: Facts) -> Iterator[Hit]:
    if image_of(facts).mark("root_home_closed"):
        yield from _counted(
            facts, "root_home_files", "files below /root, which is closed to others"
        )


@asks(
    219,
    "driver-library-in-layers",
    "warning",
    needs=("image",),
    title="The GPU driver's own libraries are the host's",
    why="libcuda and its kin must be of the driver that the host's kernel runs; the host brings "
    "them. A copy in the image is found first, and then no GPU is.",
    fix="Remove it; to link against, use the stubs of the toolkit."
    + block("dockerfile", "RUN rm -f /usr/lib/x86_64-linux-gnu/libcuda.so*"),
)
def _driver_library_in_layers(facts: Facts) -> Iterator[Hit]:
    return _counted(facts, "driver_libraries", "libraries of a GPU driver (libcuda, libnvidia-ml)")


@asks(
    220,
    "gpu-libraries-missing",
    "warning",
    needs=("image",),
    title="Libraries for the GPU are there where the challenge has one",
    why="A framework built for the CPU runs on the CPU beside an idle GPU, which takes longer and "
    "is charged.",
    fix="Install the build for CUDA."
    + block(
        "dockerfile", "RUN pip install torch --index-url https://download.pytorch.org/whl/cu126"
    ),
)
def _gpu_libraries_missing(facts: Facts) -> Iterator[Hit]:
    image = image_of(facts)
    used = [name for name in _FRAMEWORKS if image.mark(f"package_{name}")]
    if facts.challenge.resources.gpus and used and not image.mark("cuda_libraries"):
        yield Hit(f"{', '.join(used)} and no CUDA library, though there is a GPU", "layers")


@asks(
    221,
    "gpu-libraries-unused",
    "note",
    needs=("image",),
    title="No libraries for a GPU where the challenge has none",
    why="They take gigabytes and seconds of every start, and are never used.",
    fix="Install the build for the CPU."
    + block("dockerfile", "RUN pip install torch --index-url https://download.pytorch.org/whl/cpu"),
)
def _gpu_libraries_unused(facts: Facts) -> Iterator[Hit]:
    if not facts.challenge.resources.gpus:
        yield from _counted(facts, "cuda_libraries", "CUDA libraries, and the challenge has no GPU")


@asks(
    222,
    "deleted-but-carried",
    "note",
    needs=("image",),
    title="Nothing is deleted in another step than it came in",
    why="A layer holds what its step added; deleting it later hides it and makes the image no "
    "smaller.",
    fix="Delete in the same step."
    + block(
        "dockerfile",
        "RUN apt-get update && apt-get install -y gcc && make && apt-get purge -y gcc "
        "&& rm -rf /var/lib/apt/lists/*",
    ),
)
def _deleted_but_carried(facts: Facts) -> Iterator[Hit]:
    return _counted(facts, "whiteouts", "deletions of what earlier layers brought", _DELETED)


@asks(
    223,
    "very-many-files",
    "note",
    needs=("image",),
    title="The image has no more files than a program needs",
    why="Each is unpacked and looked up; a data set of single files is slower to load than one "
    "archive or array.",
    fix="Pack what belongs together, and leave tests and documentation out."
    + block("python", 'numpy.save("tiles.npy", tiles)'),
)
def _very_many_files(facts: Facts) -> Iterator[Hit]:
    return _counted(facts, "entries", "files, directories and links", _MANY)


RULES = rules_of(globals())
