"""Health, metrics and notifications: on loopback, bounded, and believed as a hint alone."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from evaluator.errors import OwnerError
from evaluator.watch.listening import Answers, is_news, listening, parse_address
from evaluator.watch.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = b"a token of the operator's"


@dataclass
class Listener:
    """Something that answers, and what it was told."""

    port: int = 0
    troubles: list[str] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)
    hints: int = 0

    def hint(self) -> None:
        """Count a hint."""
        self.hints += 1

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
        """Return status and text of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@contextmanager
def listener(token: bytes | None = TOKEN) -> Iterator[Listener]:
    """One that runs."""
    made = Listener()
    answers = Answers(lambda: made.troubles, made.metrics.text, made.hint, token)
    with listening(("127.0.0.1", 0), answers) as made.port:
        yield made


def test_health_is_200_until_something_is_wrong() -> None:
    """And then says what."""
    with listener() as served:
        assert served.ask("GET", "/healthz") == (200, "ok\n")
        served.troubles.append("a worker has ended")
        assert served.ask("GET", "/healthz") == (503, "a worker has ended\n")
        assert served.ask("GET", "/other")[0] == 404


def test_metrics_are_in_the_text_format() -> None:
    """Each with its help and type; labels are words of ours."""
    with listener() as served:
        served.metrics.add("errors", "lied")
        served.metrics.add("errors", "lied")
        served.metrics.set("waiting", 3)
        code, text = served.ask("GET", "/metrics")

    assert code == 200
    lines = text.splitlines()
    assert 'evaluator_watch_errors_total{kind="lied"} 2' in lines
    assert "# TYPE evaluator_watch_errors_total counter" in lines
    assert "evaluator_watch_waiting 3" in lines
    assert "evaluator_watch_polls_total 0" in lines
    assert text.endswith("\n")


def test_a_notification_needs_the_token() -> None:
    """Without it, or where none was set, nobody is heard."""
    bearer = f"Bearer {TOKEN.decode()}"
    with listener() as served:
        assert served.ask("POST", "/notify", b"{}", Authorization=bearer)[0] == 202
        assert served.hints == 1
        for wrong in ("", "Bearer", "Bearer x", TOKEN.decode(), bearer + "x", "Bearer \xe9"):
            assert served.ask("POST", "/notify", b"{}", Authorization=wrong)[0] == 401
        assert served.ask("POST", "/healthz", b"{}", Authorization=bearer)[0] == 404
        assert served.hints == 1
    with listener(None) as served:
        assert served.ask("POST", "/notify", b"{}", Authorization="Bearer ")[0] == 404
        assert served.hints == 0


def test_a_notification_is_bounded() -> None:
    """More than it may have is not read; a length that is none counts as more."""
    bearer = f"Bearer {TOKEN.decode()}"
    with listener() as served:
        for length in (str(2**20 + 1), "-1", "1e3", "٣"):
            with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
                head = f"POST /notify HTTP/1.1\r\nAuthorization: {bearer}\r\n"
                client.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode())
                assert b" 413 " in client.recv(100), length
        assert served.hints == 0


def test_who_comes_beyond_a_few_is_hung_up_on() -> None:
    """And is answered again when these have gone."""
    with listener() as served:
        held = [socket.create_connection(("127.0.0.1", served.port), timeout=10) for _ in range(8)]
        with pytest.raises((OSError, http.client.HTTPException)):
            served.ask("GET", "/healthz")
        for client in held:
            client.close()
        for _ in range(100):
            try:
                assert served.ask("GET", "/healthz") == (200, "ok\n")
            except (OSError, http.client.HTTPException):
                continue
            break
        else:
            pytest.fail("it never answered again")


def test_a_port_that_is_taken_is_said() -> None:
    """Before anything is watched."""
    with listener() as served, ExitStack() as held:
        second = listening(("127.0.0.1", served.port), Answers(list, str, served.hint, None))
        with pytest.raises(OwnerError, match="Give another address"):
            held.enter_context(second)


@pytest.mark.parametrize("text", ["127.0.0.1:9464", "[::1]:9464", "127.8.9.1:0"])
def test_loopback_is_listened_at(text: str) -> None:
    """In both families."""
    assert parse_address(text)[0] in {"127.0.0.1", "::1", "127.8.9.1"}


@pytest.mark.parametrize(
    "text",
    ["0.0.0.0:9464", "10.0.0.1:80", "[::]:80", "localhost:80", "127.0.0.1", ":80", "127.0.0.1:x"],
)
def test_no_other_address_is(text: str) -> None:
    """What is said there tells when runs end."""
    with pytest.raises(OwnerError):
        parse_address(text)


def test_pulls_of_ours_are_no_news() -> None:
    """docker-registry tells of them too; each look would cause the next."""
    assert not is_news(json.dumps({"events": [{"action": "pull"}, {"action": "pull"}]}).encode())
    assert is_news(json.dumps({"events": [{"action": "pull"}, {"action": "push"}]}).encode())
    assert is_news(json.dumps({"type": "PUSH_ARTIFACT"}).encode())
    assert is_news(b"")
    assert is_news(b"[" * 100_000)
