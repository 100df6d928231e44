"""Taking in an image against `docker load`, and one that is known against sha256 of its file.

evaluator    a Python process that does what `evaluator run` does with an archive before anything of
             it is started: copy it into the workspace while the copy is hashed, have the confined
             child write its layers anew, hash these on their way to the engine. Of a run only this
             part is measured, the start of Python included: the rest of a run loads no image.
docker load  the command, of the same file: what an operator would do who trusts it. Before each of
             the two the engine has none of the layers; they are never the same ones, since those
             of the evaluator belong to root and have no attributes.
sha256       a Python process that hashes the file with hashlib, and no more. An image is known only
             by all of its bytes, so this is the least that a second intake of it can take. The
             evaluator copies them as well, for a run must not depend on a file that may change.
and a copy   sha256, and the file copied by the kernel in a second thread: the least that an intake
             with a copy of its own can take.

An archive is as `docker save` writes it: four layers of small files and of libraries, which
compress to about half. What was written is on the disk before each turn, and the archive itself in
the page cache. Memory is that of the evaluator's two processes together, at their largest; the
engine's own is in none of the ways.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
import tarfile
from dataclasses import replace
from functools import partial
from os import sync
from typing import TYPE_CHECKING

import sandbox
from benchmarks.measure import Comparison, Sample, Target, command
from benchmarks.one_intake import kept
from benchmarks.workspace import python, runtimes, settled
from evaluator.image_settings import ARCHITECTURE

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measure import Bench

SIZES = {"0.1 GB": (10**8, 0), "1 GB": (10**9, 3), "4 GB": (4 * 10**9, 1)}  # bytes, rounds
SMOKE = {"5 MB": (5 * 10**6, 1)}
LARGE, ROOM = 2 * 10**9, 20 * 10**9  # what larger images want of the disk
NAME = "evaluator-benchmark-intake:latest"
LAYERS, SMALL_FILES, LIBRARY = 4, 10, 2**25  # a tenth of the bytes in small files; bytes of others
MOST_MEMORY = 300  # MB
AND_A_COPY = """
import hashlib, shutil, sys, threading
thread = threading.Thread(target=shutil.copyfile, args=sys.argv[1:])
thread.start()
hashlib.file_digest(open(sys.argv[1], "rb", buffering=0), "sha256")
thread.join()
"""
HASH = "import hashlib, sys; hashlib.file_digest(open(sys.argv[1], 'rb', buffering=0), 'sha256')"


def measure(bench: Bench) -> None:
    """Compare the ways for each size, cold and known."""
    if not runtimes(bench) or not shutil.which("docker"):
        return
    memory: list[tuple[str, int, int]] = []
    for size, (count, rounds) in (SMOKE if bench.smoke else SIZES).items():
        if count > LARGE and shutil.disk_usage(bench.work).free < ROOM:
            bench.say(f"left out: an image of {size} wants {ROOM / 1e9:.0f} GB of the disk")
            continue
        folder = bench.work / "intake"
        folder.mkdir()
        try:
            memory.append((size, *_measured(bench, folder, size, count, rounds)))
        finally:
            _forget(folder)
            shutil.rmtree(folder)
    bench.table("intake-memory", "Peak memory of an intake, MB", ["image", "cold", "known"], memory)
    for size, *peaks in memory:
        bench.limit(f"Memory of an intake of {size}", max(peaks), MOST_MEMORY, "MB")


def _measured(bench: Bench, folder: Path, size: str, count: int, rounds: int) -> tuple[int, int]:
    """Both comparisons of one archive; the most memory that the evaluator took in each."""
    archive = folder / "image.tar"
    write_image(archive, count)
    slug = size.lower().replace(" ", "-").replace(".", "")
    cold, known = list[int](), list[int]()
    evaluator = partial(_evaluator, bench, folder, archive)
    bench.compare(
        Comparison(
            f"intake-{slug}",
            f"An image of {size} that the engine does not have",
            {
                "docker load": partial(_docker_load, folder, archive),
                "evaluator": partial(evaluator, cold, known=False),
            },
            "docker load",
            [Target("evaluator", "docker load", 1.5)],
        ),
        rounds or None,
        warm=rounds == 1,  # minutes each
    )
    bench.compare(
        Comparison(
            f"intake-{slug}-known",
            f"An image of {size} that was taken in before",
            {
                "sha256": lambda: command(python("-c", HASH, archive), settled(bench)),
                "and a copy": partial(_and_a_copy, bench, folder, archive),
                "evaluator": partial(evaluator, known, known=True),
            },
            "sha256",
            [Target("evaluator", "sha256", 1.2, 0.5)],
        ),
        rounds and 3,
    )
    return max(cold) // 10**6, max(known) // 10**6


def _evaluator(
    bench: Bench, folder: Path, archive: Path, peaks: list[int], *, known: bool
) -> Sample:
    """One intake, which says how much memory it took."""
    if not known:
        _forget(folder)
    (folder / "scratch").mkdir()
    sync()
    sample = command(python("-m", "benchmarks.one_intake", archive, folder), settled(bench))
    shutil.rmtree(folder / "scratch")
    peaks.append(int((folder / "peak").read_text()))
    return replace(sample, peak=peaks[-1])


def _and_a_copy(bench: Bench, folder: Path, archive: Path) -> Sample:
    """Hash it, and have a copy."""
    copy = folder / "copy"
    sync()
    sample = command(python("-c", AND_A_COPY, archive, copy), settled(bench))
    copy.unlink()
    return sample


def _docker_load(folder: Path, archive: Path) -> Sample:
    """The archive as it is, for an engine that has none of it."""
    _forget(folder)
    sync()
    sample = command(["docker", "load", "--quiet", "--input", archive])
    command(["docker", "rmi", "--force", NAME])
    return sample


def _forget(folder: Path) -> None:
    """Have the engine lose what it got from the evaluator."""
    sandbox.remove_admitted(kept(folder).owner, ())


def write_image(archive: Path, size: int) -> None:
    """Write an image of about so many bytes, as `docker save` does; its program ends at once."""
    chance = random.Random(size)  # noqa: S311 - the same archive every time
    with tarfile.open(archive, "w", format=tarfile.USTAR_FORMAT) as out:
        digests = []
        for number in range(LAYERS):
            layer = archive.with_name("layer.tar")
            with tarfile.open(layer, "w", format=tarfile.PAX_FORMAT) as members:
                _write_layer(members, f"opt/layer-{number}", size // LAYERS, chance)
            with layer.open("rb") as file:
                digests.append(f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}")
            out.add(layer, f"{number}/layer.tar")
            layer.unlink()
        config = {
            "architecture": ARCHITECTURE,
            "os": "linux",
            "config": {"Entrypoint": ["/opt/layer-0/predict"]},
            "rootfs": {"type": "layers", "diff_ids": digests},
        }
        names = [f"{number}/layer.tar" for number in range(LAYERS)]
        manifest = [{"Config": "config.json", "RepoTags": [NAME], "Layers": names}]
        for name, document in (("config.json", config), ("manifest.json", manifest)):
            _add(out, name, json.dumps(document).encode())


def _write_layer(members: tarfile.TarFile, folder: str, size: int, chance: random.Random) -> None:
    """Small files for a tenth of the bytes, as Python packages have them, and libraries."""
    text = chance.randbytes(2**19).hex().encode()  # compresses to half
    _add(members, f"{folder}/predict", b"#!/bin/true\n")
    left, number = size, 0
    while left > 0:
        small = left > size - size // SMALL_FILES
        length = min(left, int(chance.expovariate(1 / 8192)) if small else LIBRARY)
        start = chance.randrange(2**19)
        content = (text[start:] + text[:start]) * (length // len(text) + 1)
        name = f"{folder}/{number % 100}/{number}.{'py' if small else 'so'}"
        _add(members, name, content[:length])
        left, number = left - length, number + 1


def _add(members: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(content), 0o755, 1_700_000_000
    members.addfile(info, io.BytesIO(content))
