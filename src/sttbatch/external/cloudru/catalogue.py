"""The endpoint's list of models: any field of an entry may be missing, or be of another type."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from sttbatch.external.cloudru.json_values import finite_number, storable

MAX_CATALOGUE_BYTES = 4 << 20
_MAX_ENTRIES = 10_000
_MAX_TEXT = 200
EMBEDDER = "embedder"
"""The type of models for embeddings."""

EXTERNAL = "external"
"""The provider of models whose data leaves the endpoint's operator."""

_SHOWN = 10


class Model(Struct, frozen=True):
    """An entry of the list; None: the endpoint does not say.

    Attributes:
        type: such as `audio-to-text`, `llm`, `embedder`.
        provider: `cloud.ru`, or `external`: data leaves Cloud.ru.
        context_tokens: the longest input.
        prompt_price, generated_price, cached_price: RUB per million tokens.
    """

    id: str
    type: str | None = None
    provider: str | None = None
    context_tokens: int | None = None
    prompt_price: float | None = None
    generated_price: float | None = None
    cached_price: float | None = None
    billable: bool | None = None


def parse_models(
    body: bytes, mask: Callable[[str], str] = lambda text: text
) -> tuple[Model, ...] | None:
    """Parse a response; None: it is not a list of models."""
    if body.count(b"{") > 2 * _MAX_ENTRIES:
        return None
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    entries = parsed.get("data", parsed.get("models")) if isinstance(parsed, dict) else parsed
    if not isinstance(entries, list):
        return None
    entries = [entry for entry in entries if isinstance(entry, dict)]
    models = (_model(entry, mask) for entry in entries[:_MAX_ENTRIES])
    return tuple(model for model in models if model is not None)


def choices(models: tuple[Model, ...] | None) -> str:
    """A part of a sentence that names the models for speech, or all if none has a type."""
    if models is None:
        return "it gives no list of models: is /v1 missing in the base URL?"
    audio = [model.id for model in models if (model.type or "").startswith("audio")]
    names = audio or [model.id for model in models]
    if not names:
        return "it lists no models"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (
        f"it lists {', '.join(names[:_SHOWN])}{more} (`sttbatch models`); not all that is listed "
        "can be called with every account"
    )


def _model(entry: dict[str, Any], mask: Callable[[str], str]) -> Model | None:
    def text(value: object) -> str | None:
        if not isinstance(value, str) or not value.strip():
            return None
        return mask(storable(value).strip())[:_MAX_TEXT]

    name = text(entry.get("id"))
    if name is None:
        return None
    facts = entry.get("metadata")
    facts = facts if isinstance(facts, dict) else {}
    context = _number(entry.get("context_length")) or _number(entry.get("max_model_len"))
    billable = facts.get("is_billable", entry.get("is_billable"))
    return Model(
        name,
        text(facts.get("type")),
        text(facts.get("provider")),
        int(context) if context is not None else None,
        _number(facts.get("prompt_tokens_cost")),
        _number(facts.get("generated_tokens_cost")),
        _number(facts.get("cache_read_tokens_cost")),
        billable if isinstance(billable, bool) else None,
    )


def _number(value: object) -> float | None:
    """A number of an entry; None: it has none, for which -1 also stands."""
    number = finite_number(value)
    return number if number is not None and number >= 0 else None
