"""Ways to reach anything outside the container."""

import socket


def tcp_host(targets: dict) -> None:
    """Connect to the host's listener and send the marker."""
    tcp(targets["host"], targets["tcp_port"], targets)


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


def raw_icmp(_targets: dict) -> None:
    """Open a raw socket."""
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()


PROBES = {
    "net-tcp-host": tcp_host,
    "net-udp-host": udp_host,
    "net-host-loopback": host_loopback,
    "net-raw-icmp": raw_icmp,
}
