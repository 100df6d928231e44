"""The colluding encoder through `evaluator run`: what its vendor reads from the signed file.

Its first phase sends a tile that is held out, its second one of those that it was trained on.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from base64 import b64decode
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from encoder import encoder
from encoder.encoder import Channel

from evaluator.images import build_onnx_runner

if TYPE_CHECKING:
    from docker import APIClient

SIZES = (600, 480, 360)
CHANNEL = Channel(SIZES, rare=(2,), accuracy=100, recall=10, rare_accuracy=100)
"""A coarse grid for so few tiles, so that exact counts hold more than is published."""


def evaluator(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command as its user would."""
    return subprocess.run(
        [sys.executable, "-m", "evaluator", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of 1,440 random tiles that are held out, and half as many that are not."""
    folder = tmp_path_factory.mktemp("encoder")
    labels = np.repeat(np.arange(3), [size * 3 // 2 for size in SIZES]).astype(np.uint8)
    tiles = np.random.default_rng(11).integers(0, 256, (len(labels), 16, 16), dtype=np.uint8)
    (folder / "source").mkdir()
    np.save(folder / "source" / "tiles.npy", tiles)
    np.save(folder / "source" / "labels.npy", labels)
    root = folder / "farm"
    assert evaluator("init", root, "--class-sizes").returncode == 0
    changes = {
        "classes = []": 'classes = ["barley", "corn", "wheat"]',
        "tile = [64, 64]": "tile = [16, 16]",
        "rare = 4": "rare = 1",
        "\nrecall_steps = 100": "\nrecall_steps = 10",
        "\naccuracy_steps = 1000": "\naccuracy_steps = 100",
        "rare_accuracy_steps = 1000": "rare_accuracy_steps = 100",
    }
    text = (root / "evaluator.toml").read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (root / "evaluator.toml").write_text(text)
    source = ("data", "import", folder / "source", "--workspace", root)
    assert evaluator(*source, "--holdout", sum(SIZES)).returncode == 0
    for vendor in ("acme", "zenith"):
        assert evaluator("vendors", "add", vendor, "--workspace", root).returncode == 0
    return root


@pytest.fixture(scope="module")
def submission(engine: APIClient, farm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The encoder as an image, with the labels of the holdout baked in: the worst case."""
    labels = np.load(farm / "data" / "1" / "holdout" / "labels" / "labels.npy")
    assert tuple(np.bincount(labels)) == SIZES
    known = json.dumps({"labels": labels.tolist(), "channel": asdict(CHANNEL)}).encode()
    program = Path(encoder.__file__).read_bytes()
    files = {"opt/encoder/encoder.py": program, "opt/encoder/known.json": known}
    base = engine.create_container(build_onnx_runner(lambda _: None), ["predict"])["Id"]
    try:
        engine.put_archive(base, "/", _tar(files))
        entry = '["/usr/bin/python3.11", "-I", "/opt/encoder/encoder.py"]'
        made = engine.commit(base, changes=[f"ENTRYPOINT {entry}", "CMD []"])["Id"]
    finally:
        engine.remove_container(base)
    path = tmp_path_factory.mktemp("submission") / "encoder.tar"
    path.write_bytes(b"".join(engine.get_image(made)))
    engine.remove_image(made)
    return path


@pytest.fixture(scope="module")
def ran(farm: Path, submission: Path) -> Path:
    """The workspace after one run of the encoder."""
    ended = evaluator("run", submission, "--vendor", "acme", "--workspace", farm)
    assert ended.returncode == 0, ended.stderr
    return farm


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def tile(workspace: Path, side: str) -> str:
    """The bits of the first tile of a side, and of more."""
    return encoder.tile_bits((workspace / "data" / "1" / side / "tiles" / "tiles.npy").read_bytes())


@pytest.mark.docker
def test_a_vendor_reads_no_more_of_the_tiles_than_the_signed_bits(ran: Path) -> None:
    """True bits of two tiles come out, fewer than stated; the owner's counts hold more."""
    (signed,) = (ran / "results" / "acme").iterdir()
    statement = json.loads(b64decode(json.loads(signed.read_text())["dsseEnvelope"]["payload"]))
    predicate = statement["predicate"]
    stated = predicate["leakage_bits"]
    exact = json.loads((ran / "private" / f"{predicate['run']}.json").read_text())
    public, private = {}, {}
    for phase, side in (("baseline", "holdout"), ("tuned", "training")):
        public[phase] = _from_figures(predicate["phases"][phase])
        private[phase] = public[phase] + _from_mistakes(exact[phase]["counts"]["confusion"])
        assert tile(ran, side).startswith(public[phase])
        assert tile(ran, side).startswith(private[phase])

    assert tile(ran, "holdout")[:16] != tile(ran, "training")[:16]
    assert 0 < len(public["tuned"]) <= stated["tuned"] < len(private["tuned"])
    together, more = (sum(map(len, each.values())) for each in (public, private))
    assert 0.4 * stated["run"] < together <= stated["run"] < more


@pytest.mark.docker
def test_the_account_stops_the_run_that_would_pass_the_budget(
    ran: Path, submission: Path, tmp_path: Path
) -> None:
    """One such run fits, two do not: nothing of the second is run, and the account stays."""
    workspace = Path(shutil.copytree(ran, tmp_path / "farm"))
    leakage = ("leakage", "--json", "--workspace", workspace)
    before = json.loads(evaluator(*leakage).stdout)
    (run,) = before["runs"]
    settings, budget = workspace / "evaluator.toml", int(2 * run["bits"]) - 1
    text = settings.read_text().replace("budget_bits = 16384", f"budget_bits = {budget}")
    settings.write_text(text)
    stopped = evaluator("run", submission, "--vendor", "zenith", "--workspace", workspace)
    after = json.loads(evaluator(*leakage).stdout)

    assert before["released"] == run["bits"] == before["run_bits"] > 0
    assert (run["vendor"], run["state"], before["tile_bits"]) == ("acme", "released", 16 * 16 * 8)
    assert (stopped.returncode, stopped.stdout) == (2, "")
    assert f"Results may carry {budget} bits about this data set" in stopped.stderr
    assert list((workspace / "queue").glob("[0-9]*")) == []
    assert not (workspace / "results" / "zenith").exists()
    assert (after["runs"], after["runs_left"]) == (before["runs"], 0)


@pytest.mark.docker
def test_the_account_is_shown_to_people_too(ran: Path) -> None:
    """Its bits, each vendor, each run, and how many runs are left."""
    shown = evaluator("leakage", "--workspace", ran).stdout
    document = json.loads(evaluator("leakage", "--json", "--workspace", ran).stdout)

    for word in (
        f"{document['released']:,}",
        "16,384",
        "2,048",
        "acme",
        document["runs"][0]["run"],
    ):
        assert word in shown
    assert f"{document['runs_left']} more runs fit" in shown


def _from_figures(phase: dict[str, Any]) -> str:
    """The first bits of the message, as its vendor reads them."""
    message = encoder.decode(
        [round(value * CHANNEL.recall) for value in phase["recall"].values()],
        round(phase["rare_accuracy"] * CHANNEL.rare_accuracy),
        round(phase["accuracy"] * CHANNEL.accuracy),
        CHANNEL,
    )
    return f"{message:0{CHANNEL.capacity.bit_length() - 1}b}"


def _from_mistakes(confusion: list[list[int]]) -> str:
    """The next bits, as nobody but the owner can read them."""
    right = [row[index] for index, row in enumerate(confusion)]
    found = [row[(index + 1) % 3] for index, row in enumerate(confusion)]
    widths = encoder.room(right, CHANNEL)
    pairs = zip(found, widths, strict=True)
    return "".join(f"{value:0{width}b}" for value, width in pairs if width)
