"""OCI layouts that are directories."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from evaluator.admission import receive
from evaluator.errors import OwnerError
from evaluator.image_settings import ARCHITECTURE
from evaluator.oci_layout import packed, subject
from evaluator.submission import parse_submission

DIGEST = "ab" * 32


def index(*entries: dict[str, Any]) -> str:
    """An index.json."""
    return json.dumps({"manifests": list(entries)})


def entry(digest: str = f"sha256:{DIGEST}", **platform: str) -> dict[str, Any]:
    """One entry of an index."""
    return {"digest": digest, "size": 2} | ({"platform": platform} if platform else {})


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """A layout of one image."""
    root = tmp_path / "layout"
    (root / "blobs" / "sha256").mkdir(parents=True)
    (root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (root / "index.json").write_text(index(entry()))
    (root / "blobs" / "sha256" / DIGEST).write_text("{}")
    return root


def test_a_layout_is_received_as_one_tar_under_its_own_digest(layout: Path, tmp_path: Path) -> None:
    """The subject is what index.json names, and the copy is the same bytes every time."""
    scratch = [tmp_path / "one", tmp_path / "two"]
    for folder in scratch:
        folder.mkdir()
    first, second = (receive(parse_submission(str(layout)), each, 10**6) for each in scratch)

    assert (first.kind, first.digest_of, first.sha256) == ("image", "manifest", DIGEST)
    assert first.content == second.content
    with tarfile.open(first.file) as archive:
        assert sorted(archive.getnames()) == [f"blobs/sha256/{DIGEST}", "index.json", "oci-layout"]


def test_a_layout_of_many_platforms_is_known_by_the_one_for_this_host(layout: Path) -> None:
    """Attestations and other platforms beside it."""
    own = entry(os="linux", architecture=ARCHITECTURE)
    others = [
        entry(f"sha256:{'1' * 64}", os="unknown", architecture="unknown"),
        entry(f"sha256:{'2' * 64}", os="linux", architecture="s390x"),
    ]
    (layout / "index.json").write_text(index(*others, own))

    assert subject(layout) == DIGEST


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        index(),
        index(entry(), entry()),
        index(entry("sha512:" + "ab" * 64)),
        index(entry("sha256:../../x")),
        index({"digest": 7}),
        index(entry(os="linux", architecture="s390x")),
        "[" * 100_000,
    ],
)
def test_a_directory_that_names_no_one_image_is_the_operators(layout: Path, text: str) -> None:
    """There is nothing to call the submission by."""
    (layout / "index.json").write_text(text)

    with pytest.raises(OwnerError, match="OCI image layout"):
        subject(layout)


@pytest.mark.parametrize("target", ["/etc/passwd", "/etc"])
def test_links_out_of_a_layout_are_never_followed(layout: Path, target: str) -> None:
    """Neither to a file nor to a directory; a file in its place is packed."""

    def names() -> list[str]:
        with tarfile.open(fileobj=io.BytesIO(b"".join(packed(layout)))) as archive:
            return archive.getnames()

    (layout / "blobs" / "more").symlink_to(target)
    if Path(target).is_dir():
        assert not [name for name in names() if "more" in name]
    else:
        with pytest.raises(OwnerError):
            names()
    (layout / "blobs" / "more").unlink()
    (layout / "blobs" / "more").write_text("x")
    assert "blobs/more" in names()


def test_a_pipe_in_a_layout_is_no_end_of_waiting(layout: Path) -> None:
    """It is refused without being read."""
    os.mkfifo(layout / "blobs" / "pipe")

    with pytest.raises(OwnerError):
        list(packed(layout))


def test_a_directory_that_is_no_layout_is_no_submission(tmp_path: Path) -> None:
    """As before."""
    with pytest.raises(OwnerError, match=r"index\.json"):
        parse_submission(str(tmp_path))
