"""What a petaflop is on a host: measured once, looked up for GPUs, kept in one file."""

from __future__ import annotations

import json
import stat
import tomllib
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

import sandbox
from evaluator import calibration
from evaluator.calibration import Peaks, gpu_peak, load_or_measure
from evaluator.cli.calibrate import calibrate_command
from evaluator.errors import OwnerError
from evaluator.workspace import init

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Bench:
    """Stands for the measurement: each one is 1e9 operations a second faster than the last."""

    measured: int = 0
    said: list[str] = field(default_factory=list)

    def measure(self) -> float:
        """One measurement."""
        self.measured += 1
        return self.measured * 1e9


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """No time is spent on products of matrices, and the host has no GPU."""
    bench = Bench()
    monkeypatch.setattr(calibration, "measure", bench.measure)
    monkeypatch.setattr(calibration, "cpu_model", lambda: "Example CPU")
    monkeypatch.setattr("evaluator.workspace.find_gpus", tuple)
    return bench


def load(path: Path, bench: Bench, *, again: bool = False) -> float:
    """The peak of a CPU, without GPUs."""
    return load_or_measure(path, (), 0.0, bench.said.append, again=again).cpu


def test_a_cpu_does_something_between_a_giga_and_a_few_tera() -> None:
    """Operations a second of one thread, to three figures; twice, within a factor of two."""
    first, second = calibration.measure(), calibration.measure()

    assert 1e9 < first < 5e12
    assert 0.5 < first / second < 2
    assert first == float(f"{first:.3g}")


@pytest.mark.parametrize("program", ["raise SystemExit(1)", "print('nothing')", "print('inf')"])
def test_a_measurement_that_fails_is_the_hosts_trouble(
    monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    """No run is charged by a figure that is none."""
    monkeypatch.setattr(calibration, "_PROGRAM", program)

    with pytest.raises(sandbox.SandboxError, match="could not be measured"):
        calibration.measure()


def test_a_host_is_measured_once(bench: Bench, tmp_path: Path) -> None:
    """The second time it is read from a file that only the owner sees; `again` replaces it."""
    path = tmp_path / "calibration.json"

    assert (load(path, bench), load(path, bench)) == (1e9, 1e9)
    assert len(bench.said) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (load(path, bench, again=True), load(path, bench)) == (2e9, 2e9)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("change", ["cpu_model", "cpu_count"])
def test_another_cpu_is_measured_anew(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Another model or another number of them; back on the first host its figure still counts."""
    path = tmp_path / "calibration.json"
    load(path, bench)
    with monkeypatch.context() as moved:
        if change == "cpu_model":
            moved.setattr(calibration, "cpu_model", lambda: "Another CPU")
        else:
            moved.setattr("os.cpu_count", lambda: 4096)
        assert load(path, bench) == 2e9

    assert load(path, bench) == 1e9
    assert bench.measured == 2


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "3", '{"HOST": "fast"}', '{"HOST": -1.0}', '{"HOST": Infinity}']
)
def test_a_malformed_file_is_measured_anew(bench: Bench, tmp_path: Path, content: str) -> None:
    """And is well-formed afterwards."""
    path = tmp_path / "calibration.json"
    path.write_text(content.replace("HOST", calibration.host()))

    assert load(path, bench) == 1e9
    assert json.loads(path.read_text()) == {calibration.host(): 1e9}


@pytest.mark.parametrize(
    ("model", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4e12),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", 989.4e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 NVL", 835.5e12),
        ("NVIDIA H200", 989.4e12),
        ("NVIDIA GH200 480GB", 989.4e12),
        ("NVIDIA B200", 2250e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA A100 80GB PCIe", 312e12),
        ("NVIDIA A10", 125e12),
        ("NVIDIA A10G", 70e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362e12),
        ("Tesla T4", 65e12),
        ("Tesla V100-SXM2-16GB", 125e12),
        ("Tesla V100-PCIE-32GB", 112e12),
        ("Tesla V100S-PCIE-32GB", 130e12),
        ("NVIDIA GeForce RTX 4090", 165.2e12),
        ("NVIDIA RTX 6000 Ada Generation", 364.2e12),
        ("NVIDIA RTX A6000", 154.8e12),
    ],
)
def test_a_gpu_is_found_by_what_its_driver_calls_it(model: str, peak: float) -> None:
    """Whole words, and the longest name that fits."""
    assert gpu_peak(model) == peak


@pytest.mark.parametrize(
    "model",
    [
        "NVIDIA A1000",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA GeForce RTX 3090 Ti",
        "AMD Instinct MI300X",
        "",
    ],
)
def test_an_unknown_gpu_says_how_to_give_its_peak(model: str) -> None:
    """A relative of a known GPU is another one."""
    with pytest.raises(OwnerError, match="gpu_peak_flops"):
        gpu_peak(model)


def test_every_row_of_the_table_is_found_and_has_a_source() -> None:
    """No name hides another, and no figure is without a document."""
    text = (resources.files("evaluator") / "devices.toml").read_text()
    rows = tomllib.loads(text)["gpu"]

    assert len({row["name"] for row in rows}) == len(rows)
    assert all(gpu_peak(f"NVIDIA {row['name']}") == row["peak"] for row in rows)
    assert all(1e13 < row["peak"] < 1e16 and row["source"].endswith(".") for row in rows)


def test_the_peak_of_a_runs_gpus_is_that_of_the_fastest(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the driver's word, or the owner's own figure, for a GPU that the driver has to know."""
    models = {"GPU-a": "Tesla T4", "GPU-b": "NVIDIA L4"}
    monkeypatch.setattr(
        sandbox, "gpu_models", lambda gpus: tuple(models[gpu] for gpu in gpus), raising=False
    )
    path = tmp_path / "calibration.json"
    looked_up = load_or_measure(path, ("GPU-a", "GPU-b"), 0.0, bench.said.append)
    own = load_or_measure(path, ("GPU-a",), 3e13, bench.said.append)

    assert looked_up == Peaks(1e9, 121e12, "Example CPU", "NVIDIA L4, Tesla T4")
    assert own == Peaks(1e9, 3e13, "Example CPU", "Tesla T4, as gpu_peak_flops says")


@pytest.mark.parametrize("figure", [0.0, 3e13])
def test_a_gpu_that_cannot_be_metered_has_no_peak(
    bench: Bench, tmp_path: Path, figure: float
) -> None:
    """Whoever states its figure: a run could only end without a charge, after all its work."""
    path = tmp_path / "calibration.json"
    with pytest.raises(sandbox.SandboxError, match="not NVIDIA's"):
        load_or_measure(path, ("vendor.example/gpu=0",), figure, bench.said.append)

    assert bench.measured == 0


def test_the_command_says_how_long_a_petaflop_takes(bench: Bench, tmp_path: Path) -> None:
    """As a table, and as a document for programs; measured once for both."""
    root = init(tmp_path / "farm", class_sizes=True).root
    cpus = tomllib.loads((root / "evaluator.toml").read_text())["resources"]["cpus"]
    command = ["--workspace", str(root)]
    shown = CliRunner().invoke(calibrate_command, command)
    document = CliRunner().invoke(calibrate_command, [*command, "--json"])
    again = CliRunner().invoke(calibrate_command, [*command, "--json", "--again"])

    assert (shown.exit_code, document.exit_code, again.exit_code) == (0, 0, 0)
    assert "Example CPU" in shown.stdout
    assert "0.001 TFLOPS" in shown.stdout
    assert json.loads(document.stdout) == {
        "schemaVersion": 1,
        "devices": [
            {
                "device": "cpu",
                "model": "Example CPU",
                "peak_flops": 1e9,
                "count": cpus,
                "seconds_per_petaflop": 1e6 / cpus,
            }
        ],
    }
    assert json.loads(again.stdout)["devices"][0]["peak_flops"] == 2e9
    assert bench.measured == 2


def test_the_command_needs_a_workspace(tmp_path: Path) -> None:
    """It is there that the figure is kept."""
    ended = CliRunner().invoke(calibrate_command, ["--workspace", str(tmp_path)])

    assert isinstance(ended.exception, OwnerError)
