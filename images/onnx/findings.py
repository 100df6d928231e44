"""What can be wrong with a model, and what the data owner's policy allows."""

from dataclasses import dataclass
from enum import IntEnum


class Code(IntEnum):
    """What `check` found: the first number of its record."""

    OK = 0
    NOT_ONNX = 1
    EXTERNAL_DATA = 2
    OPERATOR = 3
    COUNT = 4
    INPUT = 5
    OUTPUT = 6
    METADATA = 7
    OTHER = 8
    OPSET = 9
    DOMAIN = 10
    REFUSED_OPERATOR = 11
    FUNCTION_CYCLE = 12
    NODES = 13
    INITIALIZERS = 14
    DIMENSION = 15
    TENSOR_BYTES = 16
    DEPTH = 17
    ORT_FORMAT = 18
    FIELDS = 19


class UnsuitableError(Exception):
    """The model is no classifier of these tiles; `code` says which rule it breaks.

    `found` is what was counted, and `at` the number of the byte of the file where it was.
    """

    def __init__(self, code: Code, message: str, found: int = 0, at: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.found = min(found, 2**63 - 1)
        self.at = at


@dataclass(frozen=True, slots=True)
class Limits:
    """The [onnx] section of the data owner's admission.toml."""

    opset_min: int
    opset_max: int
    domains: list[str]
    refused_operators: list[str]
    nodes: int
    initializers: int
    dimension: int
