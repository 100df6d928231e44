"""Archives of images, good, bad and hostile: one image comes out, or a refusal."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from typing import Any

import pytest

from evaluator.attacks.forged_images import (
    ARCHITECTURE,
    digest,
    docker_archive,
    file,
    image_config,
    layer,
    oci_archive,
    special,
    tar,
)

Compress = Callable[[bytes], bytes]
LAYER = layer()
ATTESTATION = {
    "digest": f"sha256:{'7' * 64}",  # in no archive: it is never opened
    "size": 7,
    "platform": {"os": "unknown", "architecture": "unknown"},
}


def described(content: bytes, **more: object) -> dict[str, Any]:
    """An OCI descriptor."""
    return {"digest": digest(content), "size": len(content), **more}


def oci(stored: bytes = LAYER, *, nested: bool = False, **changed: object) -> bytes:
    """An OCI archive as skopeo writes it, or as buildx does: an index in the index."""
    config = json.dumps(image_config([digest(LAYER)])).encode()
    manifest = {"config": described(config), "layers": [described(stored) | changed]}
    blobs = [stored, config, json.dumps(manifest).encode()]
    if nested:
        own = described(blobs[2], platform={"os": "linux", "architecture": ARCHITECTURE})
        blobs.append(json.dumps({"manifests": [own, ATTESTATION]}).encode())
    return oci_archive({"manifests": [described(blobs[-1])]}, blobs)


def docker_with_linked_layer() -> bytes:
    """The old layout of `docker save`, where equal layers are links to the first."""
    config = json.dumps(image_config([digest(LAYER)] * 2)).encode()
    layers = ["a/layer.tar", "b/layer.tar"]
    manifest = [{"Config": "config.json", "RepoTags": ["x:y"], "Layers": layers}]
    return tar(
        [
            special("a", tarfile.DIRTYPE),
            file("a/VERSION", b"1.0"),
            file("a/layer.tar", LAYER),
            special("b", tarfile.DIRTYPE),
            special("b/layer.tar", tarfile.SYMTYPE, "../a/layer.tar"),
            file("config.json", config),
            file("manifest.json", json.dumps(manifest).encode()),
            file("repositories", b'{"x": {"y": "b"}}'),
        ]
    )


LAYOUTS: dict[str, Callable[[], bytes]] = {
    "docker": lambda: tar(docker_archive(LAYER)),
    "docker, linked": docker_with_linked_layer,
    "oci": oci,
    "oci, index in the index": lambda: oci(nested=True),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_in_use_is_read_in_each_compression(
    intake: Callable[..., Any], compress: Compress, layout: str
) -> None:
    """Whole archives too: `docker save | gzip`. The layers come out as the same bytes."""
    rebuilt = intake(compress(LAYOUTS[layout]()))

    assert rebuilt.settings["Entrypoint"] == ["/predict"]
    assert set(rebuilt.digests) == set(intake(LAYOUTS["docker"]()).digests)
    assert len(rebuilt.layers) == (2 if "linked" in layout else 1)


def test_layers_are_read_in_each_compression(
    intake: Callable[..., Any], compress: Compress
) -> None:
    """In either layout, and they come out plain."""
    expected = intake(tar(docker_archive(LAYER))).digests

    assert intake(tar(docker_archive(LAYER, stored=compress(LAYER)))).digests == expected
    assert intake(oci(compress(LAYER))).digests == expected


def test_a_compressed_layer_in_several_parts_is_one_layer(
    intake: Callable[..., Any], compress: Compress
) -> None:
    """RFC 1952 and RFC 8878 allow it, and pigz does it."""
    stored = compress(LAYER[:700]) + compress(LAYER[700:])

    assert intake(tar(docker_archive(LAYER, stored=stored))).layers


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[:-9], lambda b: b + b"more", lambda b: b[:-99] + b"\xff" + b[-98:]],
    ids=["cut", "longer", "changed"],
)
def test_a_layer_that_is_not_its_digest_is_refused(
    rule_of: Callable[..., str], compress: Compress, damage: Compress
) -> None:
    """An engine would take its own layer of that digest, which another vendor may own."""
    stored = damage(compress(LAYER))

    assert rule_of(tar(docker_archive(LAYER, stored=stored))) in {"EVA106", "EVA209"}


def test_a_blob_that_is_not_its_descriptor_is_refused(rule_of: Callable[..., str]) -> None:
    """Digest or size, of a layer or of a document."""
    other = layer(file("other"))
    sized = oci(LAYER, size=len(LAYER) + 1)
    swapped = oci().replace(LAYER[:512], other[:512], 1)
    renamed = oci().replace(b'"WorkingDir": "/"', b'"WorkingDir": "."', 1)

    assert [rule_of(sized), rule_of(renamed)] == ["EVA106", "EVA106"]
    assert rule_of(swapped) in {"accepted", "EVA106"}
    assert rule_of(oci()) == "accepted"


def test_too_many_layers_are_refused(rule_of: Callable[..., str]) -> None:
    """The policy's number is the last that is accepted."""

    def archive(count: int) -> bytes:
        config = json.dumps(image_config([digest(LAYER)] * count)).encode()
        manifest = [{"Config": "c", "Layers": ["l"] * count}]
        members = [file("l", LAYER), file("c", config)]
        return tar([*members, file("manifest.json", json.dumps(manifest).encode())])

    assert rule_of(archive(3), layers=3) == "accepted"
    assert rule_of(archive(4), layers=3) == "EVA108"


@pytest.mark.parametrize("name", ["config.json", "manifest.json"])
def test_a_large_document_is_refused(rule_of: Callable[..., str], name: str) -> None:
    """The engine keeps a config for good."""
    members = [
        file(member.name, content + b" " * (70_000 - len(content)))
        if member.name == name
        else (member, content)
        for member, content in docker_archive(LAYER)
    ]

    assert rule_of(tar(members)) == "EVA108"
    assert rule_of(tar(members), document_bytes=80_000) == "accepted"


def with_manifest(text: bytes) -> bytes:
    """An ordinary archive but for its manifest.json."""
    return tar([*docker_archive(LAYER)[:2], file("manifest.json", text)])


MANIFEST = b'{"Config": "config.json", "Layers": ["layer/layer.tar"]%s}'


def test_the_manifest_of_the_next_tests_is_accepted(rule_of: Callable[..., str]) -> None:
    """The control: it is what they add to it that is refused."""
    assert rule_of(with_manifest(b"[%s]" % (MANIFEST % b""))) == "accepted"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"[1]",
        b"{}",
        b"not json",
        b"[" * 60_000,
        b"[%s, %s]" % (MANIFEST % b"", MANIFEST % b""),
        b"[%s]" % (MANIFEST % b', "Config": "config.json"'),
        b"[%s]" % (MANIFEST % b', "x": NaN'),
        b"[%s]" % (MANIFEST % b', "x": %s' % (b"[" * 300 + b"]" * 300)),
        b'[{"Config": "gone.json", "Layers": ["layer/layer.tar"]}]',
        b'[{"Config": "manifest.json", "Layers": ["layer/layer.tar"]}]',
        b'[{"Config": "config.json", "Layers": []}]',
        b'[{"Config": "config.json", "Layers": "layer/layer.tar"}]',
        b'[{"Config": "config.json", "Layers": ["../layer/layer.tar"]}]',
        b'[{"Config": "config.json", "Layers": [7]}]',
    ],
)
def test_a_manifest_of_no_one_image_is_refused(rule_of: Callable[..., str], text: bytes) -> None:
    """Wrong, missing, double, deep or not JSON."""
    assert rule_of(with_manifest(text)) == "EVA101"


@pytest.mark.parametrize(
    "member",
    [
        special("layer/layer.tar", tarfile.SYMTYPE, "layer.tar"),
        special("layer/layer.tar", tarfile.LNKTYPE, "config.json"),
        special("device", tarfile.CHRTYPE),
        special("pipe", tarfile.FIFOTYPE),
        file("a/../b"),
        file("config.json", b"{}"),
    ],
    ids=lambda member: str(member[0]),
)
def test_an_odd_member_of_the_archive_is_refused(
    rule_of: Callable[..., str], member: tuple[tarfile.TarInfo, bytes]
) -> None:
    """Links to elsewhere, hard links, devices, ways out, and a name that stands twice."""
    members = docker_archive(LAYER)
    left_out = 1 if member[0].name == members[0][0].name else 0

    assert rule_of(tar([*members[left_out:], member])) == "EVA101"
    assert rule_of(tar([*members, file("README", b"")])) == "accepted"


@pytest.mark.parametrize(
    "diff_ids", [[], None, ["sha256:" + "A" * 64], ["sha512:" + "a" * 64], [7], [["x"]]]
)
def test_a_config_without_a_digest_for_each_layer_is_refused(
    rule_of: Callable[..., str], diff_ids: object
) -> None:
    """There is nothing to hold the layer to."""
    config = image_config([]) | {"rootfs": {"type": "layers", "diff_ids": diff_ids}}

    assert rule_of(tar(docker_archive(LAYER, config))) == "EVA101"


@pytest.mark.parametrize("raw", [b"", b"\0" * 1024, b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\3\4"])
def test_bytes_that_are_no_archive_are_refused(rule_of: Callable[..., str], raw: bytes) -> None:
    """Nothing, zeros, the first bytes of a gzip, a zstd and a zip file."""
    assert rule_of(raw) in {"EVA101", "EVA106"}
