"""The containers of a run in the open, or behind one control alone."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import requests.exceptions
from ground import EXTRAS, extended, open_request, with_control

import sandbox
from sandbox import Outcome, Spec, Status
from sandbox.wall import MODEL, OUTPUT, model_volume, uid_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trials import Wall

    from evaluator.attacks.probing import Bench


@dataclass(frozen=True)
class OpenSteps:
    """In place of the steps of a run: the model and its holder, and each container.

    `needs` names extras of the ground, and three of its own: "model-on-disk" is an ordinary volume,
    "read-only-model" is one that `predict` has so, "own-uids" are those of the runs.
    """

    bench: Bench
    needs: tuple[str, ...]
    control: str | None
    wall: Wall
    runs: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def prepare(self, holder: Spec, _size: int) -> Iterator[None]:
        """A volume and its holder; nobody looks whether it is still there at the end."""
        client = sandbox.connect()
        self.runs.append(holder.run)
        volume = self._request(holder)["Volume"]
        request = created(open_request(holder, ""))
        request["HostConfig"]["Mounts"] = [
            mount for mount in request["HostConfig"]["Mounts"] if mount["Target"] == MODEL
        ]
        try:
            client.create_volume(
                volume["Name"], volume["Driver"], volume.get("DriverOpts"), volume["Labels"]
            )
            client.start(client.create_container_from_config(request)["Id"])
            yield
        finally:
            sandbox.remove_leftovers(client, holder.run)

    def run(self, spec: Spec) -> Outcome:
        """Run one container, without the steps that guard a run."""
        return run_request(self._request(spec), spec, self.bench.scratch)

    def _request(self, spec: Spec) -> dict[str, Any]:
        output = str(self.bench.scratch / "predictions")
        extras = tuple(name for name in self.needs if name in EXTRAS)
        request = extended(open_request(spec, output), extras)
        mounts: list[dict[str, Any]] = request["HostConfig"]["Mounts"]
        (model,) = (mount for mount in mounts if mount["Target"] == MODEL)
        if "model-on-disk" in self.needs:
            request["Volume"]["DriverOpts"] = {}
        if "read-only-model" in self.needs:
            model["ReadOnly"] = spec.model == "read"
        if "own-uids" in self.needs:
            request["User"] = f"{uid_of(spec.run)}:{uid_of(spec.run)}"
            if self.control != "own-model" and spec.model == "read":
                model["Source"] = model_volume(self.runs[0])
        if self.control == "no-output" and not spec.output_size:
            mounts[:] = [mount for mount in mounts if mount["Target"] != OUTPUT]
        if self.control is None:
            return request
        asked = self.wall(strict(spec), output, uid_of(spec.run), self.bench.seccomp)
        return with_control(request, asked, self.control)


def strict(spec: Spec) -> Spec:
    """The runtime as the product names it: in the open another entry stands for it."""
    return replace(spec, runtime=spec.runtime.removesuffix("-open"))


def created(request: dict[str, Any]) -> dict[str, Any]:
    """What of a request is for a container."""
    return {key: value for key, value in request.items() if key != "Volume"}


def run_request(request: dict[str, Any], spec: Spec, scratch: Path) -> Outcome:
    """Create, start, wait and remove, with none of the steps that guard a run."""
    client = sandbox.connect()
    output = scratch / "predictions"
    output.write_bytes(b"")
    output.chmod(0o666)
    container = client.create_container_from_config(created(request))["Id"]
    try:
        client.start(container)
        with contextlib.suppress(requests.exceptions.RequestException):  # still running: killed
            client.wait(container, timeout=int(spec.limits.seconds))
        client.kill(container) if client.inspect_container(container)["State"]["Running"] else None
        return Outcome(Status.OK, output.read_bytes()[: spec.output_size + 1], 0, 0.0)
    finally:
        client.remove_container(container, force=True, v=True)
        output.unlink()
