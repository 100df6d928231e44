"""The self-test of a GPU against a stand-in for the driver's library: no GPU has seen it yet."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from probe import gpu_self_test
sys.exit(getattr(gpu_self_test, sys.argv[2])(Path(sys.argv[3])))
"""
Told = tuple[int, tuple[int, int, int]]  # exit status; step, code, GPUs


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a libcuda.so.1 of our own."""
    if shutil.which("gcc") is None:
        pytest.skip("The stand-in for the driver's library needs gcc (apt-get install gcc).")
    folder = tmp_path_factory.mktemp("libcuda")
    source = Path(__file__).parent / "libcuda.c"
    target = str(folder / "libcuda.so.1")
    command = ["gcc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", target, str(source)]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture
def run(stand_in: Path, tmp_path: Path) -> Callable[..., Told]:
    """A function that runs one verb in a child; keywords become STAND_IN_... variables."""

    def run(verb: str = "main", library: Path = stand_in, **settings: object) -> Told:
        output = tmp_path / "predictions"
        output.write_bytes(b"")
        told = {f"STAND_IN_{name.upper()}": str(value) for name, value in settings.items()}
        ended = subprocess.run(
            [sys.executable, "-I", "-c", PROGRAM, ROOT / "images", verb, output],
            env={**os.environ, "LD_LIBRARY_PATH": str(library), **told},
            check=False,
        )
        return ended.returncode, struct.unpack("<3i", output.read_bytes())

    return run


def test_a_kernel_that_adds_one_passes(run: Callable[..., Told]) -> None:
    """On each GPU that is there."""
    assert run() == (0, (0, 0, 1))
    assert run(gpus=3) == (0, (0, 0, 3))


def test_without_a_driver_it_fails_at_the_first_step(
    run: Callable[..., Told], tmp_path: Path
) -> None:
    """No libcuda.so.1 to be found: not an error of the driver's, so no code."""
    assert run(library=tmp_path) == (70, (1, 0, 0))


@pytest.mark.parametrize(
    ("function", "step"),
    [
        ("cuInit", 2),
        ("cuDeviceGetCount", 3),
        ("cuDeviceGet", 3),
        ("cuCtxCreate_v2", 4),
        ("cuModuleLoadData", 5),
        ("cuModuleGetFunction", 6),
        ("cuMemAlloc_v2", 7),
        ("cuMemcpyHtoD_v2", 8),
        ("cuLaunchKernel", 9),
        ("cuCtxSynchronize", 9),
        ("cuMemcpyDtoH_v2", 10),
        ("cuMemFree_v2", 7),
        ("cuCtxDestroy_v2", 4),
    ],
)
def test_each_function_of_the_driver_has_its_step(
    run: Callable[..., Told], function: str, step: int
) -> None:
    """The step and the driver's own code are written down, and nothing passed."""
    assert run(fail=f"{function}:304") == (70, (step, 304, 0))


def test_a_host_without_a_gpu_fails_at_counting_them(run: Callable[..., Told]) -> None:
    """A driver that finds none answers 0 of them rather than with a code."""
    assert run(gpus=0) == (70, (3, 0, 0))


def test_a_wrong_sum_is_no_pass(run: Callable[..., Told]) -> None:
    """A GPU that computes something else computes."""
    assert run(wrong=1) == (70, (11, 0, 0))


def test_a_scrub_fills_all_memory_that_can_be_had(run: Callable[..., Told], tmp_path: Path) -> None:
    """16 MiB in pieces of at most 9: every byte of them is set to zero."""
    trace = tmp_path / "trace"
    assert run("scrub", trace=trace) == (0, (0, 0, 1))
    fills = [tuple(map(int, line.split())) for line in trace.read_text().splitlines()]

    assert {value for value, _ in fills} == {0}
    assert sum(size for _, size in fills) == 16 * 2**20


@pytest.mark.parametrize(
    ("function", "code", "step"),
    [("cuMemAlloc_v2", 2, 7), ("cuMemAlloc_v2", 700, 7), ("cuMemsetD8_v2", 700, 8)],
)
def test_a_scrub_that_scrubs_nothing_fails(
    run: Callable[..., Told], tmp_path: Path, function: str, code: int, step: int
) -> None:
    """No memory to be had is no clean memory."""
    status, (failed, _, passed) = run("scrub", trace=tmp_path / "trace", fail=f"{function}:{code}")

    assert (status, failed, passed) == (70, step, 0)
