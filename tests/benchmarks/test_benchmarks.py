"""The command that measures, with parts that take no time: what it writes, keeps and leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import benchmarks
from benchmarks import __main__ as command
from benchmarks import parts
from benchmarks.measure import Bench, Comparison, Sample, Target
from benchmarks.measure import command as measured_command

ROOT = Path(__file__).parents[2]
GOOD = '''"""A part that takes no time."""

def measure(bench):
    assert not [*bench.work.iterdir()]
    (bench.work / "left.txt").write_text("behind")
    bench.limit("Memory", 1, 2, "MB")
'''
BAD = '''"""A part that fails."""

def measure(bench):
    (bench.work / "left.txt").write_text("behind")
    bench.limit("Memory", 1, 2, "MB")
    raise OSError("no space")
'''
SLOW = '''"""A part that never ends, in a command of its own that says its number."""
import sys
from benchmarks.measure import command

def measure(bench):
    print("measuring", file=sys.stderr, flush=True)
    command(["sh", "-c", f"echo $$ > {bench.work}/pid; exec sleep 600"])
'''


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of parts beside the real ones, and an empty folder `work` to measure in."""
    folder = tmp_path / "fakes"
    folder.mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.setattr(benchmarks, "__path__", [*benchmarks.__path__, str(folder)])
    for name in ("fake_good", "fake_bad", "fake_missing"):
        monkeypatch.setitem(parts.PARTS, name, name)
        monkeypatch.delitem(sys.modules, f"benchmarks.{name}", raising=False)
    return folder


def run(tmp_path: Path, *only: str) -> tuple[int, dict[str, Any]]:
    """Measure these parts; the exit status and what was written."""
    results, work = tmp_path / "results.json", tmp_path / "work"
    where = ["--results", str(results), "--work", str(work)]
    status = command.main(["--smoke", "--runtimes", "runc", *where, "--only", *only])
    assert not [*work.iterdir()], "nothing is left behind"
    return status, parts.read_results(results)


def test_a_part_is_measured_and_the_machine_described(fakes: Path, tmp_path: Path) -> None:
    """How, when, where and what, and no name of the machine or of a folder."""
    (fakes / "fake_good.py").write_text(GOOD)

    status, results = run(tmp_path, "fake_good")

    assert status == 0
    assert results["fake_good"]["found"] == [
        {"kind": "limit", "title": "Memory", "value": 1, "most": 2, "unit": "MB"}
    ]
    assert results["fake_good"]["run"].keys() >= {"began", "commit", "load", "busy", "rounds"}
    assert results["fake_good"]["machine"].keys() >= {"Processor", "Memory", "System", "Python"}
    said = json.dumps(results)
    assert os.uname().nodename not in said
    assert str(tmp_path) not in said


def test_a_part_that_fails_leaves_what_was_found_before(fakes: Path, tmp_path: Path) -> None:
    """Of itself and of others; the parts after it are measured, and the exit status is 1."""
    (fakes / "fake_bad.py").write_text(GOOD)
    (fakes / "fake_good.py").write_text(GOOD)
    _, first = run(tmp_path, "fake_bad")
    sys.modules.pop("benchmarks.fake_bad")
    (fakes / "fake_bad.py").write_text(BAD)

    status, second = run(tmp_path, "fake_bad", "fake_good")

    assert status == 1
    assert second["fake_bad"] == first["fake_bad"]
    assert "fake_good" in second


def test_a_part_that_is_not_there_is_left_out(
    fakes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a word, and the others are measured."""
    (fakes / "fake_good.py").write_text(GOOD)

    status, results = run(tmp_path, "fake_missing", "fake_good")

    assert status == 0
    assert [*results] == ["fake_good"]
    assert "fake_missing: there is no such part" in capsys.readouterr().err


def test_a_part_that_is_measured_again_replaces_only_itself(fakes: Path, tmp_path: Path) -> None:
    """And stands where it stood."""
    (fakes / "fake_good.py").write_text(GOOD)
    (fakes / "fake_bad.py").write_text(GOOD.replace("2, ", "3, "))
    run(tmp_path, "fake_good", "fake_bad")
    sys.modules.pop("benchmarks.fake_good")
    (fakes / "fake_good.py").write_text(GOOD.replace("2, ", "40, "))

    _, results = run(tmp_path, "fake_good")

    assert [*results] == ["fake_good", "fake_bad"]
    assert [part["found"][0]["most"] for part in results.values()] == [40, 3]


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
)
def test_whoever_ends_it_finds_nothing_left(
    number: signal.Signals, status: int, fakes: Path, tmp_path: Path
) -> None:
    """Ctrl-C, a service manager, a terminal that is closed."""
    (fakes / "fake_slow.py").write_text(SLOW)
    program = (
        "import sys, benchmarks; from benchmarks import parts;"
        f"benchmarks.__path__.append({str(fakes)!r}); parts.PARTS['fake_slow'] = 'Slow';"
        "import runpy; runpy.run_module('benchmarks', run_name='__main__')"
    )
    given = [
        "--smoke",
        "--only",
        "fake_slow",
        "--runtimes",
        "runc",
        "--work",
        str(tmp_path / "work"),
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *given, "--results", tmp_path / "results.json"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr
        while process.stderr.readline() != "measuring\n":
            assert process.poll() is None
        while not (pids := [*map(Path.read_text, (tmp_path / "work").rglob("pid"))]) or not pids[0]:
            time.sleep(0.01)
        process.send_signal(number)
        said = process.stderr.read()

    assert process.returncode == status, said
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids[0]), 0)
    assert not [*(tmp_path / "work").iterdir()]
    assert not (tmp_path / "results.json").exists()


def test_ways_are_taken_in_turn_after_one_turn_that_does_not_count(tmp_path: Path) -> None:
    """A B A B A B for two rounds."""
    taken: list[str] = []

    def way(name: str) -> Sample:
        taken.append(name)
        return Sample(float(len(taken)))

    bench = Bench(tmp_path, rounds=2)
    ways = {name: lambda name=name: way(name) for name in "AB"}
    bench.compare(Comparison("ab", "A or B", ways, "A", [Target("B", "A", 1.5)]))

    assert "".join(taken) == "ABABAB"
    seconds = {
        name: [each["seconds"] for each in samples]
        for name, samples in bench.found[0]["ways"].items()
    }
    assert seconds == {"A": [3.0, 5.0], "B": [4.0, 6.0]}


def test_a_command_has_its_own_figures() -> None:
    """Its CPU seconds and its memory, and not the memory of who asked for them."""
    held = bytearray(300_000_000)
    small = measured_command([sys.executable, "-c", "pass"])
    large = measured_command([sys.executable, "-c", "bytearray(200_000_000)"])

    assert len(held) > large.peak > 200_000_000 > small.peak > 0
    assert small.seconds > 0 < small.cpu


def test_a_command_that_fails_says_why() -> None:
    """With its exit status and its last words; also one that cannot be started."""
    with pytest.raises(RuntimeError, match=r"ended with 3: b'(out|err)(out|err)'"):
        measured_command(["sh", "-c", "printf out; printf err >&2; exit 3"])
    with pytest.raises(RuntimeError, match="FileNotFoundError"):
        measured_command(["/no/such/program"])


def test_a_command_gets_what_is_added_to_the_environment() -> None:
    """Beside what there is."""
    measured_command(["sh", "-c", '[ "$ADDED" = yes ] && [ -n "$PATH" ]'], {"ADDED": "yes"})
