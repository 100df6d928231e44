"""The attack corpus: every technique we know of, as data, and how the wall is tried with it."""
