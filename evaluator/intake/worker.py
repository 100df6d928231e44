"""The child that reads a submitted archive: confined first, and believed by nobody.

    python -I -m evaluator.intake.worker REQUEST < archive > report

It has the archive's copy to read (standard input), a spool to write layers to, and a pipe
for one line of JSON: where the layers lie in the spool and which settings stay, or the rule
that refuses them. See `door` for the other end.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from evaluator.errors import Refused
from evaluator.image_settings import is_own_platform, reduced
from evaluator.intake import view
from evaluator.intake.archive import Image, find_image
from evaluator.intake.layers import rewritten
from evaluator.intake.marks import Marks, handed_in
from evaluator.intake.pieces import ARCHIVE, SPOOL, Joined, Layer, Writer
from evaluator.intake.refusals import Incomplete, refused
from evaluator.intake.streams import Budget, Unpacked, is_compressed
from evaluator.intake.tarstream import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.intake.tarstream import Entry

_MAX_LOOKS = 50  # over all headers, to follow the links of an entry point
_MEMORY = 2**30  # address space in bytes: 2,000,000 entries take a third of it
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38  # linux/prctl.h
_MALFORMED = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Request:
    """What the parent asks for. Sizes in bytes; `uid` is 0 where there is none to change to.

    With `marks` the report also says what a rehearsal is told of the image.
    """

    parent: int
    uid: int
    spool: int
    seconds: int
    unpacked_bytes: int
    ratio: int
    entries: int
    layers: int
    document_bytes: int
    marks: bool = False


def main() -> None:
    """Confine this process, read the archive on standard input, report on standard output."""
    request = Request(**json.loads(sys.argv[1]))
    confine(request)
    os.write(sys.stdout.fileno(), b" ")  # whatever ends it from here on is the archive's doing
    report = json.dumps(answer(request, sys.stdin.fileno())).encode()
    with open(sys.stdout.fileno(), "wb", closefd=False) as out:
        out.write(report)


def confine(request: Request) -> None:
    """Give up whatever reading bytes does not need; nothing hostile was touched before."""
    for what, most in {
        resource.RLIMIT_AS: _MEMORY,
        resource.RLIMIT_CPU: request.seconds,
        resource.RLIMIT_FSIZE: most_written(request.unpacked_bytes),
        resource.RLIMIT_NOFILE: 16,
        resource.RLIMIT_CORE: 0,
    }.items():
        resource.setrlimit(what, (most, most))
    if request.uid:
        os.setgroups([])
        os.setresgid(request.uid, request.uid, request.uid)
        os.setresuid(request.uid, request.uid, request.uid)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))  # counted for the new user
    libc = ctypes.CDLL(None, use_errno=True)
    # After the uid has changed: the kernel forgets it then.
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) or libc.prctl(
        _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0
    ):
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != request.parent:
        os.kill(os.getpid(), signal.SIGKILL)  # the parent died before it could be noticed
    sys.setrecursionlimit(200)  # also how deep JSON may be


def most_written(unpacked_bytes: int) -> int:
    """What all layers have at most, and the spool: a header can become three blocks longer."""
    return 4 * unpacked_bytes + 2**30


def answer(request: Request, archive: int) -> dict[str, Any]:
    """The report on the archive behind this descriptor: never words of it."""
    budget = Budget(request.unpacked_bytes, request.entries, request.ratio)
    try:
        with open(request.spool, "r+b", buffering=2**20, closefd=False) as spool:
            return _rebuilt(request, archive, spool, budget)
    except Refused as refusal:
        return {"rule": refusal.rule, "incomplete": isinstance(refusal, Incomplete)}
    except OSError as error:
        if error.errno == errno.EFBIG:
            return {"rule": "EVA102", "incomplete": False}
        return {"errno": error.errno or errno.EIO}  # the host's disk: nobody's submission


def _rebuilt(request: Request, source: int, spool: BinaryIO, budget: Budget) -> dict[str, Any]:
    size, file = os.fstat(source).st_size, ARCHIVE
    if is_compressed(os.pread(source, 4, 0)):
        size = _unpack(source, size, spool, budget)
        source, file = spool.fileno(), SPOOL
    image = find_image(source, 0, size, request.document_bytes, request.layers)
    settings = _settings(image)
    paths = view.candidates(settings["Entrypoint"][0], settings["Env"], settings["WorkingDir"])
    seen = view.View(view.with_parents([*view.MOUNT_POINTS, *paths]))
    marks = Marks() if request.marks else None
    out = Writer(spool)
    for number in range(len(image.layers)):
        for entry in _layer(source, file, image, number, out, budget):
            seen.see(number, entry)
            if marks:
                marks.see(entry)
    spool.flush()
    view.require_plain_mount_points(seen)
    layers = [Layer((spool.fileno(), source), pieces) for pieces in out.layers]
    _require_entry_point(seen, paths, layers)
    report: dict[str, Any] = {"settings": settings, "layers": out.layers}
    return (
        report | {"handed": handed_in(image.config) | {"marks": marks.counts}} if marks else report
    )


def _unpack(source: int, size: int, spool: BinaryIO, budget: Budget) -> int:
    """Unpack a compressed archive into the spool, since layers are looked up by place."""
    outer = Budget(budget.unpacked, 0, budget.ratio)
    unpacked = Unpacked(source, 0, size, outer)
    while chunk := unpacked.read():
        spool.write(chunk)
    spool.flush()
    return spool.tell()


def _settings(image: Image) -> dict[str, Any]:
    try:
        if not is_own_platform(image.config):
            raise refused("EVA104")
        return reduced(image.config.get("config") or {})
    except _MALFORMED as error:
        raise refused("EVA101") from error


def _layer(  # noqa: PLR0913, PLR0917 - both ends of a layer
    source: int, file: int, image: Image, number: int, out: Writer, budget: Budget
) -> Iterator[Entry]:
    """Write one layer anew, then see that all of its bytes were what its digests say.

    An engine that knows a digest takes its own layer instead of the bytes, so a digest alone
    would open another vendor's image.
    """
    blob = image.layers[number]
    unpacked = Unpacked(source, blob.start, blob.size, budget)
    out.begin((file, blob.start) if unpacked.plain else None)
    yield from rewritten(Reader(unpacked), out, budget)
    unpacked.drain()
    if f"sha256:{unpacked.digest.hexdigest()}" != image.config["rootfs"]["diff_ids"][number]:
        raise refused("EVA106")
    if blob.digest and f"sha256:{unpacked.packed.digest.hexdigest()}" != blob.digest:
        raise refused("EVA106")


def _require_entry_point(seen: view.View, paths: list[str], layers: list[Layer]) -> None:
    """Look for the entry point, going over the written headers again where a link leads on."""
    for _ in range(_MAX_LOOKS):
        try:
            view.require_entry_point(seen, paths)
        except view.Unseen as unseen:
            seen = view.View(seen.wanted | view.with_parents([unseen.path]))
            for number, layer in enumerate(layers):
                for entry in Reader(Joined(layer)):
                    seen.see(number, entry)
        else:
            return
    raise refused("EVA204")


if __name__ == "__main__":
    main()
