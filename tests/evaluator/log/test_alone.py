"""Whoever verifies, witnesses or monitors needs Python and `cryptography`, and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

BARE = """
import runpy, sys

class Bare:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in sys.stdlib_module_names | {ALLOWED}:
            raise ImportError(f"a bare environment has no {name}")

sys.meta_path.insert(0, Bare())
sys.argv = ["program", "--help"]
runpy.run_module(NAME, run_name="__main__")
"""


def run_bare(name: str, allowed: set[str]) -> subprocess.CompletedProcess[str]:
    """Run a module's --help where only these packages can be imported."""
    program = BARE.replace("{ALLOWED}", repr(allowed)).replace("NAME", repr(name))
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", ["evaluator.log.witness", "evaluator.log.monitor"])
def test_programs_for_others_need_cryptography_alone(name: str) -> None:
    """And without it they do not run: the control."""
    assert run_bare(name, {"evaluator", "cryptography", "_cffi_backend"}).returncode == 0
    without = run_bare(name, {"evaluator"})
    assert without.returncode != 0
    assert "has no cryptography" in without.stderr


@pytest.mark.parametrize("name", ["proof", "cosigning", "store"])
def test_the_rest_of_the_log_needs_no_more(name: str) -> None:
    """Every module that a verifier could want."""
    module = f"evaluator.log.{name}"
    assert run_bare(module, {"evaluator", "cryptography", "_cffi_backend"}).returncode == 0
