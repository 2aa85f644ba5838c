"""Who may ask the studio anything: only a browser that was given its token, from an address of this machine."""

from __future__ import annotations

import hmac
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Guard"]

# Names of the loopback address. Any other Host: a foreign name was made to point here (DNS rebinding).
_OWN_NAMES = {"localhost", "127.0.0.1", "::1"}
_REFUSED = (
    "This is a deepstorm3d studio. It opens only with the whole address that it printed when it was started, "
    "token included, in a browser on this machine or through an ssh tunnel to it."
)


class Guard:
    """Wraps the whole application: pages, data, static files and sockets.

    A request passes if its Host is this machine, its Origin (where the browser names one) is the Host, and its
    cookie holds the token. The cookie is set by the address that the studio prints, ``/?token=…``, which leads
    to the same address without the token, so that it stays out of bookmarks and of the history.

    ticket: in place of the token it sets the cookie once. The browser that the studio opens gets it on its
    command line, which every user of the machine can read.
    """

    def __init__(self, app: ASGIApp, token: str, ticket: str = "") -> None:
        self._app, self._token, self._ticket = app, token, ticket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or socket, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        own = _is_own(host) and _same_origin(headers.get("origin"), host)
        if own and self._knows(_cookie(headers.get("cookie", ""), _cookie_name(host))):
            await self._app(scope, receive, send)
        elif own and scope["type"] == "http" and scope["method"] == "GET" and self._admits(scope):
            await _lead_on(scope, send, _cookie_name(host), self._token)
        else:
            await _refuse(scope, receive, send)

    def _knows(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self._token.encode())

    def _admits(self, scope: Scope) -> bool:
        """Whether the address holds the token, or the ticket for the first time."""
        given = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("token", "")
        if self._ticket and hmac.compare_digest(given.encode(), self._ticket.encode()):
            self._ticket = ""
            return True
        return self._knows(given)


def _is_own(host: str) -> bool:
    """Whether a Host header names this machine's loopback address, at any port (that of a tunnel differs)."""
    try:
        parts = urlsplit(f"//{host}")
        # Its port is read here, too, because one that is none is an error.
        return parts.hostname in _OWN_NAMES and parts.port != 0
    except ValueError:
        return False


def _same_origin(origin: str | None, host: str) -> bool:
    return origin is None or origin in (f"http://{host}", f"https://{host}")


def _cookie_name(host: str) -> str:
    """One cookie a port: browsers share the cookies of a host between its ports."""
    return f"deepstorm3d_{urlsplit(f'//{host}').port or 80}"


def _cookie(header: str, name: str) -> str:
    try:
        morsel = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value


async def _lead_on(scope: Scope, send: Send, cookie: str, token: str) -> None:
    """Keep the token in a cookie, and lead to the same address without it."""
    query = [pair for pair in parse_qsl(scope["query_string"].decode("latin-1")) if pair[0] != "token"]
    # One slash only: two would be the address of another host.
    place = "/" + scope["path"].lstrip("/") + (f"?{urlencode(query)}" if query else "")
    headers = [
        (b"location", place.encode("latin-1", "ignore")),
        (b"set-cookie", f"{cookie}={token}; Path=/; HttpOnly; SameSite=Strict".encode()),
        (b"cache-control", b"no-store"),
        (b"referrer-policy", b"no-referrer"),
    ]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 4403})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": _REFUSED.encode()})
