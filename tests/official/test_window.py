"""A small window from end to end: blind before its last day, and right after it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.official import window as played

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("runner_image")]


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> played.Window:
    """Two vendors, two submissions of each, on tiles of three crops; all runs have ended."""
    folder = tmp_path_factory.mktemp("window")
    random = np.random.default_rng(3)
    for crop, light in (("barley", 90), ("corn", 110), ("rye", 130)):
        (folder / "tiles" / crop).mkdir(parents=True)
        for number in range(60):
            pixels = random.normal(light, 40, (16, 16)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "tiles" / crop / f"{number}.png")
    window = played.open_window(folder, folder / "tiles", 80, 2, 16)
    played.play(window, 2, None)
    return window


def test_before_the_end_no_vendor_sees_anything_of_another(window: played.Window) -> None:
    """In no view of a command, in no file that it receives, and in nothing that is served."""
    played.end(window)


def test_the_operator_sees_all_of_it(window: played.Window) -> None:
    """So that what is looked for is there to be found."""
    shown = window.run("runs", "--json") + window.run("leaderboard", "show", "--json")
    assert all(secret in shown for secrets in window.secrets.values() for secret in secrets)


def test_after_the_end_the_board_says_what_the_results_say(window: played.Window) -> None:
    """And anyone can make it again from what is served."""
    with pytest.raises(AssertionError, match="the window closes at the end of"):
        window.run("leaderboard", "publish")
    played.publish(window)
    assert (window.farm / "public" / "board" / "index.html").is_file()


def test_afterwards_everybody_sees_everything(window: played.Window) -> None:
    """The control of the first test: the same look finds the others now."""
    with pytest.raises(AssertionError, match="vendor-"):
        played.require_blind(window, window.vendors[0])
    assert Path(window.farm / "public/log/tile/entries").is_dir()
