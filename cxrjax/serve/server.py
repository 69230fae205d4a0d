"""Serving an application by uvicorn, on a socket of its own."""

import socket
from pathlib import Path

import uvicorn

from cxrjax.inference.model import Model
from cxrjax.runtime import hosts
from cxrjax.runtime.errors import CxrjaxError
from cxrjax.runtime.terminal import print_line, warn
from cxrjax.serve import app, card

MAX_CONNECTIONS = 512
_GRACE_SECONDS = 2  # for requests in progress when the server is stopped


class ServeError(CxrjaxError):
    """The server cannot start."""


def serve(model: Model, name: str, host: str, port: int) -> None:
    """Serve a model until the process is stopped by a signal.

    Args:
        model: the model.
        name: what the user called it.
        host: address or name to listen on.
        port: port to listen on; 0 for one that is free.

    Raises:
        ServeError: the address cannot be listened on.
        DamagedFileError: the file of the model's audit is damaged.
    """
    listener = _listen(host, port)
    service = app.Service(model, card.describe(model, name))
    print_line("compiling the networks, once per machine; then the page opens")
    service.compile()
    if not hosts.is_loopback(host):
        warn("other machines can use this server: it asks for no password, and sends radiographs unencrypted")
    print_line(f"serving {Path(name).name} at {_address(host, listener)} (Ctrl-C stops); {card.DISCLAIMER}")
    config = uvicorn.Config(
        app.create_app(service, host),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        service.close()


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        ServeError: the address is unknown, is not of this machine, or its port is in use.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=MAX_CONNECTIONS)
    except OSError as error:
        reason = str(error.strerror or error).partition(" (")[0].lower()  # behind it, Python repeats the address
        raise ServeError(
            f"--host={host} --port={port}: the server cannot listen here ({reason}); --port=0 takes a free port"
        ) from error


def _address(host: str, listener: socket.socket) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}/"
