"""Guard: who may ask, and how much.

Every page that a browser shows can send requests to this computer's own addresses. So the address
holds a secret, the name under which the page was asked for must be this computer's own (else a
foreign name could be made to point here), and a request that another page caused is refused.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from urllib.parse import urlsplit

from anyio import fail_after
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})

# Of all answers. The page loads nothing but its own files, and no other page may show it.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

# A browser on the same computer sends a picture in milliseconds.
_SECONDS = 10.0


class RefusedError(Exception):
    """A request that is not answered: the status, and why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Guard:
    """Lets requests through to an application that come from its own page.

    Parameters
    ----------
    app : ASGI application
        Sees addresses without the secret.
    token : str
        The first part of every address.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or refuse one request."""
        if scope["type"] != "http":
            return
        try:
            path = self._checked_path(scope)
        except RefusedError as refusal:
            answer: ASGIApp = JSONResponse({"error": str(refusal)}, refusal.status)
        else:
            answer, scope = self._app, {**scope, "path": path, "raw_path": path.encode()}
        await answer(scope, receive, _with_headers(send))

    def _checked_path(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if _name(host) not in _LOCAL:
            raise RefusedError(403, "this name is not this computer's own")
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            raise RefusedError(403, "another page asks")
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise RefusedError(403, "another page asks")
        token, _, rest = str(scope["path"]).removeprefix("/").partition("/")
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            raise RefusedError(403, "the address lacks the secret that pocketcnn live printed")
        return f"/{rest}"


async def read_body(request: Request, sizes: Iterable[int]) -> bytes:
    """Read what a request carries, no more and for no longer than it may.

    Parameters
    ----------
    request : Request
    sizes : range or collection of int
        How many bytes it may be.

    Raises
    ------
    RefusedError
        It is too large, has another size, is not complete in time, or its sender is gone.
    """
    most = max(sizes)
    told = request.headers.get("content-length", "0")
    if not told.isdecimal() or int(told) > most:
        raise RefusedError(413, f"the request carries {told:.20} bytes: wanted at most {most}")
    body = bytearray()
    try:
        with fail_after(_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > most:
                    raise RefusedError(413, f"the request carries more than {most} bytes")
    except TimeoutError:
        raise RefusedError(408, f"the request was not complete after {_SECONDS:.0f} s") from None
    except ClientDisconnect:
        raise RefusedError(400, "the sender has gone") from None
    if len(body) not in sizes:
        raise RefusedError(400, f"the request carries {len(body)} bytes: no image of this size")
    return bytes(body)


def _name(host: str) -> str:
    """Return the name in a Host header, without the port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=list(message.get("headers", ())))
            headers.update(_HEADERS)
            message = {**message, "headers": headers.raw}
        await send(message)

    return wrapped
