"""GPUs through a stand-in for the driver's library: no GPU has seen these lines."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox import SandboxError, nvml

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
MiB = 2**20


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A libnvidia-ml.so.1 of our own."""
    if shutil.which("gcc") is None:
        pytest.skip("The stand-in for the driver's library needs gcc (apt-get install gcc).")
    target = tmp_path_factory.mktemp("nvml") / nvml.LIBRARY
    source = ROOT / "tests/images/libnvidia-ml.c"
    command = ["gcc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(target), str(source)]
    subprocess.run(command, check=True)
    return target


@pytest.fixture
def gpu(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int, int, int], None]:
    """A function that sets the per cent, bytes and millijoules of GPU-0."""
    figures = tmp_path / "figures"
    monkeypatch.setenv("STAND_IN_NVML", str(figures))
    monkeypatch.setattr(nvml, "LIBRARY", str(library))

    def shows(utilization: int, memory: int, energy: int) -> None:
        figures.write_text(f"{utilization} {memory} {energy}")

    shows(0, 0, 0)
    return shows


def test_a_whole_gpu_has_all_its_figures(gpu: Callable[[int, int, int], None]) -> None:
    """Busy, bytes beyond those of the start, and joules."""
    gpu(10, 5 * MiB, 1000)
    with nvml.opened(("GPU-0",)) as gpus:
        gpu(50, 25 * MiB, 3500)
        reading = gpus.read()

        assert (gpus.count, gpus.names()) == (1.0, ("NVIDIA H100 80GB HBM3",))
    assert (reading.busy, reading.memory, reading.joules) == (0.5, 20 * MiB, 7003.5)


def test_figures_of_several_gpus_are_sums(gpu: Callable[[int, int, int], None]) -> None:
    """An old GPU without an energy counter adds none."""
    with nvml.opened(("GPU-0", "GPU-1")) as gpus:
        gpu(50, 25 * MiB, 0)
        reading = gpus.read()

    assert (gpus.count, reading.busy) == (2.0, 1.5)
    assert (reading.memory, reading.joules) == (25 * MiB, 7000.0)


@pytest.mark.usefixtures("gpu")
def test_a_slice_is_busy_throughout_as_its_part_of_the_gpu() -> None:
    """The driver has no utilisation for it: three compute slices of seven."""
    with nvml.opened(("MIG-2",)) as gpus:
        reading = gpus.read()

    assert gpus.count == reading.busy == pytest.approx(3 / 7)
    assert reading.joules == 0.0


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("nvidia.com/gpu=0", "NVIDIA H100 80GB HBM3"),
        ("nvidia.com/gpu=1", "Example GPU"),
        ("nvidia.com/gpu=GPU-1", "Example GPU"),
        ("nvidia.com/gpu=MIG-2", "NVIDIA H100 80GB HBM3 MIG 3g.40gb"),
    ],
)
def test_a_cdi_name_of_nvidias_is_a_number_or_a_uuid(name: str, model: str) -> None:
    """As `nvidia-ctk cdi generate` writes them."""
    assert nvml.gpu_models((name,)) == (model,)


@pytest.mark.parametrize("name", ["nvidia.com/gpu=all", "nvidia.com/gpu=0:1", "0"])
def test_a_name_that_says_no_gpu_asks_for_its_uuid(name: str) -> None:
    """All, a slice by number, a bare number; no driver is needed to tell."""
    with pytest.raises(SandboxError, match="Name its UUID"), nvml.opened((name,)):
        pass


def test_another_makers_device_is_told_so_even_without_a_driver() -> None:
    """To install NVIDIA's would not help."""
    with pytest.raises(SandboxError, match="not NVIDIA's"), nvml.opened(("amd.com/gpu=0",)):
        pass


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("name", ["GPU-7", "nvidia.com/gpu=7"])
def test_a_gpu_that_is_not_listed_is_an_error(name: str) -> None:
    """By UUID and by number."""
    with pytest.raises(SandboxError, match="lists no such GPU"), nvml.opened((name,)):
        pass


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    "function",
    [
        "nvmlInit_v2",
        "nvmlDeviceGetUtilizationRates",
        "nvmlDeviceGetMemoryInfo",
        "nvmlDeviceGetTotalEnergyConsumption",
    ],
)
def test_a_driver_that_fails_is_an_error_with_its_code(
    function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """15 is a GPU that fell off the bus."""
    monkeypatch.setenv("STAND_IN_FAIL", f"{function}:15")

    with (
        pytest.raises(SandboxError, match=rf"{function}: code 15"),
        nvml.opened(("GPU-0",)) as gpus,
    ):
        gpus.read()


@pytest.mark.usefixtures("gpu")
def test_a_gpu_without_utilisation_counts_as_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole GPU in MIG mode answers so."""
    monkeypatch.setenv("STAND_IN_FAIL", "nvmlDeviceGetUtilizationRates:3")
    with nvml.opened(("GPU-0",)) as gpus:
        assert gpus.read().busy == 1.0


def test_the_library_is_let_go_also_after_an_error(
    gpu: Callable[[int, int, int], None], library: Path
) -> None:
    """Every start of the library has its end."""
    gpu(0, 0, 0)
    with nvml.opened(("GPU-0",)):
        assert ctypes.CDLL(str(library)).standInUsers() == 1
    with pytest.raises(SandboxError), nvml.opened(("GPU-7",)):
        pass

    assert ctypes.CDLL(str(library)).standInUsers() == 0


@pytest.mark.parametrize("there", [True, False])
def test_the_library_is_found_under_the_drivers_own_name(
    library: Path, tmp_path: Path, *, there: bool
) -> None:
    """In a process of its own; without the driver one sentence says so."""
    program = "from sandbox import nvml; print(nvml.gpu_models(('GPU-1',)))"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "LD_LIBRARY_PATH": str(library.parent if there else tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    if there:
        assert ended.stdout == "('Example GPU',)\n"
    else:
        assert "libnvidia-ml.so.1 is not on this host" in ended.stderr
