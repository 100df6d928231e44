"""The least that a program on the product's libraries can do: one container, and no checks.

    python -m benchmarks.floor IMAGE MODEL LIMITS DATASET PREDICTIONS

It imports what a run imports of others, hashes the model and all files of DATASET (a sealed
version) in a thread, has the engine make, start and remove one container of our runner meanwhile,
and scores what that wrote. There are no settings, no look at the host, no accounts, no log, no
limits on the model, no signature and no result: what `evaluator run` takes beyond this is its own.
"""

from __future__ import annotations

import hashlib
import sys
import threading
from pathlib import Path

import click  # noqa: F401 - what a run imports
import docker
import numpy as np
import pydantic
from cryptography.hazmat.primitives import serialization  # noqa: F401 - as above
from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: F401 - as above

pydantic.create_model("First", number=(int, 0))  # what the library imports for its first model
CPUS, MEMORY = 2, 8 * 2**30


def main(image: str, model: Path, limits: Path, dataset: Path, predictions: Path) -> None:
    """Run it, and print the accuracy."""
    hashing = threading.Thread(target=_hash, args=(model, dataset))
    hashing.start()
    tiles = dataset / "holdout" / "tiles"
    binds = [
        f"{model}:/submission/model.onnx:ro",
        f"{limits}:/input/admission.json:ro",
        f"{tiles}/tiles.npy:/input/tiles.npy:ro",
        f"{tiles}/manifest.json:/input/manifest.json:ro",
        f"{predictions}:/output/predictions",
    ]
    client = docker.APIClient(version="auto")
    host = client.create_host_config(
        binds=binds,
        network_mode="none",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        mem_limit=MEMORY,
        nano_cpus=CPUS * 10**9,
        pids_limit=256,
        tmpfs={"/tmp": "noexec"},  # noqa: S108 - a path inside the container
    )
    container = client.create_container(
        image,
        "predict",
        user="65534:65534",
        environment={"EVALUATOR_THREADS": str(CPUS)},
        host_config=host,
    )["Id"]
    try:
        client.start(container)
        client.wait(container)
    finally:
        client.remove_container(container, force=True, v=True)
    hashing.join()
    labels = np.load(dataset / "holdout" / "labels" / "labels.npy")
    print((np.fromfile(predictions, np.uint8) == labels).mean())  # noqa: T201 - the user's result


def _hash(model: Path, dataset: Path) -> None:
    for path in (model, *(path for path in dataset.rglob("*") if path.is_file())):
        with path.open("rb", buffering=0) as file:
            hashlib.file_digest(file, "sha256")


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
