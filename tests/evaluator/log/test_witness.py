"""A witness over real HTTP: cosigns what grew, and nothing else, across restarts."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluator import files
from evaluator.errors import OwnerError, VerificationError
from evaluator.log import witness as witness_module
from evaluator.log.checkpoint import Checkpoint
from evaluator.log.cosigning import add_checkpoint_body, collect
from evaluator.log.note import NoteSigner, open_note, sign_note
from evaluator.log.proof import verify_proof
from evaluator.log.store import LogReader, create_log, open_log
from evaluator.log.transport import Answer, request
from evaluator.log.witness import (
    KEY,
    Witness,
    generate_key,
    load_signer,
    main,
    make_server,
    serve,
)
from evaluator.log.witness_http import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def serving(server: HTTPServer) -> Iterator[str]:
    """The address of a server that answers meanwhile."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The witness's folder."""
    path = tmp_path / "witness"
    path.mkdir(mode=0o700)
    return path


@contextmanager
def witnessing(state: Path, witness: NoteSigner, signer: NoteSigner) -> Iterator[str]:
    """The address of a witness that knows the log."""
    logs = {signer.name: signer.verifier}
    with serving(make_server(state, witness, logs, "127.0.0.1:0")) as url:
        yield url


@pytest.fixture
def url(state: Path, witness: NoteSigner, signer: NoteSigner) -> Iterator[str]:
    """A running witness."""
    with witnessing(state, witness, signer) as found:
        yield found


def post(url: str, body: bytes) -> Answer:
    """What the witness says to a request."""
    return request(f"{url}/add-checkpoint", 1 << 16, 10, body)


def ask(url: str, reader: LogReader, old: int) -> Answer:
    """What the witness says to a log that grew from `old`."""
    return post(url, add_checkpoint_body(old, reader.consistency(old), reader.note))


def make_log(folder: Path, signer: NoteSigner, entries: list[bytes]) -> LogReader:
    """A log of these entries, by the same key."""
    create_log(folder, signer)
    with open_log(folder, signer) as log:
        log.append(entries)
    return LogReader(folder, signer.verifier)


def grown(folder: Path, signer: NoteSigner, more: int = 10) -> LogReader:
    """The log with some entries more."""
    with open_log(folder, signer) as log:
        log.append([b"more %d" % number for number in range(more)])
    return LogReader(folder, signer.verifier)


def test_a_log_that_grows_is_cosigned(
    url: str, folder: Path, signer: NoteSigner, witness: NoteSigner
) -> None:
    """First from nothing, then from the last, then once more for the same; with the time."""
    before = int(time.time())
    for old, reader in (
        (0, LogReader(folder, signer.verifier)),
        (300, grown(folder, signer)),
        (310, LogReader(folder, signer.verifier)),
    ):
        answer = ask(url, reader, old)
        assert answer.status == 200
        opened = open_note(reader.note + answer.body, [witness.verifier])
        assert opened.signatures[0].timestamp is not None
        assert before <= opened.signatures[0].timestamp <= time.time()


def altered(entries: list[bytes]) -> list[bytes]:
    """Entry 123 says something else."""
    return [*entries[:123], b"altered", *entries[124:]]


def dropped(entries: list[bytes]) -> list[bytes]:
    """Entry 123 never was."""
    return [*entries[:123], *entries[124:]]


def forked(entries: list[bytes]) -> list[bytes]:
    """Another last entry than the one that was cosigned."""
    return [*entries[:-1], b"another"]


@pytest.mark.parametrize("forge", [altered, dropped, forked])
def test_another_past_is_not_cosigned(
    url: str, made: Path, tmp_path: Path, signer: NoteSigner, entries: list[bytes], forge: object
) -> None:
    """Signed by the log's own key, with the best proof there is; the control grows like it."""
    assert callable(forge)
    assert ask(url, LogReader(made, signer.verifier), 0).status == 200
    more = [b"more %d" % number for number in range(10)]
    forgery = make_log(tmp_path / "forged", signer, [*forge(entries), *more])
    honest = make_log(tmp_path / "honest", signer, [*entries, *more])

    assert ask(url, forgery, 300).status == 422
    assert ask(url, honest, 300).status == 200


def test_another_root_of_the_same_size_is_not_cosigned(
    url: str, made: Path, tmp_path: Path, signer: NoteSigner, entries: list[bytes]
) -> None:
    """A conflict, by the specification; and the same root is cosigned again."""
    assert ask(url, LogReader(made, signer.verifier), 0).status == 200
    forgery = make_log(tmp_path / "forged", signer, altered(entries))

    assert ask(url, forgery, 300).status == 409
    assert ask(url, LogReader(made, signer.verifier), 300).status == 200


@pytest.mark.parametrize("old", [0, 299, 305])
def test_a_stale_request_is_told_the_size(
    url: str, folder: Path, signer: NoteSigner, old: int
) -> None:
    """Older than what was cosigned, or newer; with the right size it goes through."""
    assert ask(url, LogReader(folder, signer.verifier), 0).status == 200
    reader = grown(folder, signer)
    answer = ask(url, reader, old)

    assert (answer.status, answer.kind, answer.body) == (409, "text/x.tlog.size", b"300\n")
    assert ask(url, reader, 300).status == 200


def test_a_smaller_log_is_not_cosigned(
    url: str, made: Path, tmp_path: Path, signer: NoteSigner, entries: list[bytes]
) -> None:
    """A rollback to a past that was true."""
    assert ask(url, LogReader(made, signer.verifier), 0).status == 200
    smaller = make_log(tmp_path / "smaller", signer, entries[:200])

    assert post(url, add_checkpoint_body(300, [], smaller.note)).status == 400
    assert ask(url, smaller, 200).status == 409
    assert ask(url, smaller, 0).status == 409


def test_a_restarted_witness_remembers(
    state: Path,
    folder: Path,
    tmp_path: Path,
    signer: NoteSigner,
    witness: NoteSigner,
    entries: list[bytes],
) -> None:
    """What it signed before it was stopped binds it afterwards."""
    with witnessing(state, witness, signer) as url:
        assert ask(url, LogReader(folder, signer.verifier), 0).status == 200
    forgery = make_log(tmp_path / "forged", signer, [*altered(entries), b"more"])
    with witnessing(state, witness, signer) as url:
        assert ask(url, forgery, 0).status == 409
        assert ask(url, forgery, 300).status == 422
        assert ask(url, grown(folder, signer), 300).status == 200


def test_no_cosignature_leaves_before_it_is_remembered(
    state: Path,
    made: Path,
    signer: NoteSigner,
    witness: NoteSigner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the disk fails nothing is signed; with the disk back, it is."""
    reader = LogReader(made, signer.verifier)
    with witnessing(state, witness, signer) as url:
        with monkeypatch.context() as broken:

            def full(*_: object) -> None:
                raise OSError(28, "No space left on device")

            broken.setattr(witness_module, "replace", full)
            answer = ask(url, reader, 0)
            assert (answer.status, answer.body) == (500, b"")
        assert ask(url, reader, 0).status == 200


def test_a_witness_with_a_damaged_memory_signs_nothing(
    url: str, state: Path, folder: Path, signer: NoteSigner
) -> None:
    """It does not begin anew: that could be a second past."""
    assert ask(url, LogReader(folder, signer.verifier), 0).status == 200
    (memory,) = state.glob("*.checkpoint")
    kept = memory.read_bytes()
    memory.write_bytes(kept[:40])

    assert ask(url, grown(folder, signer), 300).status == 500
    memory.write_bytes(kept)
    assert ask(url, LogReader(folder, signer.verifier), 300).status == 200


def test_two_pasts_at_once_are_not_both_cosigned(
    url: str, tmp_path: Path, signer: NoteSigner
) -> None:
    """Ten different logs of one key, at the same moment."""
    readers = [make_log(tmp_path / str(n), signer, [b"%d" % n]) for n in range(10)]
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda reader=reader: statuses.append(ask(url, reader, 0).status))
        for reader in readers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [200] + [409] * 9


def test_strangers_are_turned_away(
    url: str, made: Path, signer: NoteSigner, witness: NoteSigner
) -> None:
    """A log that is not known, and a checkpoint of a known one that its key did not sign."""
    reader = LogReader(made, signer.verifier)
    stranger = NoteSigner("stranger.example", signer.private)
    unknown = Checkpoint(stranger.name, 300, reader.checkpoint.root)
    forger = NoteSigner(signer.name, witness.private)

    def status(text: str, by: NoteSigner) -> int:
        return post(url, add_checkpoint_body(0, [], sign_note(text, by))).status

    assert status(unknown.text(), stranger) == 404
    assert status(reader.checkpoint.text(), forger) == 403
    assert status(reader.checkpoint.text(), signer) == 200


@pytest.fixture(scope="session")
def good(made: Path, signer: NoteSigner) -> bytes:
    """A request that a fresh witness answers with a cosignature."""
    return add_checkpoint_body(0, [], LogReader(made, signer.verifier).note)


MALFORMED = [
    (b"old 0\n", b""),
    (b"old 0\n", b"old 00\n"),
    (b"old 0\n", b"old -1\n"),
    (b"old 0\n", b"new 0\n"),
    (b"old 0\n", b"old 0\r\n"),
    (b"old 0\n", b"old " + b"9" * 5000 + b"\n"),
    (b"old 0\n", b"old 0\nAAAA\n"),
    (b"old 0\n", b"old 0\n" + b"A" * 43 + b"=\n" * 64),
    (b"\n\n", b"\n"),
    (b"\n300\n", b"\n0300\n"),
]


@pytest.mark.parametrize(("part", "instead"), MALFORMED)
def test_malformed_requests_are_said_to_be(
    url: str, good: bytes, part: bytes, instead: bytes
) -> None:
    """Each differs from a good one in one thing."""
    assert post(url, good.replace(part, instead, 1)).status == 400
    assert post(url, good).status == 200


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=200))
def test_hostile_bytes_are_answered_and_leave_nothing(
    state: Path, signer: NoteSigner, witness: NoteSigner, good: bytes, raw: bytes
) -> None:
    """Never an exception, never a cosignature, never a file."""
    asked = Witness(state, witness, {signer.name: signer.verifier})

    for body in (raw, b"old 0\n\n" + raw, b"old -" + raw + good[4:], good[:-40] + raw):
        assert asked.add_checkpoint(body).status in {400, 403, 404, 422}
    assert not list(state.iterdir())


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /add-checkpoint HTTP/1.1", b"501"),
        (b"POST /other HTTP/1.1\r\nContent-Length: 0", b"404"),
        (b"POST /add-checkpoint HTTP/1.1", b"411"),
        (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: -1", b"411"),
        (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 999999999", b"413"),
        (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 0", b"400"),
    ],
)
def test_other_requests_are_turned_away(url: str, head: bytes, status: bytes) -> None:
    """Before a byte of their bodies is read."""
    port = int(url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(100).split()[1] == status


def test_whoever_dawdles_is_cut_off(
    state: Path, witness: NoteSigner, signer: NoteSigner, good: bytes
) -> None:
    """A client that never ends its request; the next one is answered all the same."""
    decide = Witness(state, witness, {signer.name: signer.verifier}).add_checkpoint
    with serving(Server(("127.0.0.1", 0), decide, patience=0.2)) as url:
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 9\r\n\r\nold")
            assert connection.recv(100).split()[1:2] in ([], [b"400"])
        assert post(url, good).status == 200


def test_a_witnesss_log_has_no_words_of_strangers(
    url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Only the address and the status."""
    request(f"{url}/SECRET-PATH", 1 << 16, 10, b"SECRET-BODY")
    said = capfd.readouterr().err

    assert "404" in said
    assert "SECRET" not in said


def test_a_key_is_made_once_and_read_back(state: Path) -> None:
    """0600, and as a line whose hash tells damage."""
    made = generate_key(state, "witness.example/w1")
    path = state / KEY

    assert load_signer(state).verifier == made
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(OwnerError, match="exists already"):
        generate_key(state, "witness.example/w1")
    line = path.read_text()
    *head, material = line.split("+", 4)
    another_algorithm = "+".join([*head, "A" + material[1:]])
    for damaged in (line.replace("w1", "w2"), line[:-9], another_algorithm, ""):
        path.write_text(damaged)
        with pytest.raises(OwnerError):
            load_signer(state)


def test_two_servers_in_one_folder_are_one_too_many(
    state: Path, witness: NoteSigner, signer: NoteSigner
) -> None:
    """The second is refused while the first serves."""
    from evaluator.log.folder import locked  # noqa: PLC0415  # what the first one holds

    with locked(state), pytest.raises(OwnerError, match="Another process"):
        serve(state, witness, {signer.name: signer.verifier}, "127.0.0.1:0")


def test_the_command_line_makes_a_key_and_says_what_is_wrong(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 and the vkey; 2 without a key, 4 for a vkey that is none."""
    assert main(["serve", "--log", "no vkey", str(state)]) == 4
    assert main(["key", "--name", "witness.example/w1", str(state)]) == 0
    assert capsys.readouterr().out == f"{load_signer(state).verifier}\n"
    assert main(["key", "--name", "witness.example/w1", str(state)]) == 2
    vkey = str(load_signer(state).verifier)
    assert main(["serve", "--log", vkey, "--listen", "no address", str(state)]) == 2


def test_collecting_fills_a_quorum(
    url: str, folder: Path, tmp_path: Path, signer: NoteSigner, witness: NoteSigner
) -> None:
    """From the witness to the proof that a vendor verifies, twice, with one memory of sizes."""
    memory, asked = tmp_path / "sizes.json", [(url, str(witness.verifier))]
    for more in (0, 5):
        with open_log(folder, signer) as log:
            log.append([b"more"] * more)
            lines, failures = collect(log, asked, memory)
            assert not failures
            log.add_cosignatures(lines, [witness.verifier])
            raw = log.proof(7)
        assert verify_proof(raw, b"entry 7", signer.verifier, [witness.verifier], 1)
    assert json.loads(memory.read_bytes()) == {str(witness.verifier): 305}


@pytest.mark.parametrize("remembered", [b"", b"{}", b"[1]", b'{"x": "y"}', b'{"VKEY": 999}'])
def test_collecting_needs_no_memory(
    url: str,
    folder: Path,
    tmp_path: Path,
    signer: NoteSigner,
    witness: NoteSigner,
    remembered: bytes,
) -> None:
    """A lost, damaged or mistaken one costs a request."""
    memory, vkey = tmp_path / "sizes.json", str(witness.verifier)
    assert ask(url, LogReader(folder, signer.verifier), 0).status == 200
    memory.write_bytes(remembered.replace(b"VKEY", vkey.encode()))

    assert collect(grown(folder, signer), [(url, vkey)], memory)[1] == []


def test_collecting_says_that_the_log_has_another_past(
    url: str,
    made: Path,
    tmp_path: Path,
    signer: NoteSigner,
    witness: NoteSigner,
    entries: list[bytes],
) -> None:
    """Rewritten, or restored from an old backup: what the owner must hear."""
    asked, memory = [(url, str(witness.verifier))], tmp_path / "sizes.json"
    assert collect(LogReader(made, signer.verifier), asked, memory)[1] == []
    for name, forgery in (
        ("not the beginning", [*altered(entries), b"more"]),
        ("does not continue", entries[:200]),
        ("does not continue", altered(entries)),
    ):
        reader = make_log(tmp_path / f"{len(forgery)}", signer, forgery)
        lines, failures = collect(reader, asked, memory)
        assert not lines
        assert name in failures[0]


def answering(status: int, body: bytes) -> HTTPServer:
    """A server that says this to everybody."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Location", "http://127.0.0.1:9/")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return HTTPServer(("127.0.0.1", 0), Handler)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"not a line\n"),
        (200, b"\xff\n"),
        (200, b"x" * (1 << 17)),
        (204, b""),
        (302, b""),
        (409, b"many\n"),
        (409, b"150\n"),
        (409, b"9" * 99),
        (409, b""),
        (418, b"<b>hostile words</b>"),
        (500, b""),
    ],
)
def test_a_hostile_witness_costs_its_signature_and_no_more(
    url: str,
    made: Path,
    tmp_path: Path,
    signer: NoteSigner,
    witness: NoteSigner,
    status: int,
    body: bytes,
) -> None:
    """Whatever it answers: one sentence of ours, and the other witness is asked."""
    vkey = str(witness.verifier)
    with serving(answering(status, body)) as hostile:
        asked = [(hostile, vkey), (url, vkey)]
        lines, failures = collect(LogReader(made, signer.verifier), asked, tmp_path / "sizes.json")

    assert len(lines) == 1
    assert len(failures) == 1
    assert "hostile words" not in failures[0]


def test_a_forged_cosignature_is_not_taken(
    made: Path, tmp_path: Path, signer: NoteSigner, witness: NoteSigner
) -> None:
    """Of another checkpoint, of another key of that name, or of the key without a time."""
    reader = LogReader(made, signer.verifier)
    text, vkey = reader.checkpoint.text(), str(witness.verifier)
    another = NoteSigner(witness.name, Ed25519PrivateKey.generate(), witness.algorithm)
    plain = NoteSigner(witness.name, witness.private)
    forged = [witness.line(text.replace("300", "301"), 1), another.line(text, 1), plain.line(text)]
    for lines in ("".join(forged), *forged):
        with serving(answering(200, lines.encode())) as url:
            assert not collect(reader, [(url, vkey)], tmp_path / "sizes.json")[0]
    with serving(answering(200, "".join([*forged, witness.line(text, 1)]).encode())) as url:
        assert collect(reader, [(url, vkey)], tmp_path / "sizes.json")[0] == [witness.line(text, 1)]


def test_a_witness_that_drips_is_not_waited_for(
    made: Path, tmp_path: Path, signer: NoteSigner, witness: NoteSigner
) -> None:
    """A byte now and then would keep a socket's own timeout from ever ending."""
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            while not stop.wait(0.05):
                self.wfile.write(b"x")
                self.wfile.flush()

        def log_message(self, *_: object) -> None:
            pass

    with serving(HTTPServer(("127.0.0.1", 0), Handler)) as url:
        asked = [(url, str(witness.verifier))]
        reader = LogReader(made, signer.verifier)
        _, failures = collect(reader, asked, tmp_path / "sizes.json", timeout=0.3)
        stop.set()

    assert "not in time" in failures[0]


def test_only_web_addresses_are_asked() -> None:
    """No file, no other scheme."""
    for url in ("file:///etc/hostname", "ftp://127.0.0.1/", "/etc/hostname"):
        with pytest.raises(OwnerError, match="no address"):
            request(url, 10, 1)
    with pytest.raises(VerificationError, match="does not answer"):
        request("http://127.0.0.1:9/", 10, 5)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    """What the memory of witness and monitor relies on."""
    path = tmp_path / "state"
    files.replace(path, b"old")
    with pytest.raises(TypeError):
        files.replace(path, "text")  # type: ignore[arg-type]  # fails in the middle
    assert path.read_bytes() == b"old"
    files.replace(path, b"new")
    assert path.read_bytes() == b"new"
