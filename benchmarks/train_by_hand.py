"""What a user would do without the wall: the recipe as a loop in torch, on the network itself.

    python train_by_hand.py NETWORK INPUTS

INPUTS has what a training in the sandbox finds in /input. Printed are the seconds from the end of
the first step to the end of the last epoch's validation. Nothing is saved. The loop is the very one
that a test compares the trainer with, score by score.
"""

# mypy: ignore-errors
# What it imports is not in the environment that is type-checked.
from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "images" / "trainer" / "inside"))
from by_hand import train

from benchmarks.models import network

json.dump(train(network(sys.argv[1]), Path(sys.argv[2])), sys.stdout)
