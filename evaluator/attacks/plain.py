"""The positive controls that need no privilege: the same techniques in an ordinary container.

As `docker run --user 1000 IMAGE` makes it: the engine's defaults, and nothing beyond them. Only the
probe image runs so, and no data is on its mounts.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import sandbox
from evaluator.attacks.probing import Tried, small, try_together
from sandbox import Outcome, Spec, Status

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from evaluator.attacks.corpus import Attack
    from evaluator.attacks.probing import Bench

USER = "1000:1000"
_MIB = 2**20
_SECONDS = 60


def try_plain(attacks: Iterable[Attack], bench: Bench) -> list[Tried]:
    """Try the rows that are `plain`; under gVisor too, by the runtime as it is registered."""
    attacks = list(attacks)
    groups = [[attack for attack in attacks if not attack.alone]]
    groups += [[attack] for attack in attacks if attack.alone]
    limits = small(bench.limits, bench.runtime)
    tried: list[Tried] = []
    for group in filter(None, groups):
        try:
            tried += try_together(group, bench, limits, _run)
        except sandbox.SandboxError:  # an engine without a bridge starts no ordinary container
            tried += [Tried(attack, "unknown") for attack in group]
    return tried


def _run(spec: Spec, scratch: Path) -> Outcome:
    """Create, start, wait, remove: none of the steps that guard a run."""
    client = sandbox.connect()
    output = scratch / "predictions"
    output.write_bytes(b"")
    output.chmod(0o666)
    with sandbox.engine_errors():
        container = client.create_container_from_config(_request(spec, output))["Id"]
        try:
            client.start(container)
            with contextlib.suppress(OSError):  # requests' timeout: it is removed all the same
                client.wait(container, timeout=_SECONDS)
            return Outcome(Status.OK, output.read_bytes()[: spec.output_size], None, 0.0)
        finally:
            client.remove_container(container, force=True, v=True)
            output.unlink()


def _request(spec: Spec, output: Path) -> dict[str, Any]:
    mounts = [(str(mount.source), mount.target) for mount in spec.inputs]
    mounts.append((str(output), sandbox.OUTPUT))
    return {
        "Image": spec.image,
        "Cmd": [spec.verb],
        "User": USER,
        "Labels": {sandbox.RUN_LABEL: spec.run},  # a killed doctor's is swept like a run's
        "HostConfig": {
            "Runtime": spec.runtime,
            "Mounts": [
                {"Type": "bind", "Source": source, "Target": target} for source, target in mounts
            ],
            "Memory": 1024 * _MIB,  # not a control under test: this host has other work
        },
    }
