"""The unit of compute: a petaflop is 1e15 operations, counted in whole millionths of it."""

MICRO = 1_000_000
"""Micro-petaflops in one petaflop: whole numbers of them make sums exact."""

OPERATIONS = 1e15 / MICRO
"""Operations in one micro-petaflop."""


def petaflops(micro: float) -> float:
    """Return micro-petaflops as petaflops."""
    return micro / MICRO


def in_micro(value: float) -> float:
    """Return petaflops that are a whole number of millionths; ValueError for others."""
    if round(value * MICRO) / MICRO != value:
        raise ValueError("petaflops have at most six decimals")
    return value
