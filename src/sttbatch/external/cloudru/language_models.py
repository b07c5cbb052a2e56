"""CloudRuLanguageModels: chat and embeddings of an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from sttbatch.core.engine import APIRequest, RecordRequest
from sttbatch.core.language_models import (
    ChatAnswer,
    Embeddings,
    ModelFacts,
    Question,
    TokenPrices,
)
from sttbatch.external.cloudru.answer_reading import understood
from sttbatch.external.cloudru.catalogue import EMBEDDER
from sttbatch.external.cloudru.endpoint import Endpoint
from sttbatch.external.cloudru.format_choice import FormatChoice
from sttbatch.external.cloudru.http_attempt import HttpAnswer
from sttbatch.external.cloudru.model_answers import parse_chat, parse_embeddings
from sttbatch.external.cloudru.retry_policy import RetryDecision

SLOWEST_TOKENS_PER_S = 20.0
"""A model that writes more slowly is given up."""

SLOWEST_TEXTS_PER_S = 10.0

_WITHOUT_THINKING = {"chat_template_kwargs": {"enable_thinking": False}}
"""For servers with vLLM's options; thinking is billed, and may use up all that is allowed."""

# The best first. A server may refuse the option that no standard has, or the schema.
CHAT_FORMATS = (
    "answers by a schema without thinking",
    "answers by a schema",
    "answers in JSON",
    "answers in any format",
)
_BY_SCHEMA = 2
_IN_JSON = 3

_BASE_BYTES = 1 << 20
_BYTES_A_TOKEN = 64
"""Escaped, a token of JSON takes far less."""

_BYTES_A_NUMBER = 32
_LARGEST_DIMENSION = 16_384


class CloudRuLanguageModels:
    """The `LanguageModels` of an endpoint; a warning tells when a response format is given up."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._chat_formats = FormatChoice(CHAT_FORMATS, endpoint.warn)
        self._embedding_formats = FormatChoice(("embeddings",), endpoint.warn)

    async def facts(self, model: str) -> ModelFacts:
        listed = await self._endpoint.models.listed(model)
        if listed is None:
            return ModelFacts()
        prompt, generated = listed.prompt_price, listed.generated_price
        if listed.billable is False:
            prompt = generated = 0.0
        if listed.type == EMBEDDER:
            # It writes nothing.
            generated = 0.0
        if prompt is None or generated is None:
            return ModelFacts(listed.context_tokens)
        return ModelFacts(listed.context_tokens, TokenPrices(prompt, generated))

    async def answer(
        self, question: Question, record: RecordRequest, stopped: asyncio.Event
    ) -> tuple[ChatAnswer, APIRequest]:
        asked = _ChatRequest(question, self._chat_formats)
        answer = await self._endpoint.send(asked, record, stopped)
        return answer.result, answer.request

    async def embed(
        self, texts: Sequence[str], model: str, record: RecordRequest, stopped: asyncio.Event
    ) -> tuple[Embeddings, APIRequest]:
        asked = _EmbeddingRequest(tuple(texts), model, self._embedding_formats)
        answer = await self._endpoint.send(asked, record, stopped)
        return answer.result, answer.request


class _ChatRequest(Struct, frozen=True):
    """The `EndpointRequest` of a question."""

    question: Question
    formats: FormatChoice
    path: str = "/chat/completions"
    chosen_by: str = "--model or STTBATCH_CHAT_MODEL"
    audio_s: float = 0.0

    @property
    def model(self) -> str:
        return self.question.model

    @property
    def work_s(self) -> float:
        return self.question.max_tokens / SLOWEST_TOKENS_PER_S

    @property
    def max_bytes(self) -> int:
        return _BASE_BYTES + _BYTES_A_TOKEN * self.question.max_tokens

    def check(self, format_index: int) -> None:
        pass

    @contextlib.contextmanager
    def content(self, format_index: int) -> Iterator[Mapping[str, Any]]:
        question = self.question
        instruction = question.instruction
        body: dict[str, Any] = {"model": question.model}
        if format_index < _BY_SCHEMA:
            schema = {"name": "answer", "schema": question.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        else:
            schema_text = json.dumps(question.schema, ensure_ascii=False)
            instruction += f"\n\nAnswer with JSON alone, by this JSON schema:\n{schema_text}"
        if format_index == _BY_SCHEMA:
            body["response_format"] = {"type": "json_object"}
        if format_index == 0:
            body |= _WITHOUT_THINKING
        body["messages"] = [
            {"role": "system", "content": instruction},
            {"role": "user", "content": question.data},
        ]
        body["temperature"] = question.temperature
        body["max_tokens"] = question.max_tokens
        yield {"json": body}

    def understand(
        self, answer: HttpAnswer, mask: Callable[[str], str]
    ) -> ChatAnswer | RetryDecision:
        return understood(answer, mask, lambda body: parse_chat(body, mask))


class _EmbeddingRequest(Struct, frozen=True):
    """The `EndpointRequest` of embeddings."""

    texts: tuple[str, ...]
    model: str
    formats: FormatChoice
    path: str = "/embeddings"
    chosen_by: str = "STTBATCH_EMBEDDING_MODEL"
    audio_s: float = 0.0

    @property
    def work_s(self) -> float:
        return len(self.texts) / SLOWEST_TEXTS_PER_S

    @property
    def max_bytes(self) -> int:
        return _BASE_BYTES + _BYTES_A_NUMBER * _LARGEST_DIMENSION * len(self.texts)

    def check(self, format_index: int) -> None:
        pass

    @contextlib.contextmanager
    def content(self, format_index: int) -> Iterator[Mapping[str, Any]]:
        yield {"json": {"model": self.model, "input": list(self.texts), "encoding_format": "float"}}

    def understand(
        self, answer: HttpAnswer, mask: Callable[[str], str]
    ) -> Embeddings | RetryDecision:
        return understood(answer, mask, lambda body: parse_embeddings(body, len(self.texts)))
