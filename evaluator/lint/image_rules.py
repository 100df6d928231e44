"""EVA110 on: settings of an image that run all the same, and mean less than their vendor thinks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.lint.dockerfile import instructions, line_of, unpinned
from evaluator.lint.making import asks, block, image_of, rules_of
from evaluator.lint.rule import Hit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.lint.facts import Facts

_USEFUL = 12 * 2**30  # unpacked bytes: PyTorch with CUDA and a large model take 10 GiB
_BASE = "org.opencontainers.image.base."


@asks(
    110,
    "unpinned-base",
    "note",
    title="The base image is named by its digest",
    why="A tag moves: the same Dockerfile builds another image next month, and a result that was "
    "signed for one of them can no longer be rebuilt.",
    fix="Name the digest that the tag has now (`docker buildx imagetools inspect python:3.11-slim`)"
    "." + block("dockerfile", "FROM python:3.11-slim@sha256:DIGEST"),
)
def _unpinned_base(facts: Facts) -> Iterator[Hit]:
    if facts.dockerfile:
        for line, base in unpinned(facts.dockerfile):
            yield Hit(f"the base {base[:200]} is a tag, not a digest", "Dockerfile", line)
    elif facts.image:
        labels = dict(facts.image.labels)
        if labels.get(f"{_BASE}name") and not labels.get(f"{_BASE}digest"):
            yield Hit("its labels name a base image and no digest of it", "config/Labels")


@asks(
    111,
    "user-ignored",
    "note",
    needs=("image",),
    title="Nothing depends on USER",
    why="A container runs under a random uid without a name or a home, whatever USER says: what "
    "belongs to an account of the image alone cannot be read or written.",
    fix="Make everything readable for everyone, and write to `/tmp` and `/opt/ml/model` alone."
    + block("dockerfile", "RUN chmod -R a+rX /app"),
)
def _user_ignored(facts: Facts) -> Iterator[Hit]:
    user = image_of(facts).user
    if user.partition(":")[0] not in {"", "0", "root"}:
        line = line_of(facts.dockerfile, "USER")
        yield Hit(f"USER {user[:100]} is ignored: a random uid runs it", "config/User", line)


@asks(
    112,
    "larger-than-useful",
    "note",
    needs=("image",),
    title="The image is no larger than it needs to be",
    why="Every byte is hashed, unpacked and loaded before anything runs. Compilers, test data and "
    "libraries of devices that the owner does not have are the usual reasons.",
    fix="Build in one stage and copy into another."
    + block(
        "dockerfile",
        "FROM python:3.11 AS build",
        "RUN pip install --no-cache-dir --prefix /install -r requirements.txt",
        "FROM python:3.11-slim",
        "COPY --from=build /install /usr/local",
    ),
)
def _larger_than_useful(facts: Facts) -> Iterator[Hit]:
    image = image_of(facts)
    if image.unpacked > _USEFUL:
        yield Hit(
            f"{image.unpacked / 2**30:.1f} GiB in {image.layers} layers when unpacked", "layers"
        )


@asks(
    113,
    "volume-dropped",
    "warning",
    needs=("image",),
    title="No VOLUME is declared",
    why="Volumes are dropped: the path is then a directory of the image like any other, and the "
    "root file system is read-only. A program that writes there fails.",
    fix="Remove VOLUME; write to `/tmp`, or in `train` to `/opt/ml/model`."
    + block("dockerfile", "ENV CACHE_DIR=/tmp/cache"),
)
def _volume_dropped(facts: Facts) -> Iterator[Hit]:
    for volume in image_of(facts).volumes:
        line = line_of(facts.dockerfile, "VOLUME", volume)
        yield Hit(f"the volume {volume[:200]} is dropped", "config/Volumes", line)


@asks(
    114,
    "ports-dropped",
    "note",
    needs=("image",),
    title="No port is exposed",
    why="There is no network, and a submission is a program that ends, not a server. EXPOSE is "
    "often a sign that the image was made to serve.",
    fix="Remove EXPOSE, and let the entry point do its work and exit."
    + block("dockerfile", 'ENTRYPOINT ["python", "/app/main.py"]'),
)
def _ports_dropped(facts: Facts) -> Iterator[Hit]:
    ports = image_of(facts).ports
    if ports:
        line = line_of(facts.dockerfile, "EXPOSE")
        yield Hit(f"{', '.join(ports)[:200]} cannot be reached", "config/ExposedPorts", line)


@asks(
    115,
    "health-check-dropped",
    "note",
    needs=("image",),
    title="No HEALTHCHECK is declared",
    why="It is never run: what it prints would be kept by the engine.",
    fix="Remove it, or leave it for your other customers: here it does nothing."
    + block("dockerfile", "HEALTHCHECK NONE"),
)
def _health_check_dropped(facts: Facts) -> Iterator[Hit]:
    if image_of(facts).health_check:
        line = line_of(facts.dockerfile, "HEALTHCHECK")
        yield Hit("the HEALTHCHECK is dropped", "config/Healthcheck", line)


@asks(
    116,
    "command-replaced",
    "warning",
    needs=("image",),
    title="The entry point does not rely on CMD",
    why='The verb takes the place of CMD. With `ENTRYPOINT ["python"]` and `CMD ["main.py"]` '
    "Python is asked to run a file called `predict`.",
    fix="Put the whole command into ENTRYPOINT; the verb follows as its last argument."
    + block("dockerfile", 'ENTRYPOINT ["python", "/app/main.py"]', "CMD []"),
)
def _command_replaced(facts: Facts) -> Iterator[Hit]:
    command = image_of(facts).command
    if command and command not in {("predict",), ("train",)}:
        line = line_of(facts.dockerfile, "CMD")
        said = " ".join(command)[:200]
        yield Hit(f"CMD {said} is replaced by the verb", "config/Cmd", line)


@asks(
    119,
    "shell-form-entry-point",
    "warning",
    needs=("image",),
    title="ENTRYPOINT is a list, not a line for the shell",
    why='`ENTRYPOINT python main.py` becomes `/bin/sh -c "python main.py" predict`: the verb is '
    "the shell's own $0 and never reaches the program.",
    fix="Write it as a JSON list." + block("dockerfile", 'ENTRYPOINT ["python", "/app/main.py"]'),
)
def _shell_form_entry_point(facts: Facts) -> Iterator[Hit]:
    entry = image_of(facts).entrypoint
    shell = len(entry) > 2 and entry[0].rpartition("/")[2] in {"sh", "bash", "ash", "dash"}
    if shell and entry[1].endswith("c") and "$" not in entry[-1]:
        line = line_of(facts.dockerfile, "ENTRYPOINT")
        yield Hit("the shell takes the verb for itself", "config/Entrypoint", line)


@asks(
    124,
    "unpinned-download",
    "note",
    title="What the build downloads is named by its digest",
    why="ADD takes whatever the address serves on the day of the build, so the image cannot be "
    "built again, and nobody notices when the address changes hands.",
    fix="Give the checksum."
    + block(
        "dockerfile",
        "ADD --checksum=sha256:DIGEST https://example.org/weights.pt /app/weights.pt",
    ),
)
def _unpinned_download(facts: Facts) -> Iterator[Hit]:
    for each in instructions(facts.dockerfile):
        remote = "https://" in each.rest or "http://" in each.rest
        if each.word == "ADD" and remote and "--checksum=" not in each.rest:
            yield Hit("ADD of an address without a checksum", "Dockerfile", each.line)


RULES = rules_of(globals())
