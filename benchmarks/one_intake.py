"""One intake of an archive, in a process of its own, as a run does it before anything is started.

    python -m benchmarks.one_intake ARCHIVE FOLDER

FOLDER holds an empty folder `scratch`, and gets the record of known images and a file `peak`: the
bytes of memory that this process and the confined child took, each at its largest.
"""

from __future__ import annotations

import sys
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from evaluator.admission import admit, receive
from evaluator.admission_policy import load_admission_policy
from evaluator.incoming import Incoming
from evaluator.kept_images import kept_images
from evaluator.submission import Submission
from evaluator.workspace import shipped

if TYPE_CHECKING:
    from evaluator.job import Job, Steps
    from evaluator.kept_images import KeptImages

MOST = 2**40  # bytes of an archive


def kept(folder: Path) -> KeptImages:
    """The images that the engine has of the evaluator."""
    policy = load_admission_policy(shipped("policies") / "admission.toml")
    return kept_images(folder / "intake.json", folder / "scratch", policy)


def main(archive: Path, folder: Path) -> None:
    """Receive and admit the archive."""
    scratch = folder / "scratch"
    incoming = Incoming(folder / "incoming", lambda *_: None)
    received = receive(Submission("image", archive, ""), scratch, MOST, incoming)
    job = SimpleNamespace(
        scratch=scratch,
        known_images=kept(folder).record,
        admission=load_admission_policy(shipped("policies") / "admission.toml"),
        largest=MOST,
        recipe=None,
        seen=None,
    )
    with admit(received, cast("Job", job), cast("Steps", None)):
        (folder / "peak").write_text(str(_own_peak() + getrusage(RUSAGE_CHILDREN).ru_maxrss * 1024))


def _own_peak() -> int:
    """Bytes; getrusage would count what started this process before its exec as well."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
