"""What the endpoint's language models answer: chat completions and embeddings."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .answers import Answer, error_answer, json_answer

DIMENSION = 64
_PIECES = re.compile(r"[^\W\d_]{1,4}|\d{1,3}|[^\w\s]")


class BadBodyError(Exception):
    """The body is no request for this method."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A chat completion that a client asked for."""

    body: Mapping[str, Any]
    instruction: str
    data: str

    @property
    def model(self) -> str:
        return str(self.body["model"])

    @property
    def max_tokens(self) -> int:
        return int(self.body["max_tokens"])

    @property
    def format(self) -> str:
        """`json_schema`, `json_object` or `text`."""
        return str(self.body.get("response_format", {}).get("type", "text"))

    @property
    def values(self) -> Any:
        """The data, which clients send as JSON."""
        return json.loads(self.data)


@dataclass(frozen=True, slots=True)
class Said:
    """What the model says to it; `content` longer than `max_tokens` is cut off, as servers do."""

    content: str | None
    finish: str = "stop"
    reasoning: str | None = None
    refusal: str | None = None
    usage: bool = True


def asked_of(body: bytes) -> Asked:
    """The question in a body; raises BadBodyError."""
    parsed = _parsed(body)
    messages = parsed.get("messages")
    if not isinstance(messages, list) or [each.get("role") for each in messages] != [
        "system",
        "user",
    ]:
        raise BadBodyError("messages must be one of the system and one of the user")
    if not isinstance(parsed.get("max_tokens"), int):
        raise BadBodyError("max_tokens must be a whole number")
    return Asked(parsed, messages[0]["content"], messages[1]["content"])


def refusal_of(asked: Asked, refused: tuple[str, ...]) -> Answer | None:
    """400 for an option that this server does not know: a field, or a response format."""
    for name in refused:
        if name in asked.body:
            return error_answer(400, f"unrecognised argument: {name}", param=name)
        if name == asked.format:
            message = f"response_format of type {name} is not supported"
            return error_answer(400, message, param="response_format")
    return None


def chat_answer(asked: Asked, said: Said) -> Answer:
    """A chat completion in OpenAI's shape."""
    content, finish = said.content, said.finish
    if content is not None and tokens(content) > asked.max_tokens:
        content, finish = _first(content, asked.max_tokens), "length"
    message = {"role": "assistant", "content": content}
    message |= {"reasoning": said.reasoning} if said.reasoning is not None else {}
    message |= {"refusal": said.refusal} if said.refusal is not None else {}
    answer: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": asked.model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    if said.usage:
        prompt = tokens(asked.instruction) + tokens(asked.data) + 8
        generated = tokens(content or "") + tokens(said.reasoning or "") + 1
        answer["usage"] = {
            "prompt_tokens": prompt,
            "completion_tokens": generated,
            "total_tokens": prompt + generated,
        }
    return json_answer(200, answer)


def embeddings_answer(body: bytes) -> tuple[tuple[str, ...], Answer]:
    """The texts, and their embeddings in OpenAI's shape: those that share words are near.

    Raises BadBodyError.
    """
    parsed = _parsed(body)
    texts = parsed.get("input")
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise BadBodyError("input must be a list of texts")
    count = sum(map(tokens, texts))
    return tuple(texts), json_answer(
        200,
        {
            "object": "list",
            "model": parsed["model"],
            "data": [
                {"object": "embedding", "index": index, "embedding": _vector(text)}
                for index, text in enumerate(texts)
            ],
            "usage": {"prompt_tokens": count, "total_tokens": count},
        },
    )


def tokens(text: str) -> int:
    """Roughly as many as the tokenizers of large models make of it."""
    return len(_PIECES.findall(text))


def _first(text: str, count: int) -> str:
    pieces = list(_PIECES.finditer(text))
    return text[: pieces[count - 1].end()] if count else ""


def _vector(text: str) -> list[float]:
    vector = [0.0] * DIMENSION
    for word in re.findall(r"\w+", text.casefold()):
        digest = hashlib.sha256(word[:5].encode()).digest()
        vector[digest[0] % DIMENSION] += 1.0
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [round(value / length, 6) for value in vector]


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError as error:
        raise BadBodyError(f"the body is not JSON: {error}") from error
    if not isinstance(parsed, dict) or not isinstance(parsed.get("model"), str):
        raise BadBodyError("no model")
    return parsed
