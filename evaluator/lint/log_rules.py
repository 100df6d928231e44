"""EVA430 on: reasons that a program's own log gives for what went wrong, or took so long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.lint.log_words import said
from evaluator.lint.making import asks, block, rules_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.lint.facts import Facts
    from evaluator.lint.rule import Hit


@asks(
    430,
    "needs-the-network",
    "warning",
    title="Nothing is looked for on the network",
    why="There is none, not even a resolver. A download at start fails, at once or after retries "
    "that are charged.",
    fix="Download while you build, and say that you are offline."
    + block(
        "dockerfile",
        "ENV HF_HOME=/opt/weights HF_HUB_OFFLINE=1",
        "RUN HF_HUB_OFFLINE=0 python /app/download.py && chmod -R a+rX /opt/weights",
    ),
)
def _needs_the_network(facts: Facts) -> Iterator[Hit]:
    return said(
        facts,
        ("Temporary failure in name resolution",),
        ("Name or service not known",),
        ("Could not resolve host",),
        ("unable to resolve host address",),
        ("NameResolutionError",),
        ("Max retries exceeded with url",),
        ("Failed to establish a new connection",),
        ("Network is unreachable",),
        ("getaddrinfo ", "EAI_AGAIN"),
        ("getaddrinfo ", "ENOTFOUND"),
        ("dial tcp",),
        ("LocalEntryNotFoundError",),
        ("We couldn't connect to 'https://",),
        ("Address family not supported by protocol",),
    )


@asks(
    431,
    "writes-outside",
    "warning",
    title="Nothing is written outside the writable paths",
    why="The root file system is read-only: errno 30. `/tmp`, `/dev/shm`, in `train` "
    "`/opt/ml/model`, and in `predict` the one file `/output/predictions` can be written.",
    fix="Write to `/tmp`." + block("dockerfile", "ENV MPLCONFIGDIR=/tmp YOLO_CONFIG_DIR=/tmp"),
)
def _writes_outside(facts: Facts) -> Iterator[Hit]:
    return said(facts, ("Read-only file system",), ("Errno 30",), ("EROFS",))


@asks(
    432,
    "permission-denied",
    "warning",
    title="Nothing is used that only its owner may use",
    why="A container runs under a random uid, so what the image closes to others is closed to it.",
    fix="Open it while you build." + block("dockerfile", "RUN chmod -R a+rX /app"),
)
def _permission_denied(facts: Facts) -> Iterator[Hit]:
    return said(facts, ("Errno 13", "Permission denied"), (": Permission denied",), ("EACCES",))


@asks(
    433,
    "executes-from-tmp",
    "warning",
    title="Nothing is executed from a writable path",
    why="`/tmp`, `/dev/shm` and `/opt/ml/model` are `noexec`: libraries that are compiled or "
    "unpacked there do not load. torch.compile, Triton, JAX plugins and self-extracting programs "
    "do that.",
    fix="Compile or unpack while you build."
    + block(
        "dockerfile", "RUN python -c 'import package_that_compiles'", "ENV TORCHDYNAMO_DISABLE=1"
    ),
)
def _executes_from_tmp(facts: Facts) -> Iterator[Hit]:
    return said(
        facts,
        ("failed to map segment from shared object",),
        ("/tmp/", ".so: cannot open shared object file: Permission denied"),  # noqa: S108 - theirs
        ("InductorError",),
        ("Failed to extract ", ": decompression resulted in return code -1"),
    )


@asks(
    434,
    "file-lock-refused",
    "warning",
    title="No file is locked",
    why="flock is refused (errno 1): a lock on a file of tiles would be a channel between "
    "containers. HDF5, filelock and caches of compilers ask for one.",
    fix="Switch locks off; one container runs at a time."
    + block("dockerfile", "ENV HDF5_USE_FILE_LOCKING=FALSE"),
)
def _file_lock_refused(facts: Facts) -> Iterator[Hit]:
    return said(
        facts,
        ("fcntl.flock(",),
        ("flock", "Operation not permitted"),
        ("unable to lock file",),
        ("does not appear to support flock",),
    )


@asks(
    435,
    "user-without-a-name",
    "warning",
    title="No name or home of the user is looked up",
    why="The uid is random and stands in no /etc/passwd.",
    fix="Use the variables HOME and USER, which are set."
    + block("python", 'home = os.environ["HOME"]  # not pwd.getpwuid(os.getuid())'),
)
def _user_without_a_name(facts: Facts) -> Iterator[Hit]:
    return said(
        facts,
        ("getpwuid(): uid not found",),
        ("cannot find name for user ID",),
        ("no such user: uid",),
        ("No user exists for uid",),
        ("user: unknown userid",),
        ("uid not found in /etc/passwd",),
    )


@asks(
    436,
    "shared-memory-too-small",
    "warning",
    title="Shared memory is enough",
    why="`/dev/shm` has the size that the owner's policy says, and counts as memory. Workers of a "
    "DataLoader pass batches through it; one that finds no room dies of a bus error.",
    fix="Load in the process itself: the tiles are one array in memory."
    + block("python", "loader = DataLoader(tiles, batch_size=64, num_workers=0)"),
)
def _shared_memory_too_small(facts: Facts) -> Iterator[Hit]:
    return said(
        facts,
        ("Bus error",),
        ("out of shared memory",),
        ("unable to write to file </torch_",),
        ("unable to open shared memory object",),
        ("/dev/shm", "No space left on device"),  # noqa: S108 - theirs
    )


@asks(
    437,
    "scratch-space-full",
    "warning",
    title="Scratch space is enough",
    why="`/tmp` has the size that the owner's policy says, and no file may be larger than the "
    "largest of these.",
    fix="Keep what you need in arrays, and unpack nothing at start."
    + block("dockerfile", "RUN tar -xf /app/weights.tar -C /app && rm /app/weights.tar"),
)
def _scratch_space_full(facts: Facts) -> Iterator[Hit]:
    return said(facts, ("Errno 28",), ("ENOSPC",), (": No space left on device",), ("Errno 27",))


@asks(
    438,
    "gpu-not-found",
    "warning",
    title="A GPU is only asked for where there is one",
    why="`EVALUATOR_DEVICE` is `cpu` where the owner gives no GPU; a program that insists on CUDA "
    "fails there.",
    fix="Use the device that is given."
    + block("python", 'device = torch.device(os.environ.get("EVALUATOR_DEVICE", "cpu"))'),
)
def _gpu_not_found(facts: Facts) -> Iterator[Hit]:
    return said(
        facts,
        ("No CUDA GPUs are available",),
        ("Found no NVIDIA driver on your system",),
        ("Torch not compiled with CUDA enabled",),
        ("no CUDA-capable device is detected",),
        ("failed call to cuInit",),
        ("CUDAExecutionProvider' is not in available provider",),
        ("torch.cuda.is_available() is False",),
        ("libcuda.so.1: cannot open shared object file",),
        ("Could not find cuda drivers on your machine",),
    )


@asks(
    439,
    "cuda-newer-than-driver",
    "warning",
    title="The CUDA libraries fit the driver and the GPU",
    why="A driver runs programs of its own CUDA version and of older ones, and a library has "
    "kernels for certain GPUs alone.",
    fix="Build with the CUDA version that the owner names, or an older one."
    + block(
        "dockerfile", "RUN pip install torch --index-url https://download.pytorch.org/whl/cu118"
    ),
)
def _cuda_newer_than_driver(facts: Facts) -> Iterator[Hit]:
    return said(
        facts,
        ("CUDA driver version is insufficient for CUDA runtime version",),
        ("NVIDIA driver on your system is too old",),
        ("unsatisfied condition: cuda>=",),
        ("no kernel image is available for execution on the device",),
        ("the provided PTX was compiled with an unsupported toolchain",),
        ("forward compatibility was attempted on non supported HW",),
        ("is not compatible with the current PyTorch installation",),
    )


@asks(
    440,
    "gpu-memory-spent",
    "warning",
    title="The GPU's memory is enough",
    why="The owner's GPU may have less memory than yours.",
    fix="Take smaller batches, in half precision."
    + block(
        "python",
        'with torch.inference_mode(), torch.autocast("cuda"):',
        "    scores = model(batch)",
    ),
)
def _gpu_memory_spent(facts: Facts) -> Iterator[Hit]:
    return said(
        facts,
        ("CUDA out of memory",),
        ("CUBLAS_STATUS_ALLOC_FAILED",),
        ("CUDNN_STATUS_ALLOC_FAILED",),
        ("CUDA_ERROR_OUT_OF_MEMORY",),
        ("Failed to allocate memory for requested buffer",),
    )


@asks(
    441,
    "memory-refused",
    "warning",
    title="Memory that is asked for is there",
    why="An array of all tiles as float32 is four times their bytes.",
    fix="Work on a batch at a time."
    + block("python", 'batch = tiles[start : start + 64].astype("float32")'),
)
def _memory_refused(facts: Facts) -> Iterator[Hit]:
    return said(
        facts,
        ("Cannot allocate memory",),
        ("std::bad_alloc",),
        ("can't allocate memory",),
        ("MemoryError: Unable to allocate",),
        ("numpy._core._exceptions._ArrayMemoryError",),
        ("java.lang.OutOfMemoryError",),
    )


@asks(
    442,
    "too-many-threads",
    "warning",
    title="Threads and processes stay within the limit",
    why="The policy limits them. Libraries that count the host's cores start hundreds, which then "
    "wait for two CPUs.",
    fix="Start as many as are given."
    + block(
        "python",
        'threads = int(os.environ["EVALUATOR_THREADS"])',
        "torch.set_num_threads(threads)",
    ),
)
def _too_many_threads(facts: Facts) -> Iterator[Hit]:
    return said(
        facts,
        ("can't start new thread",),
        ("pthread_create failed",),
        ("Thread creation failed",),
        ("Resource temporarily unavailable",),
        ("OpenBLAS blas_thread_init",),
    )


@asks(
    443,
    "too-many-open-files",
    "warning",
    title="Open files stay within the limit",
    why="The policy limits the descriptors of a process. Workers of a DataLoader keep some "
    "for each batch.",
    fix="Map the one array of tiles, and use no workers."
    + block("python", 'tiles = numpy.load("/input/tiles.npy", mmap_mode="r")'),
)
def _too_many_open_files(facts: Facts) -> Iterator[Hit]:
    return said(facts, ("Too many open files",), ("EMFILE",))


@asks(
    444,
    "library-missing",
    "warning",
    title="Every library is in the image",
    why="Something that your own machine has is not in it, or is older there.",
    fix="Install it in the stage that is shipped."
    + block(
        "dockerfile",
        "RUN apt-get update && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 "
        "&& rm -rf /var/lib/apt/lists/*",
    ),
)
def _library_missing(facts: Facts) -> Iterator[Hit]:
    return said(
        facts,
        ("ModuleNotFoundError: No module named",),
        ("cannot open shared object file: No such file",),
        ("version `GLIBC", "not found"),
        ("version `CXXABI", "not found"),
        ("error while loading shared libraries",),
        ("symbol lookup error",),
    )


@asks(
    445,
    "processor-too-old",
    "warning",
    title="No instruction is used that the processor lacks",
    why="A binary that was compiled for the builder's own processor dies on another one.",
    fix="Compile for a common one." + block("dockerfile", 'ENV CFLAGS="-O2 -march=x86-64-v3"'),
)
def _processor_too_old(facts: Facts) -> Iterator[Hit]:
    return said(facts, ("Illegal instruction",), ("CPU ISA level is lower than required",))


@asks(
    446,
    "reads-standard-input",
    "warning",
    title="Nothing is read from standard input",
    why="It is closed. A question to the user is never answered.",
    fix="Decide by the verb and the manifest."
    + block("python", 'manifest = json.loads(Path("/input/manifest.json").read_text())'),
)
def _reads_standard_input(facts: Facts) -> Iterator[Hit]:
    return said(facts, ("EOFError: EOF when reading a line",), ("the input device is not a TTY",))


@asks(
    447,
    "cache-not-kept",
    "warning",
    title="Caches of libraries have a place",
    why="Numba and Matplotlib write what they compile or find beside themselves or in a home; "
    "where they cannot, they stop, or do it anew in every container.",
    fix="Give them one." + block("dockerfile", "ENV NUMBA_CACHE_DIR=/tmp MPLCONFIGDIR=/tmp"),
)
def _cache_not_kept(facts: Facts) -> Iterator[Hit]:
    return said(
        facts,
        ("no locator available for file",),
        ("Matplotlib created a temporary cache directory",),
        ("is not a writable directory",),
        ("Matplotlib is building the font cache",),
    )


@asks(
    448,
    "call-not-permitted",
    "warning",
    title="No system call is needed that the sandbox refuses",
    why="Only what programs that compute need is allowed: no ptrace, no namespaces, no inotify, no "
    "io_uring, no NUMA policy. Others answer EPERM.",
    fix="Leave out what watches, traces, binds memory or changes owners: profilers, reloaders, "
    "numactl." + block("dockerfile", 'ENTRYPOINT ["python", "/app/main.py"]    # no gosu, numactl'),
)
def _call_not_permitted(facts: Facts) -> Iterator[Hit]:
    return said(
        facts,
        ("Errno 1]", "Operation not permitted"),
        (": Operation not permitted",),
        ("inotify", "Operation not permitted"),
        ("Bad system call",),
    )


RULES = rules_of(globals())
