"""Head only: features by onnxruntime, then a convex fit of the last layer. No torch is needed.

The strength of the penalty, and whether it pulls towards the vendor's weights or towards zero, are
chosen on the validation tiles by their cross entropy, or by their squared error where numbers are
learnt; then all tiles are fitted that way. Where no fit classifies more validation tiles correctly
than the vendor's weights do, or errs less, those stay. Numbers are standardised for the fit, and
that is folded into the layer afterwards.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import convex
import numpy as np
import onnxruntime as ort
from answers import Answers
from classifier import Classifier, session_options
from convex import Examples, Scaling
from graph import Graph
from head import Head, feature_model, find_head
from inputs import pieces
from numpy.typing import NDArray
from sampling import class_weights, split
from settings import Settings
from verdicts import UntrainableError, Verdict

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
STRENGTHS = (1e-2, 1e-3, 1e-4, 1e-5)  # from the simplest fit on: each starts at the last
ALONE = 1e-3  # where no validation tiles choose
FITS = 2 * len(STRENGTHS) + 1
WIDEST = 2**28  # features of all tiles together: 1 GiB, and as much again standardised
TOLERANCE = 1e-5  # of the largest score, between onnxruntime's and ours
Step = Callable[[], None]


class HeadFit:
    """A head, and the session that computes what goes into it."""

    def __init__(self, graph: Graph, classifier: Classifier, classes: int) -> None:
        self.head: Head = find_head(graph, numbers=classifier.numbers)
        self.classes = classes
        if self.head.matrix.shape[1] != classes:
            raise UntrainableError(Verdict.NO_HEAD, "the last linear layer makes no scores")
        providers = classifier.session.get_providers()
        raw = feature_model(graph, self.head)
        try:
            session = ort.InferenceSession(raw, session_options(), providers=providers)
        except Exception as error:
            raise UntrainableError(Verdict.NO_HEAD, f"no features come out: {error}") from error
        self.extractor = dataclasses.replace(classifier, session=session)
        self.difference = 0.0  # the greatest between the session's scores and ours
        self.scale = 0.0  # the greatest score

    def require_room(self, tiles: int) -> None:
        """Raise NO_HEAD where the features of all tiles would not fit into memory."""
        if tiles * len(self.head.matrix) > WIDEST:
            raise UntrainableError(Verdict.NO_HEAD, "the last layer takes too many features")

    def features(self, tiles: NDArray[Any], step: Step) -> F32:
        """(N, H, W, C) tiles -> (N, D) float32."""
        parts = []
        for piece in pieces(self.extractor, len(tiles), len(self.extractor.buffer)):
            parts.append(self.extract(tiles[piece]))
            step()
        return np.concatenate(parts)

    def extract(self, tiles: NDArray[Any]) -> F32:
        """One batch, on which the layer as read is compared with the layer as it runs."""
        both: list[NDArray[Any]] = []
        recorder = dataclasses.replace(
            self.extractor, session=Recorder(self.extractor.session, both)
        )
        recorder.run(tiles)
        features, scores = (np.asarray(each[: len(tiles)], np.float64) for each in both)
        if features.ndim != 2 or features.shape[1] != len(self.head.matrix) - 1:
            raise UntrainableError(Verdict.NO_HEAD, "its features are no rows of numbers")
        ours = features @ self.head.matrix[:-1] + self.head.matrix[-1]
        self.difference = max(self.difference, float(np.abs(ours - scores).max()))
        self.scale = max(self.scale, float(np.abs(scores).max()))
        return features.astype(np.float32)

    def require_equal(self) -> None:
        """Raise FORWARD_DIFFERS where the layer was not read as it runs."""
        if not self.difference <= TOLERANCE * max(self.scale, 1e-3):
            raise UntrainableError(
                Verdict.FORWARD_DIFFERS, f"the head differs by {self.difference}"
            )

    def require_fitted(self, tiles: NDArray[Any], features: F32, matrix: F64) -> None:
        """Raise FORWARD_DIFFERS unless this is the old model with a new last layer."""
        again = self.extract(tiles)
        self.require_equal()
        near = np.allclose(again, features, rtol=1e-5, atol=1e-6)
        if not near or not np.allclose(self.head.matrix, matrix, rtol=1e-5, atol=1e-6):
            raise UntrainableError(Verdict.FORWARD_DIFFERS, "the saved file is another model")

    def fit(
        self, features: F32, answers: Answers, settings: Settings, step: Step
    ) -> tuple[F64, float]:
        """New weights (D + 1, K) of the layer, and their accuracy on the validation tiles or -1."""
        rng = np.random.default_rng(settings.seed)
        training, validation = split(answers.labels, settings.validation, rng)
        own = self.head.matrix
        if not len(validation):
            return self.path(features, answers, settings, step, own, [ALONE])[-1], -1.0
        learnt, shift = answers.take(training), answers.shift(bias=self.head.bias)
        fits = [
            (centre, strength, matrix)
            for centre in (own, shift.outwards(own * 0))
            for strength, matrix in zip(
                STRENGTHS,
                self.path(features[training], learnt, settings, step, centre, STRENGTHS),
                strict=True,
            )
        ]
        held, judges = features[validation], answers.take(validation)
        centre, strength, matrix = fits[int(np.argmin([loss(held, judges, f[2]) for f in fits]))]
        found, before = quality(held, judges, matrix), quality(held, judges, own)
        if found < before:
            return own, judges.accuracy(before)
        start = [strength]
        made = self.path(features, answers, settings, step, centre, start, matrix)[-1]
        return made, judges.accuracy(found)

    def path(  # noqa: PLR0913, PLR0917 - what makes a fit
        self,
        features: F32,
        answers: Answers,
        settings: Settings,
        step: Step,
        centre: F64,
        strengths: Sequence[float],
        start: F64 | None = None,
    ) -> list[F64]:
        """Weights for each strength; each fit starts where the last one ended."""
        scale, examples = self.examples(features, answers, settings)
        shift = answers.shift(bias=self.head.bias)
        inner = scale.inwards(shift.inwards(centre))
        point = scale.inwards(shift.inwards(centre if start is None else start)).reshape(-1)
        found = []
        for strength in strengths:
            point = convex.minimise(examples.objective(strength, inner, bias=self.head.bias), point)
            found.append(shift.outwards(scale.outwards(point.reshape(inner.shape))))
            step()
        return found

    def examples(
        self, features: F32, answers: Answers, settings: Settings
    ) -> tuple[Scaling, Examples]:
        """Standardised features with targets and the weights of their classes.

        Targets are shares of classes, smoothed, or standardised numbers (N, 1).
        """
        scale = convex.scaling(features, bias=self.head.bias)
        labels, squared = answers.labels, answers.numbers is not None
        if answers.numbers is not None:
            targets = answers.shift(bias=self.head.bias).standard(answers.numbers)[:, None]
        else:
            smoothing = settings.label_smoothing
            targets = np.eye(self.classes)[labels] * (1 - smoothing) + smoothing / self.classes
        classes = max(self.classes, int(labels.max(initial=0)) + 1)  # of numbers: the crops
        weights = class_weights(labels, classes, settings.class_weighting)[labels]
        rows = scale.standardised(features)
        return scale, Examples(rows, targets, weights.astype(np.float64), squared)


class Recorder:
    """A session whose outputs are kept."""

    def __init__(self, session: ort.InferenceSession, kept: list[NDArray[Any]]) -> None:
        self.session = session
        self.kept = kept

    def run(self, outputs: None, feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """As the session's."""
        self.kept[:] = self.session.run(outputs, feed)
        return self.kept


def loss(features: F32, answers: Answers, matrix: F64) -> float:
    """The mean cross entropy, or squared error, over tiles."""
    scores = features @ matrix[:-1] + matrix[-1]
    if answers.numbers is not None:
        return float(np.square(scores[:, 0] - answers.numbers).mean())
    logs = convex.log_softmax(scores)
    return -float(logs[np.arange(len(answers)), answers.labels].mean())


def quality(features: F32, answers: Answers, matrix: F64) -> float:
    """The share of tiles whose own class has the highest score; minus the loss for numbers."""
    if answers.numbers is not None:
        return -loss(features, answers, matrix)
    return float(((features @ matrix[:-1] + matrix[-1]).argmax(1) == answers.labels).mean())
