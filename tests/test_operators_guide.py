"""docs/operators.md, typed line by line, as far as that takes no container and no other machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from click.testing import CliRunner
from PIL import Image

from evaluator.cli import cli
from tests.helpers.command_lines import calls, shown

if TYPE_CHECKING:
    import pytest

GUIDE = (Path(__file__).parents[1] / "docs" / "operators.md").read_text()

# What the tests of tests/official do, or what needs somebody else's server.
ELSEWHERE = {
    "images build": "a container",
    "doctor": "a container",
    "calibrate": "an idle host",
    "work": "a container",
    "watch": "a registry",
    "log monitor": "a web server",
    "log withdraw": "a result",
    "decide": "a result",
    "leaderboard verify": "the end of the window",
    "leaderboard publish": "the end of the window",
}


def typed_by_the_operator() -> list[list[str]]:
    """The guide's commands in its order, with the words that this host's test needs instead."""
    instead = {"5000": "20", "checkpoint-of-yesterday": "farm/public/log/checkpoint"}
    return [
        [instead.get(word, word) for word in arguments]
        for line in shown(GUIDE)
        for arguments in calls(line.partition(" > ")[0])
        if not any(" ".join(arguments).startswith(each) for each in ELSEWHERE)
    ]


def test_the_guide_works_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From `init` to the board, on tiles that nobody needs to hide."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVALUATOR_WORKSPACE", str(tmp_path / "farm"))
    monkeypatch.setenv("EVALUATOR_PASSPHRASE_FILE", str(tmp_path / "pass"))
    (tmp_path / "pass").write_text("a passphrase\n")
    (tmp_path / "model.onnx").write_bytes(b"a model, as far as nobody looks into it")
    luck = np.random.default_rng(6)
    for name in [f"{crop}/{number}.png" for crop in ("corn", "oats") for number in range(30)]:
        (tmp_path / "tiles.tar" / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = luck.integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "tiles.tar" / name)

    lines = typed_by_the_operator()
    for arguments in lines:
        ended = CliRunner().invoke(cli, arguments)
        assert ended.exit_code == 0, (arguments, ended.output, ended.exception)
        if arguments[0] == "init":
            settings = tmp_path / "farm" / "evaluator.toml"
            settings.write_text(settings.read_text().replace("rare = 4", "rare = 1"))

    done = {" ".join(arguments) for arguments in lines}
    assert {"status", "log audit", "challenge --output challenge.json"} <= done
    assert len(done) > 20
