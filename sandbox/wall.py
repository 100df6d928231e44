"""The wall: the one place that says what a container may and may not do.

`create_arguments` is the body of the engine's "create a container" request. What is
never negotiable is a literal in it, so no option, policy or variable can reach it.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.spec import Spec

OUTPUT = "/output/predictions"
MODEL = "/opt/ml/model"
RUN_LABEL = "evaluator.run"
VERB_LABEL = "evaluator.verb"


def run_filter(run: str | None, verb: str | None = None) -> dict[str, list[str]]:
    """The engine's filter for what carries the label of `run`, or of any run."""
    verbs = [f"{VERB_LABEL}={verb}"] if verb else []
    return {"label": [f"{RUN_LABEL}={run}" if run else RUN_LABEL, *verbs]}


# Uids no account or user-namespace range of an ordinary host uses; one of its own for each run,
# so that nothing keyed by uid (keyrings, quotas) outlives it, and a run's containers share one,
# because the model that `train` leaves is for its own uid alone.
_UIDS = range(2_000_000, 3_000_000)


def uid_of(run: str) -> int:
    """The uid of a run, whose name is random."""
    return _UIDS[int(run, 16) % len(_UIDS)]


def model_volume(run: str) -> str:
    """The name of a run's model volume."""
    return f"evaluator-model-{run}"


def run_of_volume(name: str) -> str:
    """The run whose model volume has this name."""
    return name.removeprefix(model_volume(""))


def volume_arguments(run: str, size: int, uid: int) -> dict[str, Any]:
    """What the engine is asked for to keep a model of at most `size` bytes between two containers.

    In memory: no trace of the tiles reaches a disk, and what is written is charged to the writer.
    """
    options = f"size={size},nr_inodes=65536,uid={uid},gid={uid},mode=0700,nosuid,nodev"
    return {
        "Name": model_volume(run),
        "Driver": "local",
        "DriverOpts": {"type": "tmpfs", "device": "tmpfs", "o": options},
        "Labels": {RUN_LABEL: run},
    }


def create_arguments(spec: Spec, output: str, uid: int, seccomp: str) -> dict[str, Any]:
    """Everything the engine is asked for, as its own JSON.

    `output` is the host's pre-made predictions file and `seccomp` the profile's text.
    """
    limits = spec.limits
    return {
        "Image": spec.image,  # a local id: a tag could move between admission and start
        "Cmd": [spec.verb],  # the contract: the verb is the only argument
        "User": f"{uid}:{uid}",  # whatever USER the image asks for
        "Hostname": "sandbox",
        "Env": environment(spec),
        # How leftovers of a killed run are found, and one container of a run among its others.
        "Labels": {RUN_LABEL: spec.run, VERB_LABEL: spec.verb},
        "Healthcheck": {"Test": ["NONE"]},  # its output would be kept in the engine's state
        "StopSignal": "SIGKILL",  # no last words
        "AttachStdin": False,
        "AttachStdout": False,  # nothing it prints reaches us, so nothing can flood us
        "AttachStderr": spec.frames,  # numbers of a program of ours, for the operator's eyes
        "OpenStdin": False,
        "Tty": False,
        "HostConfig": {
            "Runtime": spec.runtime,
            "NetworkMode": "none",  # no interface but loopback, no resolver
            # Without these the engine copies the host's resolv.conf: whose network this is.
            "Dns": ["127.0.0.1"],
            "DnsSearch": ["."],
            "PublishAllPorts": False,
            "ReadonlyRootfs": True,  # also /etc/hosts and friends, which live on the host's disk
            "CapDrop": ["ALL"],
            "CapAdd": [],
            "Privileged": False,
            # setuid files and file capabilities in a layer gain nothing; the profile is
            # sent as text, so no file on the host can differ from what was hashed.
            "SecurityOpt": ["no-new-privileges:true", f"seccomp={seccomp}"],
            "IpcMode": "private",
            "PidMode": "",
            "UTSMode": "",
            "CgroupnsMode": "private",  # hides the container id from itself
            "Mounts": [
                *(_bind(str(m.source), m.target, read_only=True) for m in spec.inputs),
                *([_bind(output, OUTPUT, read_only=False)] if spec.output_size else []),  # one file
                *([_model(spec)] if spec.model else []),
            ],
            "Tmpfs": {
                "/tmp": "rw,noexec,nosuid,nodev,"  # noqa: S108 - a path inside the container
                f"size={limits.tmp},nr_inodes=65536,mode=1777"
            },
            "ShmSize": limits.shm,
            "Memory": limits.memory,
            "MemorySwap": limits.memory,  # equal means no swap: tiles never reach a disk
            "NanoCpus": round(limits.cpus * 1e9),
            "CpusetCpus": spec.cpuset,  # of its own where runs stand side by side
            "PidsLimit": limits.processes,
            "OomScoreAdj": 500,  # the host's own processes survive it
            "Ulimits": [
                # 1, not 0: a core_pattern that pipes to a program ignores 0
                _limit("core", 1),
                _limit("nofile", limits.open_files),
                _limit("fsize", limits.file_size),
                _limit("memlock", 65536),
                _limit("msgqueue", 0),
            ],
            "DeviceRequests": _devices(spec.gpus),
            "LogConfig": {"Type": "none", "Config": {}},  # no file and no log shipper sees it
            "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
            "AutoRemove": False,  # the end is inspected before it is removed
        },
    }


def environment(spec: Spec) -> list[str]:
    """The same variables for a run, a rehearsal and our own runner."""
    threads = ceil(spec.limits.cpus)
    return [
        "HOME=/tmp",
        "TMPDIR=/tmp",
        "USER=sandbox",
        "PYTHONUNBUFFERED=1",
        # Hooks of container runtimes have run as host root with the image's environment.
        "LD_PRELOAD=",
        "ORT_DISABLE_TELEMETRY=1",
        # Libraries count the host's cores, not the quota.
        f"EVALUATOR_THREADS={threads}",
        f"OMP_NUM_THREADS={threads}",
        "OMP_WAIT_POLICY=PASSIVE",  # a thread that waits and spins is charged
        f"EVALUATOR_DEVICE={'cuda' if spec.gpus else 'cpu'}",
        # A second line: intake strips what an image says of these.
        "NVIDIA_VISIBLE_DEVICES=void",
        "NVIDIA_DRIVER_CAPABILITIES=compute",
        *(f"NVIDIA_{name}=" for name in ("MOFED", "GDS", "GDRCOPY", "NVSWITCH", "IMEX_CHANNELS")),
    ]


def _bind(source: str, target: str, *, read_only: bool) -> dict[str, Any]:
    return {
        "Type": "bind",
        "Source": source,
        "Target": target,
        "ReadOnly": read_only,
        # Without it a mount nested below the source stays writable.
        "BindOptions": {"Propagation": "rprivate", "NonRecursive": True},
    }


def _model(spec: Spec) -> dict[str, Any]:
    """The run's model volume: written by `train`, read by the `predict` after it."""
    return {
        "Type": "volume",
        "Source": model_volume(spec.run),
        "Target": MODEL,
        "ReadOnly": spec.model == "read",
        # Otherwise the engine fills it with what the image has there, under the image's owner.
        "VolumeOptions": {"NoCopy": True},
    }


def _limit(name: str, value: int) -> dict[str, Any]:
    return {"Name": name, "Soft": value, "Hard": value}


def _devices(gpus: tuple[str, ...]) -> list[dict[str, Any]]:
    """NVIDIA UUIDs (GPU-..., MIG-...) or CDI names (vendor.com/class=name); never "all"."""
    by_name = [gpu for gpu in gpus if "=" in gpu]
    by_uuid = [gpu for gpu in gpus if "=" not in gpu]
    requests: list[dict[str, Any]] = []
    if by_name:
        requests.append({"Driver": "cdi", "DeviceIDs": by_name})
    if by_uuid:
        capabilities = [["gpu", "compute"]]
        requests.append({"Driver": "nvidia", "DeviceIDs": by_uuid, "Capabilities": capabilities})
    return requests
