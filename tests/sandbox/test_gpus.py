"""A GPU that is not there, asked of the engine of this host: one sentence that says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import sandbox
from sandbox import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox import Spec

pytestmark = pytest.mark.docker
# No driver of that name, no such device of a driver that is there, or no such CDI name.
SENTENCES = (
    "The Docker engine has no driver for the GPUs",
    "The NVIDIA Container Toolkit could not give the run its GPUs",
    "The Docker engine cannot give a run the gpu_devices",
)


@pytest.mark.parametrize(
    "gpu", ["GPU-00000000-0000-0000-0000-000000000000", "vendor.example/gpu=none"]
)
def test_a_gpu_that_is_not_there_is_the_hosts_trouble(
    make_image: Callable[..., str], make_spec: Callable[..., Spec], scratch: Path, gpu: str
) -> None:
    """By its UUID or by a CDI name; the program, which would end well, is not started."""
    image = make_image("true")
    assert sandbox.run(make_spec(image), scratch, "{}").status == "OK"

    with pytest.raises(SandboxError) as error:
        sandbox.run(make_spec(image, gpus=(gpu,)), scratch, "{}")
    assert str(error.value).startswith(SENTENCES)
