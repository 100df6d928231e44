"""Rounds of random faults: whatever is killed, filled or set back, the books add up.

    python tests/faults/rounds.py 100                  (root; about an hour)
    python tests/faults/rounds.py 5 --seed 3 --seconds 60

In each round some vendors hand submissions in, one or two workers run them, and one or two faults
come at random moments. Then a last worker runs to the end with everything well, and what is left is
held against the ledger: slots, petaflops, fees and bits add up exactly, every submission ends in
one signed result or an abort, and nothing is orphaned. The first violation ends it with exit 1.

What is done and when follows from the seed; what it meets there does not, so the same seed may
find something else. An engine, a disk, a clock and a /run/lock of its own: no other run waits for
these, and none is disturbed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

import docker.errors
import numpy as np

from evaluator.audit import audit
from evaluator.images import build_holder
from evaluator.ledger import open_ledger
from evaluator.logbook import open_logbook
from evaluator.petaflops import MICRO
from evaluator.predicate import RefusedPhase
from evaluator.queue import limits_of
from evaluator.signers import Signers
from evaluator.signing import load_key, load_log_key
from evaluator.verify import verify
from evaluator.workspace import Workspace
from tests.conftest import CACHE, _root
from tests.faults.engine import SOON, Engine
from tests.helpers.clock import DAY, Clock, make_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from evaluator.ledger import Contents
    from evaluator.predicate import Predicate

ROOT = Path(__file__).parents[2]
HELD_OUT = 12
VENDORS: dict[str, tuple[str, ...]] = {
    "acme": (),
    "zenith": ("--submissions", "2"),
    "poor": ("--petaflops", "0.0003"),  # some ten seconds of a CPU
}
ZEROS = f"head -c {HELD_OUT} /dev/zero > /output/predictions"
LEARNT = "echo learnt > /opt/ml/model/weights"
SUBMISSIONS = {  # predict, train
    "quick": (ZEROS, LEARNT),
    "slow": (f"sleep 1; {ZEROS}", f"sleep 2; {LEARNT}"),
    "learns": (f"[ $1 = $(cat /opt/ml/model/weights || echo $1) ]; {ZEROS}", LEARNT),
    "fails": ("exit 3", "exit 3"),
    "hogs memory": (ZEROS, "exec dd if=/dev/zero of=/dev/null bs=1G count=1"),
    "writes on": ("cat /dev/zero > /output/predictions", "cat /dev/zero > /opt/ml/model/weights"),
    "spins": (ZEROS, "while :; do :; done"),
}
DISK = 400  # MiB
LOCKS = Path("/run/lock")


# The place


@dataclass(frozen=True)
class Ground:
    """What all rounds share: an engine, a disk, and a workspace to copy."""

    engine: Engine
    disk: Path
    template: Path
    submissions: dict[str, Path]
    clock: Clock | None

    def environment(self) -> dict[str, str]:
        """The environment of a command here."""
        more = {"DOCKER_HOST": self.engine.address, "EVALUATOR_WORKSPACE": str(self.farm)}
        if self.clock:
            more |= self.clock.environment
        return {**os.environ, **more}

    @property
    def farm(self) -> Path:
        """The workspace of a round, always under the same name."""
        return self.disk / "farm"

    def set_clock(self, ahead: int) -> None:
        """Set the clock of every command, also of those that run."""
        if self.clock:
            self.clock.set(ahead)


@contextmanager
def made_ground(folder: Path) -> Iterator[Ground]:
    """A ground, and nothing left of it."""
    folder.chmod(0o755)
    engine = Engine(folder / "engine")
    disk = folder / "disk"
    for place in (engine.folder, disk):
        place.mkdir()
    engine.start()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "none", disk], check=True)
    try:
        ground = Ground(engine, disk, folder / "template", {}, make_clock(folder))
        ground.submissions.update(_archives(engine, folder))
        _make_template(ground, folder)
        yield ground
    finally:
        engine.remove()
        kill_containers_of(engine)
        subprocess.run(["umount", "--lazy", disk], check=True)


def _archives(engine: Engine, folder: Path) -> dict[str, Path]:
    busybox, made = _busybox(), {}
    for name, (predict, train) in SUBMISSIONS.items():
        path = folder / f"{name.replace(' ', '-')}.tar"
        path.write_bytes(image_archive(engine, busybox, predict, train))
        made[name] = path
    made["no image"] = folder / "none.tar"
    made["no image"].write_bytes(bytes(10_000))
    return made


def image_archive(engine: Engine, busybox: bytes, predict: str, train: str) -> bytes:
    """What `docker save` makes of an image that runs these lines of a shell."""
    script = f"case $1 in\npredict) {predict} ;;\ntrain) {train} ;;\nesac\n"
    content = _root({"bin/busybox": busybox, "verbs.sh": script.encode()})
    changes = ['ENTRYPOINT ["/bin/sh", "/verbs.sh"]']
    client = engine.client()
    answer = client.import_image_from_data(content, changes=changes)
    image = str(answer).rpartition('"status":"')[2].partition('"')[0]
    saved = b"".join(client.get_image(image))
    client.remove_image(image, force=True)
    return saved


def _busybox() -> bytes:
    """As the suite's own; it downloads one where there is none."""
    if not (CACHE / "busybox").exists():
        raise SystemExit("There is no busybox yet: `bash .ci/test tests/sandbox` fetches one.")
    return (CACHE / "busybox").read_bytes()


def _make_template(ground: Ground, folder: Path) -> None:
    """A workspace whose wall has been tried, so that a run starts at once."""
    root, tiles = ground.farm, folder / "tiles"
    _once(ground, "init", root, "--class-sizes")
    caps = dict.fromkeys(("tmp_bytes", "shm_bytes", "model_bytes"), 2**20)
    deadlines = dict.fromkeys(("predict_seconds", "train_seconds"), 5)
    _set_values(root / "policies" / "sandbox.toml", **caps, **deadlines)
    _set_values(root / "policies" / "admission.toml", kept=0)
    _set_values(
        root / "evaluator.toml",
        tile=[8, 8],
        rare=1,
        memory_bytes=2**28,
        cpus=1.0,
        opens="2000-01-01",
        submissions=4,
        petaflops=0.01,
        per_submission='"2.50"',
        release_every_hours=1,
    )
    tiles.mkdir()
    values = np.random.default_rng(2).integers(0, 256, (48, 8, 8), dtype=np.uint8)
    np.save(tiles / "tiles.npy", values)
    np.save(tiles / "labels.npy", np.arange(48, dtype=np.uint8) % 3)
    for vendor, special in VENDORS.items():
        _once(ground, "vendors", "add", vendor, *special)
    _once(ground, "data", "import", tiles, "--holdout", HELD_OUT)
    _once(ground, "calibrate")
    _once(ground, "doctor")
    os.environ["DOCKER_HOST"] = ground.engine.address
    build_holder(lambda _: None)
    root.rename(ground.disk / "made")  # a rename, then a copy: no ledger's journal is left behind
    shutil.move(ground.disk / "made", ground.template)


def _once(ground: Ground, *arguments: object) -> None:
    command = [sys.executable, "-m", "evaluator", *map(str, arguments)]
    done = subprocess.run(
        command, env=ground.environment(), cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{arguments[0]}: {done.stderr}")


def _set_values(path: Path, **values: object) -> None:
    lines = path.read_text().splitlines()
    for name, value in values.items():
        lines = [f"{name} = {value}" if line.startswith(f"{name} =") else line for line in lines]
    path.write_text("\n".join(lines) + "\n")


# A round


class ViolationError(Exception):
    """Something that must hold did not."""


@dataclass
class Round:
    """One round: its commands, and what has come over them."""

    ground: Ground
    chance: random.Random
    logs: Path
    commands: list[tuple[str, subprocess.Popen[bytes], Path]] = field(default_factory=list)
    met: list[str] = field(default_factory=list)
    signalled: set[int] = field(default_factory=set)

    def start(self, *arguments: object) -> None:
        """Start a command, in a process group of its own."""
        log = self.logs / f"{len(self.commands)}-{arguments[0]}"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "evaluator", *map(str, arguments)],
                env=self.ground.environment(),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self.commands.append((str(arguments[0]), process, log))

    def alive(self, *names: str) -> list[subprocess.Popen[bytes]]:
        """Commands that have not ended, of these names or of any."""
        found = (process for name, process, _ in self.commands if not names or name in names)
        return [process for process in found if process.poll() is None]

    def signal(self, process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        """Send a command a signal, or its whole group a Ctrl-C, as a terminal does."""
        self.signalled.add(process.pid)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)

    def pause(self, most: float) -> None:
        """Wait for a random time."""
        time.sleep(self.chance.uniform(0, most))

    def containers(self, *verbs: str) -> list[str]:
        """Those that run one of these verbs."""
        with suppress(docker.errors.DockerException, OSError):
            labels = [{"label": f"evaluator.verb={verb}"} for verb in verbs]
            client = self.ground.engine.client()
            return [each["Id"] for label in labels for each in client.containers(filters=label)]
        return []


def play(ground: Ground, chance: random.Random, logs: Path) -> Round:
    """Hand in, work, and let things happen; at the end all is well again and nobody works."""
    played = Round(ground, chance, logs)
    slots = ["0", "1"] if (os.cpu_count() or 1) > 1 and chance.random() < 0.3 else []
    keeps = chance.random() < 0.5
    if ground.farm.exists():
        shutil.rmtree(ground.farm)
    shutil.copytree(ground.template, ground.farm)
    _set_values(
        ground.farm / "evaluator.toml",
        slots=json.dumps(slots),
        keep_adapted_model=str(keeps).lower(),
    )
    ground.set_clock(-chance.choice([0, 0, DAY]))
    try:
        for _ in range(chance.randint(3, 5)):
            _hand_in(played, "submit")
        if chance.random() < 0.5:
            _hand_in(played, "run")
        for _ in range(2 if slots else chance.randint(1, 2)):
            played.start("work", *chance.choice([(), ("--wait",)]))
        if chance.random() < 0.8:  # else the faults come while they hand in
            _await(played, "submit")
        for name in chance.choices(list(FAULTS), k=chance.randint(1, 2)):
            played.pause(7)
            if FAULTS[name](played):
                played.met.append(name)
        _calm(played, chance.uniform(0, 10))
    finally:
        for process in played.alive():
            process.kill()
    return played


def _hand_in(played: Round, command: str) -> None:
    chance = played.chance
    submission = chance.choice(list(played.ground.submissions.values()))
    vendor = chance.choice(list(VENDORS))
    phase = chance.choice(["baseline", "both", "both"])
    played.start(command, submission, "--vendor", vendor, "--phase", phase)
    played.pause(0.3)


def _calm(played: Round, patience: float) -> None:
    """Let them work on for a while, then have everyone end, and a last one do the rest."""
    _await(played, "submit")
    until = time.monotonic() + patience
    while played.alive() and time.monotonic() < until:
        time.sleep(0.05)
    for process in played.alive():
        played.signal(process, signal.SIGTERM)
    _await(played)
    played.start("work")
    _await(played)
    _, last, log = played.commands[-1]
    if last.returncode not in {0, 1}:
        raise ViolationError(f"the last worker ended with {last.returncode}: {log.read_text()}")


def _await(played: Round, *names: str) -> None:
    for name, process, log in played.commands:
        try:
            if not names or name in names:
                process.wait(4 * SOON)
        except subprocess.TimeoutExpired:
            raise ViolationError(f"{name} does not end: {log.read_text()}") from None


# Faults: each returns whether there was something for it to break


def _kill(*names: str) -> Callable[[Round], bool]:
    def kill(played: Round) -> bool:
        alive = played.alive(*names)
        if alive:
            played.signal(played.chance.choice(alive), signal.SIGKILL)
        return bool(alive)

    return kill


def _interrupt(number: signal.Signals) -> Callable[[Round], bool]:
    def interrupt(played: Round) -> bool:
        alive = played.alive()
        if alive:
            played.signal(played.chance.choice(alive), number)
        return bool(alive)

    return interrupt


def _kill_container(*verbs: str) -> Callable[[Round], bool]:
    def kill(played: Round) -> bool:
        until = time.monotonic() + 5
        while time.monotonic() < until:
            for container in played.containers(*verbs):
                with suppress(docker.errors.DockerException):
                    played.ground.engine.client().kill(container)
                    return True
            time.sleep(0.02)
        return False

    return kill


def _stop_engine(number: signal.Signals) -> Callable[[Round], bool]:
    def stop(played: Round) -> bool:
        played.ground.engine.send(number)
        played.pause(2)
        played.ground.engine.start()
        return True

    return stop


def _fill_disk(played: Round) -> bool:
    hog = played.ground.disk / "hog"
    for size in (2**20, 2**10):
        with suppress(OSError), hog.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(size))
    played.pause(4)
    hog.unlink()
    return True


def _jump(played: Round) -> bool:
    """Back or forward by days; never ahead of the engine's clock, which is not set with it."""
    played.ground.set_clock(-played.chance.choice([0, 3600, 2 * DAY, 40 * DAY]))
    return played.ground.clock is not None


def _reboot(played: Round) -> bool:
    """Every process and every lock is gone, whatever the disk has is still there."""
    engine = played.ground.engine
    engine.send(signal.SIGKILL)
    for process in played.alive():
        played.signal(process, signal.SIGKILL)
        process.wait(SOON)
    kill_containers_of(engine)
    for lock in LOCKS.glob("evaluator*"):
        lock.unlink()
    engine.start()
    return True


def kill_containers_of(engine: Engine) -> None:
    """Kill what an engine that is dead itself has left running, its own helpers included."""
    for process in [*_shims(engine), *_programs(engine)]:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def _shims(engine: Engine) -> Iterator[int]:
    """The engine's processes that look after one container each."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            command = (process / "cmdline").read_text()
            if "containerd-shim" in command and str(engine.folder) in command:
                yield int(process.name)


def _programs(engine: Engine) -> Iterator[int]:
    """The processes whose root directory is an image of this engine."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            mounts = (process / "mountinfo").read_text().splitlines()
            if any(line.split()[4] == "/" and str(engine.folder) in line for line in mounts):
                yield int(process.name)


FAULTS: dict[str, Callable[[Round], bool]] = {
    "kill a worker": _kill("work"),
    "kill a submitter": _kill("submit", "run"),
    "kill any command": _kill(),
    "SIGTERM": _interrupt(signal.SIGTERM),
    "SIGHUP": _interrupt(signal.SIGHUP),
    "Ctrl-C": _interrupt(signal.SIGINT),
    "kill a vendor's container": _kill_container("predict", "train"),
    "kill a holder": _kill_container("hold"),
    "kill the engine": _stop_engine(signal.SIGKILL),
    "restart the engine": _stop_engine(signal.SIGTERM),
    "fill the disk": _fill_disk,
    "set the clock": _jump,
    "reboot": _reboot,
}


# What must hold


def violations(root: Path, engine: Engine) -> list[str]:
    """What does not add up in a workspace on which nobody works, or is left on its engine."""
    workspace = Workspace(root)
    with open_ledger(workspace.ledger) as ledger:
        contents, released = ledger.contents(), ledger.released()
    results = {
        path.name.partition(".")[0]: verify(
            path.read_bytes(), workspace.public_key.read_bytes()
        ).result.predicate
        for path in workspace.results()
    }
    return [
        *_endings(contents, set(results)),
        *_accounts(workspace, contents, results),
        *_bits(list(results.values()), released),
        *_orphans(workspace, set(results)),
        *_left_on(engine),
        *_log(workspace),
    ]


def _log(workspace: Workspace) -> Iterator[str]:
    """The log has what the ledger has, once what is due has entered it.

    That the rules were changed since is no fault.
    """
    origin = workspace.settings().log.origin
    signers = Signers(load_key(workspace.key), load_log_key(workspace.log_key, origin))
    with open_logbook(workspace, signers) as book:
        book.release(datetime.now(UTC))
    for finding in audit(workspace, (), datetime.now(UTC)).findings:
        if not finding.startswith("The rules in evaluator.toml"):
            yield finding


def _endings(contents: Contents, results: set[str]) -> Iterator[str]:
    """Every submission has ended: with its one result, or with an abort and none."""
    with_result = {run.submission for run in contents.runs if run.run in results}
    for run in contents.runs:
        if run.state not in {"released", "aborted"}:
            yield f"run {run.run} is {run.state}"
    if {run.run for run in contents.runs if run.state == "released"} != results:
        yield "the results are not those that the ledger has released"
    for row in contents.submissions:
        has_result = row.id in with_result
        if row.state not in {"done", "refused", "aborted"}:
            yield f"submission {row.id} is {row.state}"
        if has_result != (row.state in {"done", "refused"}):
            yield f"submission {row.id} is {row.state}, and its result is there: {has_result}"


def _accounts(
    workspace: Workspace, contents: Contents, results: dict[str, Predicate]
) -> Iterator[str]:
    """Slots, petaflops and fees of each vendor are those of its results."""
    settings = workspace.settings()
    usual = limits_of(settings)
    for vendor in contents.vendors:
        limits = vendor.limits(usual)
        own = [row for row in contents.submissions if row.vendor == vendor.name]
        done = [row for row in own if row.state == "done"]
        held = [row for row in own if row.holds_slot]
        of_day = Counter(row.day for row in held)
        if len(held) != len(done) or len(done) > limits.total:
            yield f"{vendor.name} holds {len(held)} of {limits.total} slots for {len(done)} done"
        if max(of_day.values(), default=0) > limits.per_day:
            yield f"{vendor.name} holds {of_day} of {limits.per_day} slots a day"
        runs = [run for run in contents.runs if run.vendor == vendor.name]
        with open_ledger(workspace.ledger) as ledger:
            charged = ledger.charged(vendor.name, usual)
        stated = sum(_charge(each) for each in results.values() if each.vendor == vendor.name)
        if not charged == stated == sum(sum(run.charges) for run in runs):
            yield f"{vendor.name} is charged {charged} and its results state {stated}"
        if charged > limits.micro_petaflops or any(run.micro_reserved for run in runs):
            yield f"{vendor.name} has {charged} of {limits.micro_petaflops}, or something reserved"
        fees = sum(run.fee_cents for run in runs)
        if fees != len(done) * vendor.fee(settings.fees.cents):
            yield f"{vendor.name} owes {fees} for {len(done)} done"


def _charge(result: Predicate) -> int:
    phases = [each for each in result.phases.all() if not isinstance(each, RefusedPhase)]
    return 0 if result.phases.adapted else sum(round(phase.charge * MICRO) for phase in phases)


def _bits(results: list[Predicate], released: float) -> Iterator[str]:
    """The ledger has those of all results, and each result those of all before it."""
    total = 0
    for result in sorted(results, key=lambda each: each.leakage_bits.dataset):
        total += round(10 * result.leakage_bits.run)
        if round(10 * result.leakage_bits.dataset) != total:
            yield f"{result.run} states {result.leakage_bits.dataset} bits of {total / 10}"
    if round(10 * released) != total:
        yield f"the ledger has {released} bits and the results {total / 10}"


def _orphans(workspace: Workspace, results: set[str]) -> Iterator[str]:
    """No file of anything that has ended, but for what results have."""
    root = workspace.root
    private = {path.stem for path in (root / "private").iterdir()}
    if private != results:
        yield f"private documents without a result, or the reverse: {private ^ results}"
    kept = {path.name for path in workspace.adapted.glob("*")}
    exact = {run: json.loads(workspace.private(run).read_text()) for run in private & results}
    told = {run for run, document in exact.items() if document["adapted_model"]}
    if kept != told:
        yield f"adapted models without a result, or the reverse: {kept ^ told}"
    left = [*workspace.queue.glob("[0-9]*"), *workspace.scratch.iterdir(), *root.rglob("*.part")]
    yield from (f"{path} is left" for path in left)


def _left_on(engine: Engine) -> Iterator[str]:
    """No container, volume or image of a run, no process of one, no memory of a model."""
    client = engine.client()
    for container in client.containers(all=True):
        yield f"container {container['Labels']} is left, {container['State']}"
    for volume in client.volumes()["Volumes"] or ():
        yield f"volume {volume['Name']} is left"
    for label in ("evaluator.run", "evaluator.image"):
        for image in client.images(filters={"label": label}):
            yield f"image {image['Labels']} is left"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if f"{engine.folder}/data/volumes" in line:
            yield f"mounted: {line}"
    # A shim without a program may be left of an engine that was killed: that is the engine's own.
    yield from (f"process {process} of a container is left" for process in _programs(engine))


def _ill_ended(played: Round) -> Iterator[str]:
    """No command ended otherwise than it may, and what was accepted is in the ledger."""
    with open_ledger(Workspace(played.ground.farm).ledger) as ledger:
        known = {row.id for row in ledger.submissions()}
    for name, process, log in played.commands:
        said = log.read_text(errors="replace")
        mine = process.pid in played.signalled
        early = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP, -signal.SIGINT} if mine else {}
        if process.returncode not in {0, 1, 2, 3, 130, *early}:
            yield f"{name} ended with {process.returncode}: {said}"
        if "Traceback" in said and not (mine and said.rstrip().endswith("KeyboardInterrupt")):
            yield f"{name}: {said}"
        told = re.search(r"^Submission (\d+) waits", said, re.MULTILINE)
        if told and int(told[1]) not in known:
            yield f"{name} was told a number that is not in the ledger: {said}"


# The whole


def run_rounds(ground: Ground, rounds: int, first: int, seed: int, until: float) -> bool:
    """Play rounds, a line for each and a table at the end; whether all of it held."""
    seen: Counter[str] = Counter()
    for number in range(first, first + rounds):
        if time.monotonic() > until:
            break
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="logs-") as logs:
            chance = random.Random(f"{seed}/{number}")  # noqa: S311 - to be played again
            played = Round(ground, chance, Path(logs))
            try:
                played = play(ground, chance, Path(logs))
                wrong = [*_ill_ended(played), *violations(ground.farm, ground.engine)]
                wrong += [f"{path} is left" for path in LOCKS.glob("evaluator-run-*")]
            except ViolationError as error:
                wrong = [str(error)]
            states, statuses = _came_of(ground)
            what = ", ".join(played.met) or "nothing"
            ended = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
            print(f"round {number}: {what}: {ended}, {time.monotonic() - began:.0f} s", flush=True)  # noqa: T201
            seen.update(["rounds", *played.met, *states.elements(), *statuses])
            if wrong:
                _tell(wrong, Path(logs), seed, number)
                return False
    for name, count in sorted(seen.items()):
        print(f"{count:6}  {name}")  # noqa: T201
    return True


def _came_of(ground: Ground) -> tuple[Counter[str], list[str]]:
    """How the submissions ended, and the phases of those that have a result."""
    with open_ledger(Workspace(ground.farm).ledger) as ledger:
        phases = [status for run in ledger.runs() for status in run.statuses if status]
        return Counter(row.state for row in ledger.submissions()), phases


def _tell(wrong: list[str], logs: Path, seed: int, number: int) -> None:
    for line in wrong:
        print(f"VIOLATION: {line}")  # noqa: T201
    for log in sorted(logs.iterdir()):
        print(f"--- {log.name}\n{log.read_text(errors='replace')}")  # noqa: T201
    print(f"again: python tests/faults/rounds.py 1 --seed {seed} --first {number}")  # noqa: T201


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rounds", nargs="?", type=int, default=100)
    parser.add_argument("--first", type=int, default=1, help="the number of the first round")
    parser.add_argument("--seconds", type=float, default=7200, help="begin no round after these")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    asked = parser.parse_args()
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        print("An engine that may be killed needs root and dockerd.", file=sys.stderr)  # noqa: T201
        return 2
    _be_alone(asked.seed)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(130))  # leaving nothing behind
    with tempfile.TemporaryDirectory(prefix="rounds-") as folder, made_ground(Path(folder)) as made:
        if made.clock is None:
            print("There is no C compiler here, so no clock is set.")  # noqa: T201
        print(f"seed {asked.seed}", flush=True)  # noqa: T201
        until = time.monotonic() + asked.seconds
        return 0 if run_rounds(made, asked.rounds, asked.first, asked.seed, until) else 1


def _be_alone(seed: int) -> None:
    """Begin anew with mounts of its own, locks among them, and the seed that was drawn."""
    if os.environ.get("ROUNDS_ALONE") != "1":
        command = ["unshare", "--mount", sys.executable, __file__, *sys.argv[1:]]
        command += ["--seed", str(seed)]
        os.execvpe(command[0], command, {**os.environ, "ROUNDS_ALONE": "1"})  # noqa: S606
    subprocess.run(["mount", "-t", "tmpfs", "none", LOCKS], check=True)


if __name__ == "__main__":
    sys.exit(main())
