"""What reaches the host is seen, and what does not is not."""

import socket
import zlib
from pathlib import Path

import pytest

from evaluator.attacks.witness import Witness


def test_a_witness_that_nobody_visits_has_seen_nothing(tmp_path: Path) -> None:
    """Listeners and files alone are no evidence."""
    with Witness(tmp_path, "127.0.0.1") as witness:
        assert witness.seen() == frozenset()


@pytest.mark.parametrize("port", ["tcp_port", "tcp6_port", "loopback_port"])
def test_a_marker_that_arrives_is_seen_and_a_wrong_one_is_not(tmp_path: Path, port: str) -> None:
    """A stranger who connects by chance proves nothing."""
    host = "::1" if port == "tcp6_port" else "127.0.0.1"
    with Witness(tmp_path, "127.0.0.1") as witness:
        for message in ("somebody else's", witness.marker):
            before = witness.seen()
            with socket.create_connection((host, int(str(witness.targets[port])))) as connection:
                connection.sendall(message.encode())
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)  # until the listener has closed
        assert before == frozenset()
        assert witness.seen() == {port.removesuffix("_port")}


def test_the_stand_in_for_the_engines_socket_hears_a_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in a folder whose path is longer than a socket's may be."""
    folder = tmp_path / ("deep" * 30)
    folder.mkdir()
    monkeypatch.chdir(folder)
    with Witness(folder, "127.0.0.1") as witness, socket.socket(socket.AF_UNIX) as client:
        client.connect("engine.sock")
        client.sendall(f"GET /_ping?{witness.marker}".encode())
        client.shutdown(socket.SHUT_WR)
        client.recv(1)
        assert witness.seen() == {"engine"}


def test_a_changed_a_read_and_a_new_file_are_told_apart(tmp_path: Path) -> None:
    """Each is a name of its own, so that no technique is credited with another's effect."""
    with Witness(tmp_path, "127.0.0.1") as witness:
        (tmp_path / "created").touch()
        assert witness.seen() == {"created"}
    other = tmp_path / "other"
    other.mkdir()
    with Witness(other, "127.0.0.1") as witness:
        witness.tiles.chmod(0o644)
        witness.tiles.write_bytes(b"other")
        assert witness.seen() == {"tiles"}


def test_the_probe_is_not_told_what_it_must_prove(tmp_path: Path) -> None:
    """A proof of the labels is the checksum of bytes that stand in no target."""
    with Witness(tmp_path, "127.0.0.1") as witness:
        secret = (tmp_path / "labels.npy").read_bytes()
        assert witness.proofs["labels"] == zlib.crc32(secret)
        assert secret.hex() not in str(witness.targets)
        assert str(witness.proofs["labels"]) not in str(witness.targets)
