"""challenge.json: what vendors know beforehand, and what it does not say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner

from evaluator.challenge import (
    MOST,
    Challenge,
    challenge_of,
    read_challenge,
    sample_challenge,
)
from evaluator.cli.challenge import challenge_command
from evaluator.dataset.importing import ImportRules, import_tiles
from evaluator.dataset.sealed import open_dataset, read_seal
from evaluator.errors import OwnerError
from evaluator.founding import found
from evaluator.workspace import CONFIG, Workspace

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with 61 tiles of two crops, 17 of them held out."""
    root = tmp_path_factory.mktemp("owner")
    source = root / "source"
    source.mkdir()
    random = np.random.default_rng(7)
    np.save(source / "tiles.npy", random.integers(0, 255, (61, 8, 8), np.uint8))
    np.save(source / "labels.npy", np.repeat([0, 1], (38, 23)).astype(np.uint8))
    workspace = found(root / "farm", class_sizes=False).workspace
    rules = ImportRules(classes=("corn", "wheat"), rare=1, shape=(8, 8))
    import_tiles(workspace.data, source, rules, holdout=17, progress=lambda *_: None)
    return workspace


def secrets_of(workspace: Workspace) -> list[str]:
    """What stands in the owner's private files, as a text might give it away."""
    dataset = open_dataset(workspace.data)
    seal = read_seal(dataset.folder)
    sizes = [json.dumps(list(seal.holdout)), json.dumps(list(seal.training or ()))]
    means = [str(band.mean) for band in seal.bands]
    private = [workspace.key.read_text().splitlines()[1], workspace.log_key.read_text()[30:60]]
    files = [digest for name, digest in seal.files.items() if name != "commitment.json"]
    salt = (dataset.folder / "secret").read_bytes().hex()
    return [*sizes, *means, *private, *files, salt, str(workspace.root)]


def said(challenge: Challenge) -> str:
    """The document without white space, so that lists are found however they are written."""
    return json.dumps(json.loads(challenge.dump()))


def test_it_says_what_a_run_will_be(farm: Workspace) -> None:
    """Shape, classes, counts, limits, policies and keys, as the workspace has them."""
    challenge = challenge_of(farm)

    tiles = challenge.tiles
    assert (tiles.shape, tiles.dtype, tiles.classes) == ((8, 8), "uint8", ("corn", "wheat"))
    assert (tiles.holdout, tiles.training) == (17, 44)
    assert challenge.policies.sandbox.text == farm.sandbox_policy.read_text()
    assert challenge.keys is not None
    assert challenge.keys.results == farm.public_key.read_text()


def test_it_tells_no_secret(farm: Workspace) -> None:
    """No class size, statistic, file digest, salt, private key or path."""
    text = said(challenge_of(farm))

    assert [secret for secret in secrets_of(farm) if secret in text] == []


def test_a_secret_in_it_would_be_found(farm: Workspace) -> None:
    """The control: whatever is planted in its name is seen."""
    challenge = challenge_of(farm)
    for secret in secrets_of(farm):
        planted = challenge.model_copy(update={"name": json.loads(f'"{secret}"')})
        assert secret in said(planted)


def test_what_is_written_is_read_again(farm: Workspace, tmp_path: Path) -> None:
    """The same challenge, the same bytes."""
    for challenge in (challenge_of(farm), sample_challenge()):
        path = tmp_path / "challenge.json"
        path.write_bytes(challenge.dump())
        assert read_challenge(path) == challenge
        assert read_challenge(path).dump() == path.read_bytes()


def test_its_policies_are_those_that_it_names(farm: Workspace, tmp_path: Path) -> None:
    """They are read as an official run reads its own."""
    challenge = challenge_of(farm)
    sandboxed, admission = challenge.policies_in(tmp_path)

    assert sandboxed.sha256 == challenge.policies.sandbox.sha256
    assert admission.sha256 == challenge.policies.admission.sha256


def broken(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Neighbours of a good document, none of which is one."""
    policies = document["policies"]
    altered = {**policies["sandbox"], "text": policies["sandbox"]["text"] + "\n"}
    return [
        {**document, "more": 1},
        {**document, "schemaVersion": 2},
        {**document, "tiles": {**document["tiles"], "shape": [8]}},
        {**document, "tiles": {**document["tiles"], "holdout": 0}},
        {**document, "policies": {**policies, "sandbox": altered}},
        {name: value for name, value in document.items() if name != "limits"},
    ]


@pytest.mark.parametrize("place", range(6))
def test_a_broken_one_is_refused(farm: Workspace, tmp_path: Path, place: int) -> None:
    """With what is wrong in it, and whom to ask."""
    path = tmp_path / "challenge.json"
    path.write_text(json.dumps(broken(json.loads(challenge_of(farm).dump()))[place]))

    with pytest.raises(OwnerError, match="Ask the data owner"):
        read_challenge(path)


def test_a_huge_file_is_not_read_whole(tmp_path: Path) -> None:
    """It is no challenge."""
    path = tmp_path / "challenge.json"
    path.write_bytes(b" " * (MOST + 1))

    with pytest.raises(OwnerError, match="more than"):
        read_challenge(path)


def test_before_an_import_there_is_none(tmp_path: Path) -> None:
    """There are no tiles to say anything of."""
    workspace = found(tmp_path / "farm", class_sizes=False).workspace

    with pytest.raises(OwnerError, match="evaluator data import"):
        challenge_of(workspace)


def test_the_command_writes_it_or_prints_it(farm: Workspace, tmp_path: Path) -> None:
    """The same document, whole."""
    assert (farm.root / CONFIG).exists()
    path = tmp_path / "challenge.json"
    arguments = ["--workspace", str(farm.root), "--output"]
    written = CliRunner().invoke(challenge_command, [*arguments, str(path)])
    printed = CliRunner().invoke(challenge_command, [*arguments, "-"])

    assert (written.exit_code, printed.exit_code) == (0, 0)
    assert printed.stdout_bytes == path.read_bytes()
    assert "evaluator calibrate" in written.stderr
