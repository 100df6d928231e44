"""For each rule of `validate`'s own: facts that break it, and neighbours that do not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.helpers.linted import (
    challenge,
    container,
    estimate,
    image_facts,
    logged,
    marked,
    onnx,
    step,
)

if TYPE_CHECKING:
    from evaluator.lint.facts import Facts

_GPU: dict[str, Any] = {"challenge": challenge(gpus=1)}
_MEMORY = challenge().resources.memory_bytes


def _env(*pairs: tuple[str, str]) -> Facts:
    return image_facts(variables=pairs)


def _marked_env(variables: tuple[tuple[str, str], ...], **counts: int) -> Facts:
    facts = marked(**counts)
    assert facts.image
    return replace(facts, image=replace(facts.image, variables=variables))


def _ended(status: str, verb: str = "predict", code: int | None = 1, log: str = "") -> Facts:
    ended = step(verb, status=status, exit_code=code, log=log, output="")
    return container(steps=(ended,) if verb == "predict" else (step(), ended))


def _output(kind: str) -> Facts:
    return container(steps=(step(output=kind),))


# By id: what breaks the rule, what does not.
ROWS: dict[str, tuple[Facts, Facts]] = {
    "EVA110": (
        container(dockerfile="FROM python:3.11 AS a\nFROM a\n"),
        container(dockerfile="ARG B\nFROM --platform=x b@sha256:1 AS a\nFROM a\nFROM scratch\n"),
    ),
    "EVA111": (image_facts(user="app"), image_facts(user="0:0")),
    "EVA112": (image_facts(unpacked=2**34), image_facts(unpacked=2**33)),
    "EVA113": (image_facts(volumes=("/data",)), image_facts(volumes=())),
    "EVA114": (image_facts(ports=("80/tcp",)), image_facts(ports=())),
    "EVA115": (image_facts(health_check=True), image_facts(health_check=False)),
    "EVA116": (image_facts(command=("main.py",)), image_facts(command=("predict",))),
    "EVA117": (_env(("NVIDIA_VISIBLE_DEVICES", "all")), _env(("MY_NVIDIA_X", "all"))),
    "EVA118": (_env(("https_proxy", "http://p")), _env(("MY_HTTPS_PROXY_DOC", "x"))),
    "EVA119": (
        image_facts(entrypoint=("/bin/sh", "-c", "python main.py")),
        image_facts(entrypoint=("/bin/sh", "-c", 'exec python main.py "$0"')),
    ),
    "EVA120": (_env(("HOME", "/app")), _env(("PYTHONUNBUFFERED", "1"))),
    "EVA121": (_env(("HF_TOKEN", "hf_x")), _env(("TOKENIZERS_PARALLELISM", "false"))),
    "EVA122": (
        image_facts(history=("RUN |1 PIP_PASSWORD=abc /bin/sh -c pip install x",)),
        image_facts(history=("RUN |1 JOBS=4 /bin/sh -c echo $PIP_PASSWORD",)),
    ),
    "EVA123": (_env(("TRITON_CACHE_DIR", "/app/c")), _env(("TRITON_CACHE_DIR", "/tmp/c"))),
    "EVA124": (
        container(dockerfile="ADD https://example.org/w.pt /w.pt\n"),
        container(dockerfile="ADD --checksum=sha256:0 https://example.org/w.pt /\nADD a b\n"),
    ),
    "EVA210": (marked(unreadable=1), marked(unreadable=0)),
    "EVA211": (marked(secrets=1), marked(secrets=0)),
    "EVA212": (marked(git=1), marked(git=0)),
    "EVA213": (marked(package_cache_bytes=2**26), marked(package_cache_bytes=2**20)),
    "EVA214": (marked(model_files=1), marked(model_files=0)),
    "EVA215": (marked(package_wandb=1), _marked_env((("WANDB_MODE", "offline"),), package_wandb=1)),
    "EVA216": (
        marked(package_triton=1),
        _marked_env((("TORCHDYNAMO_DISABLE", "1"),), package_triton=1),
    ),
    "EVA217": (marked(home_weights=2), _marked_env((("HF_HOME", "/w"),), home_weights=2)),
    "EVA218": (marked(root_home_files=1, root_home_closed=1), marked(root_home_files=1)),
    "EVA219": (marked(driver_libraries=1), marked(cuda_libraries=1)),
    "EVA220": (marked(_GPU, package_torch=1), marked(_GPU, package_torch=1, cuda_libraries=3)),
    "EVA221": (marked(cuda_libraries=1), marked(_GPU, cuda_libraries=1)),
    "EVA222": (marked(whiteouts=101), marked(whiteouts=100)),
    "EVA223": (marked(entries=300_001), marked(entries=300_000)),
    "EVA340": (onnx(input=("float32", (1, 1, 64, 64))), onnx(input=("float32", (2, 1, 64, 64)))),
    "EVA341": (onnx(input=("float32", (8, 1, 64, 64))), onnx(input=("float32", (-1, 1, 64, 64)))),
    "EVA342": (onnx(output=("float64", (-1, 9))), onnx(output=("float32", (-1, 9)))),
    "EVA343": (onnx(output=("int64", (-1,))), onnx(output=("float32", (-1, 9)))),
    "EVA344": (onnx(output=("float16", (-1, 9))), onnx(output=("float32", (-1, 9)))),
    "EVA345": (onnx(input=("float32", (-1,) * 4)), onnx(input=("float32", (-1, 1, -1, -1)))),
    "EVA346": (onnx(size=2**30), onnx(size=2**28)),
    "EVA403": (_ended("NONZERO_EXIT", code=2), _ended("NONZERO_EXIT", code=1)),
    "EVA404": (
        _ended("NONZERO_EXIT", "train", 1, "error: invalid choice: 'train' (choose from predict)"),
        _ended("NONZERO_EXIT", "train", 1, "the choice of what to train is invalid"),
    ),
    "EVA405": (_ended("NONZERO_EXIT", code=139), _ended("TIMEOUT", code=None)),
    "EVA406": (_ended("NONZERO_EXIT", "train"), _ended("NONZERO_EXIT", "predict")),
    "EVA407": (_ended("TIMEOUT"), _ended("NONZERO_EXIT")),
    "EVA408": (_ended("OUT_OF_MEMORY"), _ended("NONZERO_EXIT")),
    "EVA409": (_ended("START_FAILED"), _ended("NONZERO_EXIT")),
    "EVA410": (_ended("BUDGET_SPENT"), _ended("TIMEOUT")),
    "EVA411": (_output("missing"), _output("short")),
    "EVA412": (_output("short"), _output("long")),
    "EVA413": (_output("long"), _output("right")),
    "EVA414": (_output("out of range"), _output("right")),
    "EVA415": (logged("x" * 2**21), logged("x" * 2**19)),
    "EVA420": (container(estimates=(estimate(status="TIMEOUT"),)), container()),
    "EVA421": (container(estimates=(estimate(status="BUDGET_SPENT"),)), container()),
    "EVA422": (
        container(estimates=(estimate(petaflops=51.0),)),
        container(estimates=(estimate(petaflops=50.0),)),
    ),
    "EVA423": (
        container(estimates=(estimate(peak_memory=_MEMORY * 9 // 10),)),
        container(estimates=(estimate(peak_memory=_MEMORY * 8 // 10),)),
    ),
    "EVA424": (
        container(estimates=(estimate(load=40.0, seconds=3000.0),)),
        container(estimates=(estimate(load=9.0, seconds=10.0),)),
    ),
    "EVA425": (container(**_GPU), container(steps=(step(gpu_seconds=1.0),), **_GPU)),
    "EVA426": (
        container(steps=(step(seconds=20.0, cpu_seconds=20.0),)),
        container(steps=(step(seconds=20.0, cpu_seconds=39.0),)),
    ),
    "EVA902": (container(steps=()), container()),
    "EVA903": (container(steps=(step(cut=True),)), container()),
}
# By id: lines that programs really print, and lines that are none of it.
LOGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "EVA430": (
        (
            "<urlopen error [Errno -3] Temporary failure in name resolution>",
            "socket.gaierror: [Errno -2] Name or service not known",
            "curl: (6) Could not resolve host: example.org",
            "wget: unable to resolve host address 'example.org'",
            (
                "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='huggingface.co', "
                "port=443): Max retries exceeded with url: /api/models"
            ),
            "OSError: [Errno 101] Network is unreachable",
            "Error: getaddrinfo EAI_AGAIN registry.npmjs.org",
            "Get https://x: dial tcp: lookup x: no such host",
            "OSError: We couldn't connect to 'https://huggingface.co' to load the files",
        ),
        (
            "building the network: 3 layers",
            "resolved host names: none",
            "connection pool of size 4",
        ),
    ),
    "EVA431": (
        (
            "OSError: [Errno 30] Read-only file system: '/app/cache'",
            "mkdir: cannot create directory '/data': Read-only file system",
            "Error: EROFS: read-only file system, open '/app/log.txt'",
        ),
        ("weights are read-only", "step 30 of 60", "a read-only file system is fine with us"),
    ),
    "EVA432": (
        (
            "PermissionError: [Errno 13] Permission denied: '/app/model.pt'",
            "sh: /app/run.sh: Permission denied",
        ),
        ("permission to use these weights was granted", "13 errors in the labels"),
    ),
    "EVA433": (
        (
            "ImportError: /tmp/inductor/a.so: failed to map segment from shared object",
            "torch._inductor.exc.InductorError: OSError",
        ),
        ("mapping segments of shared objects", "inductor is off"),
    ),
    "EVA434": (
        (
            "    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)",
            "flock: 3: Operation not permitted",
            (
                "OSError: Unable to synchronously open file (unable to lock file, errno = 1, error "
                "message = 'Operation not permitted')"
            ),
        ),
        ("a flock of geese", "locked the random seed at 1"),
    ),
    "EVA435": (
        (
            "KeyError: 'getpwuid(): uid not found: 2345678'",
            "id: cannot find name for user ID 2345678",
        ),
        ("user: sandbox", "the name of the user is not needed"),
    ),
    "EVA436": (
        (
            "RuntimeError: DataLoader worker (pid 12) is killed by signal: Bus error.",
            "It is possible that dataloader's workers are out of shared memory.",
            "RuntimeError: unable to write to file </torch_12_345_0>",
        ),
        ("omnibus errors: 0", "sharing memory between two workers", "wrote to file </tmp/x>"),
    ),
    "EVA437": (
        (
            "OSError: [Errno 28] No space left on device",
            "tar: weights.pt: Cannot write: No space left on device",
        ),
        ("28 errors", "there is no space left in the legend"),
    ),
    "EVA438": (
        (
            "RuntimeError: No CUDA GPUs are available",
            "RuntimeError: Found no NVIDIA driver on your system. Please check",
            "AssertionError: Torch not compiled with CUDA enabled",
            "ImportError: libcuda.so.1: cannot open shared object file: No such file or directory",
        ),
        ("CUDA: not used, cpu asked for", "GPUs available: 1"),
    ),
    "EVA439": (
        (
            "RuntimeError: The NVIDIA driver on your system is too old (found version 11040).",
            "CUDA error: no kernel image is available for execution on the device",
            "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.6",
        ),
        ("CUDA driver version 12.4, runtime version 12.1", "kernel image of size 3x3"),
    ),
    "EVA440": (
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",),
        ("CUDA memory: 2 of 80 GiB used",),
    ),
    "EVA441": (
        (
            "OSError: [Errno 12] Cannot allocate memory",
            "terminate called after throwing an instance of 'std::bad_alloc'",
            "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 9.3 GiB",
        ),
        ("allocated 12 MB of memory", "MemoryError is handled below"),
    ),
    "EVA442": (
        (
            "RuntimeError: can't start new thread",
            (
                "OpenBLAS blas_thread_init: pthread_create failed for thread 63 of 64: Resource "
                "temporarily unavailable"
            ),
            "libgomp: Thread creation failed: Resource temporarily unavailable",
        ),
        ("started 2 new threads", "temporarily using one resource"),
    ),
    "EVA443": (("OSError: [Errno 24] Too many open files",), ("opened 24 files",)),
    "EVA444": (
        (
            "ModuleNotFoundError: No module named 'cv2'",
            "ImportError: libGL.so.1: cannot open shared object file: No such file or directory",
            "/predict: /lib/libc.so.6: version `GLIBC_2.38' not found (required by /predict)",
        ),
        ("modules found: cv2", "GLIBC version 2.36"),
    ),
    "EVA445": (("Illegal instruction (core dumped)",), ("illegal labels: 0 instructions",)),
    "EVA446": (("EOFError: EOF when reading a line",), ("reading a line of the manifest",)),
    "EVA447": (
        (
            "RuntimeError: cannot cache function 'f': no locator available for file '/app/f.py'",
            "Matplotlib created a temporary cache directory at /tmp/matplotlib-x",
        ),
        ("created a cache of tiles", "locators: 4 axes"),
    ),
    "EVA448": (
        (
            "PermissionError: [Errno 1] Operation not permitted",
            "set_mempolicy: Operation not permitted",
        ),
        ("operation 1 is permitted", "[Errno 11] again"),
    ),
}
