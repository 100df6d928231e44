"""The output rows in the open: a folder to write into, and a host that opens what is in it."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import naive_parsers
from containers import ended, made, request_of, spec_of

import sandbox
from evaluator.attacks.output_tries import BYTES, DEADLINE, try_bytes
from evaluator.attacks.probing import Tried
from evaluator.attacks.stand_in import HELD_OUT
from sandbox import Mount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trials import OpenTry, Wall

    from evaluator.attacks.corpus import Attack
    from evaluator.attacks.probing import Bench

MIB = 2**20
NOBODY = 65534  # stands for an operator who is not root


@contextmanager
def folder() -> Iterator[Path]:
    """An operator's folder that anybody may write into, with the output file in it."""
    path = Path(tempfile.mkdtemp(prefix="escape-output-", dir="/var/tmp"))
    try:
        (path / "predictions").write_bytes(bytes(8))
        for each in (path, path / "predictions"):
            os.chown(each, NOBODY, NOBODY)
            each.chmod(0o777)
        yield path
    finally:
        shutil.rmtree(path)


@contextmanager
def container(
    row: Attack, bench: Bench, control: str | None, wall: Wall, out: Path
) -> Iterator[str]:
    """The probe in the open, with the folder at /output, or with the one file where it is that."""
    inputs = out.parent / f"{out.name}-inputs"
    inputs.mkdir()
    manifest, tiles = inputs / "manifest.json", inputs / "tiles.npy"
    manifest.write_text(json.dumps({"tiles": HELD_OUT}))
    tiles.write_bytes(bytes(64))
    mounts = (Mount(manifest, "/input/manifest.json"), Mount(tiles, "/input/tiles.npy"))
    spec = spec_of(bench.probe, row.id, bench, mounts)
    request = request_of(spec, out / "predictions", bench, control, wall)
    if control != "one-file":
        (mount,) = (m for m in request["HostConfig"]["Mounts"] if "output" in m["Target"])
        mount.update(Source=str(out), Target="/output")
    try:
        with made(request) as name:
            yield name
    finally:
        shutil.rmtree(inputs)


def leaving(shown: Callable[[Path], bool]) -> OpenTry:
    """A try that succeeds where the host, which looks once the container has ended, sees it."""

    def try_it(row: Attack, bench: Bench, control: str | None, wall: Wall) -> Tried:
        with folder() as out:
            with container(row, bench, control, wall, out) as name:
                ended(name, 20)
            return Tried(row, "succeeds" if shown(out / "predictions") else "blocked")

    return try_it


def is_passwd(path: Path) -> bool:
    """Whoever reads it reads a file of the host."""
    return path.read_bytes() == Path("/etc/passwd").read_bytes()


def blocks(path: Path) -> bool:
    """Whoever opens it waits."""
    if not path.is_fifo():
        return False
    reader = threading.Thread(target=path.read_bytes, daemon=True)
    reader.start()
    reader.join(0.5)
    waits = reader.is_alive()
    if waits:
        os.close(os.open(path, os.O_WRONLY))
    return waits


def fails(path: Path) -> bool:
    """It is there, and whoever opens it gets an exception."""
    if not path.exists():
        return False
    try:
        path.read_bytes()
    except OSError:
        return True
    return False


def is_endless(path: Path) -> bool:
    """It is a device, and gives more than any file of its size."""
    if not path.is_char_device():
        return False
    with path.open("rb") as file:
        return len(file.read(MIB)) == MIB


def cannot_go(path: Path) -> bool:
    """An operator who is not root cannot clean up."""
    locked = path.with_name("locked")
    remove = ["rm", "-rf", str(locked)]
    subprocess.run(remove, user=NOBODY, group=NOBODY, check=False, stderr=subprocess.DEVNULL)
    return locked.exists()


def changes_while_read(row: Attack, bench: Bench, control: str | None, wall: Wall) -> Tried:
    """A host that reads as soon as there is enough has read something else than what stays."""
    with folder() as out, container(row, bench, control, wall, out) as name:
        path, deadline = out / "predictions", time.monotonic() + 10
        if control == "removed-after":
            ended(name, 20)
        else:
            sandbox.connect().start(name)
        while path.stat().st_size < HELD_OUT and time.monotonic() < deadline:
            time.sleep(0.02)
        seen = set()
        for _ in range(6):
            seen.add(path.read_bytes())
            time.sleep(0.1)
        return Tried(row, "succeeds" if len(seen) > 1 else "blocked")


def never_ends(row: Attack, bench: Bench, control: str | None, wall: Wall) -> Tried:
    """After the deadline it is still there, and still writes."""
    with folder() as out, container(row, bench, control, wall, out) as name:
        code = ended(name, DEADLINE)
        if control == "deadline":
            sandbox.connect().kill(name)
        before = (out / "predictions").read_bytes()
        time.sleep(1)
        grows = code is None and (out / "predictions").read_bytes() != before
        return Tried(row, "succeeds" if grows else "blocked")


def parsed(row: Attack, bench: Bench, control: str | None, _wall: Wall) -> Tried:
    """The bytes before a naive parser, or before ours."""
    if control is not None:
        return try_bytes(row, bench)
    tricked = naive_parsers.TRICKED[row.id](BYTES[row.id])
    return Tried(row, "succeeds" if tricked else "blocked")


OPEN: dict[str, OpenTry] = {
    "out-symlink": leaving(is_passwd),
    "out-hardlink": leaving(lambda path: path.with_name("kept").exists()),
    "out-fifo": leaving(blocks),
    "out-socket": leaving(fails),
    "out-device": leaving(is_endless),
    "out-dir": leaving(fails),
    "out-dir-000": leaving(cannot_go),
    "out-replace": leaving(lambda path: path.read_bytes() == b"other"),
    "out-chmod": leaving(lambda path: stat.S_IMODE(path.stat().st_mode) == 0),
    "out-sparse": leaving(lambda path: path.stat().st_size == 2**40),
    "out-overflow": leaving(lambda path: path.stat().st_blocks * 512 > 90 * MIB),
    "out-slow-drip": never_ends,
    "out-change-after-read": changes_while_read,
    **dict.fromkeys(BYTES, parsed),
}
