"""What a rehearsal is told of an image: counts and settings, none of which decide anything."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator.attacks.forged_images import PROGRAM, file, special, with_members, with_settings
from evaluator.errors import Refused
from evaluator.intake import door
from evaluator.intake.handed import Handed, image_facts
from evaluator.intake.marks import MARKS, MOST_CHARACTERS, MOST_TEXTS, Marks, handed_in
from evaluator.intake.tarstream import Entry
from tests.evaluator.intake.conftest import RULES

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.lint.facts import ImageFacts

SITE = "usr/local/lib/python3.11/site-packages"
# A mark, what counts once for it, and what looks like it and does not.
SEEN = {
    "whiteouts": ("a/.wh.b", "a/b.wh.c"),
    "model_files": ("opt/ml/model/weights.pt", "opt/ml/models/weights.pt"),
    "secrets": ("root/.aws/credentials", "app/aws/credentials.py"),
    "git": ("app/.git/HEAD", "app/git/HEAD"),
    "package_cache_files": ("var/lib/apt/lists/deb_main", "var/lib/apt/extended_states"),
    "home_weights": ("root/.cache/torch/hub/a.pt", "opt/.cache/torch/hub/a.pt"),
    "root_home_files": ("root/model.pt", "root/.bashrc"),
    "cuda_libraries": ("usr/lib/libcudart.so.12", "usr/lib/libcudart.txt"),
    "driver_libraries": ("usr/lib/libcuda.so.550.54", "usr/local/cuda/lib64/stubs/libcuda.so"),
    "package_torch": (f"{SITE}/torch/__init__.py", f"{SITE}/torch/nn/__init__.py"),
}


def counted(*entries: Entry) -> dict[str, int]:
    """The counts over some entries."""
    marks = Marks()
    for entry in entries:
        marks.see(entry)
    return marks.counts


@pytest.mark.parametrize("mark", SEEN)
def test_a_mark_counts_what_it_says_and_not_its_neighbour(mark: str) -> None:
    """By name and place alone."""
    hit, near = SEEN[mark]

    assert counted(Entry(hit, "file", size=5))[mark] == 1
    assert counted(Entry(near, "file", size=5))[mark] == 0


def test_what_only_its_owner_may_use_is_counted() -> None:
    """But not what base images close on purpose."""
    assert counted(Entry("app/model.pt", "file", mode=0o600))["unreadable"] == 1
    assert counted(Entry("app", "directory", mode=0o700))["unreadable"] == 1
    for entry in (
        Entry("app/model.pt", "file", mode=0o644),
        Entry("etc/shadow", "file", mode=0o640),
        Entry("root", "directory", mode=0o700),
        Entry("usr/lib/dbus-1.0/helper", "file", mode=0o750),
    ):
        assert counted(entry)["unreadable"] == 0


def test_the_last_layer_says_whether_root_is_closed() -> None:
    """A Dockerfile may open it: chmod 755 /root."""
    closed, opened = (Entry("root", "directory", mode=mode) for mode in (0o700, 0o755))

    assert counted(closed)["root_home_closed"] == 1
    assert counted(closed, opened)["root_home_closed"] == 0


def facts_of(archive: bytes, tmp_path: Path) -> ImageFacts:
    """What is told of an archive."""
    (tmp_path / "submission").write_bytes(archive)
    with door.unpacked(tmp_path / "submission", tmp_path, RULES, marks=True) as image:
        return image_facts(image, len(archive))


def test_a_rehearsal_hears_what_intake_drops(tmp_path: Path) -> None:
    """Settings as they were handed in, through the confined child and the strict door."""
    said: dict[str, Any] = {
        "Env": ["PATH=/bin", "NVIDIA_VISIBLE_DEVICES=all", "A=b=c"],
        "User": "app",
        "Volumes": {"/data": {}},
        "ExposedPorts": {"8080/tcp": {}},
        "Labels": {"org.opencontainers.image.base.name": "debian:12"},
        "Healthcheck": {"Test": ["CMD", "true"]},
        "Cmd": ["predict"],
    }
    facts = facts_of(with_settings(**said), tmp_path)

    assert facts.user == "app"
    assert facts.volumes == ("/data",)
    assert facts.ports == ("8080/tcp",)
    assert facts.labels == (("org.opencontainers.image.base.name", "debian:12"),)
    assert facts.health_check
    assert facts.command == ("predict",)
    assert facts.variables[1:] == (("NVIDIA_VISIBLE_DEVICES", "all"), ("A", "b=c"))
    assert facts.mark("entries") == facts.entries > 0


def test_layers_are_counted_on_the_way_through(tmp_path: Path) -> None:
    """Every layer's entries, whatever else becomes of them."""
    members = (
        file("predict", PROGRAM, 0o755),
        file("app/.git/HEAD", b"ref"),
        file("home/app/id_rsa", b"key", 0o600),
        special("app/id_rsa", tarfile.DIRTYPE),
    )
    facts = facts_of(with_members(*members), tmp_path)

    assert (facts.mark("git"), facts.mark("secrets"), facts.mark("unreadable")) == (1, 1, 2)
    assert facts.layers == 1
    assert facts.unpacked % 512 == 0


def test_an_official_intake_is_told_nothing(tmp_path: Path) -> None:
    """It did not ask."""
    (tmp_path / "submission").write_bytes(with_settings(User="app"))
    with door.unpacked(tmp_path / "submission", tmp_path, RULES) as image:
        assert image.handed is None


@pytest.mark.parametrize(
    "settings",
    [{"Labels": 5}, {"Volumes": [None, 3]}, {"Healthcheck": "x"}, {"User": ["\ud800"]}],
    ids=str,
)
def test_settings_of_no_known_form_refuse_nothing(settings: dict[str, Any], tmp_path: Path) -> None:
    """As in an official intake, which does not look at them."""
    assert facts_of(with_settings(**settings), tmp_path).entrypoint


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["config", "history", "Env", "User", "Labels", "Volumes", "Test", "created_by"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["config", "history", "os"]), JSON))
@settings(max_examples=150, deadline=None)
def test_whatever_a_config_says_passes_the_door(config: dict[str, Any]) -> None:
    """The child makes of it what the parent's model takes."""
    Handed.model_validate(handed_in(config) | {"marks": Marks().counts})


def test_long_settings_are_cut() -> None:
    """A report has a bound."""
    said = handed_in({"config": {"User": "ü" * 99_999, "Env": ["A=b"] * 99_999}})

    assert len(said["user"]) == MOST_CHARACTERS
    assert len(said["variables"]) == MOST_TEXTS


@pytest.mark.parametrize(
    "handed",
    [
        '{"user": "0"}',
        (
            '{"command":[],"variables":[],"user":"","volumes":[],"ports":[],"labels":[],'
            '"health_check":false,"history":[],"marks":{"entries":1}}'
        ),
        "null",
    ],
)
def test_a_child_that_tells_something_else_is_a_refusal(
    handed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Marks are all there, or nothing is believed."""
    settings = '{"Entrypoint": ["/predict"], "Env": [], "WorkingDir": "/"}'
    report = f'{{"settings": {settings}, "layers": [[0, 0]], "handed": {handed}}}'
    program = tmp_path / "child"
    program.write_text(f"#!/bin/sh\nprintf ' '\necho '{report}'\n")
    program.chmod(0o755)
    (tmp_path / "submission").write_bytes(b"x")
    monkeypatch.setattr(door, "_PYTHON", str(program))

    with (
        pytest.raises(Refused, match="EVA109"),
        door.unpacked(tmp_path / "submission", tmp_path, RULES, marks=True),
    ):
        pass


def test_names_of_marks_are_told_apart() -> None:
    """Each once."""
    assert len(set(MARKS)) == len(MARKS)
