"""The archive that the engine gets: our config, the layers' own bytes, in two layouts."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from evaluator.image_settings import ARCHITECTURE
from evaluator.intake.door import Unpacked
from evaluator.intake.pieces import ARCHIVE, SPOOL, Layer
from evaluator.rebuild import Rebuilt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

LAYERS = (b"first layer", b"second layer " * 100)
SETTINGS = {"Entrypoint": ["/predict"], "Env": [], "WorkingDir": "/"}


def digest_of(content: bytes) -> str:
    """As image specifications write it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def unpacked(tmp_path: Path) -> Iterator[Callable[..., Unpacked]]:
    """A function that gives layers as intake leaves them: half of each in another file."""

    def spooled(*layers: bytes) -> Unpacked:
        made = []
        for layer in layers:
            pieces = []
            for file, part in ((SPOOL, layer[:7]), (ARCHIVE, layer[7:])):
                files[file].write(b"not of a layer")
                pieces.append((file, files[file].tell(), len(part)))
                files[file].write(part)
            made.append(Layer((spool.fileno(), archive.fileno()), pieces))
        return Unpacked(tuple(made), SETTINGS)

    with (
        (tmp_path / "spool").open("w+b", buffering=0) as spool,
        (tmp_path / "archive").open("w+b", buffering=0) as archive,
    ):
        files = {SPOOL: spool, ARCHIVE: archive}
        yield spooled


def finished(config: dict[str, Any]) -> bytes:
    """A config as JSON."""
    return json.dumps(config).encode()


def ids_of(image: Unpacked) -> tuple[str, ...]:
    """What the engine may call it, once all of it was sent."""
    rebuilt = Rebuilt(image, finished)
    assert rebuilt.ids == ()
    for _ in rebuilt.chunks():
        pass
    return rebuilt.ids


def members_of(chunks: Iterable[bytes]) -> dict[str, bytes]:
    """The files of a tar, each name once."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        names = archive.getnames()
        assert len(set(names)) == len(names)
        return {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]


def test_both_layouts_name_the_same_image(unpacked: Callable[..., Unpacked]) -> None:
    """Docker's own store follows manifest.json, containerd's index.json; the bytes are one."""
    rebuilt = Rebuilt(unpacked(*LAYERS), finished)
    members = members_of(rebuilt.chunks())
    blob = {digest_of(content): content for content in members.values()}
    (docker,) = json.loads(members["manifest.json"])
    (entry,) = json.loads(members["index.json"])["manifests"]
    manifest = json.loads(blob[entry["digest"]])
    config = json.loads(members[docker["Config"]])

    assert rebuilt.ids == (digest_of(members[docker["Config"]]), entry["digest"])
    assert docker["RepoTags"] is None
    assert config == {
        "architecture": ARCHITECTURE,
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in LAYERS]},
        "config": SETTINGS,
    }
    assert members[docker["Config"]] == blob[manifest["config"]["digest"]]
    assert [members[name] for name in docker["Layers"]] == list(LAYERS)
    assert [blob[layer["digest"]] for layer in manifest["layers"]] == list(LAYERS)
    assert [layer["size"] for layer in manifest["layers"]] == [len(layer) for layer in LAYERS]


def test_a_layer_may_stand_twice(unpacked: Callable[..., Unpacked]) -> None:
    """As in an image with an empty layer after each of two steps."""
    members = members_of(Rebuilt(unpacked(*LAYERS, LAYERS[0]), finished).chunks())
    (docker,) = json.loads(members["manifest.json"])

    assert [members[name] for name in docker["Layers"]] == [*LAYERS, LAYERS[0]]


@pytest.mark.parametrize("file", ["spool", "archive"])
def test_the_ids_are_those_of_the_bytes_in_the_files(
    unpacked: Callable[..., Unpacked], tmp_path: Path, file: str
) -> None:
    """Not of anything the child said: one changed byte is another image."""
    image = unpacked(*LAYERS)
    before = ids_of(image)
    content = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(content.replace(b"layer", b"lover").replace(b"first", b"worst"))

    assert not set(before) & set(ids_of(image))


def test_an_id_is_of_the_bytes_that_were_sent(
    unpacked: Callable[..., Unpacked], tmp_path: Path
) -> None:
    """A file that is another once it was sent changes nothing; the control is another before."""
    image = unpacked(*LAYERS)
    honest = ids_of(image)
    rebuilt = Rebuilt(image, finished)
    sent = []
    for chunk in rebuilt.chunks():
        sent.append(chunk)
        if b"second" in chunk:
            (tmp_path / "spool").write_bytes(bytes((tmp_path / "spool").stat().st_size))
    members = members_of(sent)
    (docker,) = json.loads(members["manifest.json"])
    config = json.loads(members[docker["Config"]])

    assert [digest_of(members[name]) for name in docker["Layers"]] == config["rootfs"]["diff_ids"]
    assert rebuilt.ids == honest
    assert rebuilt.ids != ids_of(image)


def test_no_document_comes_before_the_layers_it_speaks_of(
    unpacked: Callable[..., Unpacked],
) -> None:
    """What an interrupted load has sent makes no image, and no name of it is met again."""
    image = unpacked(*LAYERS)
    once, again = ([*members_of(Rebuilt(image, finished).chunks())] for _ in range(2))

    assert {"manifest.json", "index.json", "oci-layout"} <= {*once[2:]}
    assert not {*once[:2]} & {*again[:2]}
    assert once[2:] == again[2:]
