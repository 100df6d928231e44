"""What a technique raises where it is stopped without an errno."""


class Stopped(Exception):  # noqa: N818 - an outcome, not a fault
    """The technique had no effect."""
