"""Signed notes: genuine ones open, and no others."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from evaluator.errors import VerificationError
from evaluator.log.note import (
    COSIGNATURE,
    NoteSigner,
    Signature,
    VerifierKey,
    add_line,
    open_note,
    parse_vkey,
    sign_note,
    signature_lines,
)

# The note and the key that Go's golang.org/x/mod/sumdb/note shows in its documentation.
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
GO_NOTE = (
    f"{GO_TEXT}\n— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
).encode()
# The cosignature that the specification of the witness protocol shows has no published key, so
# this one stands for the format: a fixed key signed it.
FIXED = NoteSigner(
    "witness.example/w1", Ed25519PrivateKey.from_private_bytes(bytes(32)), COSIGNATURE
)
TEXT = "log.example/a\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=40)


def other(name: str = "other.example", algorithm: int = 1) -> NoteSigner:
    """A key of nobody here."""
    return NoteSigner(name, Ed25519PrivateKey.generate(), algorithm)


def test_gos_note_opens_with_gos_key() -> None:
    """The example of another implementation's documentation."""
    opened = open_note(GO_NOTE, [parse_vkey(GO_VKEY)])

    assert opened.text == GO_TEXT
    assert opened.unverified == 0


def test_vkey_reads_as_it_was_written() -> None:
    """Text to key to text, for both algorithms."""
    assert str(parse_vkey(GO_VKEY)) == GO_VKEY
    assert parse_vkey(str(FIXED.verifier)) == FIXED.verifier


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "name",
        "name+c74f20a3",
        GO_VKEY.replace("c74f20a3", "c74f20a4"),
        GO_VKEY.replace("PeterNeumann", "PeterNewmann"),
        GO_VKEY.replace("PeterNeumann", "Peter Neumann"),
        GO_VKEY.replace("PeterNeumann", ""),
        GO_VKEY[:-4],
        GO_VKEY + "=",
        str(VerifierKey("name", 6, bytes(1312))),
        str(VerifierKey("name", 1, bytes(31))),
        "name+00000000+",
    ],
)
def test_what_is_no_vkey_is_refused(vkey: str) -> None:
    """Miscopied, cut, misnamed, or of an algorithm that is not there."""
    with pytest.raises(VerificationError):
        parse_vkey(vkey)


@given(texts)
def test_what_was_signed_opens(text: str) -> None:
    """Any text a note can carry, blank lines included."""
    signer = other()
    text = f"{text}\n\n{text}\n"

    assert open_note(sign_note(text, signer), [signer.verifier]).text == text


def test_a_cosignature_says_when() -> None:
    """Eight bytes of time before the signature, and the time in what is signed."""
    note = add_line(sign_note(TEXT, other()), FIXED.line(TEXT, 1_679_315_147))
    opened = open_note(note, [FIXED.verifier])

    assert opened.signatures == (Signature(FIXED.verifier, 1_679_315_147),)
    assert opened.unverified == 1
    raw = base64.b64decode(note.split()[-1])
    assert raw[:4] == FIXED.verifier.key_id
    assert raw[4:12] == (1_679_315_147).to_bytes(8, "big")
    FIXED.private.public_key().verify(
        raw[12:], b"cosignature/v1\ntime 1679315147\n" + TEXT.encode()
    )


@pytest.mark.parametrize("byte", [4, 11, 12, 75])
def test_an_altered_time_or_signature_is_refused(byte: int) -> None:
    """The first and the last byte of the time and of the signature."""
    line = FIXED.line(TEXT, 1_679_315_147)
    raw = bytearray(base64.b64decode(line.split()[2]))
    raw[byte] ^= 1
    forged = f"— {FIXED.name} {base64.b64encode(raw).decode()}\n"

    assert open_note(f"{TEXT}\n{line}".encode(), [FIXED.verifier])
    with pytest.raises(VerificationError, match=r"witness\.example/w1"):
        open_note(f"{TEXT}\n{forged}".encode(), [FIXED.verifier])


def test_a_time_beyond_all_clocks_is_refused() -> None:
    """The specification ends time at 2**63 - 1."""
    with pytest.raises(VerificationError, match="time"):
        open_note(f"{TEXT}\n{FIXED.line(TEXT, 1 << 63)}".encode(), [FIXED.verifier])


def test_a_note_by_the_wrong_key_is_refused() -> None:
    """By nobody that is trusted; and by somebody of the same name."""
    signer = other()
    note = sign_note("text\n", signer)

    assert open_note(note, [signer.verifier])
    with pytest.raises(VerificationError, match="None of the keys"):
        open_note(note, [other().verifier])
    with pytest.raises(VerificationError, match="None of the keys"):
        open_note(note, [])


def test_one_bad_line_of_a_known_key_spoils_the_note() -> None:
    """Though another known key's line is good."""
    signer, second = other(), other("second.example")
    note = sign_note("text\n", signer)
    bad = second.line("another text\n")

    assert open_note(add_line(note, bad), [signer.verifier]).unverified == 1
    with pytest.raises(VerificationError, match=r"second\.example"):
        open_note(add_line(note, bad), [signer.verifier, second.verifier])


def test_a_newer_line_replaces_the_older_of_its_key() -> None:
    """A witness that cosigned twice stands there once, with the later time."""
    note = sign_note(TEXT, other())
    for time in (1, 2):
        note = add_line(note, FIXED.line(TEXT, time))

    assert note.count(FIXED.name.encode()) == 1
    assert open_note(note, [FIXED.verifier]).signatures[0].timestamp == 2


def test_of_repeated_lines_the_first_counts() -> None:
    """One key is one signature, however often it stands there."""
    lines = FIXED.line(TEXT, 1) + FIXED.line(TEXT, 2)
    opened = open_note(f"{TEXT}\n{lines}".encode(), [FIXED.verifier])

    assert opened.signatures == (Signature(FIXED.verifier, 1),)


GOOD = sign_note("text\n", FIXED).decode()
MALFORMED = {
    "empty": "",
    "no signatures": "text\n\n",
    "no blank line": GOOD.replace("\n\n", "\n"),
    "no last newline": GOOD[:-1],
    "a hyphen for a dash": GOOD.replace("—", "-"),
    "two spaces": GOOD.replace("— ", "—  "),
    "a tab": GOOD.replace("text", "te\tx"),
    "a carriage return": GOOD.replace("\n", "\r\n"),
    "a bell in the name": GOOD.replace("witness", "wit\aness"),
    "a wide space in the name": GOOD.replace("witness.", "witness\N{EM SPACE}."),
    "a plus in the name": GOOD.replace("witness.", "witness+."),
    "no name": GOOD.replace(FIXED.name, ""),
    "no base64": GOOD.replace("==\n", "=!\n"),
    "a cut signature": f"text\n\n— {FIXED.name} AAAA\n",
    "something after": GOOD + "more\n",
    "too many lines": GOOD + f"— a {base64.b64encode(bytes(8)).decode()}\n" * 100,
    "too large": "x" * (1 << 20) + GOOD,
}


@pytest.mark.parametrize("malformed", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_note_is_refused(malformed: str) -> None:
    """Each of them differs from a note that opens in one thing."""
    assert open_note(GOOD.encode(), [FIXED.verifier])
    with pytest.raises(VerificationError):
        open_note(malformed.encode(), [FIXED.verifier])


@given(st.binary(max_size=200))
def test_hostile_bytes_are_refused_in_words(raw: bytes) -> None:
    """Bytes of any kind, also in the place of a text or of a line: never another exception."""
    for candidate in (raw, raw + b"\n\n" + raw, b"text\n\n\xe2\x80\x94 " + raw + b"\n"):
        with pytest.raises(VerificationError):
            open_note(candidate, [FIXED.verifier])


@given(st.data())
def test_no_altered_byte_passes(data: st.DataObject) -> None:
    """One flipped bit anywhere in a note with one signature."""
    raw = bytearray(GOOD.encode())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    with pytest.raises(VerificationError):
        open_note(bytes(raw), [FIXED.verifier])


@given(st.binary(max_size=80))
def test_hostile_lines_are_refused_in_words(raw: bytes) -> None:
    """What a witness answers is as hostile as a note."""
    with pytest.raises(VerificationError):
        signature_lines(raw)


def test_a_witnesss_lines_are_read_one_by_one() -> None:
    """The answer of a witness with two keys."""
    lines = [FIXED.line(TEXT, 1), other().line(TEXT)]

    assert signature_lines("".join(lines).encode()) == lines


@pytest.mark.parametrize("name", ["", "two words", "a+b", "line\nbreak", "\N{NO-BREAK SPACE}"])
def test_a_key_has_a_name_that_a_note_can_carry(name: str) -> None:
    """Refused when the key is made, not when the first note is unreadable."""
    with pytest.raises(VerificationError, match="one word"):
        other(name)


@pytest.mark.parametrize("text", ["no newline", "control\a\n"])
def test_only_what_opens_again_is_signed(text: str) -> None:
    """A text that no note can carry."""
    with pytest.raises(VerificationError):
        sign_note(text, other())
