"""Publish a window: its end enters the log, the entries are served, and the board becomes pages.

    public/log/      the log, now with its entries
    public/board     a link to the folder of the site: pages, board.json, board.csv

The link is replaced when everything is on the disk: a killed call leaves the old site or the new.
"""

from __future__ import annotations

import os
import secrets
import shutil
from typing import TYPE_CHECKING

from evaluator.board.documents import board_csv, board_json
from evaluator.board.own import read_own
from evaluator.dataset.sealed import open_dataset
from evaluator.eda import eda_of
from evaluator.errors import OwnerError
from evaluator.files import sync
from evaluator.journal import publish_window
from evaluator.site.render import render_site

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from evaluator.board.values import Board
    from evaluator.eda import Eda
    from evaluator.signers import Signers
    from evaluator.workspace import Workspace

LINK = "board"
JSON, CSV = "board.json", "board.csv"
"""Beside the pages of a site."""


def publish(workspace: Workspace, signers: Signers, early_reason: str | None = None) -> Path:
    """Publish the window of a workspace, and return the folder of its site.

    Before the window's end only for a reason, which the log will state; OwnerError without one.
    Publishing again makes the site anew, with what has been entered since.
    """
    publish_window(workspace, signers, early_reason)
    board = read_own(workspace)
    return write_site(board, _eda(workspace, board), workspace.public)


def write_site(board: Board, eda: Eda | None, public: Path) -> Path:
    """Write the site of a board below `public`, make `public`/board lead to it, and return that.

    `eda` adds the page of the data set. Raises OwnerError where something else has that name.
    """
    link = public / LINK
    if link.exists() and not link.is_symlink():
        raise OwnerError(f"{link} is there, and not a site of this program. Move it, then publish.")
    site = public / f"{LINK}-{board.checkpoint.size}-{secrets.token_hex(4)}"
    mask = os.umask(0o022)  # a web server reads it
    try:
        public.mkdir(parents=True, exist_ok=True)
        _remove(public.glob(f".{LINK}-*"))  # of calls that were killed
        part = site.with_name(f".{site.name}")
        render_site(board, eda, part)
        (part / JSON).write_bytes(board_json(board))
        (part / CSV).write_text(board_csv(board), encoding="utf-8", newline="")
        os.sync()  # of 100,000 pages, one by one would take minutes
        part.rename(site)
        _lead(link, site)
    finally:
        os.umask(mask)
    _remove(each for each in public.glob(f"{LINK}-*") if each != site)
    return link


def _lead(link: Path, site: Path) -> None:
    """Have the link lead to the site, at once: this is the moment of publication."""
    new = link.with_name(f".{LINK}-link")
    new.symlink_to(site.name)
    new.rename(link)
    sync(link.parent)


def _remove(paths: Iterable[Path]) -> None:
    for path in list(paths):
        if path.is_symlink():
            path.unlink()
        else:
            shutil.rmtree(path, ignore_errors=True)


def _eda(workspace: Workspace, board: Board) -> Eda | None:
    """What may be said of the data of this board; None where they are there no more."""
    dataset = open_dataset(workspace.data)
    if dataset.version != board.dataset_version:
        return None
    publish = workspace.settings().publish
    return eda_of(dataset, publish.suppress_below, class_sizes=publish.class_sizes)
