"""Layers over each other: mount points, and the way to the entry point."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.attacks.forged_images import PROGRAM, digest, file, image_config, special, tar
from evaluator.intake.tarstream import Entry
from evaluator.intake.view import View, with_parents

if TYPE_CHECKING:
    from collections.abc import Callable


Member = tuple[tarfile.TarInfo, bytes]
NAMES = ("a", "b", "c")


def image(*layers: list[Member], **settings: object) -> bytes:
    """An archive of several layers."""
    contents = [tar(members) for members in layers]
    config = json.dumps(image_config(map(digest, contents), **settings)).encode()
    names = [f"{number}.tar" for number in range(len(contents))]
    manifest = json.dumps([{"Config": "config.json", "Layers": names}]).encode()
    stored = [file(name, content) for name, content in zip(names, contents, strict=True)]
    return tar([*stored, file("config.json", config), file("manifest.json", manifest)])


def program(name: str, mode: int = 0o755) -> Member:
    """An executable."""
    return file(name, PROGRAM, mode)


def symlink(name: str, target: str) -> Member:
    """A symlink."""
    return special(name, tarfile.SYMTYPE, target)


def folder(name: str, mode: int = 0o755) -> Member:
    """A directory."""
    member = special(name, tarfile.DIRTYPE)
    member[0].mode = mode
    return member


def hard_link(name: str, target: str) -> Member:
    """An executable under another name."""
    member = special(name, tarfile.LNKTYPE, target)
    member[0].mode = 0o755
    return member


PREDICT = program("predict")
NOT_PLAIN = {
    "a link at /tmp": [[PREDICT, symlink("tmp", "/opt")]],
    "a link at /input": [[PREDICT, symlink("input", "opt")]],
    "a file at /proc": [[PREDICT, file("proc")]],
    "a directory at /etc/hosts": [[PREDICT, folder("etc/hosts")]],
    "a link at /etc/passwd": [[PREDICT, symlink("etc/passwd", "/predict")]],
    "a link at the manifest": [[PREDICT, symlink("input/manifest.json", "/predict")]],
    "a link at /dev/null": [[PREDICT, symlink("dev/null", "/predict")]],
    "a link in an upper layer": [[PREDICT, folder("run")], [symlink("run", "/opt")]],
    "a link that the next layer keeps": [[PREDICT, symlink("run", "/opt")], [file("x")]],
}
PLAIN = {
    "directories": [[PREDICT, folder("tmp"), folder("proc"), folder("opt/ml/model")]],
    "none at all": [[PREDICT]],
    "ordinary files": [[PREDICT, file("etc/hosts"), file("etc/passwd", b"root")]],
    "a hard link": [[PREDICT, file("a"), special("etc/hosts", tarfile.LNKTYPE, "a")]],
    "a link taken away": [[PREDICT, symlink("run", "/opt")], [file(".wh.run")]],
    "a link under an opaque folder": [
        [PREDICT, symlink("etc/hosts", "/x")],
        [file("etc/.wh..wh..opq")],
    ],
    "a link with a directory over it": [[PREDICT, symlink("run", "/opt")], [folder("run")]],
    "a link with a file in a directory over it": [
        [PREDICT, symlink("run", "/opt")],
        [file("run/lock")],
    ],
    "a link elsewhere": [[PREDICT, symlink("var/run", "/run")]],
}


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_a_mount_point_that_is_not_plain_is_refused(rule_of: Callable[..., str], name: str) -> None:
    """A mount would go where the link leads."""
    assert rule_of(image(*NOT_PLAIN[name])) == "EVA203"


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_mount_point_is_accepted(rule_of: Callable[..., str], name: str) -> None:
    """Also where only an upper layer makes it plain."""
    assert rule_of(image(*PLAIN[name])) == "accepted"


STARTABLE = {
    "by its path": ([[PREDICT]], "/predict"),
    "through a merged /bin": (
        [[folder("usr/bin"), symlink("bin", "usr/bin"), program("usr/bin/sh")]],
        "/bin/sh",
    ),
    "through many links": (
        [
            [
                program("a1"),
                *(symlink(f"a{n + 1}", f"./x/../a{n}") for n in range(1, 9)),
                folder("x"),
            ]
        ],
        "/a9",
    ),
    "in PATH": ([[program("usr/local/bin/python")]], "python"),
    "in a PATH of the image's own": ([[program("app/predict")]], "predict"),
    "below WORKDIR": ([[program("app/predict")]], "./predict"),
    "a hard link": ([[program("a"), hard_link("b", "a")]], "/b"),
    "in an upper layer": ([[file("x")], [PREDICT]], "/predict"),
    "from the root upwards": ([[PREDICT]], "/../predict"),
}
NOT_STARTABLE = {
    "absent": ([[PREDICT]], "/gone"),
    "empty": ([[PREDICT]], ""),
    "a directory": ([[folder("predict")]], "/predict"),
    "below a file": ([[PREDICT]], "/predict/predict"),
    "not executable": ([[program("predict", 0o644)]], "/predict"),
    "for its owner alone": ([[program("predict", 0o750)]], "/predict"),
    "in a folder for its owner alone": ([[folder("a", 0o700), program("a/b")]], "/a/b"),
    "taken away": ([[PREDICT], [file(".wh.predict")]], "/predict"),
    "taken away with its folder": ([[program("a/b")], [file(".wh.a")]], "/a/b"),
    "under an opaque folder": ([[program("a/b")], [file("a/.wh..wh..opq")]], "/a/b"),
    "under a file": ([[program("a/b")], [file("a")]], "/a/b"),
    "a link to itself": ([[symlink("predict", "predict")]], "/predict"),
    "a link to nothing": ([[symlink("predict", "/proc/self/exe")]], "/predict"),
    "not in PATH": ([[program("opt/predict")]], "predict"),
}
SETTINGS = {"Env": ["PATH=/usr/local/bin:/app"], "WorkingDir": "/app"}


@pytest.mark.parametrize("name", STARTABLE)
def test_an_entry_point_is_found_as_the_runtime_would(
    rule_of: Callable[..., str], name: str
) -> None:
    """By path, by PATH, by WORKDIR, through links."""
    layers, entry = STARTABLE[name]

    assert rule_of(image(*layers, Entrypoint=[entry], **SETTINGS)) == "accepted"


@pytest.mark.parametrize("name", NOT_STARTABLE)
def test_an_entry_point_that_cannot_start_is_refused(
    rule_of: Callable[..., str], name: str
) -> None:
    """Before gVisor leaves processes behind for it."""
    layers, entry = NOT_STARTABLE[name]

    assert rule_of(image(*layers, Entrypoint=[entry], **SETTINGS)) == "EVA204"


PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
CHANGES = st.one_of(
    st.tuples(st.sampled_from(["file", "symlink", "directory"]), PATHS),
    st.tuples(st.sampled_from(["whiteout", "opaque"]), PATHS),
)


def applied(tree: dict[str, str], layer: list[tuple[str, str]]) -> dict[str, str]:
    """The oracle: whiteouts act on the layers below, then the layer's own tree covers them."""
    own: dict[str, str] = {}
    for change, path in layer:
        parts = path.split("/")
        folders = len(parts) + (change == "opaque")
        own |= {"/".join(parts[:end]): "directory" for end in range(1, folders)}
        if change not in {"whiteout", "opaque"}:
            own[path] = change
    solid = {path for path, kind in own.items() if kind != "directory"}
    gone = {path for change, path in layer if change == "whiteout"} | solid
    emptied = {path for change, path in layer if change == "opaque"} | gone

    def shows(path: str) -> bool:
        return path not in gone and not any(path.startswith(f"{each}/") for each in emptied)

    return {path: kind for path, kind in tree.items() if shows(path)} | own


def consistent(layer: list[tuple[str, str]]) -> bool:
    """No path has two kinds, or lies below what is no directory: others are refused (EVA202)."""
    paths = [path for _, path in layer]
    solid = [f"{path}/" for change, path in layer if change not in {"directory", "opaque"}]
    inside = [path if change != "opaque" else f"{path}/." for change, path in layer]
    return len(set(paths)) == len(paths) and not any(
        path.startswith(each) for path in inside for each in solid
    )


def entry(change: str, path: str) -> Entry:
    """The layer's entry for a change."""
    start, _, name = path.rpartition("/")
    if change == "whiteout":
        return Entry(f"{start}/.wh.{name}".lstrip("/"), "file")
    if change == "opaque":
        return Entry(f"{path}/.wh..wh..opq", "file")
    return Entry(path, change)  # type: ignore[arg-type]


@given(st.lists(st.lists(CHANGES, max_size=5).filter(consistent), max_size=4))
def test_the_view_is_what_the_layers_make(layers: list[list[tuple[str, str]]]) -> None:
    """Against a model that holds the whole tree."""
    every = [f"{a}/{b}/{c}" for a in NAMES for b in NAMES for c in NAMES]
    view = View(with_parents(every))
    tree: dict[str, str] = {}
    for number, layer in enumerate(layers):
        for change, path in layer:
            view.see(number, entry(change, path))
        tree = applied(tree, layer)
    found = {path: view.at(path) for path in view.wanted}

    assert {path: e.kind for path, e in found.items() if e} == tree
