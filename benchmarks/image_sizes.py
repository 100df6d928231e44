"""Size and build time of our images against the naive build of the same content.

Naive is what most would write: a small Debian with Python, the wheels copied in and unpacked by a
Dockerfile, and the program on top. The wheels are there on both sides; Debian's packages are
fetched in every build. An image is built once each way: its size is the same every time. With
`smoke` only the images that are there are listed, and the naive ones need root and mmdebstrap.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import sandbox
from benchmarks.measure import command, timed
from evaluator import images, rootfs
from evaluator.workspace import shipped

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measure import Bench

OURS = {
    "runner": images.ONNX_RUNNER,
    "trainer": images.ONNX_TRAINER,
    "probe": images.PROBE,
    "holder": images.HOLDER,
    "Perl example": images.EXAMPLES["perl"],
}
NAIVE = ("runner", "trainer")  # those with wheels
BASE = "evaluator/benchmark-base:latest"
SITE = f"/{rootfs.SITE_PACKAGES}"


@dataclass(frozen=True, slots=True)
class Built:
    """An image, and how long that took (None: it was there)."""

    size: int
    seconds: float | None


def measure(bench: Bench) -> None:
    """One table."""
    rows = []
    for name, recipe in OURS.items():
        ours = there(recipe) if bench.smoke else build(bench, recipe)
        rows += [] if ours is None else [row(name, "evaluator", ours)]
    if not bench.smoke and shutil.which("mmdebstrap") and os.geteuid() == 0:
        rows += naive(bench)
    head = ["image", "way", "MB", "seconds to build"]
    bench.table("image-sizes", "Images and the naive build of the same content", head, rows)


def row(name: str, way: str, built: Built) -> list[str | float]:
    """A row of the table."""
    seconds = "" if built.seconds is None else round(built.seconds, 1)
    return [name, way, round(built.size / 1e6, 1), seconds]


def there(recipe: images.Recipe) -> Built | None:
    """The image as an earlier build left it, if it did."""
    try:
        found = sandbox.find_image(images.name_of(recipe))
    except sandbox.SandboxError:
        return None
    return Built(size(found), None) if found else None


def size(image: str) -> int:
    """The bytes of its layers."""
    return int(sandbox.connect().inspect_image(image)["Size"])


def build(bench: Bench, recipe: images.Recipe) -> Built:
    """Build it anew under another name, and remove that."""
    other = replace(recipe, repository=f"{recipe.repository}-benchmark")
    sample = timed(lambda: images.build(other, bench.say))
    built = Built(size(images.name_of(other)), sample.seconds)
    sandbox.connect().remove_image(images.name_of(other))
    return built


def naive(bench: Bench) -> list[list[str | float]]:
    """The base, and what a Dockerfile makes of it."""
    folder = bench.work / "naive"
    folder.mkdir()
    base = base_image(folder / "base.tar")
    rows = [row("Debian with Python", "naive", base)]
    for name in NAIVE:
        tag = f"evaluator/benchmark-{name}:latest"
        write_context(folder / name, OURS[name])
        line = ["docker", "build", "--quiet", "--network=none", "--tag", tag, str(folder / name)]
        sample = command(line, {"DOCKER_BUILDKIT": "0"})
        rows.append(row(name, "naive", Built(size(tag), (base.seconds or 0) + sample.seconds)))
        sandbox.connect().remove_image(tag)
    sandbox.connect().remove_image(BASE)
    shutil.rmtree(folder)
    return rows


def base_image(archive: Path) -> Built:
    """Debian's smallest usual variant, and Python as Debian has it."""
    options = ["--quiet", "--variant=minbase", "--include=python3", rootfs.SUITE]
    seconds = command(["mmdebstrap", *options, archive]).seconds
    seconds += command(["docker", "import", archive, BASE]).seconds
    archive.unlink()
    return Built(size(BASE), seconds)


def write_context(folder: Path, recipe: images.Recipe) -> None:
    """A Dockerfile, and what it copies."""
    (folder / "wheels").mkdir(parents=True)
    for lock in recipe.requirements:
        for wheel in rootfs.fetch_wheels(shipped("images") / lock):
            shutil.copy(wheel, folder / "wheels")
    (folder / "program").mkdir()
    for source in recipe.files.values():
        shutil.copy(shipped("images") / source, folder / "program")
    unpack = f"for wheel in /wheels/*; do python3 -m zipfile -e $wheel {SITE}; done"
    lines = [f"FROM {BASE}", "COPY wheels /wheels", f"RUN {unpack}", f"COPY program {SITE}"]
    lines.append('ENTRYPOINT ["python3", "-m", "runner"]')
    (folder / "Dockerfile").write_text("\n".join(lines) + "\n")
