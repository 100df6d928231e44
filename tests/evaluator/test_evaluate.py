"""The main flow, with a program of the test's in the machine's place."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from evaluator import evaluate as flow
from evaluator.admission import Admitted, Received
from evaluator.admission_policy import load_admission_policy
from evaluator.compute import Compute
from evaluator.dataset.importing import ImportRules, import_tiles
from evaluator.dataset.labels import read_labels
from evaluator.dataset.sealed import open_dataset
from evaluator.errors import OwnerError
from evaluator.evaluate import Evaluation, Phase, evaluate
from evaluator.job import Images, Job
from evaluator.onnx_check import RECORD
from evaluator.proof import Proof
from evaluator.recipe import Recipe
from evaluator.scoring import Counts
from evaluator.workspace import shipped
from sandbox import Outcome, SandboxError, SandboxPolicy, Spec, Status, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GOOD = RECORD.pack(*[0] * 24)
LIVE = RECORD.pack(*[0] * 9, 1, *[0] * 9, 1, *[0] * 4)  # both of ours compute on a GPU
RUNNER, TRAINER, HOLDER, IMAGE = ("sha256:" + digit * 64 for digit in "1234")
PF = 1_000_000  # micro-petaflops
FAILURES = [status for status in Status if status is not Status.OK]

Answer = Outcome | BaseException


@dataclass
class Machine:
    """Answers each step as told, by its name; `log` is what was asked of it, in order."""

    answers: dict[str, Answer]
    log: list[str] = field(default_factory=list)
    specs: dict[str, Spec] = field(default_factory=dict)

    @contextmanager
    def prepare(self, holder: Spec, size: int) -> Iterator[None]:
        """Keep a model, and say when it begins and ends."""
        self.log.append("hold")
        self.specs["hold"] = holder
        assert size == 2**20
        try:
            yield
        finally:
            self.log.append("let go")

    def run(self, spec: Spec) -> Outcome:
        """End a container as told."""
        ours = " trainer" if spec.verb == "check" and spec.image == TRAINER else ""
        learnt = " tuned" if spec.verb == "predict" and spec.model else ""
        name = spec.verb + ours + learnt
        self.log.append(name)
        self.specs[name] = spec
        answer = self.answers[name]
        if isinstance(answer, Outcome):
            return answer
        raise answer


def used(cpu_seconds: float) -> Usage:
    """What a container used: at the test's peak a CPU second is a petaflop."""
    return Usage(
        seconds=1.0,
        cpu_seconds=cpu_seconds,
        peak_memory=0,
        bytes_read=0,
        bytes_written=0,
        gpu_seconds=0.0,
        gpu_peak_memory=0,
        joules=0.0,
        source="cgroup",
    )


def ended(output: bytes = b"", status: Status = Status.OK, cpu_seconds: float = 0.0) -> Outcome:
    """How a container ends."""
    code = 0 if status is Status.OK else 1
    return Outcome(status, output, code, 0.5, used(cpu_seconds))


def machine(**answers: Answer) -> Machine:
    """One on which everything goes well, but for what is told; `_` stands for a space."""
    usual: dict[str, Answer] = {
        "check": ended(GOOD),
        "check trainer": ended(GOOD),
        "predict": ended(bytes(8), cpu_seconds=2.5),
        "train": ended(cpu_seconds=4.2),
        "predict tuned": ended(b"\1" * 8, cpu_seconds=1.0),
        "keep": ended(),
        "restore": ended(),
    }
    return Machine(usual | {name.replace("_", " "): answer for name, answer in answers.items()})


@pytest.fixture
def job(tmp_path: Path, class_folders: Callable[..., Path]) -> Job:
    """A run on eight held-out tiles of two classes, as submitted alone."""
    source = class_folders({"barley": 10, "corn": 6})
    import_tiles(
        tmp_path / "data",
        source,
        ImportRules(rare=1),
        holdout=8,
        progress=lambda *_: None,
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    policy = SandboxPolicy("runc", 2**20, 2**20, 2**20, 64, 64, 10, 10, 10, (), "0" * 64)
    return Job(
        run="0123456789abcdef",
        dataset=open_dataset(tmp_path / "data"),
        phases="baseline",
        policy=policy,
        admission=load_admission_policy(shipped("policies") / "admission.toml"),
        seccomp="{}",
        proof=Proof("SEALED", RUNNER, ("net-tcp-host",), ()),
        scratch=scratch,
        cpus=1.0,
        memory=2**30,
        gpus=(),
        largest=1000,
        compute=Compute(left=100 * PF, step=PF, cpu=1e15),
        images=Images(runner=lambda: RUNNER, trainer=lambda: TRAINER, holder=lambda: HOLDER),
    )


@pytest.fixture
def both(job: Job) -> Job:
    """The same run, with a phase of training."""
    return replace(job, phases="both")


@pytest.fixture
def kept(both: Job) -> Job:
    """The same run, whose trained model is to be kept."""
    archive = both.scratch / "model.tar"
    archive.touch()
    return replace(both, keep=archive)


@pytest.fixture
def adapted(job: Job, tmp_path: Path) -> Job:
    """A run of the model that an earlier run has trained."""
    archive = tmp_path / "adapted" / ("f" * 16) / "model.tar"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"opaque")
    return replace(job, adapted=archive)


@pytest.fixture
def received(job: Job) -> Received:
    """An ONNX file of one byte."""
    file = job.scratch / "submission"
    file.write_bytes(b"x")
    return Received("onnx", "file", hashlib.sha256(b"x").hexdigest(), 1, file)


def targets(spec: Spec) -> set[str]:
    """Where a container finds its inputs."""
    return {mount.target for mount in spec.inputs}


def sees(spec: Spec, folder: Path) -> bool:
    """Whether any file below a folder is mounted."""
    return any(mount.source.is_relative_to(folder) for mount in spec.inputs)


def present(phase: Phase | None) -> Phase:
    """A phase that has to be there."""
    assert phase is not None
    return phase


def test_right_predictions_are_counted(job: Job, received: Received) -> None:
    """Eight right answers out of eight, against labels the sandbox never had."""
    labels = read_labels(job.dataset.holdout, 2)

    evaluation = evaluate(received, job, machine(predict=ended(labels.tobytes())))

    counts = present(evaluation.baseline).counts
    assert isinstance(counts, Counts)
    assert (counts.correct, counts.total) == (8, 8)
    assert evaluation.tuned is None


def test_labels_are_in_no_container(job: Job, received: Received) -> None:
    """`check` sees the manifest and the model; `predict` the tiles as well; nobody a label."""
    steps = machine()
    evaluate(received, job, steps)

    given = {name: [mount.target for mount in spec.inputs] for name, spec in steps.specs.items()}
    assert given == {
        "check": ["/input/manifest.json", "/submission/model.onnx", "/input/admission.json"],
        "predict": [
            "/input/manifest.json",
            "/input/tiles.npy",
            "/submission/model.onnx",
            "/input/admission.json",
        ],
    }
    sources = {mount.source for spec in steps.specs.values() for mount in spec.inputs}
    names = {source.name for source in sources}
    assert names == {"manifest.json", "tiles.npy", "submission", "admission.json"}
    assert {source.parent for source in sources} == {
        job.dataset.holdout.tiles.parent,
        job.scratch,
    }


@pytest.mark.parametrize("status", FAILURES)
def test_a_failed_container_is_an_evaluation(job: Job, received: Received, status: Status) -> None:
    """The submission's failure is its status, and no score."""
    evaluation = evaluate(received, job, machine(predict=ended(bytes(8), status)))

    phase = present(evaluation.baseline)
    assert (phase.status, phase.counts) == (status, None)
    assert phase.message.startswith("`predict`: it ") or status is Status.START_FAILED


@pytest.mark.parametrize(
    ("output", "status"),
    [
        (b"", "OUTPUT_MISSING"),
        (bytes(7), "OUTPUT_INVALID"),
        (bytes(9), "OUTPUT_INVALID"),
        (b"\2" * 8, "OUTPUT_INVALID"),
    ],
)
def test_wrong_output_is_an_evaluation(
    job: Job, received: Received, output: bytes, status: str
) -> None:
    """Too few, too many and out of range; what it used is charged all the same."""
    steps = machine(predict=ended(output, cpu_seconds=2.5))
    phase = present(evaluate(received, job, steps).baseline)

    assert (phase.status, phase.charge) == (status, 3 * PF)


def test_a_refused_model_never_meets_a_tile(both: Job, received: Received) -> None:
    """The runner's record decides, before any container with tiles exists."""
    bad_input = [0] * 24
    bad_input[:9] = [5, 1, 1, 1, 4, -1, 3, 224, 224]
    steps = machine(check=ended(RECORD.pack(*bad_input), cpu_seconds=5.0))

    evaluation = evaluate(received, both, steps)

    phase = present(evaluation.baseline)
    assert (phase.status, phase.rules, phase.charge) == ("REFUSED", ("EVA306",), 0)
    assert "float32 (N, 3, 224, 224); expected" in phase.message
    assert evaluation.tuned is None
    assert steps.log == ["check"]


def test_a_model_that_cannot_be_trained_never_meets_a_tile(both: Job, received: Received) -> None:
    """It is refused before anything is charged, and the operator is named."""
    names = (shipped("images") / "trainer" / "operators.txt").read_text().splitlines()
    record = RECORD.pack(1, 2, 7, *[0] * 21)
    steps = machine(check_trainer=ended(record, cpu_seconds=5.0))

    evaluation = evaluate(received, both, steps)

    phase = present(evaluation.baseline)
    assert (phase.status, phase.rules, phase.charge) == ("REFUSED", ("EVA330",), 0)
    assert f"operator {names[2]} (node 7)" in phase.message
    assert evaluation.tuned is None
    assert steps.log == ["check", "check trainer"]


def test_a_training_beyond_the_budget_is_refused_with_its_numbers(
    both: Job, received: Received
) -> None:
    """By the trainer's own estimate, before it starts: 101 CPU seconds are 101 PF here."""
    record = RECORD.pack(*[0] * 6, 50 * 10**9, 101 * 10**9, *[0] * 16)
    steps = machine(check_trainer=ended(record))

    phase = present(evaluate(received, both, steps).baseline)

    assert (phase.status, phase.rules, phase.charge) == ("REFUSED", ("EVA402",), 0)
    assert "about 101 PF (about 50 s here) and 100 PF are left" in phase.message
    assert "predict" not in steps.log


@pytest.mark.parametrize("size", [0, 1001])
def test_a_file_of_the_wrong_size_runs_nothing(both: Job, received: Received, size: int) -> None:
    """Empty, or larger than the workspace allows."""
    steps = machine()
    evaluation = evaluate(replace(received, size=size), both, steps)

    assert (present(evaluation.baseline).rules, steps.log) == (("EVA301",), [])


def test_a_changed_tile_stops_the_run(job: Job, received: Received) -> None:
    """No container with tiles runs before the seal is checked; what was tampered with is named."""
    tiles = job.dataset.holdout.tiles
    tiles.chmod(0o644)
    changed = np.load(tiles)
    changed[0, 0, 0] ^= 1
    np.save(tiles, changed)

    steps = machine()
    with pytest.raises(OwnerError, match=r"tiles\.npy"):
        evaluate(received, job, steps)

    assert steps.log == ["check"]  # which meets no tile, and runs meanwhile


def test_a_refusal_is_no_result_of_a_changed_dataset(job: Job, received: Received) -> None:
    """A result names the dataset whatever came of the run, so nothing is said of another."""
    job.dataset.holdout.labels.chmod(0o644)
    job.dataset.holdout.labels.write_bytes(b"")

    with pytest.raises(OwnerError, match=r"labels\.npy"):
        evaluate(replace(received, size=0), job, machine())


def test_another_holdout_under_a_new_seal_stops_the_run(job: Job, received: Received) -> None:
    """Whoever can rewrite the seal still has to match what was published."""
    tiles = job.dataset.holdout.tiles
    tiles.chmod(0o644)
    changed = np.load(tiles)
    changed[0, 0, 0] ^= 1
    np.save(tiles, changed)
    seal = job.dataset.folder / "seal.json"
    document = json.loads(seal.read_text())
    digest = hashlib.sha256(tiles.read_bytes()).hexdigest()
    document["files"]["holdout/tiles/tiles.npy"] = digest
    seal.write_text(json.dumps(document))

    with pytest.raises(OwnerError, match="commits to"):
        evaluate(received, job, machine())


@pytest.mark.parametrize("step", ["check", "check trainer", "predict", "train", "predict tuned"])
def test_a_sandbox_that_fails_is_no_result(both: Job, received: Received, step: str) -> None:
    """Ours, so never the submission's status; and no model stays behind."""
    steps = machine(**{step: SandboxError("the engine is gone")})

    with pytest.raises(SandboxError, match="the engine is gone"):
        evaluate(received, both, steps)
    assert steps.log.count("hold") == steps.log.count("let go")


@pytest.mark.parametrize("step", ["check", "check trainer"])
def test_a_gpu_asked_for_and_not_given_is_no_result(
    both: Job, received: Received, step: str
) -> None:
    """Both of ours say what computes; a silent CPU run would be scored as something else."""
    steps = machine(check=ended(LIVE), check_trainer=ended(LIVE))
    steps.answers[step] = ended(GOOD)

    with pytest.raises(SandboxError, match="A GPU was asked for"):
        evaluate(received, replace(both, gpus=("GPU-1",)), steps)
    assert "predict" not in steps.log


def test_with_a_gpu_live_the_same_run_is_scored(both: Job, received: Received) -> None:
    """The control of the test above; what keeps the model has no use for a GPU."""
    steps = machine(check=ended(LIVE), check_trainer=ended(LIVE))

    evaluation = evaluate(received, replace(both, gpus=("GPU-1",)), steps)

    assert [phase.status for phase in evaluation.phases] == ["OK", "OK"]
    gpus = {name: spec.gpus for name, spec in steps.specs.items()}
    assert gpus.pop("hold") == ()
    assert set(gpus.values()) == {("GPU-1",)}


# Two phases


def test_the_steps_of_two_phases_have_one_order(both: Job, received: Received) -> None:
    """Nothing meets a tile before both checks, and the model is gone after the last prediction."""
    steps = machine()
    evaluation = evaluate(received, both, steps)

    assert steps.log == [
        "check",
        "check trainer",
        "predict",
        "hold",
        "train",
        "predict tuned",
        "let go",
    ]
    assert [phase.status for phase in evaluation.phases] == ["OK", "OK"]
    assert present(evaluation.baseline).counts != present(evaluation.tuned).counts


def test_training_sees_training_tiles_and_never_a_held_out_one(
    both: Job, received: Received
) -> None:
    """And whoever sees the holdout sees no file of the training."""
    steps = machine()
    evaluate(received, both, steps)
    holdout, training = (both.dataset.folder / side for side in ("holdout", "training"))

    train = steps.specs["train"]
    assert targets(train) == {
        "/input/manifest.json",
        "/input/tiles.npy",
        "/input/labels.npy",
        "/input/hyperparameters.json",
        "/submission/model.onnx",
        "/input/admission.json",
    }
    given = {mount.target: mount.source for mount in train.inputs}
    assert given["/input/tiles.npy"] == training / "tiles" / "tiles.npy"
    assert given["/input/labels.npy"] == training / "labels" / "labels.npy"
    assert given["/input/manifest.json"] == training / "tiles" / "manifest.json"
    with_holdout = {name for name, spec in steps.specs.items() if sees(spec, holdout)}
    assert with_holdout == {"predict", "predict tuned"}
    with_training = {name for name, spec in steps.specs.items() if sees(spec, training)}
    assert with_training == {"check", "check trainer", "train"}


def test_labels_of_the_holdout_are_in_no_container(both: Job, received: Received) -> None:
    """Not of two phases either; those of the training are in `train` alone."""
    steps = machine()
    evaluate(received, both, steps)
    mounted = {
        name: {mount.source for mount in spec.inputs if mount.source.name == "labels.npy"}
        for name, spec in steps.specs.items()
    }
    training = both.dataset.training
    assert training is not None

    assert mounted.pop("train") == {training.labels}
    assert set.union(*mounted.values()) == set()


def test_what_was_learnt_is_read_only_where_tiles_are_held_out(
    both: Job, received: Received
) -> None:
    """`train` alone writes the model, and gives back no byte; the second prediction reads it."""
    steps = machine()
    evaluate(received, both, steps)

    seen = {name: (spec.model, spec.output_size) for name, spec in steps.specs.items()}
    assert seen == {
        "check": ("", RECORD.size),
        "check trainer": ("", RECORD.size),
        "predict": ("", 8),
        "hold": ("read", 0),
        "train": ("write", 0),
        "predict tuned": ("read", 8),
    }
    assert "/submission/model.onnx" not in targets(steps.specs["predict tuned"])
    assert {spec.run for spec in steps.specs.values()} == {both.run}


@pytest.mark.parametrize("status", FAILURES)
def test_a_failed_training_leaves_the_baseline_and_its_charge(
    both: Job, received: Received, status: Status
) -> None:
    """Nothing predicts after it; what it used is charged, and the model is let go."""
    steps = machine(train=ended(status=status, cpu_seconds=4.2))
    evaluation = evaluate(received, both, steps)

    baseline, tuned = present(evaluation.baseline), present(evaluation.tuned)
    assert (baseline.status, baseline.charge) == ("OK", 3 * PF)
    assert baseline.counts is not None
    assert (tuned.status, tuned.counts, tuned.charge) == (status, None, 5 * PF)
    assert tuned.message.startswith("`train`: ")
    assert steps.log[-3:] == ["hold", "train", "let go"]


def test_a_failed_baseline_may_still_learn(both: Job, received: Received) -> None:
    """Each phase has its own end."""
    steps = machine(predict=ended(status=Status.TIMEOUT, cpu_seconds=2.5))
    evaluation = evaluate(received, both, steps)

    assert [phase.status for phase in evaluation.phases] == ["TIMEOUT", "OK"]
    assert [phase.charge for phase in evaluation.phases] == [3 * PF, 6 * PF]


def test_each_phase_is_charged_in_whole_steps_of_its_own(both: Job, received: Received) -> None:
    """2.5 CPU seconds are 3 PF; 4.2 and 1.0 are 5.2 together, so 6. A check costs nobody."""
    free = ended(GOOD, cpu_seconds=50.0)
    evaluation = evaluate(received, both, machine(check=free, check_trainer=free))

    assert [phase.charge for phase in evaluation.phases] == [3 * PF, 6 * PF]
    used_by = [[outcome.usage for outcome in phase.outcomes] for phase in evaluation.phases]
    assert used_by == [[used(2.5)], [used(4.2), used(1.0)]]


def test_the_second_phase_may_use_what_the_first_left(both: Job, received: Received) -> None:
    """All 100 PF at first, 97 to train, and to predict what training has left of these."""
    steps = machine()
    evaluate(received, both, steps)

    allowed = {name: spec.allowance.operations for name, spec in steps.specs.items()}
    assert allowed["predict"] == pytest.approx(100e15)
    assert allowed["train"] == pytest.approx(97e15)
    assert allowed["predict tuned"] == pytest.approx((97 - 4.2) * 1e15)
    assert steps.specs["train"].allowance.per_cpu_second == 1e15


def test_a_phase_that_uses_more_is_charged_what_was_left(both: Job, received: Received) -> None:
    """The meter stopped it a little late: that is ours to bear."""
    spent = ended(status=Status.BUDGET_SPENT, cpu_seconds=97.5)
    evaluation = evaluate(received, both, machine(train=spent))

    tuned = present(evaluation.tuned)
    assert (tuned.status, tuned.charge) == ("BUDGET_SPENT", 97 * PF)
    assert sum(phase.charge for phase in evaluation.phases) == 100 * PF


def test_nothing_is_trained_where_the_baseline_took_all(both: Job, received: Received) -> None:
    """It is scored; of the second phase no container with a tile is started."""
    steps = machine(predict=ended(bytes(8), cpu_seconds=99.5))
    evaluation = evaluate(received, both, steps)

    baseline, tuned = present(evaluation.baseline), present(evaluation.tuned)
    assert (baseline.status, baseline.charge) == ("OK", 100 * PF)
    assert (tuned.status, tuned.charge, tuned.outcomes) == ("BUDGET_SPENT", 0, ())
    assert "nothing of the vendor's compute budget was left" in tuned.message
    assert "train" not in steps.log


def test_nothing_runs_on_tiles_where_nothing_is_left(both: Job, received: Received) -> None:
    """Where the budget is spent already, neither phase is charged."""
    steps = machine()
    evaluation = evaluate(received, replace(both, compute=Compute(0, PF, 1e15)), steps)

    assert [phase.status for phase in evaluation.phases] == ["BUDGET_SPENT"] * 2
    assert [phase.charge for phase in evaluation.phases] == [0, 0]
    assert {"predict", "train", "predict tuned"}.isdisjoint(steps.log)


def test_without_training_tiles_there_is_one_phase(both: Job, received: Received) -> None:
    """Every tile is held out: nothing is asked of the trainer."""
    steps = machine()
    alone = replace(both, dataset=replace(both.dataset, training=None))
    evaluation = evaluate(received, alone, steps)

    assert evaluation.tuned is None
    assert steps.log == ["check", "predict"]


def test_our_trainer_gets_a_recipe_of_ours_or_the_vendors(both: Job, received: Received) -> None:
    """The same one when it looks at the model and when it trains."""
    for recipe in (None, Recipe(epochs=2).canonical()):
        steps = machine()
        evaluate(received, replace(both, recipe=recipe), steps)
        for name in ("check trainer", "train"):
            (path,) = [
                mount.source
                for mount in steps.specs[name].inputs
                if mount.target == "/input/hyperparameters.json"
            ]
            assert path.read_bytes() == (recipe or Recipe().canonical())


def image_admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a vendor's own image through the door, whatever it is."""

    @contextmanager
    def admit(*_: object) -> Iterator[Admitted]:
        yield Admitted(IMAGE, trainer=IMAGE)

    monkeypatch.setattr(flow, "admit", admit)


def test_a_vendors_container_is_never_attached(
    both: Job, received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our trainer may report numbers while it trains; nothing of a vendor's is listened to."""
    ours = machine()
    evaluate(received, both, ours)
    image_admitted(monkeypatch)
    theirs = machine()
    evaluate(received, both, theirs)

    assert [name for name, spec in ours.specs.items() if spec.frames] == ["train"]
    assert [name for name, spec in theirs.specs.items() if spec.frames] == []
    assert theirs.log == ["predict", "hold", "train", "predict tuned", "let go"]
    assert {theirs.specs[name].image for name in ("predict", "train", "predict tuned")} == {IMAGE}
    assert theirs.specs["hold"].image == HOLDER


# The trained model, kept


def test_a_model_is_packed_unseen_once_it_has_predicted(kept: Job, received: Received) -> None:
    """By the holder's image, without any tile, while the model is still there."""
    steps = machine()
    evaluate(received, kept, steps)

    assert steps.log[-3:] == ["predict tuned", "keep", "let go"]
    pack = steps.specs["keep"]
    assert (pack.image, pack.model, pack.kept, pack.inputs) == (HOLDER, "read", kept.keep, ())
    assert kept.keep is not None
    assert kept.keep.exists()


def test_scores_stand_where_their_model_cannot_be_packed(kept: Job, received: Received) -> None:
    """What there is of the archive goes."""
    assert kept.keep is not None
    kept.keep.write_bytes(b"half a model")
    evaluation = evaluate(received, kept, machine(keep=ended(status=Status.TIMEOUT)))

    assert [phase.status for phase in evaluation.phases] == ["OK", "OK"]
    assert not kept.keep.exists()


@pytest.mark.parametrize("step", ["train", "predict_tuned"])
def test_a_model_that_failed_is_not_packed(kept: Job, received: Received, step: str) -> None:
    """There may be nothing in it; the archive stays as empty as it was made."""
    steps = machine(**{step: ended(status=Status.NONZERO_EXIT)})
    evaluate(received, kept, steps)

    assert "keep" not in steps.log
    assert kept.keep is not None
    assert kept.keep.read_bytes() == b""


def test_a_model_that_was_trained_before_predicts_alone(adapted: Job, received: Received) -> None:
    """It is unpacked out of sight of any tile, and then predicts as after a training."""
    steps = machine()
    evaluation = evaluate(received, adapted, steps)

    tuned = present(evaluation.tuned)
    assert evaluation.baseline is None
    assert (tuned.status, tuned.charge) == ("OK", PF)
    assert steps.log == ["check", "hold", "restore", "predict tuned", "let go"]
    restore = steps.specs["restore"]
    assert (restore.image, restore.model, restore.output_size) == (HOLDER, "write", 0)
    assert [(m.source, m.target) for m in restore.inputs] == [(adapted.adapted, "/input/archive")]
    predict = steps.specs["predict tuned"]
    assert predict.model == "read"
    assert "/submission/model.onnx" not in targets(predict)


@pytest.mark.parametrize("status", FAILURES)
def test_a_kept_model_that_cannot_be_unpacked_is_our_trouble(
    adapted: Job, received: Received, status: Status
) -> None:
    """It was packed here, so no vendor is charged for it."""
    steps = machine(restore=ended(status=status))

    with pytest.raises(SandboxError, match="could not be unpacked"):
        evaluate(received, adapted, steps)
    assert steps.log[-1] == "let go"
    assert "predict tuned" not in steps.log


def test_a_kept_model_can_be_refused_today(adapted: Job, received: Received) -> None:
    """The rules of today decide, and its one phase says so."""
    narrow = adapted.admission.onnx.model_copy(update={"bytes": 1})
    job = replace(adapted, admission=replace(adapted.admission, onnx=narrow))
    evaluation = evaluate(replace(received, size=2), job, machine())

    assert evaluation.baseline is None
    assert (present(evaluation.tuned).status, present(evaluation.tuned).rules) == (
        "REFUSED",
        ("EVA301",),
    )


def test_phases_are_those_that_there_are() -> None:
    """In order."""
    one, other = Phase("OK"), Phase("TIMEOUT")
    pairs: list[tuple[Any, tuple[Phase, ...]]] = [
        (Evaluation(one), (one,)),
        (Evaluation(one, other), (one, other)),
        (Evaluation(None, other), (other,)),
    ]

    assert all(evaluation.phases == expected for evaluation, expected in pairs)
