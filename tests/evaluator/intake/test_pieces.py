"""Layers in pieces: the same bytes wherever they lie, and long contents are not written twice."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.attacks.forged_images import (
    digest,
    docker_archive,
    file,
    image_config,
    layer,
    special,
    tar,
)
from evaluator.intake import pieces
from evaluator.intake.door import unpacked
from evaluator.intake.layers import rewritten
from evaluator.intake.pieces import ARCHIVE, SPOOL, Joined, Layer, Writer
from evaluator.intake.streams import Budget, Region
from evaluator.intake.tarstream import Reader
from tests.evaluator.intake.conftest import RULES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LONG = os.urandom(2**20)
CONTENT = layer(file("short", b"x" * 700), file("long", LONG), file("longer", LONG * 2 + b"y"))


def written(stored: bytes, folder: Path) -> tuple[bytes, int]:
    """A layer written anew, and how many bytes of it are in the spool."""
    (folder / "stored").write_bytes(b"before" + stored)
    with (folder / "stored").open("rb") as source, (folder / "spool").open("w+b") as spool:
        out = Writer(spool)
        out.begin((ARCHIVE, 6))
        region = Region(source.fileno(), 6, len(stored))
        for _ in rewritten(Reader(region), out, Budget(2**30, 1000, 1)):
            pass
        spool.flush()
        made = Layer((spool.fileno(), source.fileno()), out.layers[0])
        content = b"".join(made.chunks())
        assert made.size == len(content)
        return content, spool.seek(0, os.SEEK_END)


@pytest.mark.parametrize("most", [0, 2, 50_000])
def test_a_layer_is_the_same_bytes_however_many_pieces_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """What is left where it lies is only not written; the control leaves nothing."""
    _, all_written = written(CONTENT, tmp_path)
    left, spooled = written(CONTENT, tmp_path)
    monkeypatch.setattr(pieces, "_WORTH", 2**40)
    plain, everything = written(CONTENT, tmp_path)

    assert left == plain
    assert spooled == all_written < everything - len(LONG) * 3
    monkeypatch.setattr(pieces, "_WORTH", 1)
    monkeypatch.setattr(pieces, "_MOST", most)
    assert written(CONTENT, tmp_path)[0] == plain


def test_an_image_is_the_same_in_each_compression(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    """Of the layers or of the whole archive, or of none: the bytes that the engine gets are one."""
    config = image_config([digest(CONTENT)])
    digests = set()
    for archive in (
        tar(docker_archive(CONTENT)),
        tar(docker_archive(CONTENT, config, compress(CONTENT))),
        compress(tar(docker_archive(CONTENT))),
    ):
        (tmp_path / "submission").write_bytes(archive)
        with unpacked(tmp_path / "submission", tmp_path, RULES) as image:
            (made,) = image.layers
            digests.add(hashlib.sha256(b"".join(made.chunks())).hexdigest())

    assert len(digests) == 1


def test_two_layers_of_one_file_are_both_whole(tmp_path: Path) -> None:
    """Each has its own pieces of the same place."""
    names = ["layer.tar"] * 2
    manifest = json.dumps([{"Config": "c", "RepoTags": None, "Layers": names}]).encode()
    config = json.dumps(image_config([digest(CONTENT)] * 2)).encode()
    members = [file("layer.tar", CONTENT), file("c", config), file("manifest.json", manifest)]
    (tmp_path / "submission").write_bytes(tar(members))
    with unpacked(tmp_path / "submission", tmp_path, RULES) as image:
        first, second = (b"".join(made.chunks()) for made in image.layers)

    assert first == second
    assert LONG in first


def test_an_entry_point_behind_links_is_found_among_pieces(
    intake: Callable[..., Any], rule_of: Callable[..., str]
) -> None:
    """Its layers are looked through a second time, as they were written."""

    def image(mode: int) -> bytes:
        content = tar(
            [
                special("predict", tarfile.SYMTYPE, "far/away"),
                file("long", LONG),
                file("far/away", LONG, mode),
            ]
        )
        return tar(docker_archive(content))

    assert intake(image(0o755)).member("far/away").size == len(LONG)
    assert rule_of(image(0o644)) == "EVA204"


@given(
    st.lists(st.tuples(st.sampled_from([SPOOL, ARCHIVE]), st.integers(0, 40), st.integers(0, 9))),
    st.lists(st.tuples(st.booleans(), st.integers(1, 12))),
)
def test_pieces_are_read_and_passed_over_as_one_file(
    places: list[tuple[int, int, int]], steps: list[tuple[bool, int]]
) -> None:
    """Against the same bytes in memory."""
    contents = (bytes(range(50)), bytes(range(100, 150)))
    files = (os.memfd_create("spool"), os.memfd_create("archive"))
    try:
        for descriptor, content in zip(files, contents, strict=True):
            os.write(descriptor, content)
        stream = Joined(Layer(files, places))
        left = b"".join(contents[number][at : at + size] for number, at, size in places)
        for reads, size in steps:
            if reads:
                chunk = stream.read(size)
                assert left.startswith(chunk)
                assert bool(chunk) == bool(left)
                left = left[len(chunk) :]
            else:
                assert stream.skip(size) == (size <= len(left))
                left = left[size:]
        assert b"".join(iter(stream.read, b"")) == left
    finally:
        for descriptor in files:
            os.close(descriptor)
