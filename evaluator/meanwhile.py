"""Work that waits for a disk, beside work that waits for the engine."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def meanwhile(action: Callable[[], T]) -> Callable[[], T]:
    """Begin `action` in a thread; what is returned waits for it, and gives or raises what it does.

    Nothing waits for it where the program ends before: it may only read.
    """
    future = Future[T]()

    def act() -> None:
        try:
            future.set_result(action())
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            future.set_exception(error)

    threading.Thread(target=act, name="meanwhile", daemon=True).start()
    return future.result
