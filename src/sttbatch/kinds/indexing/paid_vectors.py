"""PaidEmbedder: vectors by a model of an endpoint; each text is paid for once."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sttbatch.core.engine import APIRequest, RecordRequest
from sttbatch.core.errors import ChunkError
from sttbatch.core.jobs import EMBEDDING, Claim
from sttbatch.core.language_models import TOKENS, Embeddings, LanguageModels, TokenPrices
from sttbatch.core.ports import ResultStore
from sttbatch.core.search import EmbeddingModel, IndexedTranscript
from sttbatch.core.work import Usage, WorkItem
from sttbatch.execution.pay_once import PayOnce, Reply
from sttbatch.kinds.language.token_estimates import estimated_tokens
from sttbatch.processing.scheduling.orchestrator import Lane, ParallelOrchestrator

_PREFIX = f"{EMBEDDING}:"

KEY_VERSION = 1
"""Raising it makes all stored vectors unusable, so that everything is sent and paid for again."""

ENGINE = "cloudru"

TEXTS_A_REQUEST = 32
"""Their vectors fit into the disk space that is reserved for an answer."""


class StoredEmbeddings(Struct, frozen=True):
    """An answer as the ledger has it: vectors by `text_key`."""

    model: EmbeddingModel
    dimension: int
    vectors: dict[str, bytes]


class StoredVectors(Struct, frozen=True):
    """The vectors of a model that were paid for, by content of their recording."""

    model: EmbeddingModel
    results: ResultStore

    def text_key(self, text: str) -> str:
        """A hash of everything that decides a vector."""
        facts = [KEY_VERSION, self.model.origin, self.model.name, text]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    async def of(self, file_sha256: str) -> StoredEmbeddings:
        """Those of the texts of a recording."""
        keys = await self.results.keys_of([file_sha256])
        values = await self.results.get_many([key for key in keys if key.startswith(_PREFIX)])
        answers = [decoded(value.data) for value in values.values()]
        own = [each for each in answers if each is not None and each.model == self.model]
        return merged(own) if own else StoredEmbeddings(self.model, 0, {})

    async def unpaid(self, file_sha256: str, texts: Sequence[str]) -> list[str]:
        """The texts that no stored answer has."""
        known = (await self.of(file_sha256)).vectors
        return [text for text in dict.fromkeys(texts) if self.text_key(text) not in known]


def decoded(stored: bytes) -> StoredEmbeddings | None:
    """An answer from its stored form; None: it is damaged."""
    try:
        return msgspec.json.decode(stored, type=StoredEmbeddings)
    except msgspec.DecodeError:
        return None


class PaidEmbedder:
    """An `Embedder`, which embeds transcripts while it is `working`.

    Args:
        prices: of the model; asked when something is to be sent.
        claimed: claims the job of a title and a content.
    """

    def __init__(
        self,
        models: LanguageModels,
        pay_once: PayOnce,
        stored: StoredVectors,
        lanes: ParallelOrchestrator[str, str],
        prices: Callable[[], Awaitable[TokenPrices]],
        claimed: Callable[[str, str], AbstractAsyncContextManager[Claim]],
    ) -> None:
        self.models = models
        self.pay_once = pay_once
        self.stored = stored
        self._task_id = 0
        self._lanes = lanes
        self._prices = prices
        self._claimed = claimed
        self._count = 0

    @property
    def model(self) -> EmbeddingModel:
        return self.stored.model

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Meanwhile no other process embeds transcripts by this model."""
        name = str(self.model)
        async with self._claimed(name, hashlib.sha256(name.encode()).hexdigest()) as claim:
            self._task_id = claim.task_id
            yield

    def stop(self) -> None:
        """Send nothing more; requests in flight are finished and stored."""
        self._lanes.stop()

    async def embed(self, transcript: IndexedTranscript, texts: Sequence[str]) -> Embeddings:
        return await self._embed(transcript.file_sha256, texts, self._task_id)

    async def embed_query(self, text: str) -> Embeddings:
        content = hashlib.sha256(text.encode()).hexdigest()
        if not await self.stored.unpaid(content, [text]):
            return await self._embed(content, [text], self._task_id)
        async with self._claimed("a search", content) as claim:
            return await self._embed(content, [text], claim.task_id)

    async def _embed(self, sha256: str, texts: Sequence[str], task_id: int) -> Embeddings:
        known = await self.stored.of(sha256)
        keys = [self.stored.text_key(text) for text in texts]
        wanted = dict(zip(keys, texts, strict=True))
        missing = [key for key in wanted if key not in known.vectors]
        for at in range(0, len(missing), TEXTS_A_REQUEST):
            batch = {key: wanted[key] for key in missing[at : at + TEXTS_A_REQUEST]}
            known = merged([known, await self._asked(sha256, batch, task_id)])
        if not all(key in known.vectors for key in keys):
            raise ChunkError(
                f"{self.model} makes vectors of another length than before; `sttbatch cache "
                f"invalidate --model {self.model.name}` forgets those, and they are paid for again"
            )
        return Embeddings(known.dimension, tuple(known.vectors[key] for key in keys))

    async def _asked(self, sha256: str, texts: Mapping[str, str], task_id: int) -> StoredEmbeddings:
        digest = hashlib.sha256("".join(texts).encode()).hexdigest()
        self._count += 1
        item = WorkItem(
            f"{_PREFIX}{digest}",
            sha256,
            self._count,
            ENGINE,
            self.model.name,
            Usage(TOKENS, 0.0),
            0.0,
        )
        prices = await self._prices()
        tokens = sum(map(estimated_tokens, texts.values()))
        request = _EmbeddingRequest(
            self.models, self.model, texts, prices, billed(item, tokens, prices)
        )
        lane = Lane(self._lanes.lanes, (0, 0, 0, self._count), self._lanes)
        answer, _ = await self.pay_once.result(request, task_id, lane)
        return answer


def merged(answers: Sequence[StoredEmbeddings]) -> StoredEmbeddings:
    """The vectors of all answers of a model that are as long as those of the last one."""
    last = answers[-1]
    vectors: dict[str, bytes] = {}
    for each in answers:
        if each.dimension == last.dimension:
            vectors |= each.vectors
    return replace(last, vectors=vectors)


def billed(item: WorkItem, tokens: int, prices: TokenPrices) -> WorkItem:
    """The item with these tokens as its usage, and their cost."""
    cost = tokens * prices.prompt / 1e6
    return replace(item, usage=Usage(TOKENS, float(tokens)), cost=cost)


class _EmbeddingRequest(Struct, frozen=True):
    """The `PaidRequest` of some texts, by their keys."""

    models: LanguageModels
    model: EmbeddingModel
    texts: Mapping[str, str]
    prices: TokenPrices
    item: WorkItem

    def decode(self, stored: bytes) -> StoredEmbeddings | None:
        return decoded(stored)

    async def send(self, record: RecordRequest, stopped: asyncio.Event) -> Reply[StoredEmbeddings]:
        texts = list(self.texts.values())
        made, request = await self.models.embed(texts, self.model.name, record, stopped)
        vectors = dict(zip(self.texts, made.vectors, strict=True))
        answer = StoredEmbeddings(self.model, made.dimension, vectors)
        item = self.item
        if made.tokens is not None:
            item = billed(item, made.tokens.total, self.prices)
        return Reply(answer, msgspec.json.encode(answer), request, item)

    def looked_up(self, level: str | None) -> None:
        pass

    def started(self, queue_wait_s: float) -> None:
        pass

    def requested(self, request: APIRequest, cost: float) -> None:
        pass

    def stored(self, store_s: float) -> None:
        pass
