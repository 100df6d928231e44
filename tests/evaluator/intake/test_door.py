"""The confined child, and a parent that believes nothing of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evaluator.admission_policy import ImageRules
from evaluator.attacks.forged_images import file, with_members
from evaluator.errors import Refused
from evaluator.intake import door
from sandbox import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable


RULES = ImageRules(unpacked_bytes=2**20, ratio=2, entries=9, layers=2, document_bytes=2048, kept=0)

# Confined like the worker, or not at all, a program says what it still is and can.
PROBE = """
import json, os, socket, sys
from evaluator.intake.worker import Request, confine
request = Request(**json.loads(sys.argv[1]))
if sys.argv[2] == "confined":
    confine(request)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
def can(action):
    try:
        action()
    except (OSError, MemoryError):
        return False
    return True
def fork():
    if os.fork() == 0:
        os._exit(0)
    os.wait()
print(json.dumps({
    "uids": sorted(set(status["Uid"].split())),
    "groups": status["Groups"].split(),
    "no_new_privs": status["NoNewPrivs"].strip(),
    "capabilities": int(status["CapEff"], 16),
    "fork": can(fork),
    "memory": can(lambda: bytearray(2**31)),
    "large_file": can(lambda: os.ftruncate(request.spool, 2**34)),
    "many_files": can(lambda: [os.open("/dev/null", os.O_RDONLY) for _ in range(100)]),
    "environment": sorted(os.environ),
}))
"""


def request(spool: int, uid: int) -> str:
    """A request like the door's."""
    sizes = {"unpacked_bytes": 2**20, "ratio": 1, "entries": 1, "layers": 1, "document_bytes": 1}
    return json.dumps({"parent": os.getpid(), "uid": uid, "spool": spool, "seconds": 60} | sizes)


def probed(tmp_path: Path, how: str) -> dict[str, Any]:
    """What the probe says."""
    with (tmp_path / "spool").open("w+b") as spool:
        asked = request(spool.fileno(), 3_999_999 if os.geteuid() == 0 else 0)
        ended = subprocess.run(
            [sys.executable, "-I", "-c", PROBE, asked, how],
            pass_fds=[spool.fileno()],
            capture_output=True,
            check=True,
        )
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_the_child_gives_up_whatever_reading_bytes_does_not_need(tmp_path: Path) -> None:
    """Privileges, processes, memory, files; without the confinement it has them all."""
    confined, free = probed(tmp_path, "confined"), probed(tmp_path, "free")

    assert confined["no_new_privs"] == "1"
    assert free["no_new_privs"] == "0"
    for action in ("fork", "memory", "large_file", "many_files"):
        assert (confined[action], free[action]) == (False, True), action
    if os.geteuid() == 0:
        assert (confined["uids"], confined["groups"]) == (["3999999"], [])
        assert confined["capabilities"] == 0
        assert free["uids"] == ["0"]


PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-I", "-c", sys.argv[1], *sys.argv[2:]], stdout=1)
time.sleep(100)
"""
CHILD = """
import json, os, sys, time
from evaluator.intake.worker import Request, confine
asked = json.loads(sys.argv[1]) | {"parent": os.getppid()}
if sys.argv[2] == "confined":
    confine(Request(**asked))
print(os.getpid(), flush=True)
time.sleep(100)
"""


@pytest.mark.parametrize(("how", "dies"), [("confined", True), ("free", False)])
def test_the_child_dies_with_its_parent(how: str, *, dies: bool) -> None:
    """Killed the hard way, a run leaves no process behind; the control is a child that stays."""
    asked = request(0, 3_999_999 if os.geteuid() == 0 else 0)
    command = [sys.executable, "-c", PARENT, CHILD, asked, how]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        for _ in range(50):
            if not _runs(child):
                break
            time.sleep(0.02)
        left = _runs(child)
        if left:
            os.kill(child, signal.SIGKILL)

    assert left is not dies


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


ENDS_BADLY = {
    "dies": "kill -9 $$",
    "fails": "exit 3",
    "says nothing": "exit 0",
    "says too much": "yes | head -c 9000000",
    "never stops talking": "yes",
    "sleeps": "exec sleep 100",
    "closes its pipe and sleeps": "exec sleep 100 >&-",
    "is no JSON": "echo hello",
    "is a list": "echo []",
    "is deep": "printf '[%.0s' $(seq 100000)",
    "names no rule": """echo '{"rule": "EVA999", "incomplete": false}'""",
    "adds words": """echo '{"rule": "EVA101", "incomplete": false, "words": "send money"}'""",
    "lies about a place": """echo '{"settings": %s, "layers": [[[0, 0, 999999]]]}'""",
    "lies about a place in the archive": """echo '{"settings": %s, "layers": [[[1, 1, 1]]]}'""",
    "names a file that is none": """echo '{"settings": %s, "layers": [[[2, 0, 0]]]}'""",
    "lies about a negative place": """echo '{"settings": %s, "layers": [[[0, -512, 512]]]}'""",
    "has no layer": """echo '{"settings": %s, "layers": []}'""",
    "says a number is a text": """echo '{"settings": %s, "layers": [[["0", "0", "0"]]]}'""",
    "adds a setting": """echo '{"settings": {"User": "0"}, "layers": [[[0, 0, 0]]]}'""",
}
SETTINGS = '{"Entrypoint": ["/predict"], "Env": [], "WorkingDir": "/"}'


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], door.Unpacked]:
    """A function that goes through the door with a shell script for a child, once it started."""

    def run(script: str, started: str = "printf ' '") -> door.Unpacked:
        program = tmp_path / "child"
        program.write_text(f"#!/bin/sh\n{started}\n{script}\n")
        program.chmod(0o755)
        (tmp_path / "submission").write_bytes(b"x")
        monkeypatch.setattr(door, "_PYTHON", str(program))
        monkeypatch.setattr(door, "_SECONDS", 1)
        with door.unpacked(tmp_path / "submission", tmp_path, RULES) as image:
            return image

    return run


@pytest.mark.parametrize("name", ENDS_BADLY)
def test_a_child_that_fails_or_lies_is_a_refusal(
    stand_in: Callable[[str], door.Unpacked], name: str
) -> None:
    """With our words alone, and in the time it may take."""
    started = time.monotonic()
    with pytest.raises(Refused) as refusal:
        stand_in(ENDS_BADLY[name].replace("%s", SETTINGS))

    assert refusal.value.rule == "EVA109"
    assert "money" not in str(refusal.value)
    assert time.monotonic() - started < 15


def test_a_child_that_never_starts_is_the_hosts_trouble(
    stand_in: Callable[..., door.Unpacked],
) -> None:
    """Before it has met a byte of the vendor's, its end cannot be the vendor's fault."""
    with pytest.raises(SandboxError, match="did not start"):
        stand_in("exit 1", started="exit 1")


def test_the_settings_of_a_report_pass_the_same_list_again(
    stand_in: Callable[[str], door.Unpacked],
) -> None:
    """A child in a vendor's hands could say LD_PRELOAD; the control is a report that holds."""
    hostile = SETTINGS.replace("[]", '["LD_PRELOAD=/x.so"]')
    report = """echo '{"settings": %s, "layers": [[[1, 0, 1]]]}'"""

    assert stand_in(report.replace("%s", SETTINGS)).settings == json.loads(SETTINGS)
    with pytest.raises(Refused, match="EVA105"):
        stand_in(report.replace("%s", hostile))


def test_no_layer_has_the_same_bytes_without_end(
    stand_in: Callable[[str], door.Unpacked], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report of a few megabytes could make an image of any size out of one archive."""
    monkeypatch.setattr(door, "most_written", lambda _: 2)
    report = """echo '{"settings": %s, "layers": [[%s]]}'""".replace("%s", SETTINGS, 1)

    assert stand_in(report.replace("%s", "[1, 0, 1], [1, 0, 1]")).layers[0].size == 2
    with pytest.raises(Refused, match="EVA109"):
        stand_in(report.replace("%s", "[1, 0, 1], [1, 0, 1], [1, 0, 1]"))


def test_a_full_disk_is_the_hosts(stand_in: Callable[[str], door.Unpacked]) -> None:
    """No result, and what to do."""
    with pytest.raises(SandboxError, match="No space left"):
        stand_in("""echo '{"errno": 28}'""")


def test_no_process_and_no_file_is_left(
    stand_in: Callable[[str], door.Unpacked], tmp_path: Path
) -> None:
    """Whatever the child did."""
    with pytest.raises(Refused):
        stand_in("sleep 77.25 & exec sleep 77.25")

    assert {left.name for left in tmp_path.iterdir()} == {"child", "submission"}
    time.sleep(0.1)
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, check=True).stdout
    assert b"sleep 77.25" not in running


LARGE = """
import pathlib, resource, sys
from evaluator.admission_policy import ImageRules
from evaluator.intake.door import unpacked
scratch = pathlib.Path(sys.argv[1])
rules = ImageRules(**eval(sys.argv[2]))
with unpacked(scratch / "submission", scratch, rules) as image:
    print(image.layers[0].size, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def test_a_large_image_passes_in_little_memory(tmp_path: Path) -> None:
    """200 MB of content, and a child that never had more than 100 MB."""
    (tmp_path / "submission").write_bytes(with_members(file("big", os.urandom(2**20) * 200)))
    rules = str(RULES.model_dump() | {"unpacked_bytes": 2**30})
    command = [sys.executable, "-c", LARGE, str(tmp_path), rules]
    size, memory = subprocess.run(command, capture_output=True, check=True).stdout.split()

    assert int(size) > 200_000_000
    assert int(memory) < 100_000  # KiB
