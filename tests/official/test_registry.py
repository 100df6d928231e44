"""Images by name and digest, from a registry of the vendor's: Debian's own, on this host."""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evaluator.registry import Registry
from evaluator.shell_lines import commands
from evaluator.verify import verify
from tests.helpers.registry import local_registry
from tests.helpers.tools import interop_tools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from docker import APIClient

    from tests.helpers.registry import LocalRegistry

pytestmark = pytest.mark.docker

GOOD = "head -c 30 /dev/zero > /output/predictions # pushed"
ABSENT = "sha256:" + "1" * 64


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    """An empty registry; engines need no certificate for 127.0.0.0/8."""
    with local_registry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture(scope="module")
def registry(served: LocalRegistry) -> str:
    """Its address, as in an image's name."""
    return served.address


@dataclass(frozen=True)
class Pushed:
    """An image that lies in the registry and nowhere else."""

    repository: str
    manifest: bytes

    @property
    def digest(self) -> str:
        """What the registry knows the image by."""
        return hashlib.sha256(self.manifest).hexdigest()

    @property
    def name(self) -> str:
        """As a vendor hands it in."""
        return f"{self.repository}@sha256:{self.digest}"


@pytest.fixture
def pushed(served: LocalRegistry, make_image: Callable[..., str], engine: APIClient) -> Pushed:
    """An image of a vendor's, pushed and forgotten."""
    manifest = served.push(make_image(GOOD), "acme/model", "v1", engine)
    return Pushed(f"{served.address}/acme/model", manifest)


@pytest.fixture
def run(workspace: Path, command: Callable[..., Any]) -> Callable[[str], Any]:
    """Run a submission by name."""

    def run(name: str) -> Any:  # noqa: ANN401 - conftest's Ended, which no module exports
        return command("run", name, "--vendor", "acme", "--json", "--workspace", workspace)

    return run


def images(engine: APIClient) -> set[tuple[str, ...]]:
    """Every image with its names."""
    return {
        (image["Id"], *(image["RepoTags"] or ()), *(image["RepoDigests"] or ()))
        for image in engine.images(all=True)
    }


def test_a_pulled_image_is_known_by_its_manifest_and_gone_afterwards(
    run: Callable[[str], Any], pushed: Pushed, engine: APIClient
) -> None:
    """The subject is what the vendor's registry calls the image; no copy of it stays."""
    before = images(engine)
    ended = run(pushed.name)

    assert ended.code == 0, ended.stderr
    statement = ended.document()["statement"]
    assert statement["subject"][0]["digest"] == {"sha256": pushed.digest}
    assert statement["predicate"]["submission"] == {"kind": "image", "digest_of": "manifest"}
    assert images(engine) == before


def test_an_image_that_was_here_stays(
    run: Callable[[str], Any], pushed: Pushed, engine: APIClient
) -> None:
    """What the operator pulled is the operator's; the registry is not even asked again."""
    engine.pull(pushed.repository, tag=f"sha256:{pushed.digest}")
    before = images(engine)
    try:
        ended = run(pushed.name)
        after = images(engine)
    finally:
        engine.remove_image(pushed.name)

    assert ended.code == 0, ended.stderr
    assert after == before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("{address}/acme/model@" + ABSENT, "The registry has no such image"),
        ("{address}/nobody/nothing@" + ABSENT, "The registry has no such image"),
        ("{address}/Acme/Model@" + ABSENT, "lower-case"),
        ("127.0.0.1:9/acme/model@" + ABSENT, "its registry does not answer"),
        (ABSENT, "The engine has no image of that id"),
    ],
)
def test_an_image_that_cannot_be_had_is_the_operators_to_solve(
    run: Callable[[str], Any], registry: str, engine: APIClient, name: str, words: str
) -> None:
    """Wrong digest, unknown repository, no registry: one sentence, nothing signed or left."""
    before = images(engine)
    ended = run(name.format(address=registry))

    assert (ended.code, ended.stdout) == (2, "")
    assert words in ended.stderr
    assert ended.stderr.count("Error:") == 1
    assert images(engine) == before


def test_what_docker_pushed_is_pulled_as_a_layout_and_run(
    run: Callable[[str], Any], pushed: Pushed, served: LocalRegistry, tmp_path: Path
) -> None:
    """Without an engine in between: the subject is still what the vendor's registry calls it."""
    client, digest = Registry(served.url), f"sha256:{pushed.digest}"
    layout = client.pull_layout("acme/model", digest, tmp_path / "layout", 2**26)
    ended = run(str(layout.file))

    assert ended.code == 0, ended.stderr
    statement = ended.document()["statement"]
    assert statement["subject"][0]["digest"] == {"sha256": pushed.digest}
    assert statement["predicate"]["submission"] == {"kind": "image", "digest_of": "manifest"}


@pytest.mark.interop
def test_cosign_finds_the_manifest_in_the_result(
    run: Callable[[str], Any], pushed: Pushed, workspace: Path, tmp_path: Path
) -> None:
    """The command that `evaluator verify` prints, on the bytes that the registry serves."""
    tools = interop_tools()
    result = Path(run(pushed.name).document()["result"])
    key = workspace / "keys" / "signing.pub"
    lines = commands(verify(result.read_bytes(), key.read_bytes()), result, key)
    start = next(at for at, line in enumerate(lines) if line.startswith("# cosign before"))
    script = "\n".join(["set -eu", f'PATH="{tools}/bin:$PATH"', *lines[start:][:3]])

    def verified(manifest: bytes) -> bool:
        (tmp_path / "manifest.json").write_bytes(manifest)
        done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, check=False)
        return done.returncode == 0

    assert verified(pushed.manifest)
    assert not verified(json.dumps(json.loads(pushed.manifest), indent=1).encode())
