"""Bringing tiles in: `evaluator data import` against a loop over Pillow or tifffile.

Both read the same class folders and end with shuffled, divided and hashed arrays, each as a
process of its own into a new folder. The loop (benchmarks/by_hand_import.py) does it in one
process and keeps all tiles in memory. The product does more: it looks for repeated tiles and for
every problem, takes statistics of each class, commits to the holdout, and has everything on the
disk before it ends. Then the memory and the time of imports that differ in their number of tiles.

A GeoTIFF tile of 13 bands has 106 kB, and the product handles each several times (one CPU, warm,
measured apart): reading the file 28 us, its tags 19 (of a plain TIFF; tifffile, which reads all
others, takes 121), SHA-256 of the pixels and the scratch file 81, and then, beside each other,
SHA-256 of the new file and writing it 100, and reading for the statistics and taking them 80. The
loop's `imread` takes 221 us, and of the rest it does the last hash alone. Half of what is left is
the two hashes, each a format's: the commitment has one for each tile, the seal one for each file.
"""

from __future__ import annotations

import io
import shutil
import tarfile
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import tifffile
from PIL import Image

from benchmarks.measure import Bench, Comparison, Sample, Target, command
from benchmarks.workspace import evaluator, python, settled

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = 9
JPEGS, GEOTIFFS, SMOKE = 27_000, 6_000, 90
SIZES = (1_000, 10_000, 100_000, 300_000)
SIDE, SMALL, BANDS = 64, 16, 13


def measure(bench: Bench) -> None:
    """Compare both formats, then let the number of tiles grow."""
    template = bench.work / "template"
    command(evaluator("init", template, "--no-class-sizes"), settled(bench))
    jpegs = _jpegs(bench, SMOKE if bench.smoke else JPEGS)
    _compare(bench, "jpeg", "JPEG tiles", "pillow", jpegs)
    shutil.rmtree(jpegs)
    geotiffs = _geotiffs(bench.work / "geotiff", SMOKE if bench.smoke else GEOTIFFS)
    _compare(bench, "geotiff", f"GeoTIFF tiles of {BANDS} bands", "tifffile", geotiffs)
    shutil.rmtree(geotiffs)
    _grow(bench, (100, 1_000) if bench.smoke else SIZES)


def _compare(bench: Bench, name: str, what: str, library: str, source: Path) -> None:
    tiles = sum(1 for _ in source.glob("*/*"))
    loop = f"{library} loop"
    by_hand = python("-m", "benchmarks.by_hand_import", library, source, bench.work / "by-hand")
    ways = {"evaluator": partial(_import, bench, source), loop: partial(_loop, bench, by_hand)}
    title = f"Importing {tiles:,} {what}"
    targets = [Target("evaluator", loop, 1 / 1.5)]
    bench.compare(Comparison(f"import-{name}", title, ways, loop, targets))


def _import(bench: Bench, source: Path) -> Sample:
    """Import into a new workspace."""
    farm = bench.work / "farm"
    shutil.copytree(bench.work / "template", farm)
    line = evaluator("data", "import", source, "--holdout", "0.2", "--workspace", farm)
    return _removed(farm, command(line, settled(bench)))


def _loop(bench: Bench, line: list[str]) -> Sample:
    return _removed(bench.work / "by-hand", command(line, settled(bench)))


def _removed(folder: Path, sample: Sample) -> Sample:
    shutil.rmtree(folder)
    return sample


def _grow(bench: Bench, sizes: tuple[int, ...]) -> None:
    """Import small grey tiles that need no decoding, more and more of them."""
    settings = bench.work / "template" / "evaluator.toml"
    wanted = f"tile = [{SMALL}, {SMALL}]"
    settings.write_text(settings.read_text().replace(f"tile = [{SIDE}, {SIDE}]", wanted))
    memory, seconds = {}, {}
    for tiles in sizes:
        source = _arrays(bench.work / "arrays", tiles)
        sample = _import(bench, source)
        shutil.rmtree(source)
        memory[float(tiles)] = {"evaluator": sample.peak / 2**20}
        seconds[float(tiles)] = {"evaluator": sample.seconds}
    bench.curve("import-memory", "Memory of an import", "tiles", "MiB", memory)
    bench.curve("import-seconds", "Time of an import", "tiles", "seconds", seconds)


def _jpegs(bench: Bench, tiles: int) -> Path:
    """Class folders of real tiles, or else of noise; what more is wanted comes mirrored."""
    folder = bench.work / "jpeg"
    if not bench.tiles:
        random = np.random.default_rng(1)
        for number in range(tiles):
            coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8))
            _save(coarse.resize((SIDE, SIDE)), folder / f"class-{number % CLASSES}", number)
        return folder
    with tarfile.open(bench.tiles) as archive:
        members = [member for member in archive if member.isfile()]
        real = members[:: max(1, len(members) // tiles)][:tiles]  # some of every class
        for number, member in enumerate(real):
            data = archive.extractfile(member).read()  # type: ignore[union-attr]  # it is a file
            _write(folder / member.name.split("/")[-2] / f"{number:05}.jpg", data)
    paths = sorted(folder.glob("*/*"))
    for number in range(len(paths), tiles):
        path = paths[number % len(paths)]
        with Image.open(path) as image:
            _save(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), path.parent, number)
    return folder


def _save(image: Image.Image, folder: Path, number: int) -> None:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    _write(folder / f"{number:05}.jpg", file.getvalue())


def _geotiffs(folder: Path, tiles: int) -> Path:
    """Class folders of noise in all the bands of Sentinel-2, not compressed."""
    random = np.random.default_rng(2)
    for number in range(tiles):
        tile = random.integers(0, 10_000, (SIDE, SIDE, BANDS), np.uint16)
        file = io.BytesIO()
        tifffile.imwrite(file, tile, photometric="minisblack", planarconfig="contig")
        _write(folder / f"class-{number % CLASSES}" / f"{number:05}.tif", file.getvalue())
    return folder


def _arrays(folder: Path, tiles: int) -> Path:
    """A folder with tiles.npy and labels.npy."""
    folder.mkdir()
    random = np.random.default_rng(3)
    values = np.lib.format.open_memmap(folder / "tiles.npy", "w+", np.uint8, (tiles, SMALL, SMALL))
    for start in range(0, tiles, 10_000):
        part = values[start : start + 10_000]
        part[:] = random.integers(0, 256, part.shape, np.uint8)
    np.save(folder / "labels.npy", (np.arange(tiles) % CLASSES).astype(np.uint8))
    return folder


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
