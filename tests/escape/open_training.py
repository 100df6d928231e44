"""The rows about training in the open: a host that packs, unpacks and counts without care."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tarfile
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests.exceptions
from containers import made, request_of

import sandbox
from evaluator.attacks.kept_tries import ARCHIVES, BOMB, MEMBERS, TEBIBYTE, Place, place
from evaluator.attacks.probing import Tried
from evaluator.attacks.training_tries import Training, act_spec, bench_folder
from evaluator.attacks.tries import TRIES
from evaluator.attacks.witness import Witness
from sandbox.wall import model_volume

if TYPE_CHECKING:
    from collections.abc import Callable

    from trials import OpenTry, Wall

    from evaluator.attacks.corpus import Attack
    from evaluator.attacks.probing import Bench

DEADLINE = 4.0
TICKS = 100  # of a second, as proc(5) counts time


def by_product(careless: Callable[[Attack, Bench], bool]) -> OpenTry:
    """A try by a careless host; behind the control, by the product itself."""

    def try_it(row: Attack, bench: Bench, control: str | None, _wall: Wall) -> Tried:
        if control is not None:
            return TRIES[row.id](row, replace(bench, start=None, steps=None))
        return Tried(row, "succeeds" if careless(row, bench) else "blocked")

    return try_it


def holder_killed(row: Attack, bench: Bench, control: str | None, _wall: Wall) -> Tried:
    """The steps of the open ground do not look whether the model was there to the end."""
    return TRIES[row.id](row, bench if control is None else replace(bench, steps=None))


def naively_packed(_row: Attack, bench: Bench) -> bool:
    """The host goes into the volume itself, and packs what links lead to."""
    with Witness(bench_folder(bench), bench.host) as witness:
        run = Training.of(bench, witness)
        with run.held():
            run.train(["ft-link-keep-leave"])
            found = sandbox.connect().inspect_volume(model_volume(run.run))
            kept = witness.folder / "kept.tar"
            with tarfile.open(kept, "w", dereference=True) as archive:
                archive.add(Path(found["Mountpoint"]) / "host", "host")
        return (witness.folder / "labels.npy").read_bytes() in kept.read_bytes()


def naively_unpacked(row: Attack, bench: Bench) -> bool:
    """The host unpacks into a folder of its own whatever there is."""
    aim = place(bench)
    kept = aim.folder / "kept.tar"
    kept.write_bytes(ARCHIVES[row.id](aim))
    folder = Path(tempfile.mkdtemp(dir=aim.folder))
    try:
        try:
            with tarfile.open(kept) as archive:
                archive.extractall(folder, filter="fully_trusted")  # noqa: S202 - naive on purpose
        except OSError:
            return row.id == "ft-archive-names"  # nobody expects that of a name
        return FELL_FOR[row.id](aim, folder)
    finally:
        shutil.rmtree(folder)


FELL_FOR: dict[str, Callable[[Place, Path], bool]] = {
    "ft-archive-slip": lambda aim, _: aim.slipped.exists(),
    "ft-archive-absolute": lambda aim, _: aim.slipped.exists(),
    "ft-archive-link-write": lambda aim, _: aim.slipped.exists(),
    "ft-archive-hardlink": lambda aim, _: aim.secret.stat().st_nlink > 1,
    "ft-archive-device": lambda _, folder: (folder / "device").is_char_device(),
    "ft-archive-sparse": lambda _, folder: (folder / "sparse").stat().st_size == TEBIBYTE,
    "ft-archive-gzip": lambda _, folder: (folder / "bomb").stat().st_size == BOMB,
    "ft-archive-names": lambda *_: False,
    "ft-archive-members": lambda _, folder: len(list(folder.iterdir())) > MEMBERS,
}


def first_process_only(row: Attack, bench: Bench) -> bool:
    """Count the time of the container's first process, as `ps` shows it: of two seconds, none."""
    with listened(row, bench) as (container, _):
        pid = sandbox.connect().inspect_container(container)["State"]["Pid"]
        used = 0.0
        with contextlib.suppress(OSError):  # it has ended
            while True:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                used = (int(fields[11]) + int(fields[12])) / TICKS
                time.sleep(0.1)
        return used < 1


@contextlib.contextmanager
def listened(row: Attack, bench: Bench) -> Any:  # noqa: ANN401 - a container and a connection
    """The act of a row in the open, started, with a connection to what it prints."""
    spec = act_spec(row, bench, 60.0)
    output = bench.scratch / "listened"
    output.touch()
    request = request_of(spec, output, bench, None, lambda *_: {})
    client = sandbox.connect()
    with made(request) as container:
        connection = client.attach_socket(container, {"stderr": 1, "stream": 1})
        client.start(container)
        try:
            yield container, connection._sock  # noqa: SLF001 - the SDK wraps it in a reader
        finally:
            with contextlib.suppress(OSError):
                connection._sock.shutdown(socket.SHUT_RDWR)  # noqa: SLF001 - what frees the engine
            connection.close()


def stops_listening(row: Attack, bench: Bench) -> bool:
    """Read a mebibyte, then kill it and wait with the connection still open."""
    client = sandbox.connect()
    client.timeout = 8
    with listened(row, bench) as (container, connection):
        size = 0
        while size < 2**20:
            size += len(connection.recv(2**16))
        time.sleep(2)  # until it has filled every buffer on the way to us
        try:
            client.kill(container)
            client.wait(container, timeout=8)
        except requests.exceptions.RequestException:
            return True
        return False


def ended_within(container: str, seconds: float) -> bool:
    """Whether the engine says in time that it has ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not sandbox.connect().inspect_container(container)["State"]["Running"]:
            return True
        time.sleep(0.2)
    return False


def waits_for_a_frame(row: Attack, bench: Bench) -> bool:
    """Read frame after frame, and look at the clock between two of them."""
    frames: list[bytes] = []
    with listened(row, bench) as (container, connection):
        reader = threading.Thread(target=lambda: frames.append(exactly(connection)), daemon=True)
        reader.start()
        reader.join(DEADLINE)
        return reader.is_alive() and not ended_within(container, 0.5)


def exactly(connection: socket.socket) -> bytes:
    """A header of the engine's and a frame."""
    found = b""
    while len(found) < 8 + 64:
        part = connection.recv(8 + 64 - len(found))
        if not part:
            break
        found += part
    return found


def shown_as_text(row: Attack, bench: Bench) -> bool:
    """What it prints goes to the operator's terminal, escapes and all."""
    with listened(row, bench) as (container, connection):
        ended_within(container, 20)
        connection.settimeout(2)
        text = b""
        with contextlib.suppress(OSError):
            while part := connection.recv(2**16):
                text += part
    return b"\x1b]0;owned\x07" in text


OPEN: dict[str, OpenTry] = {
    **dict.fromkeys(ARCHIVES, by_product(naively_unpacked)),
    "ft-link-keep": by_product(naively_packed),
    "ft-holder-killed": holder_killed,
    "ft-charge-children": by_product(first_process_only),
    "ft-frames-flood": by_product(stops_listening),
    "ft-frames-never-end": by_product(waits_for_a_frame),
    "ft-frames-absurd": by_product(shown_as_text),
}
