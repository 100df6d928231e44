"""Who this host is to a registry, from wherever operators keep it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from evaluator.errors import OwnerError
from evaluator.registry import Credentials, found_credentials, read_credentials

if TYPE_CHECKING:
    from pathlib import Path

AUTH = base64.b64encode(b"acme:s:cret").decode()
KNOWN = Credentials("acme", "s:cret")


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials of this machine's take part."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("EVALUATOR_REGISTRY_USER", raising=False)


def config(tmp_path: Path, **document: object) -> Path:
    """A config.json of Docker's."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        ("registry.example:5000", "https://registry.example:5000"),
        ("https://registry.example", "registry.example"),
        ("registry.example:443", "https://registry.example"),
        ("https://registry.example/v2/", "https://registry.example:443/"),
        ("https://index.docker.io/v1/", "https://registry-1.docker.io"),
    ],
)
def test_docker_login_is_enough(tmp_path: Path, key: str, registry: str) -> None:
    """Whatever way of naming the registry config.json has, and with a colon in the password."""
    config(tmp_path, auths={"other.example": {"auth": "x"}, key: {"auth": AUTH}})
    assert found_credentials(registry) == KNOWN


def test_another_registrys_credentials_are_not_taken(tmp_path: Path) -> None:
    """Not by a common ending, not by a common port."""
    path = config(tmp_path, auths={"registry.example:5000": {"auth": AUTH}})
    for other in ("registry.example", "x.registry.example:5000", "registry.example:5001"):
        assert read_credentials(path, other) is None


def test_an_identity_token_is_for_the_token_server(tmp_path: Path) -> None:
    """As `docker login` at a cloud's registry leaves it."""
    entry = {"auth": base64.b64encode(b"00000000:").decode(), "identitytoken": "refresh me"}
    path = config(tmp_path, auths={"registry.example": entry})
    known = read_credentials(path, "registry.example")
    assert known == Credentials("00000000", "refresh me", refresh=True)


def test_a_credential_helper_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the protocol of docker-credential-*: the server on stdin, JSON on stdout."""
    helper = tmp_path / "docker-credential-test"
    helper.write_text(
        "#!/bin/sh\nread -r server\n"
        '[ "$1 $server" = "get registry.example:5000" ] || exit 1\n'
        'echo \'{"ServerURL": "", "Username": "acme", "Secret": "s:cret"}\'\n'
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    path = config(tmp_path, credHelpers={"registry.example:5000": "test"})
    assert read_credentials(path, "https://registry.example:5000") == KNOWN
    path = config(tmp_path, credsStore="test")
    assert read_credentials(path, "https://registry.example:5000") == KNOWN
    assert read_credentials(path, "https://other.example") is None


@pytest.mark.parametrize(
    ("name", "words"),
    [("../../bin/sh", "neither"), ("x; touch y", "neither"), ("nowhere", "does not start")],
)
def test_a_helper_that_is_none_is_the_operators_mistake(
    tmp_path: Path, name: str, words: str
) -> None:
    """Its name is part of a program's name and nothing else."""
    path = config(tmp_path, credsStore=name)
    with pytest.raises(OwnerError, match=words):
        read_credentials(path, "registry.example")


def test_one_line_is_enough(tmp_path: Path) -> None:
    """USER:PASSWORD, as a secret that is mounted as a file."""
    path = tmp_path / "secret"
    path.write_text("acme:s:cret\n")
    assert read_credentials(path, "anywhere.example") == KNOWN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "acme",
        "acme:x\nzenith:y",
        "{",
        '{"auths": 3}',
        '{"auths": {"r.example": {"auth": "!"}}}',
    ],
)
def test_another_file_is_the_operators_mistake(tmp_path: Path, text: str) -> None:
    """One sentence, and none of the file in it."""
    path = tmp_path / "secret"
    path.write_text(text)
    with pytest.raises(OwnerError, match="neither a config"):
        read_credentials(path, "r.example")


def test_the_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in CI, where secrets are variables."""
    config(tmp_path, auths={"registry.example": {"auth": "x"}})
    monkeypatch.setenv("EVALUATOR_REGISTRY_USER", "acme")
    monkeypatch.setenv("EVALUATOR_REGISTRY_PASSWORD", "s:cret")
    assert found_credentials("registry.example") == KNOWN


def test_a_password_is_not_printed() -> None:
    """Not where a traceback or a log shows the value."""
    assert "s:cret" not in repr(KNOWN)
