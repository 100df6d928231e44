"""Fuzzing of the image intake: an archive is accepted or refused, and nothing else happens.

    python tests/evaluator/fuzz_intake.py 1800        # seconds; one line of JSON at the end

Each case is an archive in one of the four layouts that builders write, changed at random:
bytes, whole blocks, header fields under a right checksum, documents, and layers under a
right digest, so that changes reach the code behind the checks. Cases run in batches inside
the worker's own confinement. A case is found guilty by an exception that is no refusal, by
taking longer than 5 seconds, by a batch that dies or grows above 300 MB, and by a file that
appears outside its scratch directory.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zstandard

from evaluator.attacks.forged_images import (
    ARCHITECTURE,
    FORGED,
    PROGRAM,
    digest,
    file,
    image_config,
    oci_archive,
    special,
    tar,
)
from evaluator.intake import pieces
from evaluator.intake.worker import Request, answer, confine

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = 200
SLOW = 5.0  # seconds for one case
MEMORY = 300_000  # KiB of a whole batch
_VALUES = (b"\0", b"\xff" * 8, b"7" * 11, b"-1", b"../" * 3, b"/", b"9" * 20, b"\x80" + b"\xff" * 7)
_SMALL = [name for name in FORGED if name not in {"img-gz-bomb", "img-big-config"}]
_COMPRESS: tuple[Callable[[bytes], bytes], ...] = (
    bytes,
    lambda content: gzip.compress(content, 1),
    zstandard.ZstdCompressor(level=1).compress,
)


def seed_layer() -> list[tuple[tarfile.TarInfo, bytes]]:
    """One member of every kind that is accepted."""
    return [
        special("usr/bin", tarfile.DIRTYPE),
        special("bin", tarfile.SYMTYPE, "usr/bin"),
        file("usr/bin/predict", PROGRAM, 0o755),
        special("predict", tarfile.SYMTYPE, "/bin/predict"),
        special("copy", tarfile.LNKTYPE, "usr/bin/predict"),
        file("n" * 150, b"x" * 700),
        file("größe", b"y"),
        file("etc/.wh.gone"),
        file("opt/.wh..wh..opq"),
    ]


def case(chance: random.Random) -> bytes:
    """One archive, changed somewhere."""
    if chance.random() < 0.1:
        return changed(chance, FORGED[chance.choice(_SMALL)]())
    layers = []
    for _ in range(chance.randint(1, 3)):
        members = seed_layer()
        if chance.random() < 0.5:
            members.pop(chance.randrange(len(members)))
        layer = tar(members)
        layers.append(changed(chance, layer) if chance.random() < 0.6 else layer)
    stored = [chance.choice(_COMPRESS)(layer) for layer in layers]
    if chance.random() < 0.2:
        stored[0] = changed(chance, stored[0])
    config = json.dumps(image_config(map(digest, layers), Env=["PATH=/bin"])).encode()
    if chance.random() < 0.3:
        config = changed_document(chance, config)
    archive = chance.choice((_docker, _oci, _nested))(chance, stored, config)
    if chance.random() < 0.25:
        archive = changed(chance, archive)
    return chance.choice(_COMPRESS)(archive)


def _docker(chance: random.Random, stored: list[bytes], config: bytes) -> bytes:
    names = [f"{number}/layer.tar" for number in range(len(stored))]
    manifest = json.dumps([{"Config": "c.json", "RepoTags": ["a:b"], "Layers": names}]).encode()
    if chance.random() < 0.3:
        manifest = changed_document(chance, manifest)
    members = [file(name, layer) for name, layer in zip(names, stored, strict=True)]
    return tar([*members, file("c.json", config), file("manifest.json", manifest)])


def _oci(chance: random.Random, stored: list[bytes], config: bytes) -> bytes:
    blobs = [*stored, config]
    described = [{"digest": digest(blob), "size": len(blob)} for blob in blobs]
    manifest = json.dumps({"config": described[-1], "layers": described[:-1]}).encode()
    if chance.random() < 0.3:
        manifest = changed_document(chance, manifest)
    return oci_archive(_index(manifest), [*blobs, manifest])


def _nested(chance: random.Random, stored: list[bytes], config: bytes) -> bytes:
    inner = tarfile.open(fileobj=io.BytesIO(_oci(chance, stored, config)))  # noqa: SIM115 - memory
    blobs = [inner.extractfile(m).read() for m in inner if m.name.startswith("blobs")]  # type: ignore[union-attr]
    index = json.dumps(_index(blobs[-1], os="linux", architecture=ARCHITECTURE)).encode()
    if chance.random() < 0.3:
        index = changed_document(chance, index)
    return oci_archive(_index(index), [*blobs, index])


def _index(content: bytes, **platform: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"digest": digest(content), "size": len(content)}
    return {"manifests": [entry | ({"platform": platform} if platform else {})]}


def changed(chance: random.Random, content: bytes) -> bytes:
    """Some bytes, blocks or header fields of a file differ."""
    raw = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(max(1, len(raw)))
        block = at - at % 512
        match chance.randrange(6):
            case 0:
                raw[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                raw[at:at] = chance.randbytes(chance.randint(1, 600))
            case 2:
                del raw[at : at + chance.choice((1, 100, 512, 5000))]
            case 3:
                raw[block:block] = raw[(to := chance.randrange(0, len(raw) + 1, 512)) : to + 512]
            case _:
                _change_field(chance, raw, block)
    return bytes(raw)


def _change_field(chance: random.Random, raw: bytearray, block: int) -> None:
    """Change a field of a tar header and make its checksum right again."""
    if len(raw) < block + 512:
        return
    at = block + chance.choice((0, 100, 108, 124, 136, 156, 157, 257, 265, 329, 345))
    value = chance.choice((*_VALUES, bytes([chance.randrange(256)]), b"xLKgS123456"[at % 11 :][:1]))
    raw[at : at + len(value)] = value
    raw[block + 148 : block + 156] = b" " * 8
    raw[block + 148 : block + 156] = b"%06o\0 " % sum(raw[block : block + 512])


def changed_document(chance: random.Random, document: bytes) -> bytes:
    """A JSON document with something else at some place, or with other bytes."""
    if chance.random() < 0.3:
        return changed(chance, document)
    value = json.loads(document)
    here, path = value, list[tuple[Any, Any]]()
    while isinstance(here, (dict, list)) and here and (not path or chance.random() < 0.8):
        key = chance.choice(list(here)) if isinstance(here, dict) else chance.randrange(len(here))
        path.append((here, key))
        here = here[key]
    where, key = path[-1]
    where[key] = chance.choice(
        (None, -1, 2**70, 1e300, "", "x" * 5000, "\x1b[2J\0", "\ud800", [], {}, [where[key]] * 200)
    )
    return json.dumps(value).encode()


def batch(first: int, count: int, spool: int) -> dict[str, Any]:
    """Run cases numbered from `first` on, in this process, and say how they ended."""
    endings: Counter[str] = Counter()
    guilty = []
    request = Request(
        parent=os.getppid(),
        uid=3_999_999 if os.geteuid() == 0 else 0,
        spool=spool,
        seconds=600,
        unpacked_bytes=2**28,
        ratio=200,
        entries=10_000,
        layers=10,
        document_bytes=65536,
        marks=True,  # more code for the same bytes, and the same endings
    )
    confine(request)
    archive = os.memfd_create("archive")
    for number in range(first, first + count):
        content = case(random.Random(number))  # noqa: S311 - cases have to come again
        pieces._WORTH = (1, 600, 2**40)[number % 3]  # noqa: SLF001 - contents here are short
        for descriptor in (archive, spool):
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(archive, content)
        started = time.monotonic()
        try:
            report = answer(request, archive)
            endings[report.get("rule", "accepted" if "layers" in report else "errno")] += 1
        except Exception:  # noqa: BLE001 - whatever it is, it is what we look for
            guilty.append(f"{number}: {traceback.format_exc()}")
        if time.monotonic() - started > SLOW:
            guilty.append(f"{number}: took {time.monotonic() - started:.1f} s")
    return {"endings": endings, "guilty": guilty, "peak": _peak()}


def _peak() -> int:
    """KiB of memory this program had at most; getrusage would count its parent before exec too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def fuzz(seconds: float, first: int = 0) -> dict[str, Any]:
    """Run batches for so long; what was found, and how the cases ended."""
    until = time.monotonic() + seconds
    endings: Counter[str] = Counter()
    guilty: list[str] = []
    peak = 0
    with tempfile.TemporaryDirectory() as scratch:
        while time.monotonic() < until:
            with tempfile.TemporaryFile(dir=scratch) as spool:
                arguments = ["batch", str(first), str(BATCH), str(spool.fileno())]
                ended = subprocess.run(
                    [sys.executable, "-I", __file__, *arguments],
                    pass_fds=[spool.fileno()],
                    cwd=scratch,
                    capture_output=True,
                    check=False,
                )
            if ended.returncode:
                guilty.append(f"batch {first}: {ended.returncode} {ended.stderr[-2000:]!r}")
            else:
                found = json.loads(ended.stdout)
                endings += Counter(found["endings"])
                guilty += found["guilty"]
                peak = max(peak, found["peak"])
            guilty += [f"batch {first}: left {path}" for path in Path(scratch).iterdir()]
            first += BATCH
    if peak > MEMORY:
        guilty.append(f"{peak} KiB")
    return {"cases": sum(endings.values()), "endings": endings, "peak": peak, "guilty": guilty}


if __name__ == "__main__":
    if sys.argv[1] == "batch":
        print(json.dumps(batch(*map(int, sys.argv[2:]))))  # noqa: T201 - read by `fuzz`
    else:
        outcome = fuzz(float(sys.argv[1]))
        print(json.dumps(outcome))  # noqa: T201 - what the command is for
        sys.exit(bool(outcome["guilty"]))
