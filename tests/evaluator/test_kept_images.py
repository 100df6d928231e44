"""Known bytes: what is remembered of them, and for how long."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import sandbox
from evaluator import kept_images
from evaluator.kept_images import KeptImages

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


def sha256(text: str) -> str:
    """Any digest."""
    return hashlib.sha256(text.encode()).hexdigest()


def image(number: int) -> str:
    """Any image's id."""
    return f"sha256:{number:064x}"


class Engine:
    """An engine that only has images, by owner."""

    def __init__(self) -> None:
        self.images: dict[str, str] = {}

    def find_image(self, reference: str) -> str | None:
        """As sandbox.find_image."""
        return reference if reference in self.images else None

    def remove_admitted(self, owner: str, keep: Collection[str]) -> None:
        """As sandbox.remove_admitted."""
        self.images = {i: o for i, o in self.images.items() if o != owner or i in keep}


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The engine that KeptImages sees."""
    engine = Engine()
    monkeypatch.setattr(sandbox, "find_image", engine.find_image)
    monkeypatch.setattr(sandbox, "remove_admitted", engine.remove_admitted)
    return engine


@pytest.fixture
def kept(tmp_path: Path) -> KeptImages:
    """Room for two."""
    return KeptImages(tmp_path / "intake.json", sha256("policy"), 2)


def admit(kept: KeptImages, engine: Engine, content: str, number: int) -> None:
    """A run of these bytes, to its end."""
    engine.images[image(number)] = kept.owner
    kept.remember(sha256(content), image(number))
    kept.prune()


def test_known_bytes_find_their_image(kept: KeptImages, engine: Engine) -> None:
    """And others find none."""
    admit(kept, engine, "a", 1)

    assert kept.find(sha256("a")) == image(1)
    assert kept.find(sha256("b")) is None


def test_an_image_that_is_gone_from_the_engine_is_not_found(
    kept: KeptImages, engine: Engine
) -> None:
    """The operator may remove what he likes."""
    admit(kept, engine, "a", 1)
    engine.images.clear()

    assert kept.find(sha256("a")) is None


def test_another_policy_version_or_code_knows_nothing(
    kept: KeptImages, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was admitted under other rules is admitted anew."""
    admit(kept, engine, "a", 1)

    assert replace(kept, policy=sha256("narrower")).find(sha256("a")) is None
    with monkeypatch.context() as changed:
        changed.setattr(kept_images, "__version__", "9")
        assert kept.find(sha256("a")) is None
    with monkeypatch.context() as changed:
        changed.setattr(kept_images, "_code", lambda: "other")
        assert kept.find(sha256("a")) is None
    assert kept.find(sha256("a")) == image(1)


def test_the_least_recently_used_image_goes_first(kept: KeptImages, engine: Engine) -> None:
    """A use is a run, not only the first one."""
    admit(kept, engine, "a", 1)
    admit(kept, engine, "b", 2)
    admit(kept, engine, "a", 1)
    admit(kept, engine, "c", 3)

    assert set(engine.images) == {image(1), image(3)}
    assert [kept.find(sha256(name)) for name in "abc"] == [image(1), None, image(3)]


def test_nothing_is_kept_where_none_may_be(kept: KeptImages, engine: Engine) -> None:
    """The policy's `kept` is 0."""
    admit(replace(kept, most=0), engine, "a", 1)

    assert engine.images == {}
    assert kept.find(sha256("a")) is None


def test_what_a_killed_run_left_is_dropped_and_what_others_own_is_not(
    kept: KeptImages, engine: Engine, tmp_path: Path
) -> None:
    """Loaded and never remembered; another workspace's; the operator's own."""
    other = KeptImages(tmp_path / "elsewhere" / "intake.json", kept.policy, 2)
    engine.images |= {image(7): kept.owner, image(8): other.owner, image(9): ""}
    kept.prune()

    assert set(engine.images) == {image(8), image(9)}


@pytest.mark.parametrize(
    "damage", ["", "[", "{}", '[{"bytes": "x", "image": "y"}]', '[{"image": 1}]', "\x00"]
)
def test_a_damaged_record_forgets_everything(kept: KeptImages, engine: Engine, damage: str) -> None:
    """And is a good record again after the next run."""
    admit(kept, engine, "a", 1)
    kept.record.write_text(damage)

    assert kept.find(sha256("a")) is None
    admit(kept, engine, "b", 2)
    assert set(engine.images) == {image(2)}
    assert len(json.loads(kept.record.read_text())) == 1


def test_two_archives_of_one_image_share_it(kept: KeptImages, engine: Engine) -> None:
    """Plain and gzip: the image goes when neither is known any more."""
    admit(kept, engine, "plain", 1)
    admit(kept, engine, "gzip", 1)
    admit(kept, engine, "b", 2)

    assert set(engine.images) == {image(1), image(2)}
    assert kept.find(sha256("plain")) == kept.find(sha256("gzip")) == image(1)


def test_bytes_that_were_not_hashed_are_never_known(kept: KeptImages, engine: Engine) -> None:
    """An empty digest would make all submissions one."""
    del engine
    with pytest.raises(ValueError, match="sha256"):
        kept.remember("", image(1))
