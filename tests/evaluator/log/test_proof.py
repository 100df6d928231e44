"""The proof beside an entry: accepted whole, and refused altered, dropped or under-witnessed."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluator.errors import VerificationError
from evaluator.log.note import COSIGNATURE, NoteSigner, add_line
from evaluator.log.proof import format_proof, parse_proof, verify_proof
from evaluator.log.store import LogReader, create_log, open_log

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def reader(made: Path, signer: NoteSigner) -> LogReader:
    """The log of three hundred entries."""
    return LogReader(made, signer.verifier)


def cosigned(reader: LogReader, *lines: str, index: int = 123) -> bytes:
    """A proof with these lines below its checkpoint."""
    note = reader.note + "".join(lines).encode()
    return format_proof(index, reader.inclusion(index), note)


def test_an_entry_is_proven_without_witnesses(
    reader: LogReader, signer: NoteSigner, entries: list[bytes]
) -> None:
    """Every entry, where no quorum is asked for."""
    for index, entry in enumerate(entries):
        proven = verify_proof(reader.proof(index), entry, signer.verifier, [], 0)
        assert (proven.checkpoint, proven.index) == (reader.checkpoint, index)
        assert proven.timestamps == ()


def test_an_entry_is_proven_with_a_quorum(
    reader: LogReader, signer: NoteSigner, witness: NoteSigner, entries: list[bytes]
) -> None:
    """Two of two, and the times in order."""
    second = NoteSigner("w2.example", Ed25519PrivateKey.generate(), COSIGNATURE)
    text = reader.checkpoint.text()
    raw = cosigned(reader, witness.line(text, 20), second.line(text, 10))
    both = [witness.verifier, second.verifier]

    assert verify_proof(raw, entries[123], signer.verifier, both, 2).timestamps == (10, 20)
    assert verify_proof(raw, entries[123], signer.verifier, both[:1], 1).timestamps == (20,)
    with pytest.raises(VerificationError, match="1 of the witnesses"):
        verify_proof(raw, entries[123], signer.verifier, both[:1], 2)


def test_a_quorum_counts_keys_and_not_names(
    reader: LogReader, signer: NoteSigner, witness: NoteSigner, entries: list[bytes]
) -> None:
    """One witness twice, one key under two names, or the log itself is not two witnesses."""
    text = reader.checkpoint.text()
    alias = NoteSigner("alias.example", witness.private, COSIGNATURE)
    itself = NoteSigner(signer.name, signer.private, COSIGNATURE)
    plain = NoteSigner("plain.example", Ed25519PrivateKey.generate())
    lines = [
        witness.line(text, 1),
        witness.line(text, 2),
        alias.line(text, 3),
        itself.line(text, 4),
        plain.line(text),
    ]
    named = [key.verifier for key in (witness, witness, alias, itself, plain)]
    raw = cosigned(reader, *lines)

    assert len(verify_proof(raw, entries[123], signer.verifier, named, 1).timestamps) == 1
    with pytest.raises(VerificationError, match="2 are needed"):
        verify_proof(raw, entries[123], signer.verifier, named, 2)


def test_the_log_must_have_signed_itself(
    reader: LogReader, signer: NoteSigner, witness: NoteSigner, entries: list[bytes]
) -> None:
    """A checkpoint with a witness's line and without the log's own."""
    text = reader.checkpoint.text()
    note = f"{text}\n{witness.line(text, 1)}".encode()
    raw = format_proof(123, reader.inclusion(123), note)
    signed = format_proof(123, reader.inclusion(123), add_line(note, signer.line(text)))

    assert verify_proof(signed, entries[123], signer.verifier, [witness.verifier], 1)
    with pytest.raises(VerificationError, match="not signed by the log"):
        verify_proof(raw, entries[123], signer.verifier, [witness.verifier], 1)


def test_another_entry_is_refused(
    reader: LogReader, signer: NoteSigner, entries: list[bytes]
) -> None:
    """An altered one, the neighbour, and the right one at another place."""
    raw = reader.proof(123)
    moved = raw.replace(b"index 123\n", b"index 122\n")

    assert verify_proof(raw, entries[123], signer.verifier, [], 0)
    for proof, entry in ((raw, b"entry 12E"), (raw, entries[124]), (moved, entries[123])):
        with pytest.raises(VerificationError, match="does not lead"):
            verify_proof(proof, entry, signer.verifier, [], 0)


def test_a_dropped_entry_is_proven_by_no_later_checkpoint(
    tmp_path: Path, reader: LogReader, signer: NoteSigner, entries: list[bytes]
) -> None:
    """A second log by the same key, without entry 7, proves the others and never that one."""
    folder = tmp_path / "log"
    create_log(folder, signer)
    with open_log(folder, signer) as log:
        log.append([*entries[:7], *entries[8:]])
        for index in range(299):
            with pytest.raises(VerificationError):
                verify_proof(log.proof(index), entries[7], signer.verifier, [], 0)
        assert verify_proof(log.proof(7), entries[8], signer.verifier, [], 0)
    assert verify_proof(reader.proof(7), entries[7], signer.verifier, [], 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_altered_bit_passes(
    reader: LogReader, signer: NoteSigner, entries: list[bytes], data: st.DataObject
) -> None:
    """Anywhere in the file."""
    raw = bytearray(reader.proof(123))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    with pytest.raises(VerificationError):
        verify_proof(bytes(raw), entries[123], signer.verifier, [], 0)


def test_a_proof_reads_as_it_was_written(reader: LogReader) -> None:
    """With and without extra data, and with an empty path."""
    for extra in (b"", b"\x00what nobody signed"):
        raw = format_proof(5, reader.inclusion(5), reader.note, extra)
        found = parse_proof(raw)
        assert (found.index, list(found.path), found.extra) == (5, reader.inclusion(5), extra)
        assert found.note == reader.note
    assert parse_proof(format_proof(0, [], reader.note)).path == ()


def test_a_malformed_proof_is_refused(reader: LogReader) -> None:
    """Each differs from a good one in one thing."""
    good = reader.proof(5)
    first = good.split(b"\n")[2]
    for malformed in (
        b"",
        good.replace(b"@v1", b"@v2"),
        good.replace(b"index 5", b"index 05"),
        good.replace(b"index 5", b"index -5"),
        good.replace(b"index 5", b"5"),
        good.replace(b"index 5", b"extra \nindex 5"),
        good.replace(b"index 5", b"extra AB==\nindex 5"),
        good.replace(b"index 5\n", b""),
        good.replace(first, first[:-4]),
        good.replace(first, first.replace(b"=", b"")),
        good.replace(first, base64.b64encode(bytes(33))),
        good.replace(first, b"\n".join([first] * 60)),
        good.replace(b"\n\n", b"\n"),
        good + b"x" * (1 << 20),
    ):
        with pytest.raises(VerificationError):
            verify_proof(malformed, b"entry 5", reader.verifier, [], 0)


@given(st.binary(max_size=200))
def test_hostile_bytes_are_refused_in_words(raw: bytes) -> None:
    """Never another exception, also below a genuine first line."""
    for candidate in (
        raw,
        b"c2sp.org/tlog-proof@v1\n" + raw,
        b"c2sp.org/tlog-proof@v1\nindex " + raw,
    ):
        with pytest.raises(VerificationError):
            parse_proof(candidate)
