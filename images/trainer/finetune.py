"""Full fine-tuning: every weight, by stochastic gradient descent through the executor.

One step: the mean over the batch of each tile's cross entropy, or squared error of a standardised
number, times the weight of its class; gradients clipped to a norm of 1; then the optimiser of
torch. The weights of the epoch with the best accuracy on the validation tiles, or the smallest
squared error, are kept, those before the first epoch included.
"""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from answers import Answers, Shift
from classifier import Classifier
from executor import Executor
from frames import Progress
from graph import Graph
from inputs import pieces, preparer
from numpy.typing import NDArray
from sampling import augmented, batches, class_weights, split
from settings import Settings
from torch import Tensor, nn
from torch.nn import functional
from verdicts import UntrainableError, Verdict

CLIP = 1.0  # the largest norm of a gradient
SCORED = 256  # tiles in one batch without gradients
BFLOAT16 = {"avx512_bf16", "amx_bf16"}  # flags of CPUs that multiply it faster
SQUASHED = {"Softmax", "LogSoftmax", "Sigmoid"}  # after these nothing is a logit
PASSED = SQUASHED | {"Cast", "Flatten", "Identity", "Reshape", "Squeeze"}


class FineTuning:
    """A model under training: its executor, and one step at a time."""

    def __init__(
        self, graph: Graph, classifier: Classifier, settings: Settings, classes: int, device: str
    ) -> None:
        self.settings, self.classes, self.device = settings, classes, device
        self.executor = Executor(graph, device)
        self.logits = graph.output if classifier.numbers else logits(graph)
        self.shift = Shift(0.0, 1.0)  # of the numbers that are learnt
        self.folded = False  # whether the graph gives them standardised
        self.prepare = preparer(classifier, max(settings.batch_size, SCORED))
        # Three digits are enough to tell classes apart, and not for a number.
        auto = settings.precision == "auto" and not classifier.numbers
        self.low = settings.precision == "bfloat16" or (
            auto and multiplies_bfloat16(device) and self.runs_low()
        )
        self.weights = self.trainable(graph)
        self.optimizer = optimizer(self.weights, settings)

    def runs_low(self) -> bool:
        """Whether every operator of the graph takes bfloat16."""
        buffer = self.prepare.buffer if self.prepare.fixed else self.prepare.buffer[:2]
        try:
            with torch.no_grad(), self.autocast(low=True):
                self.executor(torch.from_numpy(buffer).to(self.device), self.logits)
        except UntrainableError:
            return False
        return True

    def autocast(self, *, low: bool) -> torch.autocast:
        """A context in which products are computed in bfloat16."""
        return torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=low)

    def trainable(self, graph: Graph) -> list[nn.Parameter]:
        """The weights that are not frozen; kernels lie in memory as convolutions like them."""
        kept = []
        for name, layer in zip(graph.weights, graph.layers, strict=True):
            held = self.executor.parameter[name]
            if held.ndim == 4:
                held.data = lying(held.data)
            held.requires_grad_(layer >= self.settings.frozen_layers)
            if held.requires_grad:
                kept.append(held)
        if not kept:
            raise UntrainableError(Verdict.NOTHING_TO_TRAIN, "no weight is left to train")
        return kept

    def step(self, tiles: NDArray[Any], answers: Answers, weights: Tensor, rate: float) -> float:
        """One step on (n, H, W, C) tiles, already augmented; return the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        total = 0.0
        for piece in pieces(self.prepare, len(tiles), len(tiles)):
            mine = answers.take(piece)
            labels = torch.from_numpy(mine.labels.astype(np.int64)).to(self.device)
            each = self.losses(self.scores(tiles[piece]), mine, labels)
            loss = (each * weights[labels]).sum() / len(tiles)
            if not loss.requires_grad:
                raise UntrainableError(Verdict.NOTHING_TO_TRAIN, "no weight reaches the output")
            loss.backward()
            total += loss.item()
        nn.utils.clip_grad_norm_(self.weights, CLIP)
        self.optimizer.step()
        return total

    def losses(self, scores: Tensor, answers: Answers, labels: Tensor) -> Tensor:
        """(n,) cross entropies, or squared errors of standardised numbers."""
        if answers.numbers is None:
            return functional.cross_entropy(
                scores, labels, reduction="none", label_smoothing=self.settings.label_smoothing
            )
        wanted = torch.from_numpy(self.shift.standard(answers.numbers).astype(np.float32))
        given = scores[:, 0]
        if not self.folded:
            given = (given - self.shift.mean) / self.shift.deviation
        return (given - wanted.to(self.device)).square()

    def scores(self, tiles: NDArray[Any]) -> Tensor:
        """(n, H, W, C) tiles -> (n, K) float32 logits, or (n, 1) numbers."""
        images = torch.from_numpy(self.prepare.run(tiles)).to(self.device)
        if images.ndim == 4 and images.is_floating_point():
            images = lying(images)
        with self.autocast(low=self.low):
            given = self.executor(images, self.logits)
        return given.float().reshape(len(images), self.classes)[: len(tiles)]

    def quality(self, tiles: NDArray[Any], indices: NDArray[np.int64], answers: Answers) -> float:
        """The share of the tiles at `indices` that are classified correctly.

        For numbers minus the mean of their squared errors, standardised.
        """
        total = 0.0
        with torch.no_grad():
            for piece in pieces(self.prepare, len(indices), SCORED):
                mine = answers.take(indices[piece])
                scores = self.scores(tiles[indices[piece]])
                if mine.numbers is None:
                    total += int((scores.argmax(1).cpu().numpy() == mine.labels).sum())
                else:
                    labels = torch.from_numpy(mine.labels.astype(np.int64))
                    total -= float(self.losses(scores, mine, labels).sum())
        return total / len(indices)

    def state(self) -> list[Tensor]:
        """A copy of the weights."""
        return [held.detach().clone() for held in self.weights]

    def restore(self, state: list[Tensor]) -> None:
        """Put a copy back."""
        with torch.no_grad():
            for held, value in zip(self.weights, state, strict=True):
                held.copy_(value)


def train(run: FineTuning, tiles: NDArray[Any], answers: Answers, progress: Progress) -> None:
    """All epochs; the executor is left with the best weights."""
    settings = run.settings
    rng = np.random.default_rng(settings.seed)
    training, validation = split(answers.labels, settings.validation, rng)
    classes = max(run.classes, int(answers.labels.max()) + 1)  # of numbers: the crops
    weighing = class_weights(answers.labels[training], classes, settings.class_weighting)
    weights = torch.from_numpy(weighing).to(run.device)
    each = math.ceil(len(training) / settings.batch_size)
    steps, step, best_epoch = settings.epochs * each, 0, 0
    best, kept = -math.inf, run.state()
    if len(validation):
        best = run.quality(tiles, validation, answers)
        progress.accuracy = answers.accuracy(best)
    for epoch in range(settings.epochs):
        for batch in batches(training, settings.batch_size, rng):
            chosen = augmented(tiles[batch], settings, rng)
            loss = run.step(chosen, answers.take(batch), weights, rate(settings, step, steps))
            step += 1
            progress.report(epoch, settings.epochs, step, steps, loss)
            if not math.isfinite(loss):
                run.restore(kept)
                raise FloatingPointError("the loss is no number any more: lower the learning rate")
        if len(validation):
            found = run.quality(tiles, validation, answers)
            progress.accuracy = answers.accuracy(found)
            if found > best:
                best, best_epoch, kept = found, epoch + 1, run.state()
        progress.report(epoch + 1, settings.epochs, step, steps, loss, final=True)
        if settings.early_stopping and epoch + 1 - best_epoch >= settings.early_stopping:
            break
    if len(validation):
        run.restore(kept)


def lying(tensor: Tensor) -> Tensor:
    """Channels last in memory, in its strides too where it has one channel alone.

    contiguous() leaves those as they are, and then convolutions make a copy for each other.
    """
    return tensor.to(memory_format=torch.channels_last)


def rate(settings: Settings, step: int, steps: int) -> float:
    """The learning rate of a step, counted from 0."""
    warm = round(settings.warmup * steps)
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    done = (step - warm) / max(1, steps - warm)
    falling = {
        "constant": 1.0,
        "cosine": (1 + math.cos(math.pi * done)) / 2,
        "linear": 1 - done,
    }
    return settings.learning_rate * falling[settings.schedule]


def optimizer(weights: list[nn.Parameter], settings: Settings) -> torch.optim.Optimizer:
    """Of matrices and kernels, which decay, and of vectors, which do not."""
    groups = [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9)
    return torch.optim.AdamW(groups, lr=settings.learning_rate)


def logits(graph: Graph) -> str:
    """The tensor before the last softmax, or the output where there is none."""
    makers = {name: node for node in graph.nodes for name in node.output}
    name = found = graph.output
    node = makers.get(name)
    while node is not None and node.op_type in PASSED:
        name = node.input[0]
        if node.op_type in SQUASHED:
            found = name
        node = makers.get(name)
    return found


def prepare_torch(device: str) -> None:
    """Threads as the sandbox grants them, and the same answer every time.

    After the last session of onnxruntime: each switches the flushing off in its thread.
    """
    torch.set_flush_denormal(True)  # a product of such small gradients takes 100 times as long
    torch.set_num_threads(int(os.environ.get("EVALUATOR_THREADS") or os.cpu_count() or 1))
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # all that is read was written
    if device == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        if not torch.cuda.is_available():
            raise UntrainableError(Verdict.NO_GPU, "no GPU computes here")


def multiplies_bfloat16(device: str) -> bool:
    """Whether bfloat16 is faster there."""
    if device != "cpu":
        return True
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return False
    return any(BFLOAT16 & set(line.split()) for line in text.splitlines() if "flags" in line[:6])
