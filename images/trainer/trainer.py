"""Fine-tune a vendor's ONNX model on the training tiles of one dataset, inside the sandbox.

    check   /submission/model.onnx + /input/manifest.json -> a record of 24 numbers
    train   the same + /input/tiles.npy, labels.npy (and crops.npy, where labels are numbers)
            -> /opt/ml/model/model.onnx

Both read /input/admission.json, the data owner's limits of a model, and
/input/hyperparameters.json, the recipe as the host has written it. `check` sees no tile; it says
whether the model can be trained and what that will cost. Its record holds numbers only, and so do
the frames that `train` writes to its standard error: no word of a model reaches the host.
"""

import memory  # noqa: F401 - these two before all others
import threads  # noqa: F401

# isort: split
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from answers import Answers, read_answers
from classifier import Classifier, fit, load, on_cuda
from findings import Limits, UnsuitableError
from frames import Progress
from graph import Graph, read_graph, view
from head import F64, find_head, replace_head
from headfit import FITS, HeadFit
from inputs import synthetic
from numpy.typing import NDArray
from settings import Settings, read_settings
from verdicts import RUNNER, UntrainableError, Verdict

MODEL = Path("/submission/model.onnx")
INPUT = Path("/input")
OUTPUT = Path("/output/predictions")
TRAINED = Path("/opt/ml/model/model.onnx")

USAGE, UNSUITABLE, FAILED, NO_GPU = 64, 65, 66, 70  # exit statuses of `train`
RECORD = 24  # numbers
HEAD, FULL = 1, 2  # modes, as the record has them
OPERATORS = Path(__file__).with_name("operators.txt")
Same = Callable[[Classifier, Graph], None]  # raises unless a saved file is what was trained


def main(verb: str) -> int:
    """Carry out one verb on the contract's paths."""
    device = os.environ.get("EVALUATOR_DEVICE", "cpu")
    if verb == "check":
        return check(MODEL, INPUT, OUTPUT, device)
    if verb == "train":
        return train(MODEL, INPUT, TRAINED, device, Progress(silenced()))
    print("usage: check | train", file=sys.stderr)
    return USAGE


def silenced() -> int:
    """Send what any library prints to nowhere; return a descriptor of the real standard error."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return kept


class Job:
    """What both verbs begin with: a model that loads and fits, the manifest and the recipe."""

    def __init__(self, model: Path, inputs: Path, device: str) -> None:
        self.device = device
        self.manifest: dict[str, Any] = json.loads((inputs / "manifest.json").read_text())
        self.settings: Settings = read_settings(inputs)
        self.limits = Limits(**json.loads((inputs / "admission.json").read_text()))
        session = load(model, self.limits, device)
        if device == "cuda" and not on_cuda(session):
            raise UntrainableError(Verdict.NO_GPU, "no GPU computes here")
        self.classifier: Classifier = fit(session, self.manifest)
        self.classes = self.classifier.classes  # 1 where it predicts a number
        self.numbers = self.classifier.numbers
        self.plain = self.classifier  # on the CPU, whose rounding is torch's
        if device == "cuda":
            self.plain = self.opened(model)
        self.graph: Graph = read_graph(model)
        self.head: HeadFit | None = None
        self.require_scores()
        self.mode = self.chosen()

    def opened(self, model: Path) -> Classifier:
        """A file in onnxruntime on the CPU."""
        return fit(load(model, self.limits, "cpu"), self.manifest)

    def require_scores(self) -> None:
        """Class indices have no gradient; numbers are floats (N, 1) or (N,)."""
        scores = self.plain.run(synthetic(self.manifest, 2)[: len(self.plain.buffer)])
        rows = len(self.plain.buffer) if self.plain.fixed else 2
        floats = isinstance(scores, np.ndarray) and scores.dtype.type in {np.float32, np.float64}
        shapes = {(rows, self.classes), *([(rows,)] if self.numbers else [])}
        if not floats or scores.shape not in shapes:
            raise UntrainableError(Verdict.NOT_A_CLASSIFIER, "its output is no float scores (N, K)")

    def chosen(self) -> int:
        """The recipe's mode; `auto` is head on a CPU, where there is one, and full otherwise."""
        wanted = self.settings.mode
        if wanted == "full" or (wanted == "auto" and self.device == "cuda"):
            return FULL
        try:
            found = HeadFit(self.graph, self.classifier, self.classes)
            found.require_room(self.manifest["tiles"])
            self.head = found
        except UntrainableError:
            if wanted == "head":
                raise
            return FULL
        return HEAD


def check(model: Path, inputs: Path, output: Path, device: str) -> int:
    """Write whether the model can be trained, and at what cost, as 24 little-endian int64.

    record: [0] a Verdict, or 100 + the runner's code; [1] the line of operators.txt with the
    operator in question, from 0, or -1; [2] the number of its node, or -1; [3] mode, 1 head or
    2 full; [4] trainable weights; [5] steps; [6] estimated ns of the whole training on this
    container's CPUs, [7] of CPU time, [8] of a busy GPU; [9] whether a GPU computes; [10] the
    greatest difference to onnxruntime x 1e9; [11] training tiles.
    """
    from runner import write  # noqa: PLC0415 - `train` writes no predictions

    record = np.zeros(RECORD, "<i8")
    record[1:3] = -1
    try:
        from estimate import estimate  # noqa: PLC0415 - it imports torch only where it must

        estimate(Job(model, inputs, device), record)
    except UnsuitableError as error:
        print(f"{error.code.name}: {error}", file=sys.stderr)
        record[0] = RUNNER + error.code
    except UntrainableError as error:
        print(f"{error.verdict.name}: {error}", file=sys.stderr)
        record[0], record[1], record[2] = error.verdict, line_of(error.operator), error.node
        record[10] = billionths(error.found)
    except Exception as error:  # noqa: BLE001 - whatever a hostile model can raise is its fault
        print(f"{Verdict.OTHER.name}: {error!r}", file=sys.stderr)
        record[0] = Verdict.OTHER
    write(output, record.tobytes())
    return 0


def billionths(found: float) -> int:
    """A difference as the record has it; the largest number for one beyond all bounds."""
    return round(found * 1e9) if found < 1e9 else 2**62


def line_of(operator: tuple[str, str] | None) -> int:
    """Where operators.txt names an operator; the host reads names there, never from a model."""
    if operator is None:
        return -1
    known = OPERATORS.read_text().splitlines()
    line = f"{operator[0] or 'ai.onnx'} {operator[1]}"
    return known.index(line) if line in known else -1


def train(model: Path, inputs: Path, trained: Path, device: str, progress: Progress) -> int:
    """Leave the trained model at `trained`; return the exit status."""
    try:
        job = Job(model, inputs, device)
        tiles = np.load(inputs / "tiles.npy", mmap_mode="r", allow_pickle=False)
        tiles = tiles.reshape(*tiles.shape[:3], job.manifest["bands"])
        answers = read_answers(inputs, numbers=job.numbers)
        way = train_head if job.mode == HEAD else train_full
        require_same = way(job, tiles, answers, progress)
        fresh = trained.with_suffix(".part")
        job.graph.write(fresh)
        require_same(job.opened(fresh), read_graph(fresh))
        fresh.replace(trained)
    except UnsuitableError as error:
        print(f"{error.code.name}: {error}", file=sys.stderr)
        return UNSUITABLE
    except UntrainableError as error:
        print(f"{error.verdict.name}: {error}", file=sys.stderr)
        return NO_GPU if error.verdict == Verdict.NO_GPU else UNSUITABLE
    except (FloatingPointError, MemoryError, OSError) as error:
        print(f"{error!r}", file=sys.stderr)
        return FAILED
    return 0


def train_head(job: Job, tiles: NDArray[Any], answers: Answers, progress: Progress) -> Same:
    """Change the last linear layer of the job's graph."""
    head = job.head
    assert head is not None  # noqa: S101 - so the mode was chosen
    passes = -(-len(tiles) // len(head.extractor.buffer))
    step = counter(progress, passes + FITS)
    features = head.features(tiles, step)
    head.require_equal()
    matrix, progress.accuracy = head.fit(features, answers, job.settings, step)
    replace_head(job.graph, head.head, matrix)
    progress.report(1, 1, passes + FITS, passes + FITS, 0.0, final=True)

    def require_same(saved: Classifier, graph: Graph) -> None:
        sample = len(head.extractor.buffer)
        HeadFit(graph, saved, job.classes).require_fitted(tiles[:sample], features[:sample], matrix)

    return require_same


def counter(progress: Progress, steps: int) -> Callable[[], None]:
    """A function that reports one step more."""
    done = 0

    def step() -> None:
        nonlocal done
        done = min(done + 1, steps)
        progress.report(0, 1, done, steps, 0.0)

    return step


def train_full(job: Job, tiles: NDArray[Any], answers: Answers, progress: Progress) -> Same:
    """Change every weight of the job's graph that is not frozen."""
    from compare import require_equal  # noqa: PLC0415 - head only needs no torch
    from finetune import FineTuning, prepare_torch  # noqa: PLC0415
    from finetune import train as train_all  # noqa: PLC0415

    prepare_torch(job.device)
    sample = tiles[: len(job.plain.buffer)]
    require_equal(job.graph, job.plain, sample)
    shift = answers.shift()
    folded = job.numbers and refolded(job, shift.inwards)
    run = FineTuning(job.graph, job.classifier, job.settings, job.classes, job.device)
    run.shift, run.folded = shift, folded
    train_all(run, tiles, answers, progress)
    for name, value in run.executor.trained().items():
        job.graph.replace(name, value)
    if folded:
        refolded(job, shift.outwards)

    def require_same(saved: Classifier, _graph: Graph) -> None:
        require_equal(job.graph, saved, sample)

    return require_same


def refolded(job: Job, change: Callable[[F64], F64]) -> bool:
    """Change the last layer of the job's graph, if it has one with a bias; say whether it has.

    Numbers far from 0, such as kilograms of a hectare, are out of reach of small steps: so the
    layer gives standardised ones while it is trained.
    """
    try:
        head = find_head(job.graph, numbers=True)
    except UntrainableError:
        return False
    if not head.bias:
        return False
    replace_head(job.graph, head, change(head.matrix))
    job.graph = view(job.graph.model)
    return True


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))
