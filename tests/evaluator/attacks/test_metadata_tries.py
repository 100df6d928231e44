"""What tells classes by order is recognised, and a shuffle is not taken for it."""

import random

from evaluator.attacks.metadata_tries import told_by_order


def test_labels_in_the_order_of_folders_are_told() -> None:
    """Whichever class comes first."""
    assert told_by_order([0] * 40 + [1] * 40)
    assert told_by_order([1] * 40 + [0] * 40)


def test_shuffled_labels_are_not_told() -> None:
    """A thousand shuffles, none of which looks sorted."""
    labels = [0] * 40 + [1] * 40
    shuffles = [random.Random(seed).sample(labels, 80) for seed in range(1000)]  # noqa: S311 - no secret
    assert not any(map(told_by_order, shuffles))
