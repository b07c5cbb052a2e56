"""HTTP/2 (RFC 9113) on the server's side, on `h2`, down to single frames where faults need them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from hyperframe.frame import GoAwayFrame

from .answers import Answer
from .exchange import LINGER_S, READ_BYTES, ConnectionRules, Exchange, Serve

_CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024
_DEFAULT_WINDOW_BYTES = 65_535
# nginx's number. httpx sends one request at a time to servers that announce none.
_MAX_STREAMS = 128


class Http2Exchange(Exchange):
    """A stream."""

    def __init__(self, owner: Http2Connection, stream_id: int, headers: dict[str, str]) -> None:
        super().__init__(
            connection=owner.number,
            http_version="2",
            method=headers.pop(":method", ""),
            path=headers.pop(":path", ""),
            headers=headers,
            max_body_bytes=owner.rules.max_body_bytes,
        )
        self.stream_id = stream_id
        self.window_opened = asyncio.Event()
        self._owner = owner

    async def answer(self, answer: Answer) -> None:
        await self._owner.send(self, answer)

    def reset(self, error_code: int) -> None:
        self._owner.reset(self.stream_id, error_code)

    def goaway(self) -> None:
        self._owner.goaway(max(self.stream_id - 2, 0))
        self._owner.linger()

    def fin(self) -> None:
        self._owner.writer.transport.abort()


class Http2Connection:
    """A connection with its streams, each served by a task of its own."""

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
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        self._streams: dict[int, tuple[Http2Exchange, asyncio.Task[None]]] = {}
        self._requests = 0
        self._lingering = False
        self._idle: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Serve until either side ends the connection."""
        codes = h2.settings.SettingCodes
        self._h2.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                codes.INITIAL_WINDOW_SIZE: self.rules.stream_window_bytes,
                codes.MAX_CONCURRENT_STREAMS: _MAX_STREAMS,
            },
        )
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_CONNECTION_WINDOW_BYTES - _DEFAULT_WINDOW_BYTES)
        self._flush()
        try:
            while data := await self._reader.read(READ_BYTES):
                if not self._lingering:
                    self._receive(data)
        except h2.exceptions.ProtocolError:
            self._flush()  # h2 has the GOAWAY that says what was wrong ready
        finally:
            self._stop_idle()
            tasks = [task for _, task in self._streams.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def goaway(self, last_stream_id: int) -> None:
        """Write GOAWAY by hand: h2 would refuse to send anything after its own."""
        self._flush()
        frame = GoAwayFrame(0)
        frame.last_stream_id = last_stream_id
        self.writer.write(frame.serialize())

    def linger(self) -> None:
        """Serve nothing more; close when the client does or soon after."""
        self._lingering = True
        asyncio.get_running_loop().call_later(LINGER_S, self.writer.close)

    def reset(self, stream_id: int, error_code: int) -> None:
        """RST_STREAM."""
        with suppress(h2.exceptions.StreamClosedError):  # the client was done with it already
            self._h2.reset_stream(stream_id, error_code)
        self._flush()

    async def send(self, exchange: Http2Exchange, answer: Answer) -> None:
        """Send a response as fast as the client's windows allow.

        Raises:
            ConnectionResetError: the client has given the stream up.
        """
        headers = [
            (":status", str(answer.status)),
            ("content-type", answer.content_type),
            ("content-length", str(len(answer.body))),
            *((name.lower(), value) for name, value in answer.headers.items()),
        ]
        stream_id = exchange.stream_id
        try:
            self._h2.send_headers(stream_id, headers)
            left = memoryview(answer.body)
            while left:
                exchange.window_opened.clear()
                window = self._h2.local_flow_control_window(stream_id)
                size = min(window, self._h2.max_outbound_frame_size, len(left))
                if size > 0:
                    self._h2.send_data(stream_id, bytes(left[:size]))
                    left = left[size:]
                self._flush()
                if size <= 0:
                    await exchange.window_opened.wait()
            self._h2.end_stream(stream_id)
        except h2.exceptions.ProtocolError as error:
            raise ConnectionResetError(str(error)) from error
        self._flush()

    def _receive(self, data: bytes) -> None:
        for event in self._h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self._begin(event)
            elif isinstance(event, h2.events.DataReceived):
                self._data(event)
            elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                self._ended(event)
            elif isinstance(event, h2.events.WindowUpdated | h2.events.RemoteSettingsChanged):
                for exchange, _ in self._streams.values():
                    exchange.window_opened.set()
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.writer.close()
        self._flush()

    def _ended(self, event: h2.events.StreamEnded | h2.events.StreamReset) -> None:
        """The client has sent all of its request, or has given it up."""
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return
        exchange, task = stream
        if isinstance(event, h2.events.StreamEnded):
            exchange.end()
        else:
            task.cancel()

    def _begin(self, event: h2.events.RequestReceived) -> None:
        limit = self.rules.max_requests
        if limit is not None and self._requests >= limit:
            return  # it crossed our GOAWAY: never served, safe to send again elsewhere
        self._requests += 1
        self._stop_idle()
        exchange = Http2Exchange(self, event.stream_id, {str(k): str(v) for k, v in event.headers})
        task = asyncio.ensure_future(self._run(exchange))
        self._streams[event.stream_id] = exchange, task
        if self._requests == limit:
            # As nginx does at keepalive_requests: GOAWAY when the last request begins, not ends.
            self.goaway(event.stream_id)

    async def _run(self, exchange: Http2Exchange) -> None:
        try:
            await self._serve(exchange)
        finally:
            del self._streams[exchange.stream_id]
            if not self._streams:
                if self._requests == self.rules.max_requests:
                    self.linger()
                self._wait_idle()

    def _data(self, event: h2.events.DataReceived) -> None:
        length = event.flow_controlled_length
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            stream[0].feed(event.data)
        if stream is not None and stream[0].reading:
            self._h2.acknowledge_received_data(length, event.stream_id)
        elif length:
            # Nobody reads that stream any more, but the others need the connection's window.
            self._h2.increment_flow_control_window(length)

    def _wait_idle(self) -> None:
        if self.rules.idle_s is not None:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(self.rules.idle_s, self._close_idle)

    def _stop_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _close_idle(self) -> None:
        self.goaway(self._h2.highest_inbound_stream_id)
        self.writer.close()

    def _flush(self) -> None:
        if not self.writer.transport.is_closing():
            self.writer.write(self._h2.data_to_send())
