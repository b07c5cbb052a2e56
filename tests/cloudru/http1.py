"""HTTP/1.1 (RFC 9112) on the server's side, on `h11`."""

from __future__ import annotations

import asyncio

import h11

from .answers import Answer
from .exchange import LINGER_S, READ_BYTES, ConnectionRules, Exchange, Serve


class Http1Exchange(Exchange):
    """A request on a connection that carries no other meanwhile."""

    def __init__(self, owner: Http1Connection, request: h11.Request) -> None:
        super().__init__(
            connection=owner.number,
            http_version="1.1",
            method=request.method.decode(),
            path=request.target.decode(),
            headers={name.decode(): value.decode() for name, value in request.headers},
            max_body_bytes=owner.rules.max_body_bytes,
        )
        self._owner = owner

    async def answer(self, answer: Answer) -> None:
        self._owner.send(answer)

    def reset(self, error_code: int) -> None:
        self._owner.linger()

    def goaway(self) -> None:
        self._owner.linger()

    def fin(self) -> None:
        self._owner.writer.transport.abort()


class Http1Connection:
    """A connection and the request that it carries at the time."""

    def __init__(
        self,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        serve: Serve,
        rules: ConnectionRules,
    ) -> None:
        self.number = number
        self.writer = writer
        self.rules = rules
        self._reader = reader
        self._serve = serve
        self._h11 = h11.Connection(h11.SERVER)
        self._exchange: Http1Exchange | None = None
        self._task: asyncio.Task[None] | None = None
        self._requests = 0
        self._lingering = False
        self._idle: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Serve until either side ends the connection."""
        try:
            # Read on while a request is being served: that is how a client's leaving is noticed.
            while data := await self._reader.read(READ_BYTES):
                if not self._lingering:
                    self._h11.receive_data(data)
                    self._advance()
        except h11.RemoteProtocolError:
            pass
        finally:
            self._stop_idle()
            if self._task is not None:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)

    def linger(self) -> None:
        """Serve nothing more; close when the client does or soon after."""
        self._lingering = True
        if self.writer.can_write_eof():
            self.writer.write_eof()
            asyncio.get_running_loop().call_later(LINGER_S, self.writer.close)
        else:
            self.writer.close()  # TLS in asyncio cannot be closed in one direction alone

    def send(self, answer: Answer) -> None:
        """Send a response.

        Raises:
            ConnectionResetError: the client is gone.
        """
        headers = [
            ("content-type", answer.content_type),
            ("content-length", str(len(answer.body))),
            *answer.headers.items(),
        ]
        if self._requests == self.rules.max_requests:
            headers.append(("connection", "close"))
        try:
            self._write(h11.Response(status_code=answer.status, headers=headers))
            self._write(h11.Data(data=answer.body))
            self._write(h11.EndOfMessage())
        except h11.LocalProtocolError as error:
            raise ConnectionResetError(str(error)) from error

    def _write(
        self, event: h11.Response | h11.InformationalResponse | h11.Data | h11.EndOfMessage
    ) -> None:
        data = self._h11.send(event)
        if data and not self.writer.transport.is_closing():
            self.writer.write(data)

    def _advance(self) -> None:
        while True:
            event = self._h11.next_event()
            match event:
                case h11.Request():
                    self._requests += 1
                    self._stop_idle()
                    if self._h11.they_are_waiting_for_100_continue:
                        self._write(h11.InformationalResponse(status_code=100, headers=[]))
                    self._exchange = Http1Exchange(self, event)
                    self._task = asyncio.ensure_future(self._run(self._exchange))
                case h11.Data() if self._exchange is not None:
                    self._exchange.feed(bytes(event.data))
                case h11.EndOfMessage() if self._exchange is not None:
                    self._exchange.end()
                    if self._task is None:
                        self._next_request()
                case _:
                    return

    async def _run(self, exchange: Http1Exchange) -> None:
        try:
            await self._serve(exchange)
        finally:
            self._task = None
            if not self._lingering and not self.writer.transport.is_closing():
                self._next_request()

    def _next_request(self) -> None:
        """Go on when both sides are done: an early answer leaves a body to be thrown away."""
        if self._h11.our_state is h11.MUST_CLOSE:
            self.linger()
        elif self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
            self._exchange = None
            self._wait_idle()
            self._advance()

    def _wait_idle(self) -> None:
        if self.rules.idle_s is not None:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(self.rules.idle_s, self.writer.close)

    def _stop_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
