"""Several chunks sent through one engine at once, and everything that came of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from sttbatch.core.engine import Answer, APIRequest
from sttbatch.core.events import Event
from sttbatch.core.models import Upload
from sttbatch.core.options import RequestOptions, RetryConfig
from sttbatch.core.ports import RateStore
from sttbatch.database.rates import InMemoryRates
from sttbatch.external.cloudru.admission import AdmissionControl, RateLimiter
from sttbatch.external.cloudru.connections import ConnectionPool
from sttbatch.external.cloudru.endpoint import Endpoint
from sttbatch.external.cloudru.endpoint_request import RequestLimits
from sttbatch.external.cloudru.rate_limit import RateLimits
from sttbatch.external.cloudru.transcription import CloudRuTranscription as Engine
from sttbatch.external.secret import Secret
from tests.cloudru import CloudRu, Heard, HeardWord

OPTIONS = RequestOptions("cloudru", "https://127.0.0.1", "openai/whisper-large-v3", "en")
MIB = 1024 * 1024

# Seconds, where production waits for a minute or more. Only tests of uploads that do stand still
# have a short time for that: a busy machine may hold up any other for so long.
STALL_S = 60.0
SHORT_STALL_S = 1.5
PROBE_WAITS_S = (0.02, 0.1)
BACKOFF_S = 0.02


class Address(Protocol):
    """Where requests go, and the key that opens it."""

    @property
    def base_url(self) -> str: ...

    @property
    def key(self) -> str: ...


def hear_number(data: bytes) -> Heard:
    """A recogniser of uploads that begin with their own word."""
    return Heard((HeardWord(data[:4].decode(), 0.1, 0.5),), 1.0)


def upload(number: int, size: int = 2000, duration_s: float = 1.0) -> Upload:
    data = f"{number:04x}".encode().ljust(size, b".")
    return Upload(f"{number}.mp3", "audio/mpeg", "mp3", duration_s, size, data=data)


async def _ignored(_number: int) -> None:
    pass


@dataclass
class Lanes:
    """An engine and what it has reported; chunks are known by their numbers.

    A request that failed is retried when `on_failure` has returned.
    """

    engine: Engine
    endpoint: Endpoint
    pool: ConnectionPool
    admission: AdmissionControl
    warnings: list[str]
    events: list[Event]
    posts: dict[int, list[APIRequest]] = field(default_factory=dict)
    results: dict[int, Answer | Exception] = field(default_factory=dict)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    on_failure: Callable[[int], Awaitable[None]] = _ignored

    async def send(self, number: int, chunk: Upload | None = None) -> Answer | Exception:
        """One chunk's answer, or what was raised instead of one."""
        posts = self.posts.setdefault(number, [])

        async def record(post: APIRequest) -> None:
            posts.append(post)
            await self.on_failure(number)

        try:
            answer = await self.engine.transcribe(
                chunk or upload(number), OPTIONS, record, self.stopped
            )
            posts.append(answer.request)
            self.results[number] = answer
        except Exception as error:  # noqa: BLE001 - looked at by the test
            self.results[number] = error
        return self.results[number]

    async def send_all(self, count: int, lanes: int = 4, **of_uploads: Any) -> None:
        numbers = iter(range(count))

        async def lane() -> None:
            for number in numbers:
                await self.send(number, upload(number, **of_uploads))

        await asyncio.gather(*(lane() for _ in range(lanes)))

    @property
    def all_posts(self) -> list[APIRequest]:
        return [post for posts in self.posts.values() for post in posts]

    @property
    def words(self) -> dict[int, str]:
        """What was heard; raises what was raised instead."""
        heard = {}
        for number, result in sorted(self.results.items()):
            if isinstance(result, Exception):
                raise result
            heard[number] = result.transcription.text
        return heard


@asynccontextmanager
async def lanes_to(
    endpoint: Address,
    *,
    retries: int = 3,
    outage_wait_s: float = 600.0,
    probe_waits_s: tuple[float, float] = PROBE_WAITS_S,
    stall_s: float = STALL_S,
    deadline_base_s: float = 60.0,
    waits: RetryConfig = RetryConfig(base_s=BACKOFF_S),  # noqa: B008 - frozen
    base_url: str = "",
    key: str = "",
    store: RateStore | None = None,
) -> AsyncIterator[Lanes]:
    warnings: list[str] = []
    events: list[Event] = []
    limiter = RateLimiter(RateLimits(60_000), store or InMemoryRates())
    admission = AdmissionControl(limiter, outage_wait_s, probe_waits_s)
    pool = ConnectionPool("sttbatch/tests", events.append)
    sender = Endpoint(
        base_url or endpoint.base_url,
        Secret(key or endpoint.key),
        admission,
        pool,
        RequestLimits(retries, stall_s, deadline_base_s, waits),
        warnings.append,
    )
    engine = Engine(sender)
    try:
        yield Lanes(engine, sender, pool, admission, warnings, events)
    finally:
        await sender.aclose()


def all_heard(count: int) -> dict[int, str]:
    return {number: f"{number:04x}" for number in range(count)}


async def until(condition: Any, endpoint: CloudRu) -> None:
    """Wait for something the endpoint sees, without standing in its way."""
    await asyncio.to_thread(endpoint.wait_for, condition)


def run_lanes(
    endpoint: CloudRu, count: int = 8, *, lanes: int = 4, size: int = 2000, **options: Any
) -> Lanes:
    async def sending() -> Lanes:
        async with lanes_to(endpoint, **options) as started:
            await started.send_all(count, lanes, size=size)
        return started

    return asyncio.run(sending())


def assert_one_request_a_connection(endpoint: CloudRu) -> None:
    assert {post.open_on_connection for post in endpoint.received} == {1}
