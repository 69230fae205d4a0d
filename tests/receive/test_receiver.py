"""Associations with a receiver in this process: allowed nodes and objects, and the results that are sent."""

import socket
import struct
import time

import pydicom
import pynetdicom
import pytest
from pydicom.uid import CTImageStorage, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from cxrjax.receive import scp
from cxrjax.receive.contexts import STORAGE_CLASSES, TRANSFER_SYNTAXES
from tests.receive.conftest import result_uid, save_radiograph, stub_examine

VERIFICATION = "1.2.840.10008.1.1"
SECONDS = 20  # for what happens soon


def associate(port, calling="SENDER", called="CXRJAX", storage_class=DigitalXRayImageStorageForPresentation):
    entity = pynetdicom.AE(calling)
    entity.add_requested_context(VERIFICATION)
    entity.add_requested_context(storage_class, ExplicitVRLittleEndian)
    return entity.associate("127.0.0.1", port, ae_title=called)


def send(port, *datasets):
    """Send data sets over one association and return their statuses."""
    association = associate(port)
    assert association.is_established
    statuses = [association.send_c_store(dataset).get("Status") for dataset in datasets]
    association.release()
    return statuses


def accepts_echo(port):
    association = associate(port)
    if not association.is_established:
        return False
    status = association.send_c_echo()
    association.release()
    return status.Status == 0


def wait_until(is_done):
    deadline = time.monotonic() + SECONDS
    while not is_done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_results_of_a_received_radiograph_arrive_once_at_the_node(start_receiver, peer, tmp_path, capfd):
    frontal = save_radiograph(tmp_path / "frontal.dcm")
    lateral = save_radiograph(tmp_path / "lateral.dcm", ViewPosition="LL")
    faulty = save_radiograph(tmp_path / "faulty.dcm", ViewPosition="ERROR")
    running = start_receiver(peer.start())
    assert send(running.port, frontal, lateral, frontal, faulty) == [0, 0, 0, 0]
    wait_until(lambda: running.queue.count() == {"delivered": 1, "sent": 2, "set aside": 1, "failed": 1})
    assert peer.received == {result_uid(frontal.SOPInstanceUID, index): 1 for index in (1, 2)}
    # What is set aside or failed stays, and what was delivered does not.
    running.stop()
    stored = [pydicom.dcmread(path) for path in running.folder.rglob("*.dcm")]
    assert {dataset.SOPInstanceUID for dataset in stored} == {lateral.SOPInstanceUID, faulty.SOPInstanceUID}
    assert lateral in stored  # as it was sent
    output = "".join(capfd.readouterr())
    assert "set aside" in output and "lateral view, by its ViewPosition" in output
    assert "failed" in output and "ValueError" in output
    names = " ".join(path.name for path in running.folder.rglob("*"))
    assert "sentinel" not in (output + names).lower()
    assert frontal.SOPInstanceUID not in output + names


def test_only_known_nodes_on_known_addresses_associate(start_receiver, capfd):
    running = start_receiver()
    assert accepts_echo(running.port)
    assert associate(running.port, calling="STRANGER").is_rejected
    assert associate(running.port, called="OTHER").is_rejected
    assert "STRANGER" in capfd.readouterr().err
    elsewhere = start_receiver(networks=["10.0.0.0/8"])
    assert associate(elsewhere.port).is_aborted
    assert "--allow_address" in capfd.readouterr().err


def test_only_radiographs_are_negotiated_in_readable_transfer_syntaxes(start_receiver):
    running = start_receiver()
    association = associate(running.port, storage_class=CTImageStorage)
    assert [context.abstract_syntax for context in association.accepted_contexts] == [VERIFICATION]
    association.release()
    entity = pynetdicom.AE("SENDER")
    for storage_class in STORAGE_CLASSES:
        for syntax in TRANSFER_SYNTAXES:
            entity.add_requested_context(storage_class, syntax)
    contexts = [
        pynetdicom.presentation.build_context(storage_class, syntax)
        for storage_class in STORAGE_CLASSES
        for syntax in TRANSFER_SYNTAXES
    ]
    association = entity.associate("127.0.0.1", running.port, contexts, "CXRJAX")
    assert len(association.accepted_contexts) == len(STORAGE_CLASSES) * len(TRANSFER_SYNTAXES) == 64
    association.release()


def test_transfer_syntaxes_are_those_of_the_installed_decoders():
    decoders = {
        uid
        for uid in pydicom.uid.AllTransferSyntaxes
        if _is_decodable(uid) and "JPIP" not in uid.name and "MPEG" not in uid.name
    }
    assert decoders == set(TRANSFER_SYNTAXES)


def _is_decodable(uid):
    try:
        return pydicom.pixels.get_decoder(uid).is_available
    except NotImplementedError:
        return False


def test_too_large_objects_are_refused_and_floods_are_aborted(start_receiver, tmp_path, capfd):
    small = save_radiograph(tmp_path / "small.dcm")
    large = save_radiograph(tmp_path / "large.dcm", PixelData=bytes(5000))
    flood = save_radiograph(tmp_path / "flood.dcm", PixelData=bytes(400_000))
    running = start_receiver(max_bytes=5000)
    assert send(running.port, small, large, small) == [0, 0xC000, 0]
    assert send(running.port, flood) == [None]  # the connection was closed
    with socket.create_connection(("127.0.0.1", running.port)) as connection:  # one PDU of 4 GiB
        connection.sendall(struct.pack(">BBL", 4, 0, 2**32 - 1))
        with pytest.raises(OSError):
            for _ in range(10_000):
                connection.sendall(bytes(4096))
    assert capfd.readouterr().err.count("larger than") == 3  # `large`, `flood` and the PDU
    assert send(running.port, small) == [0]


def test_broken_connections_leave_room_for_associations(start_receiver, monkeypatch, capfd):
    monkeypatch.setattr(scp, "_REQUEST_SECONDS", 3600)
    running = start_receiver()
    request = struct.pack(">BBL", 1, 0, 2) + b"\0\1"  # too short for a request
    for message in (b"", b"\1", b"GET / HTTP/1.1\r\n\r\n", request, request[:-1]):
        for _ in range(scp.MAX_ASSOCIATIONS):
            with socket.create_connection(("127.0.0.1", running.port)) as connection:
                connection.sendall(message)
    wait_until(lambda: accepts_echo(running.port))
    assert "Traceback" not in capfd.readouterr().err


def test_a_full_queue_asks_the_sender_to_try_later(start_receiver, tmp_path, capfd):
    running = start_receiver(examine=lambda job: [])
    running.queue._limits = running.queue._limits._replace(max_radiographs=0)
    assert send(running.port, save_radiograph(tmp_path / "a.dcm")) == [0xA700]
    assert "0 radiographs wait" in capfd.readouterr().err


def test_results_wait_for_an_unavailable_node_across_a_restart(start_receiver, peer, tmp_path):
    node = peer.start()
    peer.stop()
    running = start_receiver(node)
    assert send(running.port, save_radiograph(tmp_path / "a.dcm")) == [0]
    wait_until(lambda: running.queue.count()["waiting"] == 2)
    running.stop()
    running.queue.close()
    peer.status = 0xA700
    peer.start()
    restarted = start_receiver(node)
    time.sleep(0.2)
    assert restarted.queue.count()["waiting"] == 2
    peer.status = 0x0000
    wait_until(lambda: restarted.queue.count() == {"delivered": 1, "sent": 2})
    assert sorted(peer.received.values()) == [1, 1]


@pytest.mark.parametrize("cause", ["status", "kind"])
def test_refused_result_does_not_block_the_queue(start_receiver, peer, tmp_path, capfd, cause):
    if cause == "status":
        peer.status = 0xA900
    else:
        peer.contexts = [CTImageStorage, VERIFICATION]
    running = start_receiver(peer.start())
    assert send(running.port, save_radiograph(tmp_path / "a.dcm")) == [0]
    wait_until(lambda: [row[0] for row in running.queue._read("SELECT refusals FROM result")] == [1, 1])
    assert running.queue.list_due(10) == []  # tried again in a minute
    assert ("A900" if cause == "status" else "of this kind") in capfd.readouterr().err


def test_stop_finishes_the_running_examination(start_receiver, peer, tmp_path):
    examined = []

    def examine_slowly(job):
        time.sleep(0.5)
        examined.append(job.id)
        return stub_examine(job)

    running = start_receiver(peer.start(), examine=examine_slowly)
    association = associate(running.port)
    datasets = [save_radiograph(tmp_path / f"{name}.dcm") for name in "abc"]
    assert [association.send_c_store(dataset).Status for dataset in datasets[:2]] == [0, 0]
    time.sleep(0.1)
    association.release()
    running.stop()
    assert examined == [1]
    counts = running.queue.count()
    assert counts["received"] == 1  # the next start examines it
    assert counts["waiting"] + counts["sent"] == 2
