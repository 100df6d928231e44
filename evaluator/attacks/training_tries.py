"""Tries of the rows about training: `train`, what it leaves, and the `predict` that finds it.

The containers are those of a run's second phase, with the probe in place of a submission: one
trains and leaves something, one predicts with it, and a last one looks at what has become of it.
"""

from __future__ import annotations

import json
import os
import secrets
import zlib
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import sandbox
from evaluator.attacks.corpus import corpus
from evaluator.attacks.forged_images import file, tar
from evaluator.attacks.probing import (
    ALIVE,
    RECORD,
    Evidence,
    Tried,
    judged,
    records_of,
    small,
    started,
    try_together,
)
from evaluator.attacks.traces import own_process
from evaluator.attacks.witness import Witness
from sandbox import Mount, SandboxError, Spec, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from typing import Literal

    from evaluator.attacks.corpus import Attack
    from evaluator.attacks.probing import Bench
    from evaluator.job import Steps
    from sandbox import Outcome as Ended

MODEL = 16 * 2**20  # bytes of the volume; no try needs more
_RECORDS = "/opt/ml/model/records"
_SUCCEEDED = 2
_TUNED = "tuned"
TOGETHER = ("train", _TUNED)  # the two kinds of rows that share containers
# Of the two seconds that `ft-charge-children` takes: gVisor tells its guests more than they had.
_CPU_SECONDS = {"runc": 1.9, "runsc": 1.0}


@dataclass(frozen=True, slots=True)
class Training:
    """The containers of one run that trains."""

    bench: Bench
    witness: Witness
    run: str

    @classmethod
    def of(cls, bench: Bench, witness: Witness) -> Training:
        """A run of its own."""
        return cls(bench, witness, secrets.token_hex(8))

    def held(self) -> AbstractContextManager[None]:
        """Its model, for as long as the block lasts."""
        return self._steps.prepare(self._spec("hold", (), 0, "read"), MODEL)

    def train(self, names: Iterable[str], image: str = "", **told: object) -> Ended:
        """Try techniques while training; their records stay in the model."""
        inputs = (
            self._manifest("train", told | {"records": _RECORDS}),
            Mount(self.witness.tiles, "/input/tiles.npy"),
            Mount(self.witness.answers, "/input/labels.npy"),
            Mount(self.witness.recipe, "/input/hyperparameters.json"),
        )
        return self._run(",".join([ALIVE, *names]), inputs, 0, "write", image)

    def predict(self, names: Iterable[str], *, hand_on: int = 0) -> Ended:
        """Try techniques with what was learnt; `hand_on` records of the training come with it."""
        verbs = [ALIVE, *names]
        told: dict[str, object] = {"hand_on": _RECORDS} if hand_on else {}
        inputs = (
            self._manifest("look" if hand_on else "predict", told),
            Mount(self.witness.tiles, "/input/tiles.npy"),
        )
        return self._run(",".join(verbs), inputs, RECORD.size * (len(verbs) + hand_on), "read")

    def ours(
        self,
        verb: str,
        model: Literal["read", "write"],
        inputs: tuple[Mount, ...] = (),
        kept: Path | None = None,
    ) -> Ended:
        """Have the product's own image pack the model into a file of the host's, or unpack one."""
        spec = self._spec(verb, inputs, 1 if kept else 0, model)
        limits = replace(spec.limits, model=MODEL)
        return self._steps.run(replace(spec, image=self.bench.holder(), kept=kept, limits=limits))

    def _manifest(self, name: str, told: dict[str, object]) -> Mount:
        file = self.witness.folder / f"{name}.json"
        file.write_text(json.dumps(self.witness.targets | {"process": own_process()} | told))
        file.chmod(0o444)
        return Mount(file, "/input/manifest.json")

    def _run(
        self,
        verb: str,
        inputs: tuple[Mount, ...],
        output: int,
        model: Literal["read", "write"],
        image: str = "",
    ) -> Ended:
        spec = self._spec(verb, inputs, output, model)
        return self._steps.run(replace(spec, image=image or spec.image))

    def _spec(
        self, verb: str, inputs: tuple[Mount, ...], output: int, model: Literal["read", "write"]
    ) -> Spec:
        limits = small(self.bench.limits, self.bench.runtime)
        return Spec(
            run=self.run,
            image=self.bench.probe,
            verb=verb,
            inputs=inputs,
            output_size=output,
            limits=replace(limits, model=MODEL) if model == "write" else limits,
            runtime=self.bench.runtime,
            model=model,
        )

    @property
    def _steps(self) -> Steps:
        return self.bench.steps or sandbox.Steps(self.bench.scratch, self.bench.seccomp)


def try_training(rows: Iterable[Attack], bench: Bench) -> Iterator[Tried]:
    """Try rows of either kind, each that is `alone` in a run of its own."""
    rows = list(rows)
    together = [row for row in rows if not row.alone]
    for group in filter(None, [together, *([row] for row in rows if row.alone)]):
        yield from try_trained(group, bench)


def try_trained(
    rows: list[Attack], bench: Bench, image: str = "", proofs: dict[str, int] | None = None
) -> list[Tried]:
    """Try rows in the containers of one run; `image` trains in place of the probe's own."""
    trained = [row for row in rows if row.how != _TUNED]
    tuned = [row for row in rows if row.how == _TUNED]
    looks = [row for row in rows if row.witness == "look"]
    names = [*(row.id for row in trained), *(f"{row.id}-leave" for row in tuned)]
    with Witness(bench_folder(bench), bench.host, bench.host6) as witness:
        run = Training.of(bench, witness)
        with run.held():
            wrote = {"output"} if run.train(names, image).output else set()
            wrote |= {"disk"} if _on_disk(run.run) else set()
            ended = run.predict(row.id for row in tuned) if tuned else None
            last = run.predict((f"{row.id}-look" for row in looks), hand_on=len(names) + 1).output
        seen = witness.seen() | wrote
        proofs = witness.proofs | (proofs or {})
    _, *looked = records_of(last, len(looks))
    shown = {
        row.id for row, each in zip(looks, looked, strict=True) if each and each[0] == _SUCCEEDED
    }
    _, *first = records_of(last[RECORD.size * (1 + len(looks)) :], len(names))
    _, *second = records_of(ended.output if ended else b"", len(tuned))
    pairs = [*zip(trained, first, strict=False), *zip(tuned, second, strict=True)]
    found = {
        row.id: judged(row, record, _evidence(row, seen, proofs, shown), bench.runtime)
        for row, record in pairs
    }
    return [found[row.id] for row in rows]


def _evidence(
    row: Attack, seen: frozenset[str], proofs: dict[str, int], shown: set[str]
) -> Evidence:
    return Evidence(
        seen | ({"look"} if row.id in shown else set()), proofs, frozenset(), counted=True
    )


def bench_folder(bench: Bench) -> Path:
    """A new folder for the files of one container."""
    folder = bench.scratch / secrets.token_hex(4)
    folder.mkdir(mode=0o755)
    return folder


def _on_disk(run: str) -> bool:
    """Whether what was left is on the engine's disk; who may not look there sees nothing."""
    with sandbox.engine_errors():
        found = sandbox.connect().volumes(filters={"label": f"{sandbox.RUN_LABEL}={run}"})
    for volume in found["Volumes"] or ():
        with suppress(OSError):
            place = Path(volume["Mountpoint"])
            used = sum(file.stat().st_blocks * 512 for file in place.iterdir())
            return place.stat().st_dev == place.parent.stat().st_dev and used > MODEL
    return False


def image_model(row: Attack, bench: Bench) -> Tried:
    """Train by an image that has a model of its own where the volume comes."""
    image = image_with_model(bench)
    try:
        return try_trained([row], bench, image)[0]
    finally:
        with sandbox.engine_errors():
            sandbox.connect().remove_image(image, force=True, noprune=True)


def image_with_model(bench: Bench) -> str:
    """The probe with a file in /opt/ml/model."""
    client, labels = sandbox.connect(), {sandbox.RUN_LABEL: secrets.token_hex(8)}
    with sandbox.engine_errors():
        request = {"Image": bench.probe, "Cmd": [""], "Labels": labels}
        container = client.create_container_from_config(request)["Id"]
        try:
            client.put_archive(container, "/", tar([file("opt/ml/model/own")]))
            return str(client.commit(container)["Id"])
        finally:
            client.remove_container(container, force=True)


def other_model(row: Attack, bench: Bench) -> Tried:
    """One run has learnt a secret; the predict of another looks for it."""
    secret = secrets.token_hex(16)
    with Witness(bench_folder(bench), bench.host, bench.host6) as witness:
        owner = Training.of(bench, witness)
        with owner.held():
            owner.train([f"{row.id}-leave"], secret=secret)
            tuned = replace(row, how=_TUNED)
            tried = try_trained([tuned], bench, proofs={"secret": zlib.crc32(secret.encode())})[0]
    return replace(tried, attack=row)


def holder_killed(row: Attack, bench: Bench) -> Tried:
    """Somebody ends the holder between the two: what was predicted without the model counts not."""
    with Witness(bench_folder(bench), bench.host, bench.host6) as witness:
        run = Training.of(bench, witness)
        try:
            with run.held():
                run.train([f"{row.id}-leave"])
                kill_holder(run.run)
                output = run.predict([row.id]).output
        except SandboxError as stopped:
            return Tried(row, "blocked" if "the model is lost" in str(stopped) else "unknown")
    _, record = records_of(output, 1)
    return Tried(row, "succeeds" if record and record[0] == _SUCCEEDED else "unknown")


def kill_holder(run: str) -> None:
    """End what keeps the model of a run."""
    client = sandbox.connect()
    with sandbox.engine_errors():
        for container in client.containers(filters={"label": f"{sandbox.RUN_LABEL}={run}"}):
            client.kill(container["Id"])


def act_spec(row: Attack, bench: Bench, seconds: float, *, frames: bool = False) -> Spec:
    """A container whose whole program is the act of a row."""
    manifest = bench_folder(bench) / "manifest.json"
    manifest.write_text("{}")
    manifest.chmod(0o444)
    return Spec(
        run=secrets.token_hex(8),
        image=bench.probe,
        verb=row.id,
        inputs=(Mount(manifest, "/input/manifest.json"),),
        output_size=1,
        limits=replace(small(bench.limits, bench.runtime), seconds=seconds),
        runtime=bench.runtime,
        frames=frames,
    )


def charge(row: Attack, bench: Bench) -> Tried:
    """Stopped where the time of all its processes is charged."""
    ended = sandbox.run(act_spec(row, bench, 60.0), bench.scratch, bench.seccomp)
    if ended.status is not Status.OK or ended.usage is None:
        return Tried(row, "unknown")
    charged = ended.usage.cpu_seconds >= _CPU_SECONDS[bench.runtime]
    return Tried(row, "blocked" if charged else "succeeds")


def other_cpus(row: Attack, bench: Bench) -> Tried:
    """A run that stands beside another one is given a CPU of its own."""
    first = str(min(os.sched_getaffinity(0)))

    def start(spec: Spec, scratch: Path) -> Ended:
        return started(bench)(replace(spec, cpuset=first), scratch)

    return try_together([row], bench, small(bench.limits, bench.runtime), start)[0]


def _one(row: Attack, bench: Bench) -> Tried:
    return try_trained([row], bench)[0]


TRIES: dict[str, Callable[[Attack, Bench], Tried]] = {
    **{row.id: _one for row in corpus() if row.how in TOGETHER},
    "ft-image-model": image_model,
    "ft-other-model": other_model,
    "ft-holder-killed": holder_killed,
    "ft-charge-children": charge,
    "res-other-cpus": other_cpus,
}
