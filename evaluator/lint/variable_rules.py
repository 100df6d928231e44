"""EVA117 on: variables of an image that do nothing, say too much, or point to the wrong place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from evaluator.lint.dockerfile import line_of
from evaluator.lint.making import asks, block, image_of, rules_of
from evaluator.lint.rule import Hit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.lint.facts import Facts

_PROXIES = re.compile(r"(http|https|ftp|all|no)_proxy", re.IGNORECASE)
_GPU_VARIABLES = re.compile(r"NVIDIA_\w+|CUDA_VERSION", re.IGNORECASE)
_SECRET = re.compile(
    r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY|PRIVATE_KEY|CREDENTIALS", re.IGNORECASE
)
# Names that hold such a word and are no secret.
_HARMLESS = re.compile(r"TOKENIZERS?_|_FILE$|_PATH$|_DIR$|_URL$|MAX_|NUM_|N_TOKENS", re.IGNORECASE)
# What the sandbox sets for every container, over whatever the image says.
_OURS = {
    *("HOME", "TMPDIR", "USER", "LD_PRELOAD", "PYTHONUNBUFFERED", "ORT_DISABLE_TELEMETRY"),
    *("EVALUATOR_THREADS", "EVALUATOR_DEVICE", "OMP_NUM_THREADS", "OMP_WAIT_POLICY"),
}
_CACHES = (
    *("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "NUMBA_CACHE_DIR", "MPLCONFIGDIR"),
    *("XDG_CACHE_HOME", "CUDA_CACHE_PATH", "CUPY_CACHE_DIR", "PYTHONPYCACHEPREFIX"),
)


@asks(
    117,
    "gpu-variables-dropped",
    "note",
    needs=("image",),
    title="No variable of the NVIDIA runtime is needed",
    why="NVIDIA_* and CUDA_VERSION ask a host's hooks for devices. Here the owner says which GPU "
    "a container gets, so they are dropped; images from nvidia/cuda have them all.",
    fix="Nothing, unless your program reads them: read `EVALUATOR_DEVICE` instead."
    + block("python", 'device = os.environ.get("EVALUATOR_DEVICE", "cpu")'),
)
def _gpu_variables_dropped(facts: Facts) -> Iterator[Hit]:
    yield from _variables(facts, _GPU_VARIABLES)


@asks(
    118,
    "proxy-variables-dropped",
    "note",
    needs=("image",),
    title="No proxy is set",
    why="There is no network to reach one, and its address (with a password, at times) is readable "
    "for everyone who has the image.",
    fix="Give proxies to the build, which forgets them."
    + block("sh", "docker build --build-arg HTTPS_PROXY=$HTTPS_PROXY ."),
)
def _proxy_variables_dropped(facts: Facts) -> Iterator[Hit]:
    yield from _variables(facts, _PROXIES)


def _variables(facts: Facts, names: re.Pattern[str]) -> Iterator[Hit]:
    for number, (name, _) in enumerate(image_of(facts).variables):
        if names.fullmatch(name):
            line = line_of(facts.dockerfile, "ENV", name)
            yield Hit(f"{name[:100]} is dropped", f"config/Env/{number}", line)


@asks(
    120,
    "variable-overridden",
    "note",
    needs=("image",),
    title="No variable is set that the sandbox sets itself",
    why="The sandbox sets HOME, TMPDIR, the numbers of threads and Python's unbuffered output for "
    "every container, over what the image says.",
    fix="Remove the line, and use what is given. Outside the sandbox Python keeps its output back "
    "without PYTHONUNBUFFERED=1, so a killed container says nothing."
    + block("python", 'torch.set_num_threads(int(os.environ["EVALUATOR_THREADS"]))'),
)
def _variable_overridden(facts: Facts) -> Iterator[Hit]:
    for number, (name, value) in enumerate(image_of(facts).variables):
        if name in _OURS and (name, value) != ("PYTHONUNBUFFERED", "1"):
            line = line_of(facts.dockerfile, "ENV", name)
            yield Hit(f"{name} has the sandbox's value", f"config/Env/{number}", line)


@asks(
    121,
    "secret-in-variables",
    "warning",
    needs=("image",),
    title="No variable holds a secret",
    why="Variables of an image are plain text for everyone who has it: the data owner now, and "
    "whoever the registry serves.",
    fix="Revoke it, then give it to the one step of the build that needs it."
    + block(
        "dockerfile",
        "RUN --mount=type=secret,id=token TOKEN=$(cat /run/secrets/token) ./download.sh",
    ),
)
def _secret_in_variables(facts: Facts) -> Iterator[Hit]:
    for number, (name, value) in enumerate(image_of(facts).variables):
        if value and _is_secret(name):
            line = line_of(facts.dockerfile, "ENV", name)
            yield Hit(f"{name[:100]} looks like a secret", f"config/Env/{number}", line)


def _is_secret(name: str) -> bool:
    return bool(_SECRET.search(name)) and not _HARMLESS.search(name)


@asks(
    122,
    "secret-in-history",
    "warning",
    needs=("image",),
    title="No step of the history shows a secret",
    why="Builders note the value of every ARG beside the step that used it, and `docker history` "
    "shows it to everyone who has the image.",
    fix="Revoke it, then give it as a secret of the build."
    + block("sh", "docker build --secret id=token,env=TOKEN ."),
)
def _secret_in_history(facts: Facts) -> Iterator[Hit]:
    for number, step in enumerate(image_of(facts).history):
        for word in step.split()[:1000]:
            name, equals, value = word.partition("=")
            given = equals and value.strip("\"'") and not value.startswith("$")
            if given and name.isidentifier() and _is_secret(name):
                yield Hit(f"{name[:100]} has its value in a step", f"history/{number}")
                break


@asks(
    123,
    "compile-cache-not-writable",
    "warning",
    needs=("image",),
    title="Caches of compilers lie where a container can write",
    why="TorchInductor, Triton, Numba, CUDA and Matplotlib write what they compile or find. The "
    "root file system is read-only, so a cache in the image can be read but not filled.",
    fix="Fill the cache while you build, or point it to `/tmp`, which is `noexec`: libraries that "
    "are compiled at start do not load from there."
    + block("dockerfile", "ENV MPLCONFIGDIR=/tmp/matplotlib", "ENV NUMBA_CACHE_DIR=/tmp/numba"),
)
def _compile_cache_not_writable(facts: Facts) -> Iterator[Hit]:
    for number, (name, value) in enumerate(image_of(facts).variables):
        writable = value.startswith(("/tmp", "/dev/shm", "/opt/ml/model"))  # noqa: S108 - theirs
        if name in _CACHES and value.startswith("/") and not writable:
            line = line_of(facts.dockerfile, "ENV", name)
            yield Hit(f"{name} names a directory of the image", f"config/Env/{number}", line)


RULES = rules_of(globals())
