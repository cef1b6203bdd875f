"""Runs a service until it is told to stop; then no new requests, and those at work are answered."""

import os
import pathlib
import socket
import tempfile

import anyio
import keras
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from keras_mmc.serving.http.app import Service
from keras_mmc.serving.http.engine import Engine
from keras_mmc.serving.http.limits import Limits
from keras_mmc.serving.saved_model import export_saved_model

_HEAD_SECONDS = 10


class Protocol(H11Protocol):
    """HTTP 1.1 whose connections end where the head of a request does not come in time.

    Other time limits begin with the head; without this one, slow clients would hold connections.
    """

    def connection_made(self, transport):
        super().connection_made(transport)
        self._late = self.loop.call_later(_HEAD_SECONDS, self._close_if_waiting)

    def connection_lost(self, exc):
        self._late.cancel()
        super().connection_lost(exc)

    def on_response_complete(self):
        super().on_response_complete()
        self._late.cancel()
        self._late = self.loop.call_later(_HEAD_SECONDS, self._close_if_waiting)

    def _close_if_waiting(self):
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def load(model: keras.Model | pathlib.Path, box: tuple[float, float], limits: Limits) -> Engine:
    """The engine of an exported directory, or of a Keras model, exported for the purpose."""
    if isinstance(model, pathlib.Path):
        return Engine(model, limits)
    with tempfile.TemporaryDirectory() as directory:
        return Engine(export_saved_model(model, pathlib.Path(directory) / "1", box=box), limits)


def bound(host: str, port: int) -> socket.socket:
    """A socket with an address of its own, where nobody can connect yet; port 0 finds a free one.

    Raises:
        OSError: if the address is in use, or not one of this machine.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        place = socket.socket(family, kind, protocol)
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name == "posix")
        place.bind(address)
        return place
    except OSError as error:
        raise OSError(
            f"cannot listen at {host}, port {port}: {error.strerror}. Choose another --port or "
            "--host; --port=0 finds a free port."
        ) from error


def serve(engine: Engine, name: str, place: socket.socket, limits: Limits) -> None:
    """Serve at a `bound` place until SIGTERM or SIGINT; requests at work are answered first."""
    config = uvicorn.Config(
        _bounded(Service(engine, name, limits).app(), 3 * limits.seconds),
        http=Protocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=_HEAD_SECONDS,
        timeout_graceful_shutdown=int(limits.seconds),
    )
    uvicorn.Server(config).run(sockets=[place])


def _bounded(app: ASGIApp, seconds: float) -> ASGIApp:
    """The application, whose connection ends where a client does not take its answer in time."""

    async def bounded(scope: Scope, receive: Receive, send: Send) -> None:
        limit = seconds if scope["type"] == "http" else None
        with anyio.move_on_after(limit):
            await app(scope, receive, send)

    return bounded
