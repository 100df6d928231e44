"""What a training will cost, from a few batches of synthetic tiles; the model stays as it is."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from answers import synthetic_answers
from classifier import on_cuda
from headfit import FITS, HeadFit
from inputs import synthetic
from numpy.typing import NDArray
from sampling import augmented
from verdicts import UntrainableError, Verdict

if TYPE_CHECKING:
    from trainer import Job

PROBING = 4.0  # seconds of probe batches, after the first, at most
PROBES = 8
FIT_ITERATIONS = 80  # of a convex fit, on the average of its path
START = 4.0  # seconds: imports, sessions, saving and checking
HEAD = 1


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of one call."""

    wall: float
    cpu: float


def estimate(job: "Job", record: NDArray[np.int64]) -> None:
    """Fill in what trainer.check describes, from [3] on, as far as the model allows."""
    record[3], record[9], record[11] = (
        job.mode,
        on_cuda(job.classifier.session),
        job.manifest["tiles"],
    )
    if job.mode == HEAD:
        assert job.head is not None  # noqa: S101 - so the mode was chosen
        cost, gpu, steps = head_cost(job, job.head)
        record[4] = (
            job.head.head.matrix.size if job.head.head.bias else job.head.head.matrix[:-1].size
        )
        difference = job.head.difference
    else:
        cost, gpu, steps, record[4], difference = full_cost(job)
    record[5] = steps
    record[6], record[7] = (round((each + START) * 1e9) for each in (cost.wall, cost.cpu))
    record[8] = round(gpu * 1e9)
    record[10] = round(difference * 1e9)


def head_cost(job: "Job", fit: HeadFit) -> tuple[Cost, float, int]:
    """Features of all tiles, and all fits; (cost, seconds of a busy GPU, steps)."""
    size, count = len(fit.extractor.buffer), job.manifest["tiles"]
    tiles = synthetic(job.manifest, size)
    features = fit.extract(tiles)
    fit.require_equal()
    extraction = measured(lambda: fit.extract(tiles))
    passes = math.ceil(count / size)
    # Of as many rows as the fit's chunks have: small ones cost more for each row.
    many = np.repeat(features, max(1, 4096 // size), axis=0)
    answers = synthetic_answers(len(many), job.classes, numbers=job.numbers)
    scale, examples = fit.examples(many, answers, job.settings)
    centre = scale.inwards(fit.head.matrix)
    once = measured(lambda: examples.objective(1.0, centre, bias=True)(centre.reshape(-1)))
    evaluations = FITS * FIT_ITERATIONS * count / len(many)
    wall = passes * extraction.wall + evaluations * once.wall
    cpu = passes * extraction.cpu + evaluations * once.cpu
    busy = passes * extraction.wall if on_cuda(job.classifier.session) else 0.0
    return Cost(wall, cpu), busy, passes + FITS


def full_cost(job: "Job") -> tuple[Cost, float, int, int, float]:
    """All epochs; (cost, seconds of a busy GPU, steps, trainable weights, difference)."""
    import torch  # noqa: PLC0415 - seconds, which head only never needs
    from compare import require_equal  # noqa: PLC0415
    from executor import require_known, translated  # noqa: PLC0415
    from finetune import SCORED, FineTuning, prepare_torch  # noqa: PLC0415

    # Before the weights are asked for: none leads through what is not known.
    require_known(translated(node, at, job.graph) for at, node in enumerate(job.graph.nodes))
    if not job.graph.weights:
        raise UntrainableError(Verdict.NOTHING_TO_TRAIN, "the graph has no float weights")
    prepare_torch(job.device)
    probe = synthetic(job.manifest, min(2, len(job.plain.buffer)))
    difference = require_equal(job.graph, job.plain, probe)
    run = FineTuning(job.graph, job.classifier, job.settings, job.classes, job.device)
    settings, count = job.settings, job.manifest["tiles"]
    held = round(count * settings.validation)
    size = min(settings.batch_size, max(1, count - held))
    tiles = synthetic(job.manifest, size)
    answers = synthetic_answers(size, job.classes, numbers=job.numbers)
    weights = torch.ones(job.classes, device=job.device)
    rng = np.random.default_rng(0)
    run.step(tiles, answers, weights, 0.0)
    step = measured(lambda: run.step(augmented(tiles, settings, rng), answers, weights, 0.0))
    some = synthetic(job.manifest, min(SCORED, max(1, held)))
    where = np.arange(len(some))
    judges = synthetic_answers(len(some), job.classes, numbers=job.numbers)
    scored = measured(lambda: run.quality(some, where, judges))
    steps = settings.epochs * math.ceil((count - held) / settings.batch_size)
    passes = (settings.epochs + 1) * held / len(some)
    wall = steps * step.wall + passes * scored.wall
    busy = wall if job.device == "cuda" else 0.0
    trained = sum(weight.numel() for weight in run.weights)
    return Cost(wall, steps * step.cpu + passes * scored.cpu), busy, steps, trained, difference


def measured(call: Callable[[], object]) -> Cost:
    """The mean of a few calls, the first not counted; bounded in number and time."""
    call()
    wall, cpu = time.perf_counter(), time.process_time()
    done, spent = 0, 0.0
    while done < PROBES and spent < PROBING:
        call()
        done, spent = done + 1, time.perf_counter() - wall
    return Cost(spent / done, (time.process_time() - cpu) / done)
