"""Ways to reach anything outside the container."""

import os
import secrets
import socket
import struct
import time
import zlib
from contextlib import suppress
from pathlib import Path

from .errors import Stopped

PORT = 7777  # the one that an image would EXPOSE
PEER = "\0evaluator-peer"  # abstract: it belongs to the network namespace, not to a folder
METADATA = "169.254.169.254"  # where clouds hand out credentials
# Of linux/socket.h; Python has no names for some of them.
AF_ALG, AF_VSOCK, LAST_FAMILY = 38, 40, 46


def tcp_host(targets: dict) -> None:
    """Connect to the host's listener and send the marker."""
    tcp(targets["host"], targets["tcp_port"], targets)


def ipv6_host(targets: dict) -> None:
    """The same over IPv6, which firewalls forget."""
    tcp(targets["host6"], targets["tcp6_port"], targets)


def tcp(host: str, port: int, targets: dict) -> None:
    """Connect and send the marker."""
    with socket.create_connection((host, port), timeout=2) as connection:
        connection.sendall(targets["marker"].encode())


def udp_host(targets: dict) -> None:
    """Send one datagram with the marker."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(targets["marker"].encode(), (targets["host"], targets["udp_port"]))


def host_loopback(targets: dict) -> None:
    """Reach a listener that is bound to the host's loopback address."""
    tcp("127.0.0.1", targets["loopback_port"], targets)


def abstract_unix(targets: dict) -> None:
    """Reach a listener with an abstract name: no file's permissions guard it."""
    unix(f"\0{targets['abstract']}", targets["marker"].encode())


def docker_sock(targets: dict) -> None:
    """Ask the engine whether it is there; whoever may ask that may ask for anything."""
    path = "/var/run/docker.sock"
    unix(path, f"GET /_ping?{targets['marker']} HTTP/1.0\r\n\r\n".encode())


def unix(address: str, message: bytes) -> None:
    """Connect to a UNIX socket and send the message."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2)
        connection.connect(address)
        connection.sendall(message)


def dns_query(targets: dict) -> None:
    """Ask every configured name server for a name that carries the marker.

    Only the host's own listener is really asked: nothing leaves the machine. For any other the
    kernel says whether a datagram would find its way.
    """
    for server in name_servers():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect((server, 53))
            if server == targets["host"]:
                sender.send(query(targets["marker"]))


def name_servers() -> list[str]:
    """The IPv4 addresses that names are asked of; Stopped where there are none."""
    lines = [line.split() for line in Path("/etc/resolv.conf").read_text().splitlines()]
    servers = [words[1] for words in lines if words[:1] == ["nameserver"] and ":" not in words[1]]
    if not servers:
        raise Stopped
    return servers


def resolver_name(_targets: dict) -> int:
    """Read the first name server; the proof is its checksum."""
    server = name_servers()[0]
    if server.startswith("127."):
        raise Stopped
    return zlib.crc32(server.encode())


def query(label: str) -> bytes:
    """An A query for LABEL.invalid, as in RFC 1035, section 4.1."""
    header = struct.pack(">6H", secrets.randbits(16), 0x0100, 1, 0, 0, 0)
    name = b"".join(bytes([len(part)]) + part.encode() for part in (label, "invalid"))
    return header + name + b"\0" + struct.pack(">2H", 1, 1)


def internal_dns(targets: dict) -> None:
    """Ask the engine's own resolver, which answers even where a network leads nowhere."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.11", 53))
        sender.settimeout(2)
        sender.send(query(targets["marker"]))
        with suppress(TimeoutError):  # the listener need not answer
            sender.recv(512)


def metadata_route(_targets: dict) -> None:
    """Have the kernel look up the way to the cloud's metadata service; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect((METADATA, 80))


def other_interface(_targets: dict) -> None:
    """Find a network interface that is not loopback."""
    lines = Path("/proc/net/dev").read_text().splitlines()[2:]
    if {line.partition(":")[0].strip() for line in lines} <= {"lo"}:
        raise Stopped


def raw_icmp(_targets: dict) -> None:
    """Open a raw socket."""
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()


def packet_socket(_targets: dict) -> None:
    """Open a socket that sees every frame."""
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()


def vsock(_targets: dict) -> None:
    """Open a socket to the hypervisor, and connect it to nothing."""
    socket.socket(AF_VSOCK, socket.SOCK_STREAM).close()


def alg(_targets: dict) -> None:
    """Open a socket to the kernel's ciphers."""
    socket.socket(AF_ALG, socket.SOCK_SEQPACKET).close()


def netlink(_targets: dict) -> None:
    """Open a socket to the kernel's network settings."""
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()


def family_sweep(_targets: dict) -> None:
    """Find any family but UNIX of which a socket can be made."""
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET)
    for family in set(range(LAST_FAMILY + 1)) - {socket.AF_UNIX}:
        for kind in kinds:
            with suppress(OSError):
                socket.socket(family, kind).close()
                return
    raise Stopped


def serve(targets: dict) -> None:
    """Offer the marker on a port, to whoever comes from outside."""
    with socket.create_server(("0.0.0.0", PORT)) as server:  # noqa: S104 - that is the point
        server.settimeout(4)
        connection, _ = server.accept()
        with connection:
            connection.sendall(targets["marker"].encode())


def print_marker(targets: dict) -> None:
    """Print it, and stay until whoever collects has had time to."""
    print(targets["marker"], flush=True)
    time.sleep(1)


def peer(_targets: dict) -> None:
    """Another run: wait for whoever shares the network namespace."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(PEER)
        server.listen()
        server.settimeout(4)
        server.accept()[0].close()


def shared_netns(_targets: dict) -> None:
    """Look for another run's listener."""
    deadline = time.monotonic() + 2
    while True:
        try:
            return unix(PEER, b"here")
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def proxy_env(_targets: dict) -> int:
    """Read the password of the client's proxy; the proof is its checksum."""
    password = os.environ.get("HTTP_PROXY", "").partition("@")[0].rpartition(":")[2]
    if not password:
        raise Stopped
    return zlib.crc32(password.encode())


def nvidia_env(_targets: dict) -> None:
    """Keep the image's variables for as long as a look at the container takes."""
    values = {value for name, value in os.environ.items() if name.startswith("NVIDIA_")}
    if values <= {"", "void", "compute"}:
        raise Stopped
    time.sleep(1)


PROBES = {
    "net-tcp-host": tcp_host,
    "net-udp-host": udp_host,
    "net-ipv6-host": ipv6_host,
    "net-dns-query": dns_query,
    "net-resolver-name": resolver_name,
    "net-internal-net-dns": internal_dns,
    "net-metadata-route": metadata_route,
    "net-nonlo-iface": other_interface,
    "net-host-loopback": host_loopback,
    "net-abstract-unix": abstract_unix,
    "net-shared-netns": shared_netns,
    "net-peer": peer,
    "net-docker-sock": docker_sock,
    "net-packet-socket": packet_socket,
    "net-raw-icmp": raw_icmp,
    "net-af-vsock": vsock,
    "net-af-alg": alg,
    "net-af-netlink": netlink,
    "net-af-sweep": family_sweep,
    "net-publish-port": serve,
    "net-log-driver": print_marker,
    "net-proxy-env": proxy_env,
    "net-rdma-env": nvidia_env,
}
