"""Checks of every request before it is routed, and the security headers of every answer."""

import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cxrjax.runtime.hosts import is_address, is_loopback

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_SAFE_METHODS = ("GET", "HEAD")
_WRONG_HOST = "This address is not one that the server answers to; open the address that it printed at its start."
_WRONG_ORIGIN = "The request comes from a page of another site, which may not use this server."


class Guard:
    """ASGI middleware against DNS rebinding and cross-site requests.

    A page of another site may make a browser send requests here. Its name in the header Host (DNS rebinding) is not
    one of this machine, and its Origin is not this server.
    """

    def __init__(self, app: ASGIApp, *, host: str):
        """Wrap an application.

        Args:
            app: the application.
            host: address that the server listens on.
        """
        self._app = app
        self._is_loopback = is_loopback(host)
        self._names = {"localhost"}
        if not self._is_loopback:
            self._names |= {name.lower() for name in (host, socket.gethostname(), socket.getfqdn())}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # no web sockets, and nothing to do at start and end
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        headers = Headers(scope=scope)
        if not self._answers_to(headers.getlist("host")):
            await JSONResponse({"error": _WRONG_HOST}, 421)(scope, receive, send_with_headers)
        elif not _is_same_origin(scope["method"], headers):
            await JSONResponse({"error": _WRONG_ORIGIN}, 403)(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)

    def _answers_to(self, hosts: Iterable[str]) -> bool:
        """Return whether the one Host of a request is a name of this machine; addresses cannot be rebound."""
        names = [_host_name(host) for host in hosts]
        if len(names) != 1 or names[0] is None:
            return False
        name = names[0]
        return name in self._names or is_loopback(name) or (not self._is_loopback and is_address(name))


def _is_same_origin(method: str, headers: Headers) -> bool:
    """Return whether a request, by what browsers say of it, does not come from a page of another site."""
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != headers["host"].lower():
        return False
    site = headers.get("sec-fetch-site", "none")  # other clients than browsers do not send it
    return method in _SAFE_METHODS or site in ("same-origin", "none")


def _host_name(host: str) -> str | None:
    """Return the name of a header Host without port and brackets; None if it is invalid."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
