"""Layers written anew: what is dropped, what is refused, what stays."""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.attacks.forged_images import (
    EXPECTED,
    FORGED,
    PROGRAM,
    docker_archive,
    file,
    file_with_capabilities,
    layer,
    special,
    tar,
    with_members,
)
from evaluator.intake.layers import plain_path, rewritten
from evaluator.intake.pieces import Writer
from evaluator.intake.streams import Budget, Region
from evaluator.intake.tarstream import Reader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_an_ordinary_layer_comes_out_as_it_was(intake: Callable[..., Any]) -> None:
    """Directories, files, links of both kinds, whiteouts, long and foreign names."""
    long, foreign = "long/" * 40 + "name", "größe/名前"
    folder = special("app", tarfile.DIRTYPE)
    folder[0].mode = 0o755
    members = [
        folder,
        file("app/model", b"weights", 0o640),
        special("app/hard", tarfile.LNKTYPE, "app/model"),
        special("app/soft", tarfile.SYMTYPE, "../anywhere"),
        file("app/.wh.old"),
        file("app/.wh..wh..opq"),
        file(long, b"x"),
        file(foreign, b"y"),
    ]
    rebuilt = intake(with_members(*members))
    (found,) = rebuilt.layers

    assert [m.name for m in found] == ["predict", *(member.name for member, _ in members)]
    assert [m.type for m in found[1:]] == [member.type for member, _ in members]
    assert [m.size for m in found[1:]] == [member.size for member, _ in members]
    assert rebuilt.member("app/model").mode == 0o640
    assert rebuilt.member("app/hard").linkname == "app/model"
    assert rebuilt.member("app/soft").linkname == "../anywhere"


def test_privileges_owners_and_attributes_are_gone(intake: Callable[..., Any]) -> None:
    """Setuid, setgid, sticky on files; file capabilities; names and numbers of owners."""
    rootly = file("rootly", PROGRAM, 0o7755)
    rootly[0].uid, rootly[0].gid, rootly[0].uname = 1234, 1234, "vendor"
    shared = special("shared", tarfile.DIRTYPE)
    shared[0].mode = 0o7777
    capable = file_with_capabilities()
    rebuilt = intake(with_members(rootly, shared, capable))

    assert rebuilt.member("rootly").mode == 0o755
    assert rebuilt.member("shared").mode == 0o1777  # sticky, as /tmp is
    for member in rebuilt.layers[0]:
        assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
        assert member.pax_headers == {}
    with tarfile.open(fileobj=io.BytesIO(tar([capable]))) as raw:
        assert raw.getmembers()[0].pax_headers  # the control: they were there


def test_a_layer_of_every_kind_gives_the_same_bytes_twice(intake: Callable[..., Any]) -> None:
    """So the id of an image follows from its bytes."""
    archive = with_members(file("a", b"x"), special("b", tarfile.DIRTYPE))

    assert intake(archive).digests == intake(archive).digests


def sparse() -> tuple[tarfile.TarInfo, bytes]:
    """A file of GNU's sparse format 1.0."""
    member, content = file("holes", b"1\n")
    member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.realsize": str(2**40)}
    return member, content


SYMLINK = special("way", tarfile.SYMTYPE, "/opt")
FOLDER = special("way", tarfile.DIRTYPE)
HARMFUL = {
    "character device": ([special("n", tarfile.CHRTYPE)], "EVA201"),
    "block device": ([special("n", tarfile.BLKTYPE)], "EVA201"),
    "fifo": ([special("n", tarfile.FIFOTYPE)], "EVA201"),
    "way out": ([file("a/../../b")], "EVA202"),
    "way up inside": ([file("a/../b")], "EVA202"),
    "absolute": ([file("/a")], "EVA202"),
    "empty part": ([file("a//b")], "EVA202"),
    "long part": ([file("x" * 256)], "EVA202"),
    "long path": ([file("x/" * 2100 + "y")], "EVA202"),
    "through a symlink": ([SYMLINK, file("way/a")], "EVA202"),
    "deep through a symlink": ([SYMLINK, file("way/a/b/c")], "EVA202"),
    "through a file": ([file("way"), file("way/a")], "EVA202"),
    "directory after a file": ([file("way"), FOLDER], "EVA202"),
    "directory after a symlink": ([SYMLINK, FOLDER], "EVA202"),
    "directory after its whiteout": ([file(".wh.way"), FOLDER], "EVA202"),
    "file after its folder's whiteout": ([file(".wh.way"), file("way/a")], "EVA202"),
    "whiteout of its own layer": ([FOLDER, file(".wh.way")], "EVA202"),
    "symlink to nothing": ([special("n", tarfile.SYMTYPE, "")], "EVA202"),
    "whiteout of a directory's parent": ([file("a/.wh...")], "EVA202"),
    "whiteout of a directory": ([file("a/.wh..")], "EVA202"),
    "whiteout of nothing": ([file(".wh.")], "EVA202"),
    "whiteout of a whiteout": ([file(".wh..wh.plnk")], "EVA202"),
    "whiteout as a directory": ([file(".wh.a/b")], "EVA202"),
    "whiteout with content": ([file(".wh.a", b"x")], "EVA202"),
    "whiteout that is a link": ([special(".wh.a", tarfile.SYMTYPE, "x")], "EVA202"),
    "hard link out": ([special("n", tarfile.LNKTYPE, "../../etc/passwd")], "EVA207"),
    "hard link to an absolute path": ([special("n", tarfile.LNKTYPE, "/predict")], "EVA207"),
    "hard link to a later file": ([special("n", tarfile.LNKTYPE, "z"), file("z")], "EVA207"),
    "hard link to a symlink": ([SYMLINK, special("n", tarfile.LNKTYPE, "way")], "EVA207"),
    "hard link through a symlink": (
        [file("d/f"), special("d", tarfile.SYMTYPE, "/"), special("n", tarfile.LNKTYPE, "d/f")],
        "EVA207",
    ),
    "sparse": ([sparse()], "EVA208"),
    "unknown kind": ([special("n", b"V")], "EVA209"),
}


@pytest.mark.parametrize("name", HARMFUL)
def test_what_a_layer_may_not_hold_is_refused(rule_of: Callable[..., str], name: str) -> None:
    """Each with its rule; the first test of this file is their control."""
    members, rule = HARMFUL[name]

    assert rule_of(with_members(*members)) == rule


def test_a_name_that_stands_twice_is_accepted_where_all_engines_agree(
    rule_of: Callable[..., str],
) -> None:
    """The last file or link of a name counts, and a directory may be named again."""
    assert rule_of(with_members(SYMLINK, file("way"), SYMLINK)) == "accepted"
    assert rule_of(with_members(FOLDER, file("way/a"), FOLDER)) == "accepted"


@pytest.mark.parametrize("attack", FORGED)
def test_each_forged_image_is_refused_or_harmless(rule_of: Callable[..., str], attack: str) -> None:
    """As the corpus says it is."""
    expected = EXPECTED[attack].replace("sanitised", "accepted")

    assert rule_of(FORGED[attack](), unpacked_bytes=2**36) == expected


def test_too_many_entries_are_refused(rule_of: Callable[..., str]) -> None:
    """The policy's number, the entry point among them, is the last that is accepted."""
    archive = with_members(*(file(str(number)) for number in range(9)))

    assert rule_of(archive, entries=10) == "accepted"
    assert rule_of(archive, entries=9) == "EVA205"


def test_an_image_that_unpacks_without_end_is_refused(
    rule_of: Callable[..., str], compress: Callable[[bytes], bytes]
) -> None:
    """The limit is for all layers together."""
    content = layer(file("zeros", bytes(1_000_000)))
    archive = tar(docker_archive(content, stored=compress(content)))

    assert rule_of(archive, unpacked_bytes=2_000_000) == "accepted"
    assert rule_of(archive, unpacked_bytes=900_000) == "EVA102"
    assert rule_of(compress(archive), unpacked_bytes=900_000) == "EVA102"


def test_a_bomb_is_refused_and_a_large_layer_is_not(rule_of: Callable[..., str]) -> None:
    """Below 64 MiB no ratio is asked; zeros in gzip reach 1000."""

    def zeros(size: int) -> bytes:
        content = layer(file("zeros", bytes(size)))
        return tar(docker_archive(content, stored=gzip.compress(content, 1)))

    assert rule_of(zeros(60_000_000), ratio=100) == "accepted"
    assert rule_of(zeros(70_000_000), ratio=100) == "EVA206"
    assert rule_of(zeros(70_000_000), ratio=1000) == "accepted"


@given(st.text(alphabet="./ab", max_size=12))
def test_a_plain_path_never_leaves_its_root(name: str) -> None:
    """Whatever the dots and slashes: no part of it is empty, here or up."""
    path = plain_path(name)

    assert path is None or not {"", ".", ".."} & set(path.split("/"))
    assert (path is None) == bool({"", ".", ".."} & set(_stripped(name).split("/")))


def _stripped(name: str) -> str:
    return name.removeprefix("./").removesuffix("/")


def test_memory_holds_numbers_and_no_names(tmp_path: Path) -> None:
    """5,000 files with long names: less than their names alone would take."""
    path = tmp_path / "layer.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for number in range(5_000):
            archive.addfile(tarfile.TarInfo(f"{'d' * 200}/{number}"))
    with path.open("rb") as stored, (tmp_path / "out").open("wb") as spool:
        out = Writer(spool)
        out.begin(None)
        region = Region(stored.fileno(), 0, path.stat().st_size)
        tracemalloc.start()
        for _ in rewritten(Reader(region), out, Budget(2**40, 5_000, 1)):
            pass
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert peak < 5_000 * sys.getsizeof(f"{'d' * 200}/{0}")
