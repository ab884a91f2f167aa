"""The server of the page: on this computer's own address, until it is interrupted."""

from __future__ import annotations

import secrets
import socket
import threading

import uvicorn

from pocketcnn.live.app import Page, make_app
from pocketcnn.live.guard import Guard

_LOOPBACK = "127.0.0.1"
_TOKEN_BYTES = 16

# Of browsers, of which each holds some.
_MOST_CONNECTIONS, _IDLE_SECONDS = 256, 60


class LiveServer:
    """Answers for one page, from a thread of its own, to this computer alone.

    Parameters
    ----------
    page : Page
    port : int
        0 is any that is free.
    token : str, optional
        The secret part of the address; by default a new one.

    Attributes
    ----------
    address : str
        Where a browser finds the page.

    Raises
    ------
    OSError
        The port is in use, or not for everybody.
    """

    def __init__(self, page: Page, port: int = 0, token: str | None = None) -> None:
        self._page = page
        token = token or secrets.token_urlsafe(_TOKEN_BYTES)
        self._socket = _listen(port)
        self.address = f"http://{_LOOPBACK}:{self._socket.getsockname()[1]}/{token}/"
        config = uvicorn.Config(
            Guard(make_app(page), token),
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="pocketcnn live", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def wait(self) -> None:
        """Wait until the server ends, which it does when it is stopped or cannot go on."""
        # In short waits, so that Ctrl-C is heard on every system.
        while self._thread.is_alive():
            self._thread.join(0.5)

    def stop(self) -> None:
        """End, and end what is trained; returns when both have ended."""
        self._server.should_exit = True
        self._page.workshop.close()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])


def _listen(port: int) -> socket.socket:
    # With the protocol named, asyncio sends small answers at once, not after 40 ms.
    own = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        own.bind((_LOOPBACK, port))
        own.listen()  # from now on browsers are heard, and answered when the thread has begun
    except OSError as error:
        own.close()
        raise OSError(f"port {port}: {error.strerror}") from error
    return own
