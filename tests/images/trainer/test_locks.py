"""What the trainer's image is made of: exact files, and torch from where it has no CUDA."""

from __future__ import annotations

import re

import pytest

from evaluator.workspace import shipped

LOCKS = {
    name: (shipped("images") / name).read_text().splitlines()
    for name in ("onnx/requirements.lock", "trainer/requirements.lock", "trainer/torch-cpu.lock")
}


def entries(name: str) -> dict[str, str]:
    """Package==version -> its hash."""
    lines = [line for line in LOCKS[name] if not line.startswith(("#", "--"))]
    return dict(zip(lines[::2], lines[1::2], strict=True))


@pytest.mark.parametrize("name", LOCKS)
def test_every_wheel_has_a_version_and_a_hash(name: str) -> None:
    """Nothing else is fetched."""
    for package, digest in entries(name).items():
        assert re.fullmatch(r"[a-z0-9-]+==[0-9.]+(\+cpu)? \\", package)
        assert re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}", digest)


def test_trainer_and_runner_share_their_pins() -> None:
    """Training is compared with the onnxruntime that predicts."""
    shared = entries("onnx/requirements.lock").items()
    assert shared <= entries("trainer/requirements.lock").items()


def test_only_torch_names_an_index() -> None:
    """PyTorch's own, which has the build without CUDA."""
    named = {name: [line for line in lines if "://" in line] for name, lines in LOCKS.items()}
    assert named.pop("trainer/torch-cpu.lock") == [
        "--extra-index-url https://download.pytorch.org/whl/cpu"
    ]
    assert not any(named.values())
