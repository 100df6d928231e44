"""What can keep a model from being trained: the first number of `check`'s record."""

from enum import IntEnum

RUNNER = 100  # added to a code of the runner's, whose own load refused the model


class Verdict(IntEnum):
    """The trainer's own codes; the runner's follow from 101 on."""

    OK = 0
    NOT_TRAINABLE_OPERATOR = 1
    FORWARD_DIFFERS = 2
    NOTHING_TO_TRAIN = 3
    NOT_A_CLASSIFIER = 4
    NO_HEAD = 5
    OTHER = 6
    NO_GPU = 7


class UntrainableError(Exception):
    """The model cannot be trained.

    `operator` is (domain, name) and `node` its number, or -1; `found` is the difference to
    onnxruntime.
    """

    def __init__(
        self,
        verdict: Verdict,
        message: str,
        operator: tuple[str, str] | None = None,
        node: int = -1,
        found: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.verdict = verdict
        self.operator = operator
        self.node = node
        self.found = found
