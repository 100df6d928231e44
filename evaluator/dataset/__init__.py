"""Tiles in, a sealed dataset out.

The rest of the program uses `sealed`; `importing` is where a dataset comes from, and its
docstring says in which order to read the others.
"""
