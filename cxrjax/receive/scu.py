"""Service class user: a thread that sends results by C-STORE, and tries again what was not stored."""

import threading

import pynetdicom
from pydicom.filereader import read_file_meta_info
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from cxrjax.receive.job_queue import JobQueue, Result
from cxrjax.receive.nodes import Node
from cxrjax.runtime.terminal import print_line, warn

_BATCH = 30  # results per association
_MAX_DELAY = 300  # seconds between two tries to reach the node
_POLL_SECONDS = 0.2
_CONNECT_SECONDS = 10
_ANSWER_SECONDS = 120  # that the node may take to store one object
# Offered beside what is sent: an association of which nothing is accepted is no association.
_VERIFICATION = ("1.2.840.10008.1.1", ExplicitVRLittleEndian)
_WARNINGS = range(0xB000, 0xC000)  # the object is stored, with changes (PS3.4 B.2.3)
_OUT_OF_RESOURCES = range(0xA700, 0xA800)


class UnreachableError(Exception):
    """The node cannot be reached, or has no room; the message is a reason without the node."""


class Sender:
    """Sends results, until it is stopped."""

    def __init__(self, queue: JobQueue, node: Node, title: str, first_delay: float = 1.0):
        """Initialize.

        Args:
            queue: its waiting results are sent.
            node: the node that they are sent to.
            title: AE title of this receiver.
            first_delay: seconds after which an unreachable node is tried again, twice as many after each further try.
        """
        self._queue = queue
        self._node = node
        self._first_delay = first_delay
        self._entity = pynetdicom.AE(title)
        self._entity.connection_timeout = _CONNECT_SECONDS
        self._entity.acse_timeout = _CONNECT_SECONDS
        self._entity.dimse_timeout = _ANSWER_SECONDS
        self._entity.network_timeout = _ANSWER_SECONDS
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Finish the object that is being sent, wait at most so many seconds, and end the thread."""
        self._stopping.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        delay = 0.0
        while not self._stopping.is_set():
            try:
                if not self._send_due():
                    self._queue.wait_for_change(_POLL_SECONDS)
                delay = 0.0
            except UnreachableError as error:
                reason = str(error)
            except Exception as error:  # its text may quote an object
                reason = f"an unexpected error ({type(error).__name__})"
            else:
                continue
            if not delay:
                warn(f"{self._node}: {reason}; results wait, and are sent once it answers")
            delay = min(max(2 * delay, self._first_delay), _MAX_DELAY)
            self._stopping.wait(delay)

    def _send_due(self) -> bool:
        """Send results that are due over one association; return whether there were any.

        Raises:
            UnreachableError: not all could be sent.
        """
        due = self._queue.list_due(_BATCH)
        results = [result for result in due if result.path.is_file()]
        for result in due:
            if result not in results:
                self._refuse(result, "its file is missing")
        if not results:
            return bool(due)
        association = self._associate(results)
        try:
            for result in results:
                if self._stopping.is_set():
                    break
                self._send(association, result)
        finally:
            if association.is_established:
                association.release()
        return True

    def _associate(self, results: list[Result]) -> Association:
        kinds = sorted({_kind_of(result) for result in results})
        contexts = [build_context(*kind) for kind in (*kinds, _VERIFICATION)]
        try:
            association = self._entity.associate(self._node.host, self._node.port, contexts, self._node.title)
        except OSError as error:  # the name of the host is not known
            raise UnreachableError(f"it cannot be reached ({str(error.strerror).lower()})") from error
        if association.is_rejected:
            raise UnreachableError("it rejects the association; does it know this receiver's AE title?")
        if not association.is_established:
            raise UnreachableError("it cannot be reached, or does not answer")
        return association

    def _send(self, association: Association, result: Result) -> None:
        if not association.is_established:
            raise UnreachableError("it ended the association")
        if not _is_accepted(association, result):
            self._refuse(result, "it takes no objects of this kind")
            return
        try:
            status = association.send_c_store(result.path)
        except Exception as error:  # its text may quote the object
            self._refuse(result, f"an unexpected error ({type(error).__name__})")
            return
        if "Status" not in status:
            raise UnreachableError("it did not answer")
        code = int(status.Status)
        if code in _OUT_OF_RESOURCES:
            raise UnreachableError(f"it has no room (status {code:04X})")
        if code != 0 and code not in _WARNINGS:
            self._refuse(result, f"it refused the object (status {code:04X})")
            return
        self._queue.mark_sent(result)
        print_line(f"radiograph {result.radiograph}: result {result.id} sent")

    def _refuse(self, result: Result, reason: str) -> None:
        is_retried = self._queue.mark_refused(result, reason)
        when = "later" if is_retried else "at the next start"
        warn(
            f"radiograph {result.radiograph}: result {result.id} not sent to {self._node}: {reason}; tried again {when}"
        )


def _kind_of(result: Result) -> tuple[str, str]:
    """Return storage class and transfer syntax of a result."""
    meta = read_file_meta_info(result.path)
    return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)


def _is_accepted(association: Association, result: Result) -> bool:
    accepted = association.accepted_contexts
    return _kind_of(result) in {(context.abstract_syntax, context.transfer_syntax[0]) for context in accepted}
