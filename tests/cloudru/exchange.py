"""One request and its response, whichever HTTP version carries them."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from .answers import Answer


@dataclass(frozen=True, slots=True)
class ConnectionRules:
    """What a server allows its connections."""

    max_body_bytes: int
    stream_window_bytes: int
    max_requests: int | None
    idle_s: float | None


class Exchange(ABC):
    """A request whose body flows in while it is looked at, and the ways to end it."""

    def __init__(
        self,
        *,
        connection: int,
        http_version: str,
        method: str,
        path: str,
        headers: Mapping[str, str],
        max_body_bytes: int,
    ) -> None:
        self.connection = connection
        self.http_version = http_version
        self.method = method
        self.path = path
        self.headers = headers
        self.body = bytearray()
        self.body_bytes = 0
        self.first_data = asyncio.Event()
        self.complete = asyncio.Event()
        self.reading = True
        self._max_body_bytes = max_body_bytes

    @property
    def too_large(self) -> bool:
        """Whether more bytes came than are allowed; they were counted but not kept."""
        return self.body_bytes > self._max_body_bytes

    def feed(self, data: bytes) -> None:
        """Take in a piece of the body."""
        self.body_bytes += len(data)
        if self.too_large or not self.reading:
            self.body.clear()
        else:
            self.body += data
        self.first_data.set()

    def end(self) -> None:
        """The request is whole."""
        self.first_data.set()
        self.complete.set()

    def stop_reading(self) -> None:
        """Leave the rest of the body unread."""
        self.reading = False

    @abstractmethod
    async def answer(self, answer: Answer) -> None:
        """Send a whole response."""

    @abstractmethod
    def reset(self, error_code: int) -> None:
        """Break this exchange off, and on HTTP/1.1 its connection with it."""

    @abstractmethod
    def goaway(self) -> None:
        """Tell the client that this exchange was not served and that the connection ends."""

    @abstractmethod
    def fin(self) -> None:
        """Close the TCP connection without a word."""


Serve: TypeAlias = Callable[[Exchange], Awaitable[None]]

# How long a connection that was told to end is still read from: closing a socket with unread bytes
# in it sends a TCP reset, which may overtake what was written last.
LINGER_S = 1.0
READ_BYTES = 256 * 1024
