"""The private engine of the escape tests, and a bench on it under each runtime."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one

from bench import bench, hand_over_probe
from engine import PrivateEngine, private_engine, why_not

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from evaluator.attacks.probing import Bench


@pytest.fixture(scope="session")
def private() -> Iterator[PrivateEngine]:
    """An engine with open defaults."""
    missing = why_not()
    if missing:
        pytest.skip(missing)
    with private_engine() as engine:
        yield engine


@pytest.fixture(scope="session")
def probe(private: PrivateEngine) -> str:
    """The probe's id, on the private engine too."""
    return hand_over_probe(private.address)


@pytest.fixture(scope="module")  # no longer: the tests of other modules mean the host's engine
def make_bench(
    private: PrivateEngine, probe: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Bench]]:
    """A function from a runtime to a bench on the private engine; DOCKER_HOST names it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", private.address)
        yield lambda runtime: bench(probe, runtime, tmp_path_factory.mktemp("bench"))
