"""What a vendor reads of a broken image rule: one sentence each, none of it the image's words."""

from __future__ import annotations

from evaluator.errors import Refused

# What is wrong, and what to do about it: the pages of the rules have the latter from here.
_SENTENCES: dict[str, tuple[str, str]] = {
    "EVA101": (
        (
            "this is no archive of one image: a file is missing, stands twice, is malformed or is "
            "of a kind that no builder makes."
        ),
        (
            "Make it with `docker save IMAGE -o FILE`. OCI archives and layouts are read as well; "
            "each may be compressed with gzip or zstd."
        ),
    ),
    "EVA102": (
        "the image is larger than this evaluation allows when unpacked.",
        "Leave out what a prediction does not need.",
    ),
    "EVA103": (
        "the image has no ENTRYPOINT.",
        (
            "It is started as `docker run IMAGE predict`, so the Dockerfile needs a line like "
            'ENTRYPOINT ["/predict"].'
        ),
    ),
    "EVA104": (
        "the image is not for this host's platform.",
        (
            "Build it for Linux on the processor that the evaluation names, for example with "
            "`docker build --platform linux/amd64`."
        ),
    ),
    "EVA105": (
        (
            "an ENV line is no NAME=value of at most 4 KiB plain text, or steers the dynamic loader"
            " or the C library (LD_*, GCONV_PATH, MALLOC_*, GLIBC_TUNABLES)."
        ),
        "Remove it; LD_LIBRARY_PATH may name directories under /usr, /opt and /lib.",
    ),
    "EVA106": (
        "a layer's bytes and its digest differ, or cannot be unpacked.",
        "Save the image again with `docker save`; layers may be plain, gzip or zstd.",
    ),
    "EVA107": (
        "WORKDIR must be a plain absolute directory of the image itself.",
        "",
    ),
    "EVA108": (
        ("the image has more layers, or a larger manifest or config, than this evaluation allows."),
        "Shorten its labels and history, or flatten it with a multi-stage build.",
    ),
    "EVA109": (
        (
            "reading the image took more memory or time than any ordinary one needs, or the archive"
            " made the reader fail."
        ),
        "Build it again with an ordinary builder and save it with `docker save`.",
    ),
    "EVA201": (
        "a layer holds a device node or a FIFO.",
        "Remove it from the image; the sandbox brings its own /dev.",
    ),
    "EVA202": (
        (
            "a path in a layer is absolute, holds `..` or an empty part, is too long, or leads "
            "through a link."
        ),
        "Build the image with an ordinary builder, which writes none of these.",
    ),
    "EVA203": (
        (
            "a place where the sandbox mounts something is a link or of another kind in the image: "
            "/dev, /proc, /sys, /run, /tmp, /etc, /input, /output, /opt/ml or a file in them."
        ),
        "Make it a plain directory or file, or leave it out.",
    ),
    "EVA204": (
        (
            "the ENTRYPOINT names a program that is not in the image, or that only its owner may "
            "execute."
        ),
        "The program runs under a uid of its own: chmod 755 it and its directories.",
    ),
    "EVA205": (
        "the layers hold more files than this evaluation allows.",
        "Leave some out.",
    ),
    "EVA206": (
        "a compressed layer or archive unpacks to far more than its size.",
        "Leave out files of zeros, or save the image uncompressed with `docker save`.",
    ),
    "EVA207": (
        "a hard link in a layer names no earlier file of the same layer.",
        "Build the image with an ordinary builder, which writes no such link.",
    ),
    "EVA208": (
        "a layer holds a sparse file.",
        "Pack it again without tar's --sparse.",
    ),
    "EVA209": (
        "a layer is no tar archive, or a damaged one.",
        "Save the image again with `docker save`.",
    ),
}
# What to do, by rule.
REMEDIES = {rule: remedy for rule, (_, remedy) in _SENTENCES.items() if remedy}


class Incomplete(Refused):
    """The archive names a file that it does not hold."""

    def __init__(self) -> None:
        super().__init__("EVA101", _sentence("EVA101"))


def refused(rule: str) -> Refused:
    """The refusal by this rule; KeyError for one that no image can break."""
    return Refused(rule, _sentence(rule))


def _sentence(rule: str) -> str:
    return " ".join(filter(None, _SENTENCES[rule]))
