"""The hostile models that only running reveals, in the sandbox, with no tile beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import sandbox
from evaluator.admission_policy import load_admission_policy
from evaluator.attacks.forged_models import FORGED_MODELS, expected
from evaluator.images import build_onnx_runner
from evaluator.onnx_check import RECORD, limits_file, read_check
from evaluator.workspace import shipped
from sandbox import Mount, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import onnx

    Check = Callable[..., Outcome]

pytestmark = pytest.mark.docker
MiB = 2**20
MANIFEST = """{"contract": 1, "tiles": 8, "shape": [8, 8], "dtype": "uint8", "bands": 1,
 "classes": ["0", "1", "2", "3", "4", "5", "6", "7", "8"], "output_dtype": "uint8"}"""


@pytest.fixture
def check(make_spec: Callable[..., sandbox.Spec], scratch: Path, tmp_path: Path) -> Check:
    """A function that has our runner check a model behind the wall, under a runtime."""

    def check(model: bytes, runtime: str, seconds: float = 60.0) -> Outcome:
        rules = load_admission_policy(shipped("policies") / "admission.toml").onnx
        inputs = {
            "/input/manifest.json": MANIFEST.encode(),
            "/input/admission.json": limits_file(rules).encode(),
            "/submission/model.onnx": model,
        }
        mounts = []
        for number, (target, content) in enumerate(inputs.items()):
            file = tmp_path / str(number)
            file.write_bytes(content)
            mounts.append(Mount(file, target))
        spec = make_spec(
            build_onnx_runner(lambda _: None),
            verb="check",
            inputs=tuple(mounts),
            output_size=RECORD.size,
            memory=512 * MiB,
            seconds=seconds,
            runtime=runtime,
        )
        return sandbox.run(spec, scratch, (shipped("policies") / "seccomp.json").read_text())

    return check


RUNTIMES = ["runc", pytest.param("runsc", marks=pytest.mark.gvisor)]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("name", "seconds"), [("mdl-mem-bomb", 60.0), ("mdl-loop", 5.0)])
def test_a_model_that_takes_all_it_can_ends_at_its_limit(
    check: Check, name: str, seconds: float, runtime: str
) -> None:
    """64 tensors of 512 MiB end at 512 MiB of memory, 2^62 rounds at the deadline."""
    outcome = check(FORGED_MODELS[name](), runtime, seconds)

    assert (outcome.status, outcome.output) == (expected[name], b"")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_classifier_passes_within_the_same_limits(
    check: Check, classifier: Callable[..., onnx.ModelProto], runtime: str
) -> None:
    """The control: it is what the model does that ends it."""
    outcome = check(classifier().SerializeToString(), runtime, 5.0)

    assert (outcome.status, read_check(outcome.output).code) == ("OK", 0)


def test_a_refused_model_ends_with_its_code(check: Check) -> None:
    """As bytes that only the runner opened: code n is rule EVA301 + n."""
    for name in ("mdl-epcontext", "mdl-function-bomb", "mdl-ext-hardlink"):
        code = read_check(check(FORGED_MODELS[name](), "runc").output).code

        assert f"EVA{301 + code}" == expected[name]
