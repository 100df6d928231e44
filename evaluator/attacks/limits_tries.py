"""Tries of the limits rows that need more than a program in the probe image: behind the wall."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluator.attacks.corpus import Attack
    from evaluator.attacks.probing import Bench, Tried

TRIES: dict[str, Callable[[Attack, Bench], Tried]] = {}
