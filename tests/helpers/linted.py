"""Facts of a submission that breaks no rule, and small changes of them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from evaluator.challenge import sample_challenge
from evaluator.intake.marks import MARKS
from evaluator.lint.facts import Estimate, Facts, ImageFacts, ModelFacts, StepFacts

if TYPE_CHECKING:
    from evaluator.challenge import Challenge

IMAGE = ImageFacts(
    size=2**20,
    unpacked=2**22,
    layers=3,
    entries=100,
    entrypoint=("/predict",),
    command=(),
    variables=(("PATH", "/bin"),),
    working_directory="/app",
    user="",
    volumes=(),
    ports=(),
    labels=(),
    health_check=False,
    history=("COPY predict /predict",),
    marks=tuple((name, 0) for name in MARKS),
)
MODEL = ModelFacts(2**20, ("float32", (-1, 1, 64, 64)), ("float32", (-1, 9)))


def step(verb: str = "predict", **said: Any) -> StepFacts:  # noqa: ANN401 - its own fields
    """A container that did what it should."""
    ended: dict[str, Any] = {
        "phase": "baseline" if verb == "predict" else "tuned",
        "verb": verb,
        "tiles": 64,
        "status": "OK",
        "exit_code": 0,
        "start": 0.4,
        "seconds": 3.0,
        "cpu_seconds": 5.0,
        "gpu_seconds": 0.0,
        "peak_memory": 2**28,
        "log": "loaded the weights\npredicted 64 tiles\n",
        "cut": False,
        "output": "right" if verb == "predict" else "",
    }
    return StepFacts(**(ended | said))


def estimate(**said: Any) -> Estimate:  # noqa: ANN401 - as above
    """A phase that an official run has room for."""
    expected: dict[str, Any] = {
        "phase": "baseline",
        "status": "OK",
        "start": 0.5,
        "load": 2.0,
        "per_tile": 0.001,
        "seconds": 60.0,
        "peak_memory": 2**28,
        "petaflops": 1.0,
    }
    return Estimate(**(expected | said))


@cache
def challenge(**resources: Any) -> Challenge:  # noqa: ANN401 - as above
    """The sample with other resources."""
    sample = sample_challenge()
    return sample.model_copy(update={"resources": sample.resources.model_copy(update=resources)})


def image_facts(**said: Any) -> Facts:  # noqa: ANN401 - as above
    """Facts of an image whose own facts say this."""
    return replace(container(), image=replace(IMAGE, **said))


def marked(said: dict[str, Any] | None = None, /, **counts: int) -> Facts:
    """Facts of an image with these marks."""
    marks = dict(IMAGE.marks) | counts
    return replace(image_facts(marks=tuple(marks.items())), **(said or {}))


def container(**said: Any) -> Facts:  # noqa: ANN401 - as above
    """Facts of an image that runs."""
    ran: dict[str, Any] = {
        "kind": "image",
        "digest": "0" * 64,
        "size": 2**20,
        "challenge": challenge(),
        "image": IMAGE,
        "steps": (step(), step("train"), step(phase="tuned")),
        "estimates": (estimate(), estimate(phase="tuned")),
    }
    return Facts(**(ran | said))


def onnx(**said: Any) -> Facts:  # noqa: ANN401 - as above
    """Facts of an ONNX file that runs."""
    model = replace(MODEL, **said)
    return replace(container(), kind="onnx", image=None, model=model)


def logged(log: str, **said: Any) -> Facts:  # noqa: ANN401 - as above
    """Facts of an image whose predict printed this."""
    return container(steps=(step(log=log, **said),))
