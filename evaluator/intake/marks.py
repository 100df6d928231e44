"""What a rehearsal is told of an image beside its layers: counts, and settings as handed in.

Both are for `validate` alone, so that a vendor hears what will fail or surprise; an official intake
asks for neither. This runs in the confined child (`worker`), which counts names and modes and opens
no file. Counts are over all layers as they lie in the archive, so what a later layer deletes still
counts: it travels, and a vendor's customers can read it.

    entries              files, directories and links
    whiteouts            what layers delete of those below them
    model_files          files below /opt/ml/model, where the fine-tuned phase has its model
    secrets              files with names of keys and credentials: id_rsa, .netrc, .aws/credentials
    git                  repositories: a HEAD in a directory .git
    package_cache_files  files of apt, pip, conda and npm that only serve a next installation
    package_cache_bytes  their bytes
    unreadable           files and directories, not the system's own, that only their owner may use
    home_weights         files in ~/.cache/torch, ~/.cache/huggingface and the like of an account
    root_home_files      files below /root that are more than a shell's own
    root_home_closed     1 where the last layer that says so closes /root to other users
    cuda_libraries       libraries that compute on a GPU: libcudart, libcublas, libtorch_cuda
    driver_libraries     libraries that come with a GPU's driver: libcuda, libnvidia-ml
    package_NAME         installed Python packages of that name, for each name in PACKAGES
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from evaluator.intake.layers import WHITEOUT

if TYPE_CHECKING:
    from evaluator.intake.tarstream import Entry

PACKAGES = (
    *("torch", "triton", "tensorflow", "jax", "numba", "matplotlib", "onnxruntime", "cupy"),
    *("wandb", "mlflow", "comet_ml", "clearml", "neptune"),
    *("huggingface_hub", "transformers", "ultralytics", "timm", "gradio", "streamlit"),
)
MARKS = (
    *("entries", "whiteouts", "model_files", "secrets", "git"),
    *("package_cache_files", "package_cache_bytes", "unreadable", "home_weights"),
    *("root_home_files", "root_home_closed", "cuda_libraries", "driver_libraries"),
    *(f"package_{name}" for name in PACKAGES),
)
MOST_TEXTS, MOST_CHARACTERS = 512, 4096  # of a list of settings, and of each text in it

_SECRET_NAMES = frozenset(
    {
        *("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", ".netrc", ".pypirc", ".git-credentials"),
        *(".pgpass", ".env", ".s3cfg", ".boto", "kaggle.json", "service-account.json"),
    }
)
_SECRET_PATHS = (
    *(".aws/credentials", ".docker/config.json", ".kube/config", ".azure/accessTokens.json"),
    *(".config/gcloud/application_default_credentials.json", ".huggingface/token"),
    *(".cache/huggingface/token", ".config/gh/hosts.yml"),
)
_PACKAGE_CACHES = (
    *("var/lib/apt/lists/", "var/cache/apt/", "var/cache/apk/", "var/cache/dnf/"),
    *("var/cache/yum/", "root/.cache/pip/", "root/.cache/uv/", "root/.npm/", "root/.conda/pkgs/"),
    *("opt/conda/pkgs/", "root/.cache/conda/"),
)
# What base images close on purpose, or what nobody starts a program from.
_SYSTEMS_OWN = ("etc/", "var/", "run/", "tmp/", "boot/", "dev/", "proc/", "sys/", "root/")
_SHELLS_OWN = re.compile(r"root/\.(bash|profile|wget|cache/|npm/|conda/|config/pip|gitconfig|vim)")
_HOME_WEIGHTS = re.compile(
    r"(root|home/[^/]+)/(\.cache/(torch|huggingface|clip|keras|timm)|\.keras|\.torch|\.paddleclas)/"
)
_CUDA = re.compile(
    r"lib(cudart|cublas|cudnn|torch_cuda|onnxruntime_providers_cuda|tensorflow_cc)[\w-]*\.so"
)
_DRIVER = re.compile(r"lib(cuda|nvidia-ml|nvidia-ptxjitcompiler|nvcuvid)\.so")
# Which are there to be linked against, or to be chosen by the container toolkit.
_NOT_THE_DRIVER = ("/stubs/", "/compat/")


class Marks:
    """Counts by the names of MARKS, fed with every entry of every layer in order."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(MARKS, 0)

    def see(self, entry: Entry) -> None:
        """Count one entry."""
        counts, path = self.counts, entry.name
        folder, _, name = path.rpartition("/")
        counts["entries"] += 1
        if entry.kind == "directory":
            if path == "root":
                counts["root_home_closed"] = int(not entry.mode & 0o001)
            elif entry.mode & 0o005 != 0o005:
                self._unreadable(path)
            return
        if name.startswith(WHITEOUT):
            counts["whiteouts"] += 1
            return
        if entry.kind == "file" and not entry.mode & 0o004:
            self._unreadable(path)
        self._place(path)
        self._name(folder, name)
        if path.startswith(_PACKAGE_CACHES) and entry.size:
            counts["package_cache_files"] += 1
            counts["package_cache_bytes"] += entry.size

    def _unreadable(self, path: str) -> None:
        top = f"{path}/"
        usr = top.startswith("usr/") and not top.startswith(("usr/local/", "usr/src/"))
        if not usr and not top.startswith(_SYSTEMS_OWN):
            self.counts["unreadable"] += 1

    def _place(self, path: str) -> None:
        """What a path says by where it lies."""
        if path.startswith("opt/ml/model/"):
            self.counts["model_files"] += 1
        elif _HOME_WEIGHTS.match(path):
            self.counts["home_weights"] += 1
        elif path.startswith("root/") and not _SHELLS_OWN.match(path):
            self.counts["root_home_files"] += 1

    def _name(self, folder: str, name: str) -> None:
        """What a file says by its name and the folders right above it."""
        counts = self.counts
        if name == "__init__.py":
            above, _, package = folder.rpartition("/")
            if f"package_{package}" in counts and above.endswith(
                ("site-packages", "dist-packages")
            ):
                counts[f"package_{package}"] += 1
        elif name == "HEAD":
            counts["git"] += folder == ".git" or folder.endswith("/.git")
        elif name in _SECRET_NAMES or f"/{folder}/{name}".endswith(_SECRET_PATHS):
            counts["secrets"] += 1
        elif ".so" in name:
            path = f"{folder}/{name}"
            counts["cuda_libraries"] += bool(_CUDA.match(name))
            real = not any(part in path for part in _NOT_THE_DRIVER)
            counts["driver_libraries"] += real and bool(_DRIVER.match(name))


def handed_in(config: dict[str, Any]) -> dict[str, Any]:
    """What an image config says, before anything is dropped of it.

    Nothing is refused here: what is of no known form is left out, what is long is cut.
    """
    settings = config.get("config")
    said = settings if isinstance(settings, dict) else {}
    check = said.get("Healthcheck")
    tests = check.get("Test") if isinstance(check, dict) else None
    labels = said.get("Labels")
    steps = config.get("history")
    return {
        "command": _texts(said.get("Cmd")),
        "variables": _texts(said.get("Env")),
        "user": _text(said.get("User")),
        "volumes": _texts(said.get("Volumes")),
        "ports": _texts(said.get("ExposedPorts")),
        "labels": [
            [_text(name), _text(value)]
            for name, value in (labels.items() if isinstance(labels, dict) else ())
        ][:MOST_TEXTS],
        "health_check": bool(tests) and tests != ["NONE"],
        "history": _texts(
            [step.get("created_by") for step in steps if isinstance(step, dict)]
            if isinstance(steps, list)
            else None
        ),
    }


def _texts(value: object) -> list[str]:
    """The texts of a list, or the keys of an object."""
    if not isinstance(value, (list, dict)):
        return []
    return [_text(each) for each in value if isinstance(each, str)][:MOST_TEXTS]


def _text(value: object) -> str:
    """A text that every encoder takes: half a character is a question mark."""
    text = value if isinstance(value, str) else ""
    return text[:MOST_CHARACTERS].encode("utf-8", "replace").decode()
