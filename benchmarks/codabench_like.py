"""The steps that a competition platform of Codabench's kind takes for one submission.

    python -m benchmarks.codabench_like worker BUNDLES FOLDER IMAGE RUNTIME

Its worker unzips what was uploaded, runs the submission in one container and the scoring in
another, and zips what came out. What it takes beside these is left out, in its favour: the queue,
fetching the image, uploads and downloads. So is what it does not have: `--network none` is given
here, so that both flows promise the same of the tiles. Tiles are PNG files, as such bundles have
them, and each submission brings its own loop over them. The other two forms, `predict` and `score`,
are what runs in the containers; there this file is alone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import NDArray

PYTHON = (3, 11)  # of the image
APP = Path("/app")
BATCH = 64
INPUT, REFERENCE, PROGRAM, OUTPUT = "input", "reference", "program", "output"


def write_bundles(folder: Path, tiles: NDArray, labels: NDArray, model: Path) -> None:  # type: ignore[type-arg]  # of uint8
    """What the organiser and the vendor upload: tiles and labels, and a program with its model."""
    from PIL import Image  # noqa: PLC0415 - not in a scoring container

    folder.mkdir()
    with zipfile.ZipFile(folder / f"{INPUT}.zip", "w") as bundle:
        for number, tile in enumerate(tiles):
            with bundle.open(f"{number:05}.png", "w") as file:
                Image.fromarray(tile).save(file, "PNG")
    with zipfile.ZipFile(folder / f"{REFERENCE}.zip", "w") as bundle:
        bundle.writestr("labels.json", json.dumps(labels.tolist()))
    with zipfile.ZipFile(folder / f"{PROGRAM}.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.write(model, "model.onnx")
        bundle.write(__file__, "main.py")


def worker(bundles: Path, folder: Path, image: str, runtime: str) -> None:
    """Unzip, predict, score, zip."""
    for name in (INPUT, REFERENCE, PROGRAM):
        with zipfile.ZipFile(bundles / f"{name}.zip") as bundle:
            bundle.extractall(folder / name)
    (folder / OUTPUT).mkdir()
    for verb in ("predict", "score"):
        subprocess.run(container(folder, image, runtime, verb), check=True)
    with zipfile.ZipFile(folder / "output.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        for path in (folder / OUTPUT).iterdir():
            bundle.write(path, path.name)
    print((folder / OUTPUT / "scores.json").read_text())  # noqa: T201 - what is shown to the vendor


def container(folder: Path, image: str, runtime: str, verb: str) -> list[str]:
    """The command line: a writable root, no limits; Pillow comes from this host."""
    import PIL  # noqa: PLC0415 - as above

    pillow = Path(PIL.__file__).parent
    seen = REFERENCE if verb == "score" else INPUT
    binds = {
        **{folder / name: APP / name for name in (seen, PROGRAM, OUTPUT)},
        pillow: Path("/opt/pillow/PIL"),
        pillow.parent / "pillow.libs": Path("/opt/pillow/pillow.libs"),
    }
    options = ["--network", "none", "--security-opt", "no-new-privileges", "--runtime", runtime]
    for source, target in binds.items():
        options += ["-v", f"{source}:{target}"]
    for variable in ("PYTHONPATH=/opt/pillow", "PYTHONDONTWRITEBYTECODE=1"):
        options += ["-e", variable]
    entry = ["--entrypoint", "/usr/bin/python3.11"]
    return ["docker", "run", "--rm", *options, *entry, image, str(APP / PROGRAM / "main.py"), verb]


def predict() -> None:
    """The submission: decode the PNG files, predict them, write a line for each."""
    import numpy as np  # noqa: PLC0415 - what only a container needs
    import onnxruntime as ort  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    session = ort.InferenceSession(APP / PROGRAM / "model.onnx", providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    names = sorted((APP / INPUT).glob("*.png"))
    classes: list[int] = []
    for start in range(0, len(names), BATCH):
        decoded = [np.asarray(Image.open(name)) for name in names[start : start + BATCH]]
        pixels = np.stack(decoded)[:, None].astype(np.float32)
        classes += session.run(None, {taken.name: pixels})[0].argmax(1).tolist()
    (APP / OUTPUT / "predictions.txt").write_text("\n".join(map(str, classes)))


def score() -> None:
    """The organiser's program: hold the lines against the labels."""
    import numpy as np  # noqa: PLC0415 - as above

    labels = np.array(json.loads((APP / REFERENCE / "labels.json").read_text()))
    predicted = np.loadtxt(APP / OUTPUT / "predictions.txt", dtype=np.int64)
    accuracy = float((predicted == labels).mean())
    (APP / OUTPUT / "scores.json").write_text(json.dumps({"accuracy": accuracy}))


def possible() -> bool:
    """Whether there is a docker command, and this Python's Pillow fits the image's Python."""
    return shutil.which("docker") is not None and sys.version_info[:2] == PYTHON


if __name__ == "__main__":
    os.umask(0o022)
    if sys.argv[1] == "worker":
        worker(Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:])
    else:
        {"predict": predict, "score": score}[sys.argv[1]]()
