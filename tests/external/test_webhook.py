"""A webhook is told in one post over TLS; whatever else happens is said without its address."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import trustme

from sttbatch.core.errors import NotificationError
from sttbatch.external import notifications
from sttbatch.external.notifications import post_webhook

SECRET = "T0/B0/s3cr3t"


@dataclass
class Hook:
    """A server that answers every request alike and keeps what it was sent."""

    answer: bytes | None = b"HTTP/1.1 204 No Content\r\n\r\n"
    received: list[bytes] = field(default_factory=list)
    url: str = ""
    _serving: list[asyncio.Task[None]] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None) -> AsyncIterator[Hook]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/{SECRET}"
        try:
            yield self
        finally:
            server.close()
            await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.append(task)
        try:
            await self._answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client did not trust us
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = (line for line in head.lower().split(b"\r\n") if b"content-length" in line)
        self.received.append(head + await reader.readexactly(int(length.split(b":")[1])))
        if self.answer is not None:
            writer.write(self.answer)
        else:
            await reader.read()


def told(hook: Hook, tls: ssl.SSLContext | None = None) -> str:
    """What is said of it; empty where it took the alert."""

    async def story() -> str:
        async with hook.running(tls):
            try:
                await post_webhook(hook.url, {"text": "cost is 5"})
            except NotificationError as error:
                return str(error)
            return ""

    return asyncio.run(story())


def test_it_is_told_over_tls_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    monkeypatch.setenv("CLOUDRU_API_KEY", "sk-never")
    with authority.cert_pem.tempfile() as file:
        monkeypatch.setenv("SSL_CERT_FILE", file)
        hook = Hook()
        assert told(hook, context) == ""
    (request,) = hook.received
    head, body = request.split(b"\r\n\r\n", 1)
    assert json.loads(body) == {"text": "cost is 5"}
    assert b"authorization" not in head.lower()
    assert b"sk-never" not in request
    monkeypatch.delenv("SSL_CERT_FILE")
    complaint = told(Hook(), context)
    assert "SSL_CERT_FILE" in complaint
    assert SECRET not in complaint


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "socks5://127.0.0.1:1"])
def test_on_this_machine_it_is_told_directly(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    hook = Hook()
    assert told(hook) == ""
    assert len(hook.received) == 1


def test_a_redirect_is_not_followed() -> None:
    elsewhere = b"HTTP/1.1 307 T\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    hook = Hook(elsewhere)
    complaint = told(hook)
    assert "answered 307" in complaint
    assert SECRET not in complaint
    assert len(hook.received) == 1


@pytest.mark.parametrize("answer", [b"HTTP/1.1 500 No\r\n\r\n", b"what?\r\n\r\n", b""])
def test_an_answer_that_is_none(answer: bytes) -> None:
    complaint = told(Hook(answer))
    assert complaint.startswith("the webhook at 127.0.0.1:")
    assert SECRET not in complaint


def test_a_webhook_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert notifications.WEBHOOK_DEADLINE_S == 5.0
    monkeypatch.setattr(notifications, "WEBHOOK_DEADLINE_S", 0.05)
    assert "did not answer within 0.05 s" in told(Hook(None))
