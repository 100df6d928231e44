"""HTTP with a registry that fails, stalls, redirects, and asks who we are."""

from __future__ import annotations

import base64
import datetime as dt
import json
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest

from evaluator.errors import OwnerError
from evaluator.registry import (
    Credentials,
    Denied,
    Gone,
    Lied,
    Registry,
    RegistryError,
    Unreachable,
    connections,
    transport,
)
from evaluator.registry.patience import LONGEST, PAUSES, seconds_asked
from tests.helpers.liar import Response, endless, hang, header, lying, only, raw, status, times
from tests.helpers.registry import certificates
from tests.helpers.shelf import Shelf

if TYPE_CHECKING:
    from pathlib import Path

    from tests.evaluator.registry.conftest import Stall
    from tests.helpers.liar import Request

KNOWN = Credentials("acme", "secret")
HOSTILE = "\x1b[31m::error::<script>\u202e"


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_a_registry_in_trouble_is_asked_again(stall: Stall, code: int) -> None:
    """A few times, each later than the one before."""
    stall.shelf.tags["acme/model"] = {"v1": ""}
    stall.liar.lies.append(times(2, status(code)))
    assert stall.client.tags("acme/model") == ["v1"]
    assert stall.waited == list(PAUSES[:2])


def test_a_registry_that_stays_in_trouble_is_unreachable(stall: Stall) -> None:
    """After the last pause there is an answer for the operator."""
    stall.liar.lies.append(status(503))
    with pytest.raises(Unreachable, match="asked again"):
        stall.client.tags("acme/model")
    assert len(stall.liar.asked) == len(PAUSES) + 1


def test_retry_after_is_honoured_within_reason(stall: Stall) -> None:
    """An hour is not waited; nonsense is no time at all."""
    stall.liar.lies.append(times(1, status(429, Retry_After="7")))
    stall.client.repositories()
    list(stall.client.repositories())
    assert stall.waited == [7]
    soon = format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=30), usegmt=True)
    assert 25 < seconds_asked(soon) <= 30
    assert seconds_asked("3600") == LONGEST
    for nonsense in (None, "", "-1", "soon", "1e9", "٣", "9" * 5000, "Thu, 99 Foo 0000"):
        assert 0 <= seconds_asked(nonsense) <= LONGEST


def test_nobody_there_is_unreachable() -> None:
    """No registry at the address."""
    with lying(Shelf().answer) as liar:
        pass
    with pytest.raises(Unreachable):
        Registry(liar.url, sleep=lambda _: None).tags("acme/model")


def test_a_registry_that_says_nothing_is_left(
    stall: Stall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A time-out on every request, and then another attempt."""
    monkeypatch.setattr(transport, "_TIMEOUTS", (1.0, 0.2))
    stall.liar.lies.append(hang(20))
    with pytest.raises(Unreachable):
        stall.client.tags("acme/model")
    assert len(stall.waited) == len(PAUSES)


def test_a_header_that_never_ends_is_left(stall: Stall, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, and the last one never."""
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.3)

    stall.liar.lies += [raw(b"HTTP/1.1 100 Continue\r\n\r\n"), endless()]
    with pytest.raises(Unreachable):
        stall.client.tags("acme/model")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 999999 \xff\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffff\r\nabc",
        b"HTTP/1.1 302 Found\r\nLocation: \xff\xfe\x00\r\n\r\n",
        b'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm=,,"\r\nContent-Length: 0\r\n\r\n',
        b"HTTP/1.1 401 No\r\nWWW-Authenticate: \xff=\x1b\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_nonsense_is_an_error_of_the_registrys(stall: Stall, answer: bytes) -> None:
    """Whatever the bytes: a typed error, with none of them in it."""
    stall.liar.lies.append(raw(answer))
    with pytest.raises(RegistryError) as caught:
        stall.client.tags("acme/model")
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


def test_an_endless_body_is_cut(stall: Stall) -> None:
    """After as many bytes as a list may have."""
    stall.liar.lies.append(endless())
    with pytest.raises(RegistryError, match="more than may be read"):
        stall.client.tags("acme/model")


def test_a_compressed_body_is_not_unpacked(stall: Stall) -> None:
    """It was not asked for, so it is not honest; a bomb has no way in."""
    stall.liar.lies.append(header("Content-Encoding", "gzip"))
    with pytest.raises(Lied, match="compressed"):
        stall.client.tags("acme/model")
    assert stall.liar.asked[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(("code", "error"), [(403, Denied), (404, Gone), (405, RegistryError)])
def test_a_refusal_is_told_in_our_words(
    stall: Stall, code: int, error: type[RegistryError]
) -> None:
    """None of what the registry says of it is repeated."""
    body = json.dumps({"errors": [{"code": HOSTILE, "message": HOSTILE}]}).encode()
    stall.liar.lies.append(lambda *_: Response(code, {"X": "y"}, body))
    with pytest.raises(error) as caught:
        stall.client.tags("acme/model")
    assert str(caught.value).isprintable()
    assert "script" not in str(caught.value)


def test_a_redirect_is_followed_without_credentials(stall: Stall) -> None:
    """To a blob store; and back home they are sent again."""
    stall.shelf.login = KNOWN.basic
    client = Registry(stall.liar.url, KNOWN, sleep=stall.waited.append)
    stall.shelf.tags["acme/model"] = {"v1": ""}
    assert client.tags("acme/model") == ["v1"]
    with lying(lambda _: Response(200, {}, b'{"tags": ["elsewhere"]}')) as store:
        stall.liar.lies.append(status(307, Location=f"{store.url}/x"))
        assert client.tags("acme/model") == ["elsewhere"]
    assert "authorization" in stall.liar.asked[-1].headers
    assert "authorization" not in store.asked[0].headers


@pytest.mark.parametrize(
    "target",
    [
        "http://registry.example/x",
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data",
        "http://user:pass@127.0.0.1/x",
        "//x:y",
        "",
        "x" * 10_000,
    ],
)
def test_a_redirect_away_from_https_is_not_followed(stall: Stall, target: str) -> None:
    """Plain HTTP is for this host alone."""
    stall.liar.lies.append(only("tags", status(302, Location=target)))
    with pytest.raises((Lied, Unreachable)):
        stall.client.tags("acme/model")
    assert len(stall.liar.asked) == 1


def test_redirects_end(stall: Stall) -> None:
    """In a loop, the sixth is a lie."""
    stall.liar.lies.append(status(302, Location="/v2/acme/model/tags/list"))
    with pytest.raises(Lied, match="do not end"):
        stall.client.tags("acme/model")
    assert len(stall.liar.asked) <= 7


def test_a_password_is_sent_where_it_is_asked_for_and_not_before(stall: Stall) -> None:
    """And a wrong one is tried once, not until the account is locked."""
    stall.shelf.login = KNOWN.basic
    assert list(Registry(stall.liar.url, KNOWN).repositories()) == []
    assert ["authorization" in each.headers for each in stall.liar.asked] == [False, True]
    stall.liar.asked.clear()
    with pytest.raises(Denied):
        list(Registry(stall.liar.url, Credentials("acme", "wrong")).repositories())
    assert len(stall.liar.asked) == 2
    with pytest.raises(Denied):
        list(stall.client.repositories())


def test_this_host_is_asked_by_way_of_no_other(
    stall: Stall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would read the password, which goes in plain here; beyond this host it is used."""
    with lying(lambda _: Response(502)) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert list(stall.client.repositories()) == []
        assert proxy.asked == []
        with pytest.raises(Unreachable):
            Registry("https://registry.example", sleep=stall.waited.append).tags("acme/model")
    assert {request.method for request in proxy.asked} == {"CONNECT"}


def test_a_body_that_comes_too_slowly_is_left(
    stall: Stall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes in time, and all of them never would."""
    monkeypatch.setattr(transport, "_SECONDS", -1)
    monkeypatch.setattr(transport, "_BYTES_A_SECOND", 2**40)
    with pytest.raises(Unreachable):
        stall.client.tags("acme/model")


def token_server(answer: dict[str, object], code: int = 200) -> Response:
    """What a token server says."""
    return Response(code, {}, json.dumps(answer).encode())


def bearer(realm: str) -> Response:
    """A registry's demand for a token."""
    said = f'Bearer realm="{realm}",service="shelf, of tests",scope="repository:x:pull"'
    return Response(401, {"WWW-Authenticate": said})


def test_a_token_is_for_one_scope_and_kept_for_its_time(stall: Stall) -> None:
    """Asked for in our words, whatever scope the registry names; the password goes nowhere else."""
    with lying(lambda _: token_server({"token": "abc", "expires_in": 300})) as tokens:

        def demand(request: Request, response: Response) -> Response:
            known = request.headers.get("authorization") == "Bearer abc"
            return response if known else bearer(f"{tokens.url}/token?a=b")

        stall.liar.lies.append(demand)
        stall.shelf.tags["acme/model"] = {"v1": ""}
        client = Registry(stall.liar.url, KNOWN)
        assert client.tags("acme/model") == ["v1"]
        assert client.tags("acme/model") == ["v1"]
        list(client.repositories())
    asked = [request.query for request in tokens.asked]
    assert [each["scope"] for each in asked] == [
        "repository:acme/model:pull",
        "registry:catalog:*",
    ]
    assert asked[0]["service"] == "shelf, of tests"
    assert tokens.asked[0].headers["authorization"] == KNOWN.basic
    sent = {request.headers.get("authorization") for request in stall.liar.asked}
    assert sent == {None, "Bearer abc"}


def test_a_refresh_token_is_exchanged(stall: Stall) -> None:
    """By OAuth 2, in the body of a POST."""
    with lying(lambda _: token_server({"access_token": "abc"})) as tokens:

        def demand(request: Request, response: Response) -> Response:
            known = request.headers.get("authorization") == "Bearer abc"
            return response if known else bearer(tokens.url)

        stall.liar.lies.append(demand)
        known = Credentials("<token>", "refresh me", refresh=True)
        list(Registry(stall.liar.url, known).repositories())
    assert tokens.asked[0].method == "POST"
    assert b"refresh_token=refresh+me" in tokens.asked[0].content


@pytest.mark.parametrize(
    "realm", ["http://registry.example/token", "", "file:///x", "http://localhost:1/x", "//x"]
)
def test_a_password_goes_to_no_token_server_without_https(stall: Stall, realm: str) -> None:
    """Plain HTTP only to the very host that is asked in plain HTTP."""
    stall.liar.lies.append(lambda *_: bearer(realm))
    with pytest.raises(Lied, match="without HTTPS"):
        Registry(stall.liar.url, KNOWN).tags("acme/model")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (token_server({}, 401), Denied),
        (token_server({}), Lied),
        (token_server({"token": "a\r\nX: y"}), Lied),
        (token_server({"token": 3}), Lied),
        (token_server({"token": "abc", "expires_in": "soon"}), Lied),
        (Response(200, {}, b"[" * 10_000), Lied),
        (Response(302, {"Location": "https://elsewhere.example/"}), RegistryError),
        (Response(500), Unreachable),
    ],
)
def test_a_token_server_is_not_believed_either(
    stall: Stall, answer: Response, error: type[RegistryError]
) -> None:
    """And its redirects are not followed: there is a password in what it was asked."""
    with lying(lambda _: answer) as tokens:
        stall.liar.lies.append(lambda *_: bearer(tokens.url))
        with pytest.raises(error):
            Registry(stall.liar.url, KNOWN, sleep=stall.waited.append).tags("acme/model")


def test_only_a_known_ca_is_believed(tmp_path: Path) -> None:
    """Without it nothing is asked, and the operator is told what to give."""
    ca, certificate, key = certificates(tmp_path)
    with lying(Shelf().answer, (certificate, key)) as liar:
        assert list(Registry(liar.url, ca=ca).repositories()) == []
        with pytest.raises(Unreachable, match="certificate"):
            list(Registry(liar.url).repositories())
        assert len(liar.asked) == 1
        liar.lies.append(status(302, Location="http://127.0.0.1:1/x"))
        with pytest.raises(Lied, match="HTTPS"):
            list(Registry(liar.url, ca=ca).repositories())
        liar.lies[:] = [lambda *_: bearer("http://127.0.0.1:1/x")]
        with pytest.raises(Lied, match="HTTPS"):
            list(Registry(liar.url, KNOWN, ca=ca).repositories())
    of_no_address = ca, tmp_path / "ca.key"
    with (
        lying(Shelf().answer, of_no_address) as liar,
        pytest.raises(Unreachable, match="certificate"),
    ):
        list(Registry(liar.url, ca=ca).repositories())
    with pytest.raises(OwnerError, match="PEM"):
        Registry(liar.url, ca=key.with_name("nothing"))


def test_a_netrc_and_cookies_are_not_sent(
    stall: Stall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the operator's own goes to a registry that did not get it."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(netrc))
    stall.liar.lies.append(header("Set-Cookie", "a=b"))
    client = stall.client
    list(client.repositories())
    list(client.repositories())
    mine = base64.b64encode(b"me:mine").decode()
    for request in stall.liar.asked:
        assert mine not in request.headers.get("authorization", "")
        assert "cookie" not in request.headers
