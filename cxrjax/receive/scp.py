"""Service class provider: associations, C-ECHO and C-STORE (PS3.4 B, PS3.7), by pynetdicom."""

import errno
import socket
import socketserver
import sqlite3
import sys
import threading
import time
from contextlib import suppress
from typing import Any

import pynetdicom
from pynetdicom import evt
from pynetdicom.transport import ThreadedAssociationServer

from cxrjax.io.errors import valid_uid
from cxrjax.receive.contexts import STORAGE_CLASSES, TRANSFER_SYNTAXES
from cxrjax.receive.job_queue import JobQueue, QueueFullError
from cxrjax.receive.nodes import Senders
from cxrjax.runtime.errors import CxrjaxError
from cxrjax.runtime.terminal import print_line, warn

MAX_OBJECT_BYTES = 128 * 2**20  # of one radiograph; an uncompressed one has less
MAX_ASSOCIATIONS = 8  # at once, each of which has a radiograph in memory
MAX_CONNECTIONS = 32  # at once, including those that have not opened an association yet
_TIMEOUT_SECONDS = 60  # without a byte from the sender
_REQUEST_SECONDS = 10  # until a connection opens its association
_PDU_BYTES = 2**17
_REQUEST_BYTES = 2**20  # until the association is requested
_VERIFICATION = "1.2.840.10008.1.1"
_POLL_SECONDS = 0.05
# Status of the answers to C-STORE (PS3.4 B.2.3, PS3.7 C).
SUCCESS = 0x0000
INVALID_UID = 0x0117
TRY_LATER = 0xA700
CANNOT_STORE = 0xC000


class ListenError(CxrjaxError):
    """The address cannot be listened on."""


class StoreProvider:
    """Accepts radiographs into a queue: the answer to C-STORE is success once the radiograph is on disk."""

    def __init__(self, queue: JobQueue, senders: Senders, title: str, max_bytes: int = MAX_OBJECT_BYTES):
        """Initialize.

        Args:
            queue: receives the radiographs.
            senders: the nodes that may open an association.
            title: AE title that senders must call.
            max_bytes: of one radiograph.
        """
        self._queue = queue
        self._max_bytes = max_bytes
        self._is_stopping = False
        self._entity = pynetdicom.AE(title)
        self._entity.require_called_aet = True
        self._entity.require_calling_aet = sorted(senders.titles)
        self._entity.maximum_associations = MAX_ASSOCIATIONS
        self._entity.maximum_pdu_size = _PDU_BYTES
        self._entity.acse_timeout = _REQUEST_SECONDS
        self._entity.network_timeout = _TIMEOUT_SECONDS
        self._entity.add_supported_context(_VERIFICATION)
        for storage_class in STORAGE_CLASSES:
            self._entity.add_supported_context(storage_class, list(TRANSFER_SYNTAXES))
        self._senders = senders
        self._server: _Server | None = None

    def start(self, host: str, port: int) -> int:
        """Listen in threads of their own, and return the port.

        Args:
            host: address or name of this machine.
            port: 0 for one that is free.

        Raises:
            ListenError: the address is unknown, is not of this machine, or its port is in use.
        """
        handlers: list[Any] = [
            (evt.EVT_REQUESTED, self._allow_object),
            (evt.EVT_C_ECHO, self._answer_echo),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_REJECTED, _print_rejection),
        ]
        try:
            address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4]
            server = _Server(
                self._entity,
                (str(address[0]), port),
                self._entity.ae_title,
                self._entity.supported_contexts,
                evt_handlers=handlers,
                senders=self._senders,
            )
        except OSError as error:
            reason = str(error.strerror or error).lower()
            raise ListenError(f"--host={host} --port={port}: the receiver cannot listen here ({reason})") from error
        self._server = server
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.server_address[1]

    def stop(self, seconds: float) -> None:
        """Stop listening, refuse further radiographs, and wait until open associations end, at most so many seconds."""
        self._is_stopping = True
        if self._server is None:
            return
        socketserver.BaseServer.shutdown(self._server)  # pynetdicom's own expects a server that its AE has started
        self._server.server_close()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and any(
            association.is_established for association in self._server.active_associations
        ):
            time.sleep(_POLL_SECONDS)
        for association in self._server.active_associations:
            association.abort()

    def _allow_object(self, event: evt.Event) -> None:
        """Let the sender send one object, with the headers of its messages and PDUs."""
        connection: Any = event.assoc.dul.socket and event.assoc.dul.socket.socket
        if connection is not None:
            connection.allow(self._max_bytes + self._max_bytes // 8 + _PDU_BYTES)

    def _answer_echo(self, event: evt.Event) -> int:
        self._allow_object(event)
        return SUCCESS

    def _store(self, event: evt.Event) -> int:
        """Answer a C-STORE request; an exception would be answered by pynetdicom, which logs its text."""
        self._allow_object(event)
        try:
            return self._accept(valid_uid(getattr(event.request, "AffectedSOPInstanceUID", "")), event)
        except QueueFullError as error:
            warn(f"a radiograph was refused: {error}")
            return TRY_LATER
        except (OSError, sqlite3.Error, MemoryError) as error:
            warn(f"a radiograph was refused: it could not be stored ({type(error).__name__})")
            return TRY_LATER
        except Exception as error:
            warn(f"a radiograph was refused: an unexpected error ({type(error).__name__})")
            return CANNOT_STORE

    def _accept(self, uid: str, event: evt.Event) -> int:
        if self._is_stopping:
            return TRY_LATER
        if not uid:
            warn("a radiograph was refused: its SOP instance UID is invalid")
            return INVALID_UID
        data = event.encoded_dataset()
        if len(data) > self._max_bytes:
            warn(f"a radiograph was refused: larger than {self._max_bytes / 2**20:g} MiB")
            return CANNOT_STORE
        number = self._queue.accept(uid, data)
        if number is not None:
            print_line(f"radiograph {number}: received")
        return SUCCESS


class _BoundedSocket(socket.socket):
    """A connection that fails once it has received more bytes than were allowed."""

    _remaining = _REQUEST_BYTES

    def allow(self, num_bytes: int) -> None:
        """Allow so many bytes from now on."""
        self._remaining = num_bytes

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Receive bytes.

        Raises:
            OSError: more than allowed; pynetdicom then closes the connection.
        """
        data = super().recv(bufsize, flags)
        was_allowed = self._remaining >= 0
        self._remaining -= len(data)
        if self._remaining < 0:
            if was_allowed:
                warn("a connection was closed: its message is larger than a radiograph may be")
            raise OSError(errno.EMSGSIZE, "message too large")
        return data

    def shutdown(self, how: int, /) -> None:
        """Shut down; pynetdicom would not close the socket if the sender was first, and this raised an error."""
        with suppress(OSError):
            super().shutdown(how)


class _Server(ThreadedAssociationServer):
    """A server of associations that accepts connections from allowed addresses, in a bounded number."""

    request_queue_size = MAX_CONNECTIONS

    def __init__(self, *args: Any, senders: Senders, **kwargs: Any):
        self._senders = senders
        super().__init__(*args, **kwargs)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection, whose size and silence are bounded."""
        accepted, address = super().get_request()
        connection = _BoundedSocket(accepted.family, accepted.type, accepted.proto, accepted.detach())
        connection.settimeout(_TIMEOUT_SECONDS)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Return whether a connection is served; otherwise it is closed."""
        if not self._senders.allows_address(client_address[0]):
            warn(f"a connection from {client_address[0]} was closed: --allow_address does not name it")
            return False
        return len(self.active_associations) < MAX_CONNECTIONS

    def service_actions(self) -> None:
        """Release associations that ended before they were opened, twice a second.

        pynetdicom waits for their request even if the connection is closed, and counts them among the others.
        """
        super().service_actions()
        for association in self.active_associations:
            if association._started_dul and not association.is_established and not association.dul.is_alive():
                association.dul.to_user_queue.put(None)  # pyright: ignore[reportArgumentType] (as after a timeout)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report an unexpected error by its type alone."""
        warn(f"a connection was closed: an unexpected error ({type(sys.exception()).__name__})")


def _print_rejection(event: evt.Event) -> None:
    requestor = event.assoc.requestor
    warn(f"an association of {requestor.ae_title} from {requestor.address} was rejected: wrong AE title, or too many")
