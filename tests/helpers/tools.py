"""Programs that nobody here wrote: cosign and oras, fetched once by .ci/interop-tools."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def interop_tools() -> Path:
    """The directory whose bin/ holds them; a machine that cannot have them skips."""
    fetched = subprocess.run(
        [ROOT / ".ci" / "interop-tools"], capture_output=True, text=True, check=False
    )
    if fetched.returncode != 0:
        pytest.skip(f"no foreign programs: {fetched.stderr.strip()[-300:]}")
    return Path(fetched.stdout.strip())


def run_tool(name: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run one of them in a folder, with a home of its own and no network but this host."""
    nowhere = "http://127.0.0.1:9"
    own = {"HOME": str(cwd), "DOCKER_CONFIG": str(cwd), "NO_PROXY": "127.0.0.1"}
    return subprocess.run(
        [interop_tools() / "bin" / name, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **own, "HTTPS_PROXY": nowhere, "HTTP_PROXY": nowhere},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )
