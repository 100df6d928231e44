"""A whole window, from the first submission to the published board, by the commands alone.

    python -m tests.official.window TILES FOLDER      5 vendors, 25 runs on real tiles: 15 minutes

Submissions are real: linear models, each trained outside the product on another part of the
training tiles and of another strength, as ONNX files, and the Perl example as an image. Before the
end of the window nothing that a vendor can see may name another vendor, or a run or a submission
of one; afterwards the board must say what the signed results say.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from sklearn.linear_model import RidgeClassifier

from evaluator.images import build_example
from tests.helpers.clock import DAY, Clock, make_clock
from tests.helpers.linear import exported, features

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

PRICES = ("0.25", "0.22", "0.10", "0.31", "0.18")


@dataclass
class Window:
    """A workspace, its vendors, and what is secret of each: names, runs, submissions' digests."""

    farm: Path
    clock: Clock
    vendors: tuple[str, ...]
    secrets: dict[str, set[str]] = field(default_factory=dict)

    def run(self, *arguments: object, code: int = 0) -> str:
        """Run a command on the workspace, and return its stdout."""
        command = [sys.executable, "-m", "evaluator", *map(str, arguments)]
        more = {"EVALUATOR_WORKSPACE": str(self.farm), "COLUMNS": "200", "NO_COLOR": "1"}
        ended = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env={**os.environ, **more, **self.clock.environment},
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert ended.returncode == code, (arguments, ended.returncode, ended.stderr, ended.stdout)
        return ended.stdout

    def document(self, *arguments: object) -> Any:  # noqa: ANN401 - what JSON can say
        """What a command prints with --json."""
        return json.loads(self.run(*arguments, "--json"))


def open_window(folder: Path, tiles: Path, holdout: int, vendors: int, *options: object) -> Window:
    """Make the workspace of a window that opens today."""
    clock = make_clock(folder)
    assert clock, "The clock needs a C compiler (apt-get install gcc libc6-dev)."
    names = tuple(f"vendor-{letter}" for letter in "abcde"[:vendors])
    window = Window(folder / "farm", clock, names)
    window.run("init", window.farm, "--class-sizes")
    settings = window.farm / "evaluator.toml"
    settings.write_text(settings.read_text().replace("petaflops = 100.0", "petaflops = 1000.0"))
    if options:
        shape = f"tile = [{options[-1]}, {options[-1]}]"
        settings.write_text(settings.read_text().replace("tile = [64, 64]", shape))
        settings.write_text(settings.read_text().replace("rare = 4", "rare = 1"))
    window.run("data", "import", tiles, "--grayscale", "--holdout", holdout)
    for name, price in zip(names, PRICES, strict=False):
        window.run("vendors", "add", name, "--price", price)
        window.secrets[name] = {name}
    return window


def play(window: Window, runs: int, image: Path | None) -> None:
    """Hand in and run `runs` submissions of each vendor, in turns."""
    folder = window.farm.parent / "models"
    folder.mkdir()
    dataset = window.farm / "data" / "1" / "training"
    tiles = np.load(dataset / "tiles" / "tiles.npy", mmap_mode="r")
    labels = np.load(dataset / "labels" / "labels.npy")
    random = np.random.default_rng(5)
    for turn in range(runs):
        for number, vendor in enumerate(window.vendors):
            chosen = random.permutation(len(tiles))[: max(40, (number + 1) * len(tiles) // 12)]
            path = folder / f"{vendor}-{turn}.onnx"
            onnx.save(_model(tiles[chosen], labels[chosen], 4 << (turn % 2)), path)
            given = image if image and (number, turn) == (len(window.vendors) - 1, 0) else path
            phase = () if turn % 2 else ("--phase", "baseline")
            window.run("submit", given, "--vendor", vendor, *phase)
        window.run("work")
    for row in window.document("runs")["rows"]:
        window.secrets[row["vendor"]] |= {row["run"], row["sha256"]}


def require_blind(window: Window, *vendors: str) -> int:
    """Look for anything of another in all that vendors can see; return how much was looked at."""
    looked = 0
    for vendor in vendors or window.vendors:
        others = set().union(*(window.secrets[name] for name in window.vendors if name != vendor))
        for name, text in seen_by(window, vendor):
            found = {secret for secret in others if secret.encode() in text}
            assert not found, (vendor, name, found)
            looked += 1
    return looked


def seen_by(window: Window, vendor: str) -> Iterator[tuple[str, bytes]]:
    """What a vendor can see before the end: its views, its files, and what is served."""
    for arguments in (
        ("status", "--vendor", vendor),
        ("status", "--vendor", vendor, "--json"),
        ("runs", "--vendor", vendor),
        ("runs", "--vendor", vendor, "--json"),
        ("ledger", "export", "--vendor", vendor),
        ("ledger", "export", "--vendor", vendor, "--format", "json"),
        ("invoice", vendor),
        ("invoice", vendor, "--json"),
        ("leaderboard", "show", "--vendor", vendor),
        ("leaderboard", "show", "--vendor", vendor, "--json"),
        ("leaderboard", "show", "--vendor", vendor, "--csv"),
        ("trust", "export"),
    ):
        yield " ".join(arguments), window.run(*arguments).encode()
    for folder in (window.farm / "outbox" / vendor, window.farm / "public"):
        for path in folder.rglob("*"):
            if path.is_file():
                yield str(path), path.read_bytes() + path.name.encode() + _payload(path)


def _payload(path: Path) -> bytes:
    """What is inside a signed file."""
    if not path.name.endswith(".sigstore.json"):
        return b""
    return base64.b64decode(json.loads(path.read_text())["dsseEnvelope"]["payload"])


def require_right(window: Window) -> dict[str, Any]:
    """The published board says what the signed results say; return it."""
    board: dict[str, Any] = json.loads((window.farm / "public/board/board.json").read_text())
    best: dict[str, float] = {}
    for path in (window.farm / "results").glob("*/*.sigstore.json"):
        statement = json.loads(_payload(path))
        phases = statement["predicate"]["phases"]
        scored = [phases["tuned"], phases["baseline"]]
        (figure, *_) = [each["accuracy"] for each in scored if each and each["status"] == "OK"]
        vendor = statement["predicate"]["vendor"]
        best[vendor] = max(best.get(vendor, 0.0), figure)
    page = (window.farm / "public/board/index.html").read_text()
    order = [name for name, _ in sorted(best.items(), key=lambda item: -item[1])]
    shown = re.findall(r"vendors/(vendor-[a-e])\.html", page)
    places = [shown.index(name) for name in order]
    figures = [best[name] for name in sorted(order, key=shown.index)]
    assert figures == sorted(figures, reverse=True), (order, shown)
    assert len(places) == len(window.vendors)
    assert all(f"{100 * figure:.1f}" in page for figure in best.values())
    return board


def _model(tiles: NDArray[np.uint8], labels: NDArray[np.uint8], blocks: int) -> onnx.ModelProto:
    """A linear model of the means of blocks x blocks parts of a tile, and of their squares."""
    fitted = RidgeClassifier().fit(features(tiles, blocks), labels)
    return exported(fitted.coef_, fitted.intercept_, tiles.shape[1], blocks)


def end(window: Window) -> None:
    """A day later what is due is entered, and vendors still see nothing of each other."""
    window.clock.set(DAY)
    window.run("log", "publish")
    assert require_blind(window) > 0


def publish(window: Window) -> dict[str, Any]:
    """After the window the board is published, right, and made again from the served log."""
    window.clock.set(32 * DAY)
    early = window.farm / "public" / "log" / "checkpoint"
    window.run("log", "audit", "--since", early)
    window.run("leaderboard", "publish")
    window.run("log", "audit", "--since", early)
    served = ("--log", window.farm / "public" / "log", "--trust", window.farm / "public/trust.toml")
    window.run("leaderboard", "verify", window.farm / "public" / "board", *served)
    return require_right(window)


def main() -> None:
    """Play a window of real size, and leave its pages to look at."""
    tiles, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True)
    window = open_window(folder, tiles, 5000, 5)
    with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
        image = build_example("perl", lambda _: None)
        subprocess.run(["docker", "save", image, "-o", archive.name], check=True)
        play(window, 5, Path(archive.name))
    end(window)
    board = publish(window)
    print(f"{len(board['results'])} results; the pages: {window.farm}/public/board/index.html")  # noqa: T201 - a script


if __name__ == "__main__":
    main()
