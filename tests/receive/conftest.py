"""A receiver with a stub in place of the model, and a node that it sends to, in this process on free ports."""

import gc
import os
import threading
import warnings
from collections import Counter
from types import SimpleNamespace

import pydicom
import pynetdicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from pynetdicom import evt

from cxrjax.receive import job_queue, receiver
from cxrjax.receive.examiner import EncodedResult, SetAsideError
from cxrjax.receive.job_queue import JobQueue
from cxrjax.receive.nodes import Node, parse_senders
from cxrjax.receive.scp import StoreProvider
from cxrjax.receive.scu import Sender
from tests.helpers import image_files

PATIENT = "Sentinel^Patient"


def save_radiograph(path, **tags):
    """Write a radiograph of the patient PATIENT, with a header of which pydicom warns."""
    values = {"PatientName": PATIENT, "PatientID": "SENTINEL-77", "PatientBirthDate": "SENTINEL", "ViewPosition": "PA"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image_files.save_dicom(path, **(values | tags))
    return pydicom.dcmread(path)


def result_uid(uid, index):
    """Return the SOP instance UID of a result of `stub_examine`."""
    return pydicom.uid.generate_uid(entropy_srcs=[uid, str(index)])


def stub_examine(job):
    """Return two results, set a lateral radiograph aside, or fail for the view position "ERROR"."""
    source = pydicom.dcmread(job.path)
    if source.ViewPosition == "LL":
        raise SetAsideError("lateral view, by its ViewPosition")
    if source.ViewPosition == "ERROR":
        raise ValueError(source.PatientName)
    results = []
    for index in (1, 2):
        source.SOPClassUID = SecondaryCaptureImageStorage
        source.SOPInstanceUID = result_uid(job.uid, index)
        source.file_meta.MediaStorageSOPClassUID = source.SOPClassUID
        source.file_meta.MediaStorageSOPInstanceUID = source.SOPInstanceUID
        results.append(EncodedResult(source.SOPInstanceUID, encode(source)))
    return results


def encode(dataset):
    stream = pydicom.filebase.DicomBytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


class PeerNode:
    """A node that stores what is sent to it; `status` is its answer."""

    def __init__(self):
        self.status = 0x0000
        self.received = Counter()
        self.contexts = [SecondaryCaptureImageStorage]
        self.server = None
        self.port = 0

    def start(self):
        entity = pynetdicom.AE("PEER")
        for context in self.contexts:
            entity.add_supported_context(context, ExplicitVRLittleEndian)
        handlers = [(evt.EVT_C_STORE, self._store)]
        self.server = entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        self.port = self.server.server_address[1]
        return Node("PEER", "127.0.0.1", self.port)

    def stop(self):
        self.server.shutdown()

    def _store(self, event):
        if self.status == 0x0000:
            self.received[event.request.AffectedSOPInstanceUID] += 1
        return self.status


@pytest.fixture
def peer():
    peer = PeerNode()
    yield peer
    if peer.server:
        peer.stop()


@pytest.fixture(scope="module")
def earlier_objects():
    """Exclude objects of earlier tests from garbage collection, which would visit all of them."""
    gc.freeze()


@pytest.fixture
def start_receiver(tmp_path, monkeypatch, earlier_objects):
    """A function that starts a receiver in a thread; it has `port`, `queue` and `stop`."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    started = []

    def start(destination=None, examine=stub_examine, max_bytes=2**20, networks=("127.0.0.1",)):
        folder = tmp_path / "queue"
        job_queue.create_folders(folder)
        queue = JobQueue(folder, "model")
        provider = StoreProvider(queue, parse_senders(["SENDER"], networks), "CXRJAX", max_bytes)
        sender = Sender(queue, destination, "CXRJAX", first_delay=0.05) if destination else None
        stopping = threading.Event()
        work = (queue, provider, sender, examine, stopping.is_set)
        thread = threading.Thread(target=receiver.run, args=work, daemon=True)
        port = provider.start("127.0.0.1", 0)
        thread.start()

        def stop():
            stopping.set()
            thread.join(30)
            assert not thread.is_alive()

        started.append(SimpleNamespace(port=port, queue=queue, stop=stop, folder=folder))
        return started[-1]

    with receiver.silenced_libraries():
        yield start
        for running in started:
            running.stop()
            running.queue.close()
        gc.collect()  # closes sockets that pynetdicom forgets where the other side was the first to close
