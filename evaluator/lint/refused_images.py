"""The intake's own rules of images: the words of `intake.refusals`, and why each is there."""

from __future__ import annotations

from evaluator.intake.refusals import REMEDIES
from evaluator.lint.making import block, refusal

RULES = (
    refusal(
        101,
        "not-an-image-archive",
        "image",
        "archive",
        title="The file is an archive of one image",
        why=(
            "The archive is the one thing that is read of a submission, so whatever no builder "
            "writes is refused rather than guessed at: a member that stands twice, or a second "
            "image, is read differently by different programs."
        ),
        fix=REMEDIES["EVA101"]
        + block(
            "sh",
            "docker save IMAGE -o submission.tar",
        ),
    ),
    refusal(
        102,
        "image-too-large",
        "image",
        "archive",
        title="The image is no larger than the owner allows",
        why="The host's disk holds every layer unpacked, twice while it is rebuilt.",
        fix=REMEDIES["EVA102"]
        + block(
            "sh",
            "docker history IMAGE        # which step brings the bytes",
        ),
    ),
    refusal(
        103,
        "no-entry-point-set",
        "image",
        "config/Entrypoint",
        title="The image has an ENTRYPOINT",
        why=(
            "The verb is the only argument: without an entry point the engine would look for a "
            "program called `predict`."
        ),
        fix=REMEDIES["EVA103"]
        + block(
            "dockerfile",
            'ENTRYPOINT ["python", "/app/main.py"]',
        ),
    ),
    refusal(
        104,
        "wrong-platform",
        "image",
        "config",
        title="The image is for the owner's processor",
        why="It would run in an emulator or not at all; neither is measured.",
        fix=REMEDIES["EVA104"]
        + block(
            "sh",
            "docker build --platform linux/amd64 -t IMAGE .",
        ),
    ),
    refusal(
        105,
        "variable-not-allowed",
        "image",
        "config/Env",
        title="No variable steers the loader or the C library",
        why=(
            "Such variables act before the program starts, in whatever starts it: CVE-2025-23266 "
            "was an LD_PRELOAD that a hook of the container toolkit obeyed as root of the host."
        ),
        fix=REMEDIES["EVA105"]
        + block(
            "dockerfile",
            "ENV LD_LIBRARY_PATH=/opt/mylib/lib",
        ),
    ),
    refusal(
        106,
        "layer-is-not-its-digest",
        "image",
        "layers",
        title="Every layer is what its digest says",
        why=(
            "An engine takes its own layer for any digest that it knows, so a digest without its "
            "bytes would open somebody else's image."
        ),
        fix=REMEDIES["EVA106"]
        + block(
            "sh",
            "docker save IMAGE -o submission.tar",
        ),
    ),
    refusal(
        107,
        "working-directory-not-plain",
        "image",
        "config/WorkingDir",
        title="WORKDIR is a plain directory of the image",
        why=(
            "A working directory below /proc was a way out of the container (CVE-2024-21626); one "
            "where the sandbox mounts something would be hidden."
        ),
        fix="Name one of the image's own directories."
        + block(
            "dockerfile",
            "WORKDIR /app",
        ),
    ),
    refusal(
        108,
        "too-many-layers-or-large-documents",
        "image",
        "config",
        title="The manifest, config and layers are few and small",
        why="The engine keeps labels and history for good, and its file system has 127 layers.",
        fix=REMEDIES["EVA108"]
        + block(
            "dockerfile",
            "FROM scratch",
            "COPY --from=build / /",
            'ENTRYPOINT ["/predict"]',
        ),
    ),
    refusal(
        109,
        "image-not-readable-within-limits",
        "image",
        "archive",
        title="The image can be read within memory and time",
        why=(
            "A hostile archive can make its reader work for ever. The reader is a confined process,"
            " and this is its end."
        ),
        fix=REMEDIES["EVA109"]
        + block(
            "sh",
            "docker build -t IMAGE . && docker save IMAGE -o submission.tar",
        ),
    ),
    refusal(
        201,
        "device-or-fifo",
        "image",
        "layers",
        title="No layer holds a device node or a FIFO",
        why=(
            "A device node in an image is a door to the host's devices, a FIFO one to other "
            "processes."
        ),
        fix=REMEDIES["EVA201"]
        + block(
            "sh",
            "find . -type b -o -type c -o -type p    # in what the Dockerfile copies",
        ),
    ),
    refusal(
        202,
        "path-outside",
        "image",
        "layers",
        title="Every path in a layer is plain",
        why=(
            "Paths with `..`, links on the way or names of whiteouts are how an archive writes "
            "outside its own directory while it is unpacked."
        ),
        fix=REMEDIES["EVA202"]
        + block(
            "sh",
            "docker build -t IMAGE . && docker save IMAGE -o submission.tar",
        ),
    ),
    refusal(
        203,
        "mount-point-not-plain",
        "image",
        "layers",
        title="Nothing stands where the sandbox mounts",
        why=(
            "A link at a mount point sends the mount elsewhere: CVE-2025-31133, CVE-2025-52565 and "
            "CVE-2025-52881 were such links."
        ),
        fix=REMEDIES["EVA203"]
        + block(
            "dockerfile",
            "RUN rm -rf /input /output /opt/ml && mkdir -p /opt/ml",
        ),
    ),
    refusal(
        204,
        "entry-point-missing",
        "image",
        "config/Entrypoint",
        title="The entry point is a program that everyone may execute",
        why=(
            "The program runs under a random uid; what belongs to an account of the image is closed"
            " to it."
        ),
        fix=REMEDIES["EVA204"]
        + block(
            "dockerfile",
            "COPY --chmod=755 predict /predict",
            'ENTRYPOINT ["/predict"]',
        ),
    ),
    refusal(
        205,
        "too-many-entries",
        "image",
        "layers",
        title="The layers hold no more files than the owner allows",
        why=(
            "Each file takes memory while the image is read and an inode of the host for as long as"
            " it is kept."
        ),
        fix=REMEDIES["EVA205"]
        + block(
            "sh",
            "docker run --rm --entrypoint sh IMAGE -c 'find / -xdev | wc -l'",
        ),
    ),
    refusal(
        206,
        "compression-ratio",
        "image",
        "layers",
        title="No layer unpacks to far more than its size",
        why="A few kilobytes of compressed zeros fill a disk.",
        fix=REMEDIES["EVA206"]
        + block(
            "sh",
            "docker save IMAGE -o submission.tar",
        ),
    ),
    refusal(
        207,
        "hard-link-outside",
        "image",
        "layers",
        title="Hard links stay inside their layer",
        why=(
            "A hard link to a file that its layer does not hold would be made to a file of the host"
            " or of another image."
        ),
        fix=REMEDIES["EVA207"]
        + block(
            "sh",
            "docker build -t IMAGE . && docker save IMAGE -o submission.tar",
        ),
    ),
    refusal(
        208,
        "sparse-file",
        "image",
        "layers",
        title="No layer holds a sparse file",
        why=(
            "A sparse file claims terabytes in a few bytes, and readers of tar disagree on where "
            "its content ends."
        ),
        fix=REMEDIES["EVA208"]
        + block(
            "sh",
            "cp --sparse=never weights.bin weights.full && mv weights.full weights.bin",
        ),
    ),
    refusal(
        209,
        "layer-not-a-tar",
        "image",
        "layers",
        title="Every layer is a tar archive",
        why="What follows a damaged header is read differently by different programs.",
        fix=REMEDIES["EVA209"]
        + block(
            "sh",
            "docker save IMAGE -o submission.tar",
        ),
    ),
)
