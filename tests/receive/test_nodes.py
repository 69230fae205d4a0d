"""AE titles, addresses of nodes, and the nodes that may send."""

import pytest

from cxrjax.receive.nodes import LOOPBACK, Node, parse_node, parse_senders, parse_title


def test_parse_node_returns_title_host_and_port():
    assert parse_node("ORTHANC@127.0.0.1:4242", "--send_to") == Node("ORTHANC", "127.0.0.1", 4242)
    assert parse_node("A@B@pacs.example:104", "--send_to") == Node("A@B", "pacs.example", 104)
    assert parse_node("PACS@[fd00::5]:104", "--send_to") == Node("PACS", "fd00::5", 104)


@pytest.mark.parametrize("text", ["", "PACS", "PACS@host", "@host:104", "PACS@:104", "PACS@host:0", "PACS@host:99999"])
def test_invalid_node_is_refused_with_its_flag(text):
    with pytest.raises(ValueError, match="--send_to="):
        parse_node(text, "--send_to")


def test_ae_title_has_up_to_16_characters():
    assert parse_title(" CXRJAX ", "--aet") == "CXRJAX"
    for text in ("", "   ", "A" * 17, "A\\B", "Ä", "A\n"):
        with pytest.raises(ValueError, match="--aet"):
            parse_title(text, "--aet")


def test_addresses_are_allowed_by_network():
    senders = parse_senders(["A"], ["10.0.0.5", "10.1.0.0/16", "fd00::/8"])
    for address in ("10.0.0.5", "10.1.255.1", "::ffff:10.0.0.5", "fd00::7", "fd00::7%eth0"):
        assert senders.allows_address(address)
    for address in ("10.0.0.6", "127.0.0.1", "::1", "::ffff:10.0.0.6"):
        assert not senders.allows_address(address)
    assert parse_senders([], LOOPBACK).allows_address("127.8.0.1")
    with pytest.raises(ValueError, match="--allow_address"):
        parse_senders(["A"], ["10.0.0.5/8"])
