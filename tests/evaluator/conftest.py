"""Small sources of tiles, as a data owner might hand them in."""

import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Folders = Callable[..., Path]


def png_bytes(pixels: np.ndarray) -> bytes:
    """Return an array as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def class_folders(tmp_path: Path) -> Folders:
    """Give a function that writes class folders of distinct random 8x8 tiles, {class: tiles}."""
    random = np.random.default_rng(3)

    def make(
        sizes: dict[str, int], *, name: str = "source", shape: tuple[int, ...] = (8, 8)
    ) -> Path:
        for label, count in sizes.items():
            folder = tmp_path / name / label
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(0, 256, shape, dtype=np.uint8)
                (folder / f"{index:04d}.png").write_bytes(png_bytes(pixels))
        return tmp_path / name

    return make


@pytest.fixture
def pack() -> Callable[[Path, Path, Iterable[tarfile.TarInfo]], Path]:
    """Give a function that packs a folder into a tar archive, with extra members at its end."""

    def make(folder: Path, target: Path, extra: Iterable[tarfile.TarInfo] = ()) -> Path:
        mode = {".gz": "w:gz", ".xz": "w:xz"}.get(target.suffix, "w")
        with tarfile.open(target, mode) as archive:  # type: ignore[call-overload]  # a str mode
            archive.add(folder, arcname=".")
            for member in extra:
                archive.addfile(member, io.BytesIO(bytes(member.size)))
        return target

    return make
