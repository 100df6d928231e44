"""The line that repeats a container of a rehearsal by hand, as near to the wall as it can be."""

from __future__ import annotations

import shlex
import shutil
from typing import TYPE_CHECKING

import sandbox
from evaluator.workspace import shipped
from sandbox import OUTPUT

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import Spec

_MODEL = "/opt/ml/model"


def command(spec: Spec, image: str) -> str:
    """A `docker run` line with the limits, variables and files of a step, for the folder of `keep`.

    `image` is what the vendor calls its own, "" for one of ours. What the line leaves out is the
    meter, and the comparison of what the engine made with what was asked.
    """
    limits, uid = spec.limits, sandbox.uid_of(spec.run)
    words = [
        *("docker", "run", "--rm", "--runtime", spec.runtime, "--network", "none", "--read-only"),
        *("--user", f"{uid}:{uid}", "--cap-drop", "ALL"),
        *("--security-opt", "no-new-privileges:true", "--security-opt", "seccomp=seccomp.json"),
        *("--cpus", f"{limits.cpus:g}", "--memory", str(limits.memory)),
        *("--memory-swap", str(limits.memory), "--pids-limit", str(limits.processes)),
        *("--shm-size", str(limits.shm)),
        *("--tmpfs", f"/tmp:rw,noexec,nosuid,nodev,size={limits.tmp},mode=1777"),  # noqa: S108 - inside
        *("--ulimit", f"nofile={limits.open_files}", "--ulimit", f"fsize={limits.file_size}"),
        *(word for gpu in spec.gpus for word in ("--gpus", f"device={gpu}")),
        *(word for each in sandbox.environment(spec) for word in ("--env", each)),
    ]
    line = shlex.join(words)
    for mount in spec.inputs:
        line += f' --volume "$PWD/{_name(spec)}{mount.target}:{mount.target}:ro"'
    if spec.model:
        line += f' --volume "$PWD/model:{_MODEL}{":ro" if spec.model == "read" else ""}"'
    if spec.output_size:
        line += f' --volume "$PWD/predictions:{OUTPUT}"'
    return f"{line} {shlex.quote(image or spec.image)} {spec.verb}"


def keep(spec: Spec, folder: Path) -> None:
    """Copy what a step is given, so that its line works in that folder."""
    for mount in spec.inputs:
        target = folder / f"{_name(spec)}{mount.target}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(mount.source, target)
        target.chmod(0o444)
    shutil.copyfile(shipped("policies") / "seccomp.json", folder / "seccomp.json")
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model").chmod(0o777)
    (folder / "predictions").touch()
    (folder / "predictions").chmod(0o666)


def _name(spec: Spec) -> str:
    """A folder for each step of a rehearsal."""
    return f"{spec.verb}-tuned" if spec.verb == "predict" and spec.model else spec.verb
