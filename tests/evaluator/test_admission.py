"""Images through admission, with a real engine: what it gets, keeps and never sees."""

from __future__ import annotations

import io
import stat
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, cast

import pytest

import sandbox
from evaluator.admission import PULLED, Received, admit, receive, sweep_images
from evaluator.admission_policy import load_admission_policy
from evaluator.attacks.forged_images import FORGED, file, tag_overwrite, with_members
from evaluator.errors import Refused
from evaluator.intake import door
from evaluator.kept_images import kept_images
from evaluator.submission import Submission
from evaluator.workspace import shipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from docker import APIClient

    from evaluator.job import Job, Steps

pytestmark = pytest.mark.docker

KEPT = 2


@pytest.fixture
def engine() -> APIClient:
    """The engine."""
    return sandbox.connect()


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Path]:
    """A workspace's directory, whose images are gone at the end."""
    yield tmp_path
    policy = _policy(0)
    sweep_images(tmp_path / "tmp", tmp_path / "intake.json", policy)


def _policy(kept: int) -> Any:  # noqa: ANN401 - a policy with one value changed
    read = load_admission_policy(shipped("policies") / "admission.toml")
    values = {name: getattr(read, name) for name in ("onnx", "recipe", "sha256")}
    return SimpleNamespace(image=read.image.model_copy(update={"kept": kept}), **values)


@pytest.fixture
def submit(workspace: Path) -> Callable[..., tuple[str, dict[str, Any]]]:
    """A function that admits an archive: the image's id, and what the engine then says of it."""
    count = 0

    def run(archive: bytes, kept: int = KEPT) -> tuple[str, dict[str, Any]]:
        nonlocal count
        count += 1
        scratch = workspace / "tmp" / f"{count:016x}"
        scratch.mkdir(parents=True)
        path = workspace / "image.tar"
        path.write_bytes(archive)
        received = receive(Submission("image", path, ""), scratch, 10**9)
        job = _job(scratch, workspace / "intake.json", kept)
        with admit(received, job, NO_STEPS) as admitted:
            return admitted.image, sandbox.connect().inspect_image(admitted.image)

    return run


def _job(
    scratch: Path, record: Path | None, kept: int, recipe: bytes | None = None, largest: int = 10**9
) -> Job:
    values = {"scratch": scratch, "known_images": record, "largest": largest, "run": scratch.name}
    return cast("Job", SimpleNamespace(admission=_policy(kept), recipe=recipe, seen=None, **values))


def _never(*_: object, **__: object) -> Any:  # noqa: ANN401 - never called
    raise AssertionError


NO_STEPS = cast("Steps", SimpleNamespace(prepare=_never, run=_never))
"""An image needs no container of ours before it runs."""


def ids(engine: APIClient, workspace: Path) -> set[str]:
    """The images that the workspace owns."""
    owner = kept_images(workspace / "intake.json", workspace, _policy(0)).owner
    found = engine.images(filters={"label": f"evaluator.image={owner}"})
    return {image["Id"] for image in found}


TRICKS: dict[str, Callable[[dict[str, Any]], object]] = {
    "img-tag-overwrite": lambda image: image["RepoTags"],
    "img-volume": lambda image: image["Config"]["Volumes"],
    "img-healthcheck": lambda image: image["Config"].get("Healthcheck"),
    "img-user-root": lambda image: image["Config"]["User"],
    "img-stopsignal": lambda image: image["Config"].get("StopSignal"),
    "img-onbuild": lambda image: image["Config"]["OnBuild"],
    "img-env-nvidia": lambda image: [v for v in image["Config"]["Env"] or () if "NVIDIA" in v],
    "img-ansi-label": lambda image: (
        "\x1b" in str(image["Config"]["Labels"]).replace("\\x1b", "\x1b")
    ),
}


@pytest.mark.parametrize("attack", TRICKS)
def test_a_trick_in_an_images_settings_is_gone(
    submit: Callable[..., tuple[str, dict[str, Any]]], engine: APIClient, attack: str
) -> None:
    """The control is the same archive, loaded as it is."""
    archive = FORGED[attack]()
    before = {image["Id"] for image in engine.images(all=True)}
    (answer,) = [m["stream"] for m in engine.load_image(io.BytesIO(archive)) if "stream" in m][-1:]
    raw = answer.strip().split()[-1].removeprefix("ID:")
    try:
        assert TRICKS[attack](engine.inspect_image(raw))
    finally:
        if engine.inspect_image(raw)["Id"] not in before:
            engine.remove_image(raw, force=True)
    _, image = submit(archive)

    assert not TRICKS[attack](image)


def test_a_tag_never_moves(
    submit: Callable[..., tuple[str, dict[str, Any]]], engine: APIClient
) -> None:
    """No name of the archive reaches the engine."""
    _, image = submit(tag_overwrite("evaluator-forged/stolen:latest"))

    assert image["RepoTags"] == []
    assert engine.images("evaluator-forged/stolen") == []


def test_known_bytes_are_neither_unpacked_nor_loaded_again(
    submit: Callable[..., tuple[str, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One other byte is another submission: the control."""
    archive = with_members(file("known", b"1"))
    first, _ = submit(archive)
    monkeypatch.setattr(door, "unpacked", _never)

    assert submit(archive)[0] == first
    with pytest.raises(AssertionError):
        submit(with_members(file("known", b"2")))


def test_an_image_that_the_engine_lost_is_made_again(
    submit: Callable[..., tuple[str, dict[str, Any]]], engine: APIClient
) -> None:
    """With the same id."""
    archive = with_members(file("lost"))
    first, _ = submit(archive)
    engine.remove_image(first, force=True)

    assert submit(archive)[0] == first


def test_no_more_images_are_kept_than_the_policy_says(
    submit: Callable[..., tuple[str, dict[str, Any]]], engine: APIClient, workspace: Path
) -> None:
    """The oldest goes; with 0, all go."""
    images = [submit(with_members(file("n", str(n).encode())))[0] for n in range(3)]

    assert ids(engine, workspace) == set(images[1:])
    submit(with_members(file("n", b"last")), kept=0)
    assert ids(engine, workspace) == set()


def test_nothing_is_kept_without_a_record(tmp_path: Path, engine: APIClient) -> None:
    """As in a rehearsal."""
    (tmp_path / "image.tar").write_bytes(with_members(file("once")))
    received = receive(Submission("image", tmp_path / "image.tar", ""), tmp_path, 10**9)
    with admit(received, _job(tmp_path, None, KEPT), NO_STEPS) as admitted:
        assert engine.inspect_image(admitted.image)

    assert sandbox.find_image(admitted.image) is None


@pytest.mark.parametrize("recipe", [None, b'{"epochs":3}'])
def test_an_image_trains_itself_by_its_vendors_recipe(tmp_path: Path, recipe: bytes | None) -> None:
    """The same image for every verb; the recipe is there for `train` alone, if there is one."""
    (tmp_path / "image.tar").write_bytes(with_members(file("trains")))
    received = receive(Submission("image", tmp_path / "image.tar", ""), tmp_path, 10**9)
    with admit(received, _job(tmp_path, None, KEPT, recipe), NO_STEPS) as admitted:
        given = {mount.target: mount.source for mount in admitted.trainer_inputs}

    assert (admitted.image, admitted.ours) == (admitted.trainer, False)
    assert admitted.inputs == admitted.tuned_inputs == ()
    assert given.keys() == ({"/input/hyperparameters.json"} if recipe else set())
    assert [path.read_bytes() for path in given.values()] == [recipe] * bool(recipe)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o444 for path in given.values())


@pytest.mark.parametrize(("kind", "rule"), [("image", "EVA102"), ("onnx", "EVA301")])
def test_a_submission_beyond_the_limit_is_refused_unseen(
    tmp_path: Path, kind: Literal["image", "onnx"], rule: str
) -> None:
    """By its size alone: no container, no unpacking, and no more of it is kept than the limit."""
    (tmp_path / "file").write_bytes(bytes(5000))
    received = receive(Submission(kind, tmp_path / "file", ""), tmp_path, 1000)
    with (
        pytest.raises(Refused) as refused,
        admit(received, _job(tmp_path, None, KEPT, largest=1000), NO_STEPS),
    ):
        _never()

    assert refused.value.rule == rule
    assert received.size == 5000
    assert received.file.stat().st_size <= 1000


@pytest.mark.parametrize("here_before", [False, True])
def test_a_pull_of_a_killed_run_is_swept_and_no_other_image(
    engine: APIClient, workspace: Path, *, here_before: bool
) -> None:
    """What was here before the pull is the operator's."""
    archive = with_members(file("pulled", str(workspace).encode()))
    (workspace / "tmp" / "run").mkdir(parents=True)
    (workspace / "image.tar").write_bytes(archive)
    image = list(engine.load_image(io.BytesIO(archive)))[-1]["stream"].split()[-1]
    note = workspace / "tmp" / "run" / PULLED
    note.write_text(
        f'{{"reference": "{image}", "before": ["{image if here_before else "sha256:0"}"]}}'
    )
    try:
        sweep_images(workspace / "tmp", workspace / "intake.json", _policy(KEPT))
        assert (sandbox.find_image(image) == image) is here_before
        assert not note.exists()
    finally:
        with suppress(Exception):
            engine.remove_image(image, force=True)


def test_a_note_that_was_not_finished_is_no_obstacle(workspace: Path) -> None:
    """It is written before the pull, so nothing was pulled."""
    (workspace / "tmp" / "run").mkdir(parents=True)
    (workspace / "tmp" / "run" / PULLED).write_text('{"refer')

    sweep_images(workspace / "tmp", workspace / "intake.json", _policy(KEPT))


def test_a_pull_that_announces_too_much_is_broken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the bytes have come; the submission is then refused by its size."""

    class Client:
        """A registry that announces three layers of 1 GB, one after the other."""

        asked = 0

        def images(self, **_: object) -> list[dict[str, str]]:
            return []

        def pull(self, *_: object, **__: object) -> Iterator[dict[str, Any]]:
            for layer in "abc":
                Client.asked += 1
                yield {"id": layer, "progressDetail": {"current": 1, "total": 10**9}}
                yield {"id": layer, "progressDetail": {"current": 2, "total": 10**9}}

    monkeypatch.setattr("sandbox.images.find_image", lambda _: None)
    monkeypatch.setattr("sandbox.images.connect", Client)
    reference = f"registry.example/model@sha256:{'1' * 64}"
    received = receive(Submission("image", None, reference), tmp_path, 15 * 10**8)

    assert isinstance(received, Received)
    assert (received.size, received.sha256) == (2 * 10**9, "1" * 64)
    assert Client.asked == 2
