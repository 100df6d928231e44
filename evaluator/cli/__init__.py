"""The command line: options become values, one call is made, and its answer is printed.

stdout carries results only, stderr everything else. Exit codes: `evaluator --help`.
"""

from evaluator.cli.main import EPILOG, cli, main

__all__ = ["EPILOG", "cli", "main"]
