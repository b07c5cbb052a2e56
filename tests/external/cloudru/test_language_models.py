"""Chat completions and embeddings, and what servers make of them."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from sttbatch.core.engine import APIRequest
from sttbatch.core.errors import ChunkError, EndpointRefused
from sttbatch.core.language_models import ChatAnswer, Embeddings, Question, TokenCount
from sttbatch.external.cloudru.language_models import CloudRuLanguageModels
from sttbatch.external.cloudru.model_answers import parse_chat, parse_embeddings
from sttbatch.external.cloudru.response_parsing import UnreadableResponse
from tests.cloudru import Asked, CloudRu, NotJson, Said, Status, times_per_chunk
from tests.cloudru.models import DIMENSION

from .lanes import BACKOFF_S, Lanes, lanes_to

T = TypeVar("T")

SCHEMA = {"type": "object", "properties": {"words": {"type": "array"}}, "required": ["words"]}
QUESTION = Question("a/model", "List the words.", '{"text": "раз два"}', SCHEMA, 200)


def words(asked: Asked) -> Said:
    return Said(json.dumps({"words": asked.values["text"].split()}, ensure_ascii=False))


class Conversation:
    """Questions to an endpoint, one after another, and every request they took."""

    def __init__(self, endpoint: CloudRu, **options: Any) -> None:
        self.endpoint = endpoint
        self.options = options
        self.warnings: list[str] = []
        self.failed: list[APIRequest] = []
        self.answered: list[APIRequest] = []

    def ask(self, *questions: Question) -> list[ChatAnswer]:
        async def all_of(models: CloudRuLanguageModels) -> list[ChatAnswer]:
            answers = []
            for question in questions:
                answer, request = await models.answer(question, self._record, asyncio.Event())
                answers.append(answer)
                self.answered.append(request)
            return answers

        return self._run(all_of)

    def embed(self, *texts: str) -> Embeddings:
        async def all_of(models: CloudRuLanguageModels) -> Embeddings:
            found, request = await models.embed(texts, "an/embedder", self._record, asyncio.Event())
            self.answered.append(request)
            return found

        return self._run(all_of)

    async def _record(self, request: APIRequest) -> None:
        self.failed.append(request)

    def _run(self, work: Callable[[CloudRuLanguageModels], Awaitable[T]]) -> T:
        async def run() -> T:
            async with lanes_to(self.endpoint, **self.options) as lanes:
                self.warnings = lanes.warnings
                return await work(CloudRuLanguageModels(lanes.endpoint))

        return asyncio.run(run())


def test_a_question_goes_out_with_its_schema_and_without_thinking(endpoint: CloudRu) -> None:
    endpoint.chat = words
    talk = Conversation(endpoint)
    (answer,) = talk.ask(QUESTION)
    assert json.loads(answer.text) == {"words": ["раз", "два"]}
    assert answer.finish == "stop"
    assert answer.tokens is not None
    assert answer.tokens.prompt > answer.tokens.generated > 0
    (post,) = endpoint.received
    assert (post.path, post.http_version, post.authorised) == ("/v1/chat/completions", "2", True)
    assert post.asked is not None
    body = post.asked.body
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("a/model", 200, 0)
    assert (post.asked.instruction, post.asked.data) == (QUESTION.instruction, QUESTION.data)
    (request,) = talk.answered
    assert (request.status, request.paid, request.audio_s) == (200, True, 0)
    assert request.sent_bytes == post.body_bytes


@pytest.mark.parametrize(
    ("refused", "posts", "asked_for", "has_schema_as_text"),
    [
        (("chat_template_kwargs",), 2, "json_schema", False),
        (("chat_template_kwargs", "json_schema"), 3, "json_object", True),
        (("chat_template_kwargs", "json_schema", "json_object"), 4, "text", True),
    ],
)
def test_a_server_that_knows_less_is_asked_for_less(
    endpoint: CloudRu,
    refused: tuple[str, ...],
    posts: int,
    asked_for: str,
    has_schema_as_text: bool,
) -> None:
    """Once: the second question goes out as it will be answered."""
    endpoint.chat, endpoint.refused_options = words, refused
    talk = Conversation(endpoint)
    answers = talk.ask(QUESTION, QUESTION)
    assert all(json.loads(each.text) == {"words": ["раз", "два"]} for each in answers)
    assert len(endpoint.received) == posts + 1
    last = endpoint.received[-1].asked
    assert last is not None
    assert last.format == asked_for
    assert "chat_template_kwargs" not in last.body
    assert (json.dumps(SCHEMA) in last.instruction) is has_schema_as_text
    assert len(talk.warnings) == 1
    assert not any(request.paid or request.maybe_paid for request in talk.failed)


def test_what_a_model_says_instead_is_an_answer_too(endpoint: CloudRu) -> None:
    """It was billed, so it is booked and not asked for again here."""
    said = [
        Said(None, "length", reasoning="so many thoughts"),
        Said(None, refusal="I cannot help with that"),
        Said("word " * 900),
        Said("", "content_filter", usage=False),
    ]
    endpoint.chat = lambda _: said[len(endpoint.received) - 1]
    answers = Conversation(endpoint).ask(QUESTION, QUESTION, QUESTION, QUESTION)
    assert [(bool(each.text), each.finish) for each in answers] == [
        (False, "length"),
        (False, "refusal"),
        (True, "length"),
        (False, "content_filter"),
    ]
    assert answers[0].tokens is not None
    assert answers[0].tokens.generated > 0
    assert answers[3].tokens is None
    assert len(endpoint.received) == 4


def test_a_failure_is_retried_and_told_by_the_same_rules_as_for_audio(endpoint: CloudRu) -> None:
    endpoint.chat = words
    endpoint.faults = times_per_chunk(2, Status(503))
    talk = Conversation(endpoint)
    assert len(talk.ask(QUESTION)) == 1
    assert [request.status for request in talk.failed] == [503, 503]
    endpoint.faults = times_per_chunk(2, Status(429, {"retry-after-ms": str(BACKOFF_S * 1000)}))
    assert len(talk.ask(QUESTION)) == 1
    endpoint.faults = times_per_chunk(9, Status(401))
    with pytest.raises(EndpointRefused, match="401"):
        talk.ask(QUESTION)


def test_what_is_no_completion_may_have_been_billed(endpoint: CloudRu) -> None:
    endpoint.chat = words
    endpoint.faults = times_per_chunk(9, NotJson())
    talk = Conversation(endpoint)
    with pytest.raises(ChunkError, match="not JSON"):
        talk.ask(QUESTION)
    assert len(talk.failed) == 3
    assert all(request.maybe_paid for request in talk.failed)


def test_embeddings_come_in_the_order_of_their_texts(endpoint: CloudRu) -> None:
    talk = Conversation(endpoint)
    texts = ("a contract", "договор", "a contract")
    found = talk.embed(*texts)
    assert found.dimension == DIMENSION
    assert found.vectors[0] == found.vectors[2] != found.vectors[1]
    assert {len(vector) for vector in found.vectors} == {4 * DIMENSION}
    assert found.tokens is not None
    assert found.tokens.generated == 0
    (post,) = endpoint.received
    assert post.path == "/v1/embeddings"


def _completion(**message: Any) -> bytes:
    return json.dumps({"choices": [{"message": message}]}).encode()


@pytest.mark.parametrize(
    ("body", "text", "finish"),
    [
        (_completion(content=[{"type": "text", "text": "a"}, {"text": "b"}, 3]), "ab", "stop"),
        (_completion(content={"text": "a"}), "", "stop"),
        (_completion(content="secret\ud800"), "*****?", "stop"),
        (b'{"choices": [{"message": null, "finish_reason": 7}]}', "", "stop"),
        (b'{"choices": [{"message": {"content": "a"}}], "usage": {"prompt_tokens": "x"}}',
         "a", "stop"),
    ],
)  # fmt: skip
def test_shapes_of_completions(body: bytes, text: str, finish: str) -> None:
    answer = parse_chat(body, lambda said: said.replace("secret", "*****"))
    assert answer == ChatAnswer(text, finish)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"choices": []}', b"[" * 100_000, b"\xff"])
def test_no_completion(body: bytes) -> None:
    with pytest.raises(UnreadableResponse):
        parse_chat(body, str)


@pytest.mark.parametrize(
    "entries",
    [
        None,
        [{"embedding": [1.0]}],
        [{"embedding": [1.0]}, {"embedding": [1.0, 2.0]}],
        [{"embedding": [1.0]}, {"embedding": []}],
        [{"embedding": [1.0], "index": 1}, {"embedding": [1.0], "index": 1}],
        [{"embedding": [1.0]}, {"embedding": ["x"]}],
        [{"embedding": [1.0]}, {"embedding": [float("nan")]}],
        [{"embedding": [1.0]}, {"embedding": [1e99]}],
        [{"embedding": [1.0]}, 7],
    ],
)
def test_no_embeddings_of_two_texts(entries: object) -> None:
    with pytest.raises(UnreadableResponse):
        parse_embeddings(json.dumps({"data": entries}).encode(), 2)


def test_numbered_embeddings_are_put_in_order() -> None:
    entries = [{"embedding": [2.0], "index": 1}, {"embedding": [1.0], "index": 0}]
    body = json.dumps({"data": entries, "usage": {"prompt_tokens": 5}}).encode()
    expected = Embeddings(1, (struct.pack("f", 1), struct.pack("f", 2)), TokenCount(5))
    assert parse_embeddings(body, 2) == expected


def test_the_conversation_closes_with_its_lanes(endpoint: CloudRu) -> None:
    """The endpoint of language models is that of transcriptions: one pool, one limit."""

    async def both() -> Lanes:
        async with lanes_to(endpoint) as lanes:
            await lanes.send(0)
            await CloudRuLanguageModels(lanes.endpoint).embed(
                ["a"], "m", lambda _: asyncio.sleep(0), asyncio.Event()
            )
            return lanes

    asyncio.run(both())
    assert endpoint.connections_opened == 1
