"""Our registry client against Debian's registry, and beside oras, its Python sister, and cosign."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import oras.client  # type: ignore[import-untyped]  # no types are published
import pytest
import rfc8785

from evaluator.bundle import MEDIA_TYPE
from evaluator.registry import (
    Credentials,
    Denied,
    File,
    Gone,
    Lied,
    Registry,
    Unreachable,
    read_credentials,
)
from evaluator.shell_lines import EMPTY_TRUSTED_ROOT
from evaluator.signing import generate_key, load_key, sign
from tests.helpers.liar import altered, cut, lying, only, status, times
from tests.helpers.pusher import Pusher
from tests.helpers.registry import PASSWORD, USER, local_registry
from tests.helpers.tokens import READER, password_of, token_server
from tests.helpers.tools import ROOT, run_tool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from evaluator.registry import Manifest
    from tests.helpers.registry import LocalRegistry

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="install openssl"),
]

MODEL = bytes(range(256)) * 8192  # 2 MiB
MOST = 2**23
NOTES = {
    "dev.sigstore.bundle.content": "dsse-envelope",
    "dev.sigstore.bundle.predicateType": "https://example.com/v1",
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    """One that anybody reads and writes."""
    with local_registry(tmp_path_factory.mktemp("registry")) as served:
        yield served


@pytest.fixture
def client(registry: LocalRegistry) -> Registry:
    """Ours."""
    return Registry(registry.url)


def image(registry: LocalRegistry, repository: str, program: bytes = b"#!/bin/sh") -> Manifest:
    """An image that a vendor pushed."""
    Pusher(registry.url).image(repository, "v1", {"predict": program})
    return Registry(registry.url).manifest(repository, "v1")


def test_a_password_of_htpasswd(tmp_path: Path) -> None:
    """Basic authentication, from the file that `oras login` writes; an outage in between."""
    with local_registry(tmp_path / "registry", htpasswd=True) as registry:
        login = ["login", "--plain-http", "-u", USER, "-p", PASSWORD, registry.address]
        assert run_tool("oras", *login, cwd=tmp_path).returncode == 0
        known = read_credentials(tmp_path / "config.json", registry.url)
        assert known == Credentials(USER, PASSWORD)
        Pusher(registry.url, (USER, PASSWORD)).image("acme/model", "v1", {"predict": b""})
        assert Registry(registry.url, known).tags("acme/model") == ["v1"]
        for other in (None, Credentials(USER, "wrong")):
            with pytest.raises(Denied):
                Registry(registry.url, other).tags("acme/model")
        registry.stop()
        with pytest.raises(Unreachable):
            Registry(registry.url, known, sleep=lambda _: None).tags("acme/model")
        registry.start()
        assert list(Registry(registry.url, known).repositories()) == ["acme/model"]


def test_tls_with_a_ca_of_ones_own(tmp_path: Path) -> None:
    """As a registry inside a house has it."""
    with local_registry(tmp_path, tls=True) as registry:
        Pusher(registry.url, ca=registry.ca).image("acme/model", "v1", {"predict": b""})
        assert Registry(registry.url, ca=registry.ca).tags("acme/model") == ["v1"]
        with pytest.raises(Unreachable, match="certificate"):
            Registry(registry.url).tags("acme/model")


def test_every_vendor_has_its_own_namespace(tmp_path: Path) -> None:
    """By tokens: who may push where is the registry's to say, and it tells nobody what is there."""
    users = {"acme": ("acme/*",), "zenith": ("zenith/*",)}
    with (
        token_server(tmp_path / "tokens", users) as tokens,
        local_registry(tmp_path / "registry", auth=tokens.auth) as registry,
    ):

        def known_as(user: str) -> Registry:
            return Registry(registry.url, Credentials(user, password_of(user)))

        pushed = known_as("acme").push_blob("acme/model", MODEL, "x")
        known_as("zenith").push_blob("zenith/model", b"zenith's", "x")
        with pytest.raises(Denied):
            known_as("zenith").push_blob("acme/model", b"zenith's", "x")
        with pytest.raises(Denied):
            known_as("zenith").tags("acme/model")
        with pytest.raises(Denied):
            list(known_as("zenith").repositories())
        with pytest.raises(Denied):
            Registry(registry.url, Credentials("acme", "wrong")).tags("acme/model")
        assert list(known_as(READER).repositories()) == ["acme/model", "zenith/model"]
        with (tmp_path / "model").open("w+b") as file:
            known_as(READER).blob("acme/model", pushed, file)
        assert (tmp_path / "model").read_bytes() == MODEL


@pytest.mark.parametrize("with_type", [True, False])
def test_what_oras_pushes_is_pulled(
    registry: LocalRegistry, client: Registry, tmp_path: Path, *, with_type: bool
) -> None:
    """A model, with and without its media type, and a recipe."""
    (tmp_path / "model.onnx").write_bytes(MODEL)
    (tmp_path / "hyperparameters.json").write_text("{}")
    model = "model.onnx:application/vnd.onnx" if with_type else "model.onnx"
    target = f"{registry.address}/acme/oras:v1"
    files = [model, "hyperparameters.json:application/json"]
    pushed = run_tool("oras", "push", "--plain-http", target, *files, cwd=tmp_path)
    assert pushed.returncode == 0, pushed.stderr
    manifest = client.manifest("acme/oras", "v1")
    assert manifest.digest in pushed.stdout
    layout = client.pull_layout("acme/oras", manifest.digest, tmp_path / "pulled", MOST)
    assert (layout.kind, layout.recipe, layout.file.read_bytes()) == ("onnx", b"{}", MODEL)


def test_what_oras_for_python_pushes_is_pulled(
    registry: LocalRegistry, client: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the library that a vendor's notebook would use."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_bytes(MODEL)
    theirs = oras.client.OrasClient(insecure=True)
    target = f"{registry.address}/acme/python:v1"
    theirs.push(target=target, files=["model.onnx:application/vnd.onnx"], quiet=True)
    manifest = client.manifest("acme/python", "v1")
    layout = client.pull_layout("acme/python", manifest.digest, tmp_path / "pulled", MOST)
    assert layout.file.read_bytes() == MODEL


def test_what_we_attach_is_found_by_oras(
    registry: LocalRegistry, client: Registry, tmp_path: Path
) -> None:
    """Both list it and fetch its files; and what oras attaches is in our list beside it."""
    subject = image(registry, "acme/attached")
    files = [File("result.json", MEDIA_TYPE, b"{}"), File("proof", "text/plain", b"x")]
    ours = client.attach("acme/attached", subject.descriptor, MEDIA_TYPE, files, NOTES)
    again = client.attach("acme/attached", subject.descriptor, MEDIA_TYPE, files, NOTES)
    assert again == ours
    name = f"{registry.address}/acme/attached@{subject.digest}"
    (tmp_path / "note").write_text("theirs")
    attach = ["attach", "--plain-http", "--artifact-type", "x/y", name, "note:text/plain"]
    assert run_tool("oras", *attach, cwd=tmp_path).returncode == 0
    client.attach("acme/attached", subject.descriptor, MEDIA_TYPE, files[:1], NOTES)

    discovered = _discovered(name, tmp_path)
    found = client.referrers("acme/attached", subject.digest)
    assert [each.digest for each in found] == discovered
    assert len(discovered) == 3
    assert discovered[0] == ours.digest
    reference = f"{registry.address}/acme/attached@{ours.digest}"
    assert run_tool("oras", "pull", "--plain-http", reference, cwd=tmp_path).returncode == 0
    assert (tmp_path / "proof").read_bytes() == b"x"
    theirs = oras.client.OrasClient(insecure=True)
    pulled = theirs.pull(target=reference, outdir=str(tmp_path / "python"))
    assert len(pulled) == 2


def _discovered(name: str, folder: Path) -> list[str]:
    done = run_tool("oras", "discover", "--plain-http", "--format", "json", name, cwd=folder)
    assert done.returncode == 0, done.stderr
    return [entry["digest"] for entry in json.loads(done.stdout)["manifests"]]


def test_a_result_beside_its_image_is_verified_by_cosign(
    registry: LocalRegistry, client: Registry, tmp_path: Path
) -> None:
    """Found by the tag of the image's digest, with the owner's key alone; not for another image."""
    subject = image(registry, "acme/signed")
    other = image(registry, "acme/other", b"another")
    bundle, kind = _signed(tmp_path, subject)
    files = [File("result.json", MEDIA_TYPE, bundle)]
    client.attach("acme/signed", subject.descriptor, MEDIA_TYPE, files, NOTES)
    client.attach("acme/other", other.descriptor, MEDIA_TYPE, files, NOTES)
    (tmp_path / "empty-root.json").write_text(EMPTY_TRUSTED_ROOT)
    flags = ["--key", "signing.pub", "--new-bundle-format", "--trusted-root", "empty-root.json"]
    flags += ["--insecure-ignore-tlog", "--allow-http-registry", "--type", kind]

    def verified(name: str) -> bool:
        done = run_tool("cosign", "verify-attestation", *flags, name, cwd=tmp_path)
        return done.returncode == 0

    assert verified(f"{registry.address}/acme/signed@{subject.digest}")
    assert not verified(f"{registry.address}/acme/other@{other.digest}")


def _signed(folder: Path, subject: Manifest) -> tuple[bytes, str]:
    """A genuine result about an image, and the type of its predicate."""
    generate_key(folder / "signing.pem", folder / "signing.pub")
    statement = json.loads((ROOT / "tests" / "golden" / "result-scored.json").read_text())
    statement["subject"][0]["digest"]["sha256"] = hashlib.sha256(subject.raw).hexdigest()
    bundle = sign(rfc8785.dumps(statement), load_key(folder / "signing.pem"))
    return bundle, statement["predicateType"]


def test_a_liar_before_a_real_registry(
    registry: LocalRegistry, client: Registry, tmp_path: Path
) -> None:
    """What is altered is a lie, what breaks is gone on with, what fails is asked for again."""
    files = {"model.onnx": ("application/vnd.onnx", MODEL)}
    Pusher(registry.url).artifact("acme/lied", "v1", files)
    digest = client.manifest("acme/lied", "v1").digest
    with lying(registry.url) as liar:
        between = Registry(liar.url, sleep=lambda _: None)
        liar.lies.append(only("blobs", altered()))
        with pytest.raises(Lied):
            between.pull_layout("acme/lied", digest, tmp_path / "lied", MOST)
        liar.lies[:] = [only("blobs", times(2, cut(700_000))), times(3, status(503))]
        layout = between.pull_layout("acme/lied", digest, tmp_path / "pulled", MOST)
        assert layout.file.read_bytes() == MODEL
        ranges = [request.headers.get("range") for request in liar.asked]
        assert "bytes=700000-" in ranges
        assert "bytes=1400000-" in ranges


def test_a_registry_without_such_a_repository(client: Registry) -> None:
    """What it says of it in JSON is told in our words."""
    with pytest.raises(Gone):
        client.tags("nobody/nothing")
    with pytest.raises(Gone):
        client.manifest("nobody/nothing", "sha256:" + "1" * 64)
    assert client.referrers("nobody/nothing", "sha256:" + "1" * 64) == []
