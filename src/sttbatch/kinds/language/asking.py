"""Asker: answers of a chat model, which are paid for once."""

from __future__ import annotations

import asyncio
import hashlib
import json

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, replace

from sttbatch.core import events
from sttbatch.core.engine import APIRequest, RecordRequest
from sttbatch.core.jobs import Claim
from sttbatch.core.language_models import (
    TOKENS,
    ChatAnswer,
    LanguageModels,
    Question,
    TokenCount,
    TokenPrices,
)
from sttbatch.core.work import Usage, WorkItem
from sttbatch.execution.pay_once import PayOnce, Reply
from sttbatch.kinds.language.token_estimates import estimated_tokens, most_tokens
from sttbatch.processing.scheduling.orchestrator import Lane

KEY_VERSION = 1
"""Raising it makes all answers unusable, so that everything is asked and paid for again."""

ENGINE = "cloudru"

_canonical_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False)


def sha256_of(facts: object) -> str:
    """A hash of values that JSON knows, whatever the order of their names."""
    text = _canonical_json.encode(facts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()


class QuestionContext(Struct, frozen=True):
    """The recording that a question is about.

    Attributes:
        recording, file_sha256: its name and content hash.
        claim, lane: the claim on the job, and the lane of the question.
        index: of the question in its job, for people.
    """

    recording: str
    file_sha256: str
    claim: Claim
    lane: Lane
    index: int


class Asker(Struct, frozen=True, kw_only=True):
    """Asks a chat model for one kind of job.

    Args:
        kind: with which keys begin, such as `summary`.
        origin: scheme, host and port of the server, of which answers depend.
        prices: of the model.
    """

    models: LanguageModels
    pay_once: PayOnce
    kind: str
    origin: str
    prices: TokenPrices
    emit: events.Emit

    async def ask(self, context: QuestionContext, question: Question) -> tuple[ChatAnswer, bool]:
        """The answer, and whether it was already stored.

        Raises ChunkError if there is none, and otherwise as `PayOnce.result`.
        """
        request = _QuestionRequest(self, context, question, self.item(context, question))
        return await self.pay_once.result(request, context.claim.task_id, context.lane)

    def key(self, question: Question) -> str:
        """The key of the answer: a hash of everything that decides it."""
        facts = {
            "tag": self.kind,
            "version": KEY_VERSION,
            "origin": self.origin,
            "question": asdict(question),
        }
        return f"{self.kind}:{sha256_of(facts)}"

    def item(self, context: QuestionContext, question: Question) -> WorkItem:
        """The question as it is claimed, with the most that it may cost."""
        item = WorkItem(
            self.key(question),
            context.file_sha256,
            context.index,
            ENGINE,
            question.model,
            Usage(TOKENS, 0.0),
            0.0,
        )
        return self.billed(item, most_tokens(question))

    def billed(self, item: WorkItem, tokens: TokenCount) -> WorkItem:
        """The item with these tokens as its usage, and their cost."""
        usage = Usage(TOKENS, float(tokens.total), float(tokens.generated))
        return replace(item, usage=usage, cost=self.prices.cost(tokens))


class _QuestionRequest(Struct, frozen=True):
    """The `PaidRequest` of a question."""

    asker: Asker
    context: QuestionContext
    question: Question
    item: WorkItem

    def decode(self, stored: bytes) -> ChatAnswer | None:
        try:
            return msgspec.json.decode(stored, type=ChatAnswer)
        except msgspec.DecodeError:
            return None

    async def send(self, record: RecordRequest, stopped: asyncio.Event) -> Reply[ChatAnswer]:
        answer, request = await self.asker.models.answer(self.question, record, stopped)
        tokens = answer.tokens
        if tokens is None:
            # What the server does not count is reckoned as before, but for what it wrote.
            prompt = most_tokens(self.question).prompt
            tokens = TokenCount(prompt, estimated_tokens(answer.text))
        billed = self.asker.billed(self.item, tokens)
        name, index = self.context.recording, self.context.index
        self.asker.emit(events.QuestionAnswered(name, index, tokens.prompt, tokens.generated))
        return Reply(answer, msgspec.json.encode(answer), request, billed)

    def looked_up(self, level: str | None) -> None:
        self.asker.emit(events.CacheLookup(self.context.recording, self.item.key, level))

    def started(self, queue_wait_s: float) -> None:
        pass

    def requested(self, request: APIRequest, cost: float) -> None:
        name, index = self.context.recording, self.context.index
        self.asker.emit(events.APIRequestCompleted.of(name, index, request, cost))

    def stored(self, store_s: float) -> None:
        name, index = self.context.recording, self.context.index
        self.asker.emit(events.AnswerStored(name, index, store_s))
