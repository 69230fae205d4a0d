"""DICOM nodes: AE titles, addresses, and the nodes that may send."""

import ipaddress
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LOOPBACK = ("127.0.0.0/8", "::1")
_MAX_TITLE = 16  # characters (PS3.5, value representation AE)


class Node(NamedTuple):
    """An application entity that listens for associations."""

    title: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.title}@{self.host}:{self.port}"


class Senders(NamedTuple):
    """The nodes that may open an association."""

    titles: frozenset[str]
    networks: tuple[Network, ...]

    def allows_address(self, address: str) -> bool:
        """Return whether connections from an address are accepted."""
        number = ipaddress.ip_address(address.partition("%")[0])  # without the interface of a link-local address
        mapped = getattr(number, "ipv4_mapped", None)
        return any((mapped or number) in network for network in self.networks)


def parse_title(text: str, flag: str) -> str:
    """Return an AE title without insignificant spaces.

    Raises:
        ValueError: it is not one; the sentence names the flag.
    """
    title = text.strip(" ")
    if not 0 < len(title) <= _MAX_TITLE or not title.isascii() or not title.isprintable() or "\\" in title:
        raise ValueError(f"{flag}={text} is not an AE title: 1 to {_MAX_TITLE} ASCII characters without a backslash")
    return title


def parse_node(text: str, flag: str) -> Node:
    """Return the node of a text such as "ORTHANC@10.0.0.5:4242" or "PACS@[fd00::5]:104".

    Raises:
        ValueError: it is not one; the sentence names the flag.
    """
    title, at, address = text.rpartition("@")
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (at and colon and host and port.isdecimal() and 0 < int(port) < 2**16):
        raise ValueError(f"{flag}={text} is not AET@HOST:PORT, such as ORTHANC@127.0.0.1:4242")
    return Node(parse_title(title, flag), host, int(port))


def parse_senders(titles: Sequence[str], networks: Iterable[str]) -> Senders:
    """Return the nodes of the values of --allow_aet and --allow_address.

    Raises:
        ValueError: a title or an address is invalid.
    """
    allowed = frozenset(parse_title(title, "--allow_aet") for title in titles)
    try:
        return Senders(allowed, tuple(ipaddress.ip_network(text.strip()) for text in networks))
    except ValueError as error:
        raise ValueError(
            f"--allow_address: {error}; name addresses or networks, such as 10.0.0.5,10.1.0.0/16"
        ) from error
