"""What the harness does with the holdout in a run, without any container.

    python -m benchmarks.harness_part WORKSPACE

Every file is hashed against the seal, the holdout held against its commitment, and predictions,
all of one class, are read, counted and rounded, with all modules loaded that a run loads.
"""

import sys
from pathlib import Path

import evaluator.official  # noqa: F401 - so that what a run has in memory is there
from evaluator import scoring
from evaluator.dataset.commitment import check_commitment
from evaluator.dataset.labels import read_labels
from evaluator.dataset.sealed import check_seal, open_dataset
from evaluator.predictions import read_predictions
from evaluator.workspace import Workspace


def main() -> None:
    """Do it once."""
    workspace = Workspace(Path(sys.argv[1]))
    dataset = open_dataset(workspace.data)
    check_seal(dataset)
    check_commitment(dataset)
    classes = len(dataset.classes)
    predictions = read_predictions(bytes(dataset.holdout.size), dataset.holdout.size, classes)
    labels = read_labels(dataset.holdout, classes)
    counts = scoring.count(labels, predictions, dataset.classes, dataset.rare)
    scoring.publish(counts, workspace.settings().publish.grid())


if __name__ == "__main__":
    main()
