"""What `evaluator new` writes: a whole submission to start from, with what CI needs.

    write_kit("container", Path("my-model"), challenge)

A kit is a folder of images/kits, copied byte for byte. Two words in it are replaced, by values that
cannot be anything but a plain name and a version, whatever the directory is called.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evaluator import __version__
from evaluator.errors import OwnerError
from evaluator.workspace import shipped

if TYPE_CHECKING:
    from collections.abc import Iterator

Kit = Literal["container", "onnx"]


def write_kit(kit: Kit, directory: Path, challenge: bytes) -> None:
    """Make a directory that is not there yet, whole or not at all."""
    directory = Path.cwd() / directory
    if directory.exists() or directory.is_symlink():
        raise OwnerError(
            "There is something of that name already, and nothing is ever overwritten. Name a "
            "directory that does not exist."
        )
    words = {b"KIT_NAME": _image_name(directory.name), b"EVALUATOR_VERSION": __version__.encode()}
    try:
        with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".new-") as scratch:
            made = Path(scratch) / "kit"
            for inside, content in _files(kit):
                (made / inside).parent.mkdir(parents=True, exist_ok=True)
                (made / inside).write_bytes(_replaced(content, words))
            (made / "challenge.json").write_bytes(challenge)
            _let_everyone_read(made)
            made.rename(directory)
    except OSError as error:
        raise OwnerError(f"The directory cannot be made: {error.strerror}.") from error


def _files(kit: Kit) -> Iterator[tuple[Path, bytes]]:
    folder = shipped("images") / "kits" / kit
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(folder), path.read_bytes()


def _replaced(content: bytes, words: dict[bytes, bytes]) -> bytes:
    for word, value in words.items():
        content = content.replace(word, value)
    return content


def _image_name(directory: str) -> bytes:
    """What an image can be called, and a shell or YAML reads as one plain word."""
    name = "-".join(re.findall("[a-z0-9]+", directory.lower()))[:40].strip("-")
    return (name or "submission").encode()


def _let_everyone_read(made: Path) -> None:
    """Whatever the umask: a build copies the modes, and in its image the user has no name."""
    for path in (made, *made.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.suffix == ".sh" else 0o644)
