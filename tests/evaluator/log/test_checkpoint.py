"""Checkpoints: three lines in one spelling."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from evaluator.errors import VerificationError
from evaluator.log.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from evaluator.log.note import NoteSigner, VerifierKey, sign_note

# The example of the specification.
EXAMPLE = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"


def test_the_specifications_example_reads() -> None:
    """And is written again as it was."""
    found = parse_checkpoint(EXAMPLE)

    assert (found.origin, found.size) == ("example.com/behind-the-sofa", 20_852_163)
    assert found.text() == EXAMPLE


@pytest.mark.parametrize(
    "text",
    [
        "",
        EXAMPLE[:-1],
        EXAMPLE + "\n",
        EXAMPLE + "extension\n",
        EXAMPLE.replace("20852163", "020852163"),
        EXAMPLE.replace("20852163", "-1"),
        EXAMPLE.replace("20852163", "2_0"),
        EXAMPLE.replace("20852163", "\N{ARABIC-INDIC DIGIT ONE}"),
        EXAMPLE.replace("20852163", str(1 << 62)),
        EXAMPLE.replace("20852163", "9" * 5000),
        EXAMPLE.replace("example.com/behind-the-sofa", ""),
        EXAMPLE.replace("CsU", ""),
        EXAMPLE.replace("q2I=", "q2J="),
        EXAMPLE.replace("q2I=", "q2I"),
        "a\n0\n\n",
    ],
)
def test_any_other_spelling_is_refused(text: str) -> None:
    """Among them spare base64 bits, zeroes in front and lines that nobody can audit."""
    with pytest.raises(VerificationError):
        parse_checkpoint(text)


@given(st.text(max_size=120))
def test_hostile_text_is_refused_in_words(text: str) -> None:
    """Never another exception."""
    with pytest.raises(VerificationError):
        parse_checkpoint(text)


def test_a_log_is_named_as_its_key(signer: NoteSigner) -> None:
    """One key under two names is two logs, and a key of one does not speak for the other."""
    text = Checkpoint(signer.name, 0, bytes(32)).text()
    stranger = NoteSigner("other.example", Ed25519PrivateKey.generate())

    assert open_checkpoint(sign_note(text, signer), signer.verifier).size == 0
    with pytest.raises(VerificationError, match="another log"):
        open_checkpoint(sign_note(text, stranger), stranger.verifier)
    with pytest.raises(VerificationError, match="None of the keys"):
        open_checkpoint(sign_note(text, stranger), VerifierKey(signer.name, 1, bytes(32)))
