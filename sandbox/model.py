"""The model of one run between its containers: a volume in memory, and the holder that keeps it.

The engine unmounts such a volume, and its content is gone, once no running container has it. So a
trusted container of ours holds it from before `train` until after `predict`, reads nothing of it
and writes nothing. It is never started again: if it still runs at the end, it has run all along.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox.engine import connect, engine_errors
from sandbox.run import remove_leftovers, require_equal, uninterrupted
from sandbox.spec import SandboxError, Spec
from sandbox.wall import create_arguments, model_volume, uid_of, volume_arguments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import APIClient


@contextmanager
def held_model(holder: Spec, size: int, seccomp: str) -> Iterator[None]:
    """The model volume of `holder.run`, of at most `size` bytes, for as long as the block lasts.

    1. Make the volume, and compare what the engine made with what was asked.
    2. Start the holder behind the same wall, with the volume read-only.
    3. At the end see that it still runs: otherwise the model was lost on the way.
    4. Remove everything of the run whatever happened.

    Raises SandboxError for every trouble; a submission can cause none of it.
    """
    client = connect()
    try:
        with engine_errors():
            with uninterrupted():
                _create_volume(client, holder.run, size)
                asked = create_arguments(holder, "", uid_of(holder.run), seccomp)
                container = client.create_container_from_config(asked)["Id"]
            require_equal(client, asked, container)
            client.start(container)
        yield
        with engine_errors():
            if not client.inspect_container(container)["State"]["Running"]:
                raise SandboxError(
                    "The container that keeps the trained model was stopped from outside, and the "
                    "model is lost. Run it again: nothing was kept of this run."
                )
    finally:
        with uninterrupted():
            remove_leftovers(client, holder.run)


def _create_volume(client: APIClient, run: str, size: int) -> None:
    """As asked, or SandboxError: an older volume of this name would be given back as it is."""
    asked = volume_arguments(run, size, uid_of(run))
    client.create_volume(asked["Name"], asked["Driver"], asked["DriverOpts"], asked["Labels"])
    found = client.inspect_volume(model_volume(run))
    made = (found["Driver"], found["Options"], found["Labels"], found.get("Scope"))
    if made != (asked["Driver"], asked["DriverOpts"], asked["Labels"], "local"):
        raise SandboxError(
            "The engine made a volume that differs from what was asked, so nothing was started. "
            "Look at `docker volume ls --filter label=evaluator.run`."
        )
