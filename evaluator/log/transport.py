"""One HTTP request to a server that may be slow, wrong or hostile: bounded in size and in time."""

from __future__ import annotations

import http.client
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Final

from evaluator.errors import OwnerError, VerificationError

SCHEMES: Final = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said; `kind` is the Content-Type."""

    status: int
    kind: str
    body: bytes


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A witness or a log is where its address says; a redirect counts as an answer."""

    def redirect_request(self, *_: object) -> None:
        """Follow nothing."""


def request(url: str, cap: int, timeout: float, body: bytes | None = None) -> Answer:
    """Return the answer to a GET, or to a POST of `body`, of at most `cap` bytes.

    Raises VerificationError where no such answer is here after `timeout` seconds, and OwnerError
    where `url` is neither http nor https.
    """
    if not url.startswith(SCHEMES):
        raise OwnerError(f"{url} is no address: it begins with https:// or http://.")
    found: list[Answer | str] = []
    # A socket's own timeout begins again with every byte; a server could send one at a time.
    asking = threading.Thread(
        target=lambda: found.append(_ask(url, cap, timeout, body)), daemon=True
    )
    asking.start()
    asking.join(timeout)
    answer = found[0] if found else "not in time"
    if isinstance(answer, str):
        raise VerificationError(f"{url} does not answer: {answer}.")
    return answer


def _ask(url: str, cap: int, timeout: float, body: bytes | None) -> Answer | str:
    """Return the answer, or in words of this program why there is none."""
    asked = urllib.request.Request(url, data=body)  # noqa: S310  # the scheme was looked at
    asked.add_header("Content-Type", "text/plain; charset=utf-8")
    try:
        try:
            answer = urllib.request.build_opener(_NoRedirects).open(asked, timeout=timeout)
        except urllib.error.HTTPError as error:  # an answer as well
            answer = error
        with answer:
            content = answer.read(cap + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        return getattr(reason, "strerror", None) or type(reason).__name__
    if len(content) > cap:
        return "with more than was asked for"
    return Answer(answer.status, answer.headers.get("Content-Type", ""), content)
