"""Hosts that a server listens on."""

from cxrjax.runtime.hosts import is_loopback


def test_is_loopback_of_local_and_other_hosts():
    assert is_loopback("localhost") and is_loopback("127.0.0.1") and is_loopback("::1")
    assert not is_loopback("0.0.0.0") and not is_loopback("pacs.example") and not is_loopback("::")
