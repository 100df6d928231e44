"""Keep the model that a run's `train` left until its `predict` is done, and pack or unpack it.

    hold      have /opt/ml/model mounted, and do nothing
    keep      /opt/ml/model -> one archive in /output/predictions
    restore   /input/archive -> /opt/ml/model

The files are a vendor's: they are handled here, behind the wall of the run, so that the host never
looks into them. Whatever an archive says, the volume is all that can be written.
"""

import signal
import sys
import tarfile
from pathlib import Path

MODEL = Path("/opt/ml/model")
ARCHIVE = Path("/input/archive")
OUTPUT = Path("/output/predictions")


def main(verb: str) -> None:
    """Carry out one verb."""
    if verb == "hold":
        signal.pause()
    elif verb == "keep":
        keep(MODEL, OUTPUT)
    elif verb == "restore":
        restore(ARCHIVE, MODEL)
    else:
        sys.exit("usage: hold | keep | restore")


def keep(model: Path, output: Path) -> None:
    """Pack files, folders and links; what else a program can make holds no model."""
    with output.open("r+b") as file, tarfile.open(fileobj=file, mode="w|") as archive:
        archive.add(model, ".", filter=plain)


def plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """The member without its owner, or None where it is none of these."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    kept = member.isreg() or member.isdir() or member.issym() or member.islnk()
    return member if kept else None


def restore(source: Path, model: Path) -> None:
    """Unpack everything but the folder itself, whose owner and mode stay.

    Folders get none of their own: what is in one without a right to write comes after it.
    """
    with source.open("rb") as file, tarfile.open(fileobj=file, mode="r|") as archive:
        for member in archive:
            if member.name not in {".", ""} and plain(member):
                archive.extract(member, model, set_attrs=member.isreg())


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]))
