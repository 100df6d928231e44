"""The controls by name: what each is called in a report, and where in the wall's request it stands.

A path is the engine's own: keys joined by dots, then after a slash the element of a list or the
option of a text, as in "HostConfig.Ulimits/core". Rows name controls; `tests/escape` puts the value
that the wall has at these paths, and nothing else of the wall, into an open container.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Control:
    """One control; `paths` is empty where it is not part of a container's settings."""

    title: str
    paths: tuple[str, ...] = ()


CONTROLS = {
    "no-network": Control("no network", ("HostConfig.NetworkMode",)),
    "no-name-server": Control(
        "a resolv.conf of our own", ("HostConfig.Dns", "HostConfig.DnsSearch")
    ),
    "uid": Control("a fresh uid", ("User",)),
    "capabilities": Control(
        "no capability", ("HostConfig.CapDrop", "HostConfig.CapAdd", "HostConfig.Privileged")
    ),
    "no-new-privileges": Control(
        "no new privileges", ("HostConfig.SecurityOpt/no-new-privileges",)
    ),
    "seccomp": Control(
        "the system-call allow-list",
        # Without the second the engine's own setup of the container is refused (it fails closed).
        ("HostConfig.SecurityOpt/seccomp", "HostConfig.SecurityOpt/no-new-privileges"),
    ),
    "read-only-root": Control("a read-only root", ("HostConfig.ReadonlyRootfs",)),
    "read-only-inputs": Control("read-only inputs", ("HostConfig.Mounts/ReadOnly",)),
    "read-only-model": Control(
        "a model that only `train` writes", ("HostConfig.Mounts/volume.ReadOnly",)
    ),
    "empty-model": Control(
        "a volume without the image's files", ("HostConfig.Mounts/volume.NoCopy",)
    ),
    # Of the volume that keeps a model, which is made by a request of its own.
    "model-in-memory": Control("a model in memory", ("Volume.DriverOpts",)),
    "model-size": Control("a capped model", ("Volume.DriverOpts.o/size",)),
    "model-inodes": Control("capped files in the model", ("Volume.DriverOpts.o/nr_inodes",)),
    "model-owner": Control(
        "a model of the run's uid alone",
        ("Volume.DriverOpts.o/mode", "Volume.DriverOpts.o/uid", "Volume.DriverOpts.o/gid"),
    ),
    "model-nosuid": Control("no setuid files in the model", ("Volume.DriverOpts.o/nosuid",)),
    "model-nodev": Control("no devices in the model", ("Volume.DriverOpts.o/nodev",)),
    "non-recursive": Control(
        "binds without what is mounted below", ("HostConfig.Mounts/NonRecursive",)
    ),
    "tmp-noexec": Control("no programs in /tmp", ("HostConfig.Tmpfs/noexec",)),
    "tmp-nosuid": Control("no setuid files in /tmp", ("HostConfig.Tmpfs/nosuid",)),
    "tmp-nodev": Control("no devices in /tmp", ("HostConfig.Tmpfs/nodev",)),
    "tmp-size": Control("a capped /tmp", ("HostConfig.Tmpfs/size",)),
    "tmp-inodes": Control("capped files in /tmp", ("HostConfig.Tmpfs/nr_inodes",)),
    "shm-size": Control("a capped /dev/shm", ("HostConfig.ShmSize",)),
    "memory": Control(
        "a memory limit without swap", ("HostConfig.Memory", "HostConfig.MemorySwap")
    ),
    "cpus": Control("a CPU quota", ("HostConfig.NanoCpus",)),
    "own-cpus": Control("CPUs of its own", ("HostConfig.CpusetCpus",)),
    "processes": Control("a limit of processes", ("HostConfig.PidsLimit",)),
    "open-files": Control("a limit of descriptors", ("HostConfig.Ulimits/nofile",)),
    "file-size": Control("a limit of file size", ("HostConfig.Ulimits/fsize",)),
    "core": Control("no core dumps", ("HostConfig.Ulimits/core",)),
    "memlock": Control("a limit of locked memory", ("HostConfig.Ulimits/memlock",)),
    "msgqueue": Control("no message queues", ("HostConfig.Ulimits/msgqueue",)),
    "oom-score": Control("first to go when memory is short", ("HostConfig.OomScoreAdj",)),
    "private-ipc": Control("private shared memory", ("HostConfig.IpcMode",)),
    "private-pids": Control("a process table of its own", ("HostConfig.PidMode",)),
    "private-uts": Control("a host name of its own", ("HostConfig.UTSMode", "Hostname")),
    "private-cgroups": Control("a cgroup view of its own", ("HostConfig.CgroupnsMode",)),
    "no-log": Control("no log driver", ("HostConfig.LogConfig",)),
    "no-health-check": Control("no health check", ("Healthcheck",)),
    "no-stdin": Control("no standard input", ("AttachStdin", "OpenStdin", "Tty")),
    "no-attach": Control("no attached output", ("AttachStdout", "AttachStderr")),
    "no-ports": Control("no published port", ("HostConfig.PublishAllPorts",)),
    "no-restart": Control("no restart", ("HostConfig.RestartPolicy",)),
    "kill-signal": Control("an end without last words", ("StopSignal",)),
    "no-preload": Control("an empty LD_PRELOAD", ("Env/LD_PRELOAD",)),
    "no-nvidia-extras": Control(
        "empty NVIDIA_* switches",
        (
            "Env/NVIDIA_VISIBLE_DEVICES",
            "Env/NVIDIA_DRIVER_CAPABILITIES",
            "Env/NVIDIA_MOFED",
            "Env/NVIDIA_GDS",
            "Env/NVIDIA_GDRCOPY",
            "Env/NVIDIA_NVSWITCH",
            "Env/NVIDIA_IMEX_CHANNELS",
        ),
    ),
    "no-client-proxies": Control(
        "no proxy settings of the client", ("Env/HTTP_PROXY", "Env/http_proxy")
    ),
    "only-inputs": Control("no mount but the inputs and one file", ("HostConfig.Binds",)),
    "no-telemetry": Control("onnxruntime's telemetry off", ("Env/ORT_DISABLE_TELEMETRY",)),
    "runtime": Control("the runtime as registered", ("HostConfig.Runtime",)),
    # The engine's own; the read-back refuses a container that lacks them.
    "masked-paths": Control("masked paths of /proc and /sys", ("HostConfig.MaskedPaths",)),
    "read-only-paths": Control("read-only paths of /proc", ("HostConfig.ReadonlyPaths",)),
    "read-back": Control("the comparison of what was made with what was asked"),
    # Of the procedure and not of the request.
    "one-file": Control("one pre-made output file, read through a descriptor"),
    "no-output": Control("no output of `train`"),
    "own-model": Control("a model named after its run"),
    "watched-holder": Control("no result without the holder of the model"),
    "whole-charge": Control("a charge for every process of the container"),
    "bounded-frames": Control("numbers of one program, read to a limit and no longer than it runs"),
    "only-numbers": Control("eight bounded numbers a frame"),
    "packed-inside": Control("models packed and unpacked in the sandbox, links as links"),
    "exact-length": Control("an exact length and range of the predictions"),
    "deadline": Control("a deadline"),
    "no-output-read": Control("nothing it prints is read"),
    "fixed-statuses": Control("fixed words for every ending"),
    "rounding": Control("rounded and counted figures"),
    "release-slots": Control("release at fixed times"),
    "leak-budget": Control("the budget of bits"),
    "one-run": Control("one run at a time"),
    "hashed-tiles": Control("every tile hashed before a run"),
    "removed-after": Control("removal of the container and what it wrote"),
    "images-by-id": Control("images by id, archives without tags"),
    "rebuilt-image": Control("an image rebuilt from its layers"),
    "checked-model": Control("models opened in the sandbox only, under limits"),
    "kept-labels": Control("labels mounted nowhere"),
    "sealed-tiles": Control("tiles stripped, renumbered and shuffled"),
    "local-pull": Control("nothing copied into a container"),
    "host": Control("a setting or version of the host"),
    "gvisor": Control("gVisor between the submission and the host's kernel"),
}
