"""What of an image's settings may stay."""

from __future__ import annotations

from typing import Any

import pytest

from evaluator.errors import Refused
from evaluator.image_settings import reduced


def test_only_harmless_settings_stay() -> None:
    """User, volumes, ports, labels, health checks and hook variables are gone."""
    settings = {
        "Entrypoint": ["/predict"],
        "Cmd": ["train"],
        "User": "0",
        "Volumes": {"/vol": {}},
        "ExposedPorts": {"80/tcp": {}},
        "Labels": {"a": "b"},
        "Healthcheck": {"Test": ["CMD", "x"]},
        "OnBuild": ["RUN x"],
        "StopSignal": "SIGCONT",
        "Env": ["PATH=/bin", "NVIDIA_VISIBLE_DEVICES=all", "HTTP_PROXY=http://x", "MODEL=small"],
        "WorkingDir": "/app",
    }
    kept = reduced(settings)

    assert kept == {
        "Entrypoint": ["/predict"],
        "Env": ["PATH=/bin", "MODEL=small"],
        "WorkingDir": "/app",
    }
    assert reduced(kept) == kept


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"Entrypoint": None}, "EVA103"),
        ({"Entrypoint": []}, "EVA103"),
        ({"Entrypoint": "/predict"}, "EVA103"),
        ({"Entrypoint": ["/predict", "\0"]}, "EVA103"),
        ({"Entrypoint": ["\ud800"]}, "EVA103"),
        ({"Env": ["LD_PRELOAD=/proc/self/cwd/x.so"]}, "EVA105"),
        ({"Env": ["LD_AUDIT=x"]}, "EVA105"),
        ({"Env": ["GLIBC_TUNABLES=x"]}, "EVA105"),
        ({"Env": ["LD_LIBRARY_PATH=/proc/self/cwd"]}, "EVA105"),
        ({"Env": ["A=\x1b[2J"]}, "EVA105"),
        ({"Env": ["A=" + "x" * 5000]}, "EVA105"),
        ({"WorkingDir": "/proc/self/fd/7"}, "EVA107"),
        ({"WorkingDir": "relative"}, "EVA107"),
        ({"WorkingDir": "/app/../proc"}, "EVA107"),
    ],
)
def test_settings_that_cannot_stay_are_refused(settings: dict[str, Any], rule: str) -> None:
    """Each with its rule."""
    with pytest.raises(Refused, match=rule):
        reduced({"Entrypoint": ["/predict"], **settings})


def test_a_library_path_of_the_image_stays() -> None:
    """The control of the refusals above: an ordinary LD_LIBRARY_PATH is kept."""
    settings = {"Entrypoint": ["/predict"], "Env": ["LD_LIBRARY_PATH=/usr/lib/x:/opt/y"]}

    assert reduced(settings)["Env"] == ["LD_LIBRARY_PATH=/usr/lib/x:/opt/y"]
