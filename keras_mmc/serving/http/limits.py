"""What a request may cost, and the refusals of those that would cost more."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator

import anyio
from starlette.requests import ClientDisconnect, Request


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one request may cost, and all of them together.

    Attributes:
        body: bytes of a body.
        images: images of one request.
        pixels: pixels of all image files of one request, as their headers say.
        seconds: for the body to arrive, for the answer to be found, and for it to be taken.
        memory: bytes of all bodies that are read or worked on at a time.
        attacks: attacks of the page that may wait.
    """

    body: int = 8 * 2**20
    images: int = 256
    pixels: int = 2**24
    seconds: float = 30.0
    memory: int = 256 * 2**20
    attacks: int = 4


class RefusedError(Exception):
    """A request that gets no answer.

    Args:
        status: HTTP status.
        message: one line for the client: what came, what was expected.
    """

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status
        self.message = message


class Intake:
    """Reads bodies within the limits; counts what all of them hold."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self.held = 0

    @contextlib.asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """Yields the body of a request; what it holds counts until the block ends.

        Raises:
            RefusedError: 413 for one that is too large, 408 for one that comes too slowly, 503
                where all bodies together would hold too much.
        """
        declared = request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > self._limits.body:
            raise self._too_large()
        chunks: list[bytes] = []
        held = 0
        try:
            try:
                with anyio.fail_after(self._limits.seconds):
                    async for chunk in request.stream():
                        held += len(chunk)
                        self.held += len(chunk)
                        if held > self._limits.body:
                            raise self._too_large()
                        if self.held > self._limits.memory:
                            raise RefusedError(503, "Too many requests at a time; try again.")
                        chunks.append(chunk)
            except TimeoutError:
                raise RefusedError(
                    408, f"The body did not arrive within {self._limits.seconds:g} seconds."
                ) from None
            except ClientDisconnect:
                raise RefusedError(400, "The client left before its body was complete.") from None
            yield b"".join(chunks)
        finally:
            self.held -= held

    def _too_large(self):
        return RefusedError(413, f"A body may have at most {self._limits.body} bytes.")
