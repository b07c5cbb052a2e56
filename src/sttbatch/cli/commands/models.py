"""sttbatch models: list the models of the endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from sttbatch.cli.console.stdio import print_lines
from sttbatch.cli.console.text import aligned, printable
from sttbatch.cli.options import AsJson, option
from sttbatch.core.errors import EndpointUnreachable, UsageError

if TYPE_CHECKING:
    from sttbatch.composition.settings import Settings
    from sttbatch.external.cloudru.catalogue import Model

TYPES = {"audio": ("audio",), "llm": ("llm", "image+text"), "embedder": ("embed",)}
"""Beginnings of the types that each choice stands for."""


def models(
    kind: Annotated[
        str | None, option("Only models of a type.", "--type", metavar="audio|llm|embedder")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the endpoint's models, their providers and prices.

    It needs no key. Not all that is listed can be called with every account.
    """
    import asyncio
    import json

    from msgspec.structs import asdict

    from sttbatch.composition.settings import load_settings

    if kind is not None and kind not in TYPES:
        raise UsageError(f"--type is one of {', '.join(TYPES)}, not {kind!r}")
    listed = asyncio.run(_listed(load_settings().settings))
    found = [each for each in listed if kind is None or _is_of(each, TYPES[kind])]
    if as_json:
        facts = {"models": [asdict(each) for each in found]}
        typer.echo(json.dumps(facts, ensure_ascii=False, indent=2))
        return
    print_lines(_table(found))
    untyped = sum(each.type is None for each in listed)
    if kind is not None and untyped:
        typer.echo(f"{untyped} of {len(listed)} models are listed without a type", err=True)


async def _listed(settings: Settings) -> Sequence[Model]:
    from sttbatch.composition.credentials import mask_of
    from sttbatch.external.cloudru.reachability import check_reachability

    found = await check_reachability(settings.base_url, mask_of(settings))
    if found.models is None:
        raise EndpointUnreachable(
            f"{settings.base_url} answers {found.status} without a list of models; some endpoints "
            "have none, or /v1 is missing in base_url"
        )
    return found.models


def _is_of(model: Model, beginnings: tuple[str, ...]) -> bool:
    return (model.type or "").startswith(beginnings)


def _table(found: Sequence[Model]) -> list[str]:
    head = ("MODEL", "TYPE", "PROVIDER", "CONTEXT", "RUB/M IN", "RUB/M OUT", "RUB/M CACHED")
    rows: list[tuple[str, ...]] = [head]
    for each in sorted(found, key=lambda model: (model.type or "~", model.id)):
        prices = (each.prompt_price, each.generated_price, each.cached_price)
        context = "-" if each.context_tokens is None else str(each.context_tokens)
        shown = ("-" if price is None else f"{price:g}" for price in prices)
        texts = (printable(each.id), printable(each.type or "-"), printable(each.provider or "-"))
        rows.append((*texts, context, *shown))
    return aligned(rows, numbers=4)
