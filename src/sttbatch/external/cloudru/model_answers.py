"""Tolerant parsers of chat completions and embeddings, of which servers omit different parts."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Callable
from typing import Any

from sttbatch.core.language_models import ChatAnswer, Embeddings, TokenCount
from sttbatch.external.cloudru.json_values import finite_number, storable
from sttbatch.external.cloudru.response_parsing import UnreadableResponse

_MAX_FINISH = 40


def parse_chat(body: bytes, mask: Callable[[str], str]) -> ChatAnswer:
    """Parse a chat completion; raises UnreadableResponse if it is none.

    A thinking model's `reasoning` is no answer, also where `content` is null because it used up
    all tokens.
    """
    parsed = _decoded(body)
    choices = parsed.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise UnreadableResponse("the answer is JSON without choices")
    message = choices[0].get("message")
    message = message if isinstance(message, dict) else {}
    text = _text(message.get("content"))
    refusal = _text(message.get("refusal"))
    finish = choices[0].get("finish_reason")
    finish = finish if isinstance(finish, str) else "stop"
    if refusal.strip() and not text.strip():
        text, finish = "", "refusal"
    return ChatAnswer(mask(storable(text)), mask(storable(finish))[:_MAX_FINISH], _tokens(parsed))


def parse_embeddings(body: bytes, count: int) -> Embeddings:
    """Parse the embeddings of `count` texts; raises UnreadableResponse if one is missing."""
    parsed = _decoded(body)
    entries = parsed.get("data")
    if not isinstance(entries, list) or len(entries) != count:
        raise UnreadableResponse(f"the answer has no list of {count} embeddings")
    vectors: dict[int, bytes] = {}
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise UnreadableResponse("an embedding is not an object")
        index = entry.get("index", position)
        if not isinstance(index, int) or index not in range(count) or index in vectors:
            raise UnreadableResponse("the embeddings are not numbered from 0")
        vectors[index] = _vector(entry.get("embedding"))
    lengths = {len(vector) for vector in vectors.values()}
    if len(lengths) > 1 or 0 in lengths:
        raise UnreadableResponse("the embeddings are not of one dimension")
    dimension = lengths.pop() // array("f").itemsize if lengths else 0
    return Embeddings(dimension, tuple(vectors[i] for i in range(count)), _tokens(parsed))


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnreadableResponse("the answer is not JSON") from error
    if not isinstance(parsed, dict):
        raise UnreadableResponse("the answer is not a JSON object")
    return parsed


def _text(content: object) -> str:
    """A message's content: text, or a list of parts of text; anything else is none."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = (part.get("text") for part in content if isinstance(part, dict))
    return "".join(part for part in parts if isinstance(part, str))


def _vector(numbers: object) -> bytes:
    if not isinstance(numbers, list):
        raise UnreadableResponse("an embedding is not a list of numbers")
    try:
        vector = array("f", numbers)
    except (TypeError, OverflowError) as error:
        raise UnreadableResponse("an embedding is not a list of numbers") from error
    if not all(map(math.isfinite, vector)):
        raise UnreadableResponse("an embedding has numbers that are not finite")
    return vector.tobytes()


def _tokens(parsed: dict[str, Any]) -> TokenCount | None:
    usage = parsed.get("usage")
    if not isinstance(usage, dict):
        return None
    prompt = finite_number(usage.get("prompt_tokens"))
    generated = finite_number(usage.get("completion_tokens", 0))
    if prompt is None or generated is None or prompt < 0 or generated < 0:
        return None
    return TokenCount(int(prompt), int(generated))
