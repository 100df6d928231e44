"""The log on the disk: what is appended stays, whatever happens, and what is damaged is noticed."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import stat
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from evaluator import merkle
from evaluator.errors import OwnerError, VerificationError
from evaluator.log import store
from evaluator.log.folder import Directories, write, write_checkpoint
from evaluator.log.note import NoteSigner, open_note, sign_note
from evaluator.log.store import LogReader, create_log, open_log
from evaluator.log.tiles import paths

if TYPE_CHECKING:
    from collections.abc import Callable

    Fail = Callable[[], None]


def files(folder: Path) -> dict[str, bytes]:
    """What the log consists of, apart from its lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def check(reader: LogReader, entries: list[bytes]) -> None:
    """The log has these entries and no others, and proves each."""
    hashes = [merkle.leaf_hash(entry) for entry in entries]
    assert reader.checkpoint.size == len(entries)
    assert reader.checkpoint.root == merkle.root(hashes)
    assert list(reader.entries(0, len(entries) + 9)) == entries
    assert not entries or reader.entry(len(entries) - 1) == entries[-1]


@pytest.mark.parametrize("batches", [[300], [1] * 5, [255, 1, 1], [256, 256, 1], [100, 0, 413]])
def test_what_was_appended_is_there(tmp_path: Path, signer: NoteSigner, batches: list[int]) -> None:
    """In batches of any size: each gets its place, and the files are those of the specification."""
    folder = tmp_path / "log"
    entries: list[bytes] = []
    create_log(folder, signer)
    for size in batches:
        batch = [b"entry %d" % (len(entries) + number) for number in range(size)]
        with open_log(folder, signer) as log:
            assert log.append(batch) == len(entries)
            entries += batch
            check(log, entries)

    check(LogReader(folder, signer.verifier), entries)
    assert set(files(folder)) == {"checkpoint", *paths(len(entries), entries=True)}


def test_ways_of_appending_give_one_log(tmp_path: Path, signer: NoteSigner) -> None:
    """A few at a time or all at once, byte for byte."""
    entries = [b"%d" % number for number in range(530)]
    for name, step in (("few", 53), ("some", 101), ("all", 530)):
        create_log(tmp_path / name, signer)
        with open_log(tmp_path / name, signer) as log:
            for at in range(0, 530, step):
                log.append(entries[at : at + step])

    assert files(tmp_path / "few") == files(tmp_path / "some") == files(tmp_path / "all")


def test_only_the_owner_reads_it(tmp_path: Path, signer: NoteSigner) -> None:
    """0600 and 0700, whatever the umask, and in a folder that stood open."""
    folder = tmp_path / "log"
    folder.mkdir(mode=0o755)
    before = os.umask(0)
    try:
        create_log(folder, signer)
        with open_log(folder, signer) as log:
            log.append([b"entry"] * 300)
    finally:
        os.umask(before)

    modes = {stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.rglob("*")]}
    assert modes == {0o700, 0o600}


def test_the_largest_entry_is_appended_and_a_larger_one_is_not(
    folder: Path, signer: NoteSigner
) -> None:
    """65,535 bytes, by the two bytes of a length."""
    before = files(folder)
    with open_log(folder, signer) as log:
        with pytest.raises(OwnerError, match="65535"):
            log.append([b"small", bytes(65_536)])
        assert files(folder) == before

        assert log.append([bytes(65_535)]) == 300
        assert log.entry(300) == bytes(65_535)


def test_a_log_is_never_begun_anew(folder: Path, signer: NoteSigner) -> None:
    """The old one stays as it was."""
    before = files(folder)
    with pytest.raises(OwnerError, match="already"):
        create_log(folder, signer)

    assert files(folder) == before


def test_a_folder_without_a_log_is_none(tmp_path: Path, signer: NoteSigner) -> None:
    """And nothing is left in it."""
    with pytest.raises(OwnerError, match="no log"), open_log(tmp_path, signer):
        pass

    assert not list(tmp_path.iterdir())


def die() -> None:
    """End this process as nothing can hold up."""
    os.kill(os.getpid(), signal.SIGKILL)


def refuse() -> None:
    """Say what a full disk says."""
    raise OSError(28, "No space left on device")


def append_until(folder: Path, signer: NoteSigner, added: list[bytes], at: int, fail: Fail) -> None:
    """Append in a process of its own, whose step number `at` towards the disk fails."""
    left = count(-at)

    def failing(real: Callable[..., None]) -> Callable[..., None]:
        def step(*arguments: object, **options: object) -> None:
            if next(left) == 0:
                fail()
            real(*arguments, **options)

        return step

    for name in ("fsync", "rename", "unlink", "mkdir"):
        setattr(os, name, failing(getattr(os, name)))
    with suppress(OwnerError), open_log(folder, signer) as log:
        log.append(added)
    os._exit(0 if next(left) <= 0 else 1)


def interrupted(folder: Path, signer: NoteSigner, added: list[bytes], at: int, fail: Fail) -> bool:
    """Whether an append was interrupted at that step; where power failed with it, junk is left."""
    before = files(folder)
    arguments = (folder, signer, added, at, fail)
    process = multiprocessing.get_context("fork").Process(target=append_until, args=arguments)
    process.start()
    process.join()
    if files(folder)["checkpoint"] == before["checkpoint"]:
        for path in files(folder).keys() - before.keys():
            (folder / path).write_bytes(b"junk")  # written and not synced
    return process.exitcode != 0


@pytest.mark.parametrize(("more", "fail"), [(1, die), (212, refuse), (300, die)])
def test_an_interrupted_append_leaves_the_old_or_the_new(
    made: Path, tmp_path: Path, signer: NoteSigner, entries: list[bytes], more: int, fail: Fail
) -> None:
    """At each of its steps: no third state, and the next append goes on from there."""
    added = [b"new %d" % number for number in range(more)]
    sizes = []
    for at in count():
        folder = shutil.copytree(made, tmp_path / str(at))
        again = interrupted(folder, signer, added, at, fail)
        reader = LogReader(folder, signer.verifier)
        sizes.append(reader.checkpoint.size)
        now = entries if sizes[-1] == len(entries) else [*entries, *added]
        check(reader, now)
        with open_log(folder, signer) as log:
            log.append([b"after"])
        check(LogReader(folder, signer.verifier), [*now, b"after"])
        if not again:
            break

    assert sizes == sorted(sizes)  # one step decides: before it the old, after it the new
    assert sizes.count(300) > 5
    assert sizes[-1] == 300 + more


def test_an_append_syncs_the_directories_whose_names_are_new(
    folder: Path, signer: NoteSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those that the checkpoint rests on already; where a level begins, those above it too."""
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(folder)))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with open_log(folder, signer) as log:
        log.append([b"one more"])
        few = sorted(synced)
        synced.clear()
        log.append([b"many"] * (512 - 301))

    assert few == [
        ".",
        ".checkpoint.part",
        "tile/0/001.p",
        "tile/0/001.p/45",
        "tile/entries/001.p",
        "tile/entries/001.p/45",
    ]
    assert {"tile/0", "tile/entries", "tile/1/000.p"} <= {*synced}


def test_an_append_in_the_wrong_order_would_be_noticed(
    made: Path, tmp_path: Path, signer: NoteSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: with the checkpoint before its tiles, some kill leaves a damaged log."""
    late: list[tuple[Path, str, bytes]] = []

    def careless(folder: Path, note: bytes) -> None:
        write_checkpoint(folder, note)
        for arguments in late:
            write(*arguments, Directories({folder}))

    def later(folder: Path, path: str, content: bytes, _: object) -> None:
        late.append((folder, path, content))

    monkeypatch.setattr(store, "write_checkpoint", careless)
    monkeypatch.setattr(store, "write", later)
    damaged = 0
    for at in range(8):
        folder = shutil.copytree(made, tmp_path / str(at))
        interrupted(folder, signer, [b"new"], at, die)
        try:
            LogReader(folder, signer.verifier).entry(299)
        except OwnerError:
            damaged += 1

    assert damaged


def test_a_log_interrupted_right_after_its_commit_forks_nothing(
    folder: Path, signer: NoteSigner, entries: list[bytes]
) -> None:
    """The same open log, used again: it sees what was committed."""
    rename = os.rename

    def rename_and_stop(*arguments: str) -> None:
        rename(*arguments)
        raise KeyboardInterrupt

    with open_log(folder, signer) as log:
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(os, "rename", rename_and_stop)
            with pytest.raises(KeyboardInterrupt):
                log.append([b"interrupted"])
        assert log.append([b"after"]) == len(entries) + 1
        check(log, [*entries, b"interrupted", b"after"])


def test_a_full_disk_leaves_the_old(small_disk: Path, signer: NoteSigner) -> None:
    """And, with space again, the append goes through."""
    folder, filler = small_disk / "log", small_disk / "filler"
    create_log(folder, signer)
    with open_log(folder, signer) as log:
        log.append([b"first"])
        filler.write_bytes(bytes(400 << 10))
        with pytest.raises(OwnerError, match="No space left"):
            log.append([bytes(60_000)] * 3)
        check(LogReader(folder, signer.verifier), [b"first"])

        filler.unlink()
        assert log.append([b"second"]) == 1
    check(LogReader(folder, signer.verifier), [b"first", b"second"])


def append_some(folder: Path, signer_key: bytes, name: bytes) -> None:
    """What one of several processes does."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415  # in the child
        Ed25519PrivateKey,
    )

    signer = NoteSigner("log.example/two", Ed25519PrivateKey.from_private_bytes(signer_key))
    for number in range(20):
        with open_log(folder, signer) as log:
            position = log.append([name + b"%d" % number])
        assert LogReader(folder, signer.verifier).entry(position) == name + b"%d" % number


def test_processes_append_one_after_the_other(tmp_path: Path, signer: NoteSigner) -> None:
    """Nothing is lost between two of them, and a reader is never in their way."""
    signer = NoteSigner("log.example/two", signer.private)
    folder, key = tmp_path / "log", signer.private.private_bytes_raw()
    create_log(folder, signer)
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=append_some, args=(folder, key, name)) for name in (b"a", b"b")]
    for process in both:
        process.start()
    while any(process.is_alive() for process in both):
        reader = LogReader(folder, signer.verifier)
        assert len(list(reader.entries(0, 40))) == reader.checkpoint.size
    for process in both:
        process.join()

    assert [process.exitcode for process in both] == [0, 0]
    found = list(LogReader(folder, signer.verifier).entries(0, 40))
    assert sorted(found) == sorted(name + b"%d" % n for name in (b"a", b"b") for n in range(20))


def test_a_reader_keeps_its_checkpoint_while_the_log_grows(
    folder: Path, signer: NoteSigner, entries: list[bytes]
) -> None:
    """Its partial tiles are gone, and the wider ones begin with them."""
    reader = LogReader(folder, signer.verifier)
    for more in (1, 1, 300):
        with open_log(folder, signer) as log:
            log.append([b"more"] * more)
        fresh = LogReader.__new__(LogReader)
        fresh.__dict__ |= {**reader.__dict__}
        check(fresh, entries)


def flip(path: Path) -> None:
    """One bit in the middle of a file."""
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def cut(path: Path) -> None:
    """The last byte of a file."""
    path.write_bytes(path.read_bytes()[:-1])


def remove(path: Path) -> None:
    """A whole file."""
    path.unlink()


@pytest.mark.parametrize("damage", [flip, cut, remove])
@pytest.mark.parametrize("path", sorted(["checkpoint", *paths(300, entries=True)]))
def test_damage_is_said_in_words(
    folder: Path, signer: NoteSigner, path: str, damage: Callable[[Path], None]
) -> None:
    """Any file of the log, whatever happened to it."""
    assert len(list(LogReader(folder, signer.verifier).entries(0, 300))) == 300
    damage(folder / path)
    with pytest.raises(OwnerError, match=r"damaged|no log in"):
        list(LogReader(folder, signer.verifier).entries(0, 300))


def test_an_append_refuses_to_build_on_damage(folder: Path, signer: NoteSigner) -> None:
    """The entries of the last, partial bundle are rewritten, so they are looked at."""
    flip(folder / "tile/entries/001.p/44")
    before = files(folder)
    with open_log(folder, signer) as log, pytest.raises(OwnerError, match="damaged"):
        log.append([b"more"])

    assert files(folder) == before


def test_a_log_of_another_key_is_refused(
    folder: Path, witness: NoteSigner, signer: NoteSigner
) -> None:
    """A checkpoint that somebody else signed over the same tiles."""
    text = LogReader(folder, signer.verifier).checkpoint.text()
    forger = NoteSigner(signer.name, witness.private)
    (folder / "checkpoint").write_bytes(sign_note(text, forger))

    assert LogReader(folder, forger.verifier)
    with pytest.raises(OwnerError, match="damaged"):
        LogReader(folder, signer.verifier)


def test_cosignatures_stand_below_the_checkpoint_until_the_next(
    folder: Path, signer: NoteSigner, witness: NoteSigner
) -> None:
    """And in the proofs made meanwhile."""
    with open_log(folder, signer) as log:
        line = witness.line(log.checkpoint.text(), 5)
        log.add_cosignatures([line], [witness.verifier])
        assert log.proof(3).endswith(line.encode())
        opened = open_note(log.note, [signer.verifier, witness.verifier])
        assert [signature.timestamp for signature in opened.signatures] == [None, 5]

        log.append([b"more"])
        with pytest.raises(VerificationError, match="witness"):
            log.add_cosignatures([line], [witness.verifier])
        assert line.encode() not in log.note
