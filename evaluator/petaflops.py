"""The unit of compute: a petaflop is 1e15 operations, counted in whole millionths of it."""

MICRO = 1_000_000
"""Micro-petaflops in one petaflop: whole numbers of them make sums exact."""

OPERATIONS = 1e15 / MICRO
"""Operations in one micro-petaflop."""


def petaflops(micro: float) -> float:
    """Return micro-petaflops as petaflops."""
    return micro / MICRO
