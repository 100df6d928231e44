"""A registry in this process, with the lies that a test adds, and a client that does not wait."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from evaluator.registry import Registry
from tests.helpers.liar import Liar, lying
from tests.helpers.pusher import Pusher
from tests.helpers.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Stall:
    """A registry, who may lie about it, a vendor who pushes to it, and our client."""

    shelf: Shelf
    liar: Liar
    waited: list[float] = field(default_factory=list)

    @property
    def vendor(self) -> Pusher:
        """Pushes; before there are lies."""
        return Pusher(self.liar.url)

    @property
    def client(self) -> Registry:
        """A client without credentials, which notes how long it would have waited."""
        return Registry(self.liar.url, sleep=self.waited.append)

    def put_blob(self, content: bytes) -> str:
        """Have acme/model hold a blob; returns its digest."""
        return str(self.vendor.blob("acme/model", content, "")["digest"])


@pytest.fixture
def stall() -> Iterator[Stall]:
    """An empty, honest registry."""
    shelf = Shelf()
    with lying(shelf.answer) as liar:
        yield Stall(shelf, liar)
