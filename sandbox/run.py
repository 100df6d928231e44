"""Run one container behind the wall, and leave nothing of it behind."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import docker.errors
import requests.exceptions

from sandbox.engine import connect, engine_errors, hook_failed
from sandbox.frames import reported
from sandbox.lock import is_alive, run_lock
from sandbox.logs import listening
from sandbox.metering import Meter
from sandbox.readback import differences
from sandbox.spec import Outcome, SandboxError, Spec, Status
from sandbox.wall import (
    RUN_LABEL,
    create_arguments,
    model_volume,
    run_filter,
    run_of_volume,
    uid_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from docker import APIClient

    from sandbox.frames import Frame
    from sandbox.logs import Log

# What stays free beside the reservation, so that the result itself can be written.
_HEADROOM = 64 * 2**20
_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE of linux/falloc.h
# The conventions of `docker run`: found but not executable, not found.
_NOT_STARTABLE = (126, 127)
_KILLED = 137  # 128 and SIGKILL
# Seconds between two looks at an answer, and at whether the program that owes it still runs.
_POLL, _LOOK = 0.001, 0.1


def run(  # noqa: PLR0913, PLR0917 - a container, its place, and who is told what of it
    spec: Spec,
    scratch: Path,
    seccomp: str,
    frames: Callable[[Frame], None] | None = None,
    charged: Callable[[float], None] | None = None,
    log: Log | None = None,
) -> Outcome:
    """Run `spec` to its end, its deadline or the end of its allowance.

    1. Make the output file, reserve its disk, and open it before anything runs.
    2. Create the container: the whole wall is `create_arguments`.
    3. Compare what the engine made with what was asked, and refuse any difference.
    4. Start, meter, and wait no longer than the deadline.
    5. Ask the engine how it ended: its words never come from the program.
    6. Remove the container whatever happened, and make sure it is gone.
    7. Only then read the output, through the descriptor of step 1.

    `scratch` is a directory that only the operator can enter. `frames` gets the numbers that a
    program of ours reports meanwhile, `charged` the operations used so far, and `log`, which is
    for rehearsals, what the program printed. Raises SandboxError for every trouble that is not the
    submission's.
    """
    with contained(spec, scratch, seccomp, frames, charged, log) as container:
        container.start()
        return container.outcome(spec.limits.seconds, spec.output_size)


@contextmanager
def contained(  # noqa: PLR0913, PLR0917 - as `run` has them
    spec: Spec,
    scratch: Path,
    seccomp: str,
    frames: Callable[[Frame], None] | None = None,
    charged: Callable[[float], None] | None = None,
    log: Log | None = None,
) -> Iterator[Container]:
    """One container behind the wall, not started yet, and gone when the block is left.

    The steps of `run`, for who has to do something between them.
    """
    client = connect()
    with run_lock(spec.run), _output_file(spec, scratch) as (path, descriptor):
        asked = create_arguments(spec, str(path), uid_of(spec.run), seccomp)
        with ExitStack() as engine:
            engine.enter_context(engine_errors())
            made = engine.enter_context(_container(client, asked, spec))
            require_equal(client, asked, made)
            if spec.model:
                _require_model(client, spec.run)
            stop = partial(_kill, made)
            meter = Meter(made, spec.limits.cpus, spec.allowance, spec.gpus, stop, charged)
            heard = (
                reported(client, made, frames if spec.frames else None),
                listening(client, made, spec, log),
            )
            yield Container(client, made, spec, descriptor, engine, meter, heard)


@dataclass
class Container:
    """What can be done with a container that there is; `contained` makes one."""

    client: APIClient
    id: str
    spec: Spec
    descriptor: int  # of its output file
    engine: ExitStack  # removes it
    meter: Meter
    heard: tuple[AbstractContextManager[None], ...]
    _ended: tuple[Status, int | None] | None = None

    def start(self) -> None:
        """Start it, metered; a program that is not there has ended by then."""
        self._began, self._since = time.monotonic(), time.time()
        for each in self.heard:
            self.engine.enter_context(each)
        self.engine.enter_context(self.meter)
        not_there = _start(self.client, self.id)
        self._running = time.monotonic()
        if not_there is not None:
            self._ended = Status.START_FAILED, not_there

    def answer(self, size: int, seconds: float) -> bytes | None:
        """What it has written of its output when that is `size` bytes; None where it ended first.

        A program of ours goes on after that. Raises no more than `run` does.
        """
        deadline, look = self._running + seconds, self._running + _LOOK
        while self._ended is None and os.fstat(self.descriptor).st_size < size:
            now = time.monotonic()
            if now > deadline:
                self._ended = Status.TIMEOUT, None
            elif now > look:
                look = now + _LOOK
                if not self._state()["Running"]:
                    return None
            time.sleep(_POLL)
        return None if self._ended else os.pread(self.descriptor, size, 0)

    def outcome(self, seconds: float, size: int) -> Outcome:
        """Wait for its end, for so many seconds at most; remove it; read `size` bytes of output."""
        status, exit_code = self._ended or self._wait(time.monotonic() + seconds)
        took = time.monotonic() - self._began
        self.engine.close()
        output = b"" if self.spec.kept else os.pread(self.descriptor, size + 1, 0)
        start = self._running - self._began
        return Outcome(status, output, exit_code, took, self.meter.usage(), start)

    def _wait(self, deadline: float) -> tuple[Status, int | None]:
        """How it ended."""
        seconds = deadline - time.monotonic()
        try:
            self.client.wait(self.id, timeout=seconds)  # type: ignore[arg-type]  # requests takes floats
        except (requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError):
            if time.monotonic() < deadline:
                raise  # the engine went away: our trouble, even where it is back by now
            self.client.ping()  # a dead engine is our trouble, a slow program the submission's
            if self._state()["Running"]:
                return Status.TIMEOUT, None
        if self.meter.stopped:
            return _STOPPED[self.meter.stopped], None
        state = self._state()
        if state["ExitCode"] == _KILLED and not state["OOMKilled"]:
            _require_own_end(self.client, self.id, self._since)
        return _status(state), int(state["ExitCode"])

    def _state(self) -> dict[str, Any]:
        return dict(self.client.inspect_container(self.id)["State"])


@contextmanager
def _output_file(spec: Spec, scratch: Path) -> Iterator[tuple[Path, int]]:
    """One empty file that any uid may write, in a directory that no other user enters.

    A Spec without output is not given it; one that keeps its output finds it made already.
    """
    path = spec.kept or scratch / "predictions"
    flags = os.O_RDWR | os.O_NOFOLLOW | (0 if spec.kept else os.O_CREAT | os.O_EXCL)
    descriptor = os.open(path, flags, 0o600)
    try:
        os.fchmod(descriptor, 0o666)  # past the umask; the directory is 0700
        if spec.output_size:
            _reserve(descriptor, spec.limits.file_size)
        yield path, descriptor
    finally:
        if spec.kept:  # what was set aside and not written is the disk's again
            os.ftruncate(descriptor, os.fstat(descriptor).st_size)
        os.close(descriptor)
        if not spec.kept:
            path.unlink(missing_ok=True)


def _reserve(descriptor: int, size: int) -> None:
    """Have `size` bytes of disk set aside without changing the file's length."""
    disk = os.fstatvfs(descriptor)
    free = disk.f_bavail * disk.f_frsize
    libc = ctypes.CDLL(None, use_errno=True)
    reserved = libc.fallocate(descriptor, _KEEP_SIZE, ctypes.c_long(0), ctypes.c_long(size)) == 0
    # Some file systems cannot reserve; there the free space is all there is to go by.
    full = not reserved and ctypes.get_errno() in {errno.ENOSPC, errno.EDQUOT}
    if full or free < size + _HEADROOM:
        raise SandboxError(
            f"The disk of the workspace has {free // 2**20} MiB free, and a run sets aside "
            f"{(size + _HEADROOM) // 2**20} MiB. Free some, or lower tmp_bytes and shm_bytes in "
            "policies/sandbox.toml."
        )


@contextmanager
def _container(client: APIClient, asked: dict[str, Any], spec: Spec) -> Iterator[str]:
    """A created container, gone at the end together with its anonymous volumes."""
    try:
        with uninterrupted():  # the engine goes on with a create that its client has left
            container = client.create_container_from_config(asked)["Id"]
        yield container
    finally:
        with uninterrupted():
            remove_containers(client, run_filter(spec.run, spec.verb))


def remove_leftovers(client: APIClient, run: str | None = None) -> int:
    """Remove every container and volume of `run`; by default of every run that is not alive.

    Returns how many containers there were; raises SandboxError when one is still there.
    """
    with engine_errors():
        found = client.containers(all=True, filters=run_filter(run))
        # By name: an engine that was asked for one that is gone makes it anew, without a label.
        volumes = client.volumes(filters={"name": model_volume(run or "")})["Volumes"] or ()
    names = {run_of_volume(volume["Name"]): volume["Name"] for volume in volumes}
    runs = {*(each["Labels"][RUN_LABEL] for each in found), *names}
    dead = {each for each in runs if run or not is_alive(each)}
    removed = sum(remove_containers(client, run_filter(each)) for each in dead)
    with engine_errors():
        for each in dead & names.keys():
            client.remove_volume(names[each], force=True)
    return removed


def remove_containers(client: APIClient, filters: dict[str, list[str]]) -> int:
    """Remove every container that `filters` find, as `remove_leftovers` does."""
    with engine_errors():
        found = client.containers(all=True, filters=filters)
        for container in found:
            try:
                client.remove_container(container["Id"], v=True, force=True)
            except docker.errors.APIError as error:
                if error.status_code not in {404, 409}:  # gone, or already being removed
                    raise
        deadline = time.monotonic() + 30
        while client.containers(all=True, filters=filters):
            if time.monotonic() > deadline:
                raise SandboxError(
                    "A container of this run could not be removed. Look at `docker ps -a "
                    f"--filter label={RUN_LABEL}`, and restart the engine if it does not go."
                )
            time.sleep(0.05)
    return len(found)


def _kill(container: str) -> None:
    """End a container from another thread, over a connection of its own."""
    with engine_errors():
        try:
            connect().kill(container)
        except docker.errors.APIError as error:
            if error.status_code not in {404, 409}:  # it ended by itself
                raise


def _require_model(client: APIClient, run: str) -> None:
    """Raise SandboxError where the model's volume is not the one that was made for the run.

    An engine makes a volume that it does not find: on the disk, and of any size.
    """
    found = client.inspect_volume(model_volume(run))
    if (found["Options"] or {}).get("type") != "tmpfs" or found["Labels"] != {RUN_LABEL: run}:
        raise SandboxError(
            "The volume of the trained model was removed from outside, and the model is lost. Run "
            "it again: nothing was kept of this run."
        )


def require_equal(client: APIClient, asked: dict[str, Any], container: str) -> None:
    """Raise SandboxError unless the engine made exactly what was asked."""
    image = client.inspect_image(asked["Image"])["Config"] or {}
    wrong = differences(asked, image, client.inspect_container(container))
    if wrong:
        raise SandboxError(
            "The engine made a container that differs from what was asked, so it was not started: "
            f"{', '.join(wrong)}. Look for a default in the engine's daemon.json that sets it."
        )


_STOPPED = {"operations": Status.BUDGET_SPENT, "gpu memory": Status.OUT_OF_MEMORY}


def _start(client: APIClient, container: str) -> int | None:
    """Start it; the exit status of a program that is missing or not executable."""
    try:
        client.start(container)
    except docker.errors.APIError as error:
        code = int(client.inspect_container(container)["State"]["ExitCode"])
        if code in _NOT_STARTABLE and not hook_failed(error):
            return code
        raise
    return None


def _require_own_end(client: APIClient, container: str, since: float) -> None:
    """Hold nobody's program to account for a kill that came through the engine.

    The engine remembers what it was told to do, but not across a restart: then the start is
    missing as well.
    """
    events = client.events(
        since=int(since),
        until=int(time.time()) + 1,  # the request takes whole seconds, and ends by then
        filters={"container": container},
        decode=True,
    )
    actions = {event["Action"] for event in events}
    if "kill" in actions or "start" not in actions:
        raise SandboxError(
            "The program was killed from outside: its container was stopped, or the engine was "
            "stopped or restarted. Run it again: nothing was kept of this run."
        )


def _status(state: dict[str, Any]) -> Status:
    if state["ExitCode"] == 0:
        return Status.OK
    return Status.OUT_OF_MEMORY if state["OOMKilled"] else Status.NONZERO_EXIT


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C, SIGTERM and SIGHUP back until the block is done.

    By handlers, not by a signal mask: a mask is one thread's, and numpy has threads of its
    own, which the kernel would give the signal to.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's business
        return
    came: list[int] = []
    before = {
        held: signal.signal(held, lambda number, _: came.append(number))
        for held in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for held, handler in before.items():
            signal.signal(held, handler)
        for number in came[:1]:
            signal.raise_signal(number)
