"""The port of language models: answers to questions about texts, and embeddings of texts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from sttbatch.core.engine import APIRequest, RecordRequest

TOKENS = "tokens"
"""The unit that language models bill."""


class TokenCount(Struct, frozen=True):
    """Tokens of one request, or of several; `generated` includes what a model only thinks."""

    prompt: int = 0
    generated: int = 0

    @property
    def total(self) -> int:
        return self.prompt + self.generated

    def __add__(self, other: TokenCount) -> TokenCount:
        return TokenCount(self.prompt + other.prompt, self.generated + other.generated)


class TokensSent(Struct, frozen=True):
    """Tokens of some questions and their answers, and the bytes of the requests."""

    prompt: int
    generated: int
    sent_bytes: int


class TokenPrices(Struct, frozen=True):
    """In the currency of the price setting, per million tokens."""

    prompt: float = 0.0
    generated: float = 0.0

    def cost(self, tokens: TokenCount) -> float:
        return (tokens.prompt * self.prompt + tokens.generated * self.generated) / 1e6


CUT_OFF = "length"
REFUSALS = frozenset({"refusal", "content_filter"})
"""Why a `ChatAnswer` ended."""


class Question(Struct, frozen=True):
    """What a chat model is asked; every field decides the answer, so that each is in its key.

    Attributes:
        instruction: what to do.
        data: what to do it with: JSON whose texts are nobody's instructions.
        schema: JSON schema of the answer; a server that cannot enforce it gets it as text.
        max_tokens: the longest answer, with what the model thinks.
    """

    model: str
    instruction: str
    data: str
    schema: Mapping[str, Any]
    max_tokens: int
    temperature: float = 0.0


class ChatAnswer(Struct, frozen=True):
    """What a chat model answered; it was billed whatever it says.

    Attributes:
        text: empty if there is none.
        finish: why it ended: `stop`, CUT_OFF, one of REFUSALS, or what else the server says.
        tokens: as the server counted them; None: it does not say.
    """

    text: str
    finish: str
    tokens: TokenCount | None = None

    @property
    def needs_tokens(self) -> bool:
        """Whether more tokens may help: it was cut off, or thinking left none for it."""
        return self.finish == CUT_OFF or not (self.text.strip() or self.finish in REFUSALS)


class Embeddings(Struct, frozen=True):
    """Vectors of texts, in their order; all of one dimension, as float32 in this machine's bytes.

    Attributes:
        vectors: `dimension` times 4 bytes each.
    """

    dimension: int
    vectors: tuple[bytes, ...]
    tokens: TokenCount | None = None


class ModelFacts(Struct, frozen=True):
    """What a server's list says of a model.

    Attributes:
        context_tokens: the longest question and answer together; None: it does not say.
        prices: None: it does not say.
    """

    context_tokens: int | None = None
    prices: TokenPrices | None = None


class LanguageModels(Protocol):
    """A server of language models.

    Its methods raise as `Engine.transcribe` does, and pass failed requests to `record`; that which
    was answered is for the caller to book.
    """

    async def facts(self, model: str) -> ModelFacts:
        """What is known of a model; nothing is if the server cannot be reached."""

    async def answer(
        self, question: Question, record: RecordRequest, stopped: asyncio.Event
    ) -> tuple[ChatAnswer, APIRequest]:
        """Ask a chat model."""

    async def embed(
        self, texts: Sequence[str], model: str, record: RecordRequest, stopped: asyncio.Event
    ) -> tuple[Embeddings, APIRequest]:
        """The embeddings of texts; raises ChunkError if the answer lacks one of them."""
