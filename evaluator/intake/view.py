"""What stands at a path of the image once every layer lies over the one before.

Only paths that were asked for are kept, whatever else the layers hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evaluator.intake.layers import OPAQUE, WHITEOUT
from evaluator.intake.refusals import refused
from evaluator.intake.tarstream import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Where the engine or the wall mounts something: a link there would send the mount elsewhere
# (CVE-2025-31133, CVE-2025-52565, CVE-2025-52881).
_DIRECTORIES = (
    *("dev", "dev/shm", "dev/pts", "dev/mqueue", "proc", "sys", "run", "tmp", "etc"),
    *("input", "output", "submission", "opt", "opt/ml", "opt/ml/model"),
)
_FILES = (
    *("dev/null", "dev/console", "etc/passwd", "etc/group", "etc/hosts", "etc/hostname"),
    *("etc/resolv.conf", "input/manifest.json", "input/tiles.npy", "input/labels.npy"),
    *("input/crops.npy", "input/hyperparameters.json", "output/predictions"),
    "submission/model.onnx",
)
MOUNT_POINTS: dict[str, str] = dict.fromkeys(_DIRECTORIES, "directory") | dict.fromkeys(
    _FILES, "file"
)

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # the engine's default
_MAX_LINKS = 40  # as the kernel follows, path_resolution(7)
_MAX_CANDIDATES = 64


class Unseen(Exception):  # noqa: N818 - asks for another look, it is no fault
    """A path has to be known that was not asked for."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path


@dataclass(slots=True)
class View:
    """The entries at `wanted` paths, fed with every layer's entries in order."""

    wanted: frozenset[str]
    _found: dict[str, tuple[int, Entry]] = field(default_factory=dict)
    _folder: tuple[int, str] = (-1, "")

    def see(self, layer: int, entry: Entry) -> None:
        """Lay one entry of layer number `layer` over what is there."""
        folder, _, name = entry.name.rpartition("/")
        if (layer, folder) != self._folder:
            self._pass_through(layer, folder)
            self._folder = (layer, folder)
        if name == OPAQUE:
            self._remove_below(folder, layer)
        elif name.startswith(WHITEOUT):
            removed = f"{folder}/{name.removeprefix(WHITEOUT)}".lstrip("/")
            if removed in self.wanted:
                if self._found.get(removed, (layer,))[0] < layer:
                    del self._found[removed]
                self._remove_below(removed, layer)
        elif entry.name in self.wanted:  # as is every directory on the way to a wanted path
            if entry.kind != "directory":
                self._remove_below(entry.name, layer + 1)
            self._found[entry.name] = (layer, entry)

    def at(self, path: str) -> Entry | None:
        """What stands at a path, itself and not what it links to; Unseen where nobody looked."""
        if path not in self.wanted:
            raise Unseen(path)
        found = self._found.get(path)
        return found[1] if found else None

    def _pass_through(self, layer: int, folder: str) -> None:
        """Have the layer hold the directories on the way, as engines do where it has no entry."""
        while folder:
            held, entry = self._found.get(folder, (-1, None))
            here = held == layer and entry is not None and entry.kind == "directory"
            if folder in self.wanted and not here:
                self._found[folder] = (layer, Entry(folder, "directory"))
            folder = folder.rpartition("/")[0]

    def _remove_below(self, folder: str, layer: int) -> None:
        """Forget what lower layers have in a folder."""
        start = f"{folder}/" if folder else ""
        below = [p for p, (of, _) in self._found.items() if p.startswith(start) and of < layer]
        for path in below:
            del self._found[path]


def with_parents(paths: Iterable[str]) -> frozenset[str]:
    """The paths, plain and without a leading slash, and every directory on the way to them."""
    found = set()
    for path in paths:
        parts = [part for part in path.split("/") if part]
        found |= {"/".join(parts[: end + 1]) for end in range(len(parts))}
    return frozenset(found)


def require_plain_mount_points(view: View) -> None:
    """Refuse an image that has something else where something will be mounted (EVA203)."""
    for path, kind in MOUNT_POINTS.items():
        entry = view.at(path)
        if entry and entry.kind != kind and (kind, entry.kind) != ("file", "hardlink"):
            raise refused("EVA203")


def candidates(program: str, environment: Iterable[str], directory: str) -> list[str]:
    """Where a runtime looks for an entry point: at its path, or in each directory of PATH."""
    if program.startswith("/"):
        return [program]
    if "/" in program:
        return [f"{directory}/{program}"]
    given = next((line[5:] for line in environment if line.startswith("PATH=")), _PATH)
    folders = [folder for folder in given.split(":") if folder.startswith("/")]
    return [f"{folder}/{program}" for folder in folders[:_MAX_CANDIDATES]]


def require_entry_point(view: View, paths: list[str]) -> None:
    """Refuse an image whose entry point is at none of `paths`, or not executable (EVA204)."""
    for path in paths:
        entry = resolved(view.at, path)
        if entry and entry.kind in {"file", "hardlink"} and entry.mode & 0o111:
            if not entry.mode & 0o001:
                break  # the first that is found is the one that is started
            return
    raise refused("EVA204")


def resolved(at: Callable[[str], Entry | None], path: str) -> Entry | None:
    """The entry that `path` leads to, links followed inside the image as the kernel would.

    None where there is none, or a directory on the way may not be searched by "other".
    """
    here, rest, links = "", path.split("/")[::-1], 0
    entry: Entry | None = None
    while rest:
        part = rest.pop()
        if part in {"", "."}:
            continue
        if part == "..":
            here = here.rpartition("/")[0]
            continue
        step = f"{here}/{part}".lstrip("/")
        try:
            entry = at(step)
        except Unseen as unseen:
            raise Unseen("/".join([step, *rest[::-1]])) from unseen
        if entry is None:
            return None
        if entry.kind == "symlink":
            links += 1
            if links > _MAX_LINKS:
                return None
            here = "" if entry.link.startswith("/") else here
            rest += entry.link.split("/")[::-1]
        elif any(rest) and not (entry.kind == "directory" and entry.mode & 0o001):
            return None
        else:
            here = step
    return entry
