"""The private engine of the escape tests, and a bench on it under each runtime."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one

from engine import GATEWAY, PrivateEngine, private_engine, why_not

import sandbox
from evaluator.attacks.probing import Bench
from evaluator.images import PROBE, build_probe, name_of
from evaluator.workspace import shipped
from sandbox import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 2**20


@pytest.fixture(scope="session")
def private() -> Iterator[PrivateEngine]:
    """An engine with open defaults that has the probe image."""
    missing = why_not()
    if missing:
        pytest.skip(missing)
    build_probe(lambda _: None)
    saved = sandbox.connect().get_image(name_of(PROBE))
    with private_engine() as engine, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", engine.address)
        sandbox.connect().load_image(saved)
        patch.undo()
        yield engine


@pytest.fixture(scope="session")
def make_bench(
    private: PrivateEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[object]:
    """A function from a runtime to a bench on the private engine; DOCKER_HOST names it."""

    def make(runtime: str) -> Bench:
        probe = sandbox.find_image(name_of(PROBE))
        assert probe is not None
        scratch = tmp_path_factory.mktemp("bench")
        return Bench(
            probe=probe,
            runtime=runtime,
            seccomp=(shipped("policies") / "seccomp.json").read_text(),
            limits=Limits(
                cpus=1.0,
                memory=512 * MIB,
                tmp=64 * MIB,
                shm=64 * MIB,
                processes=512,
                open_files=1024,
                seconds=120,
            ),
            scratch=scratch,
            host=GATEWAY,
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", private.address)
        yield make
