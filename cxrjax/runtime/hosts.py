"""Names and addresses of hosts that a server listens on."""

import ipaddress


def is_address(host: str) -> bool:
    """Return whether a host is an IPv4 or IPv6 address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether an address or name is that of the loopback interface."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)
