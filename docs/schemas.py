"""Renders docs/reference/json.md, the reference of JSON that programs read, from its schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from sttbatch.cli.commands.schema import SCHEMAS

INTRODUCTION = """# JSON for programs

Each form has a JSON Schema (draft 2020-12) in the package, `sttbatch/schemas/`, which
`sttbatch schema transcript` or `sttbatch schema stats` prints. A field that is not marked
*optional* is always there.
"""


def json_page() -> str:
    """The whole page."""
    package = files("sttbatch").joinpath("schemas")
    sections = (
        _section(name, json.loads(package.joinpath(name).read_text("utf-8")))
        for name in SCHEMAS.values()
    )
    return "\n".join([INTRODUCTION, *sections])


def _section(name: str, schema: dict[str, Any]) -> str:
    rows = "\n".join(_rows(schema, schema, ""))
    return (
        f"## {schema['title']}\n\n{schema['description']} "
        f"Schema: `{name}`.\n\n"
        f"| field | type | meaning |\n|---|---|---|\n{rows}\n"
    )


def _rows(part: dict[str, Any], schema: dict[str, Any], path: str) -> Iterator[str]:
    """A row for each field, then those of what it holds; `[]` is any element, `*` any name."""
    for name, field in part.get("properties", {}).items():
        found = _resolved(field, schema)
        optional = "" if name in part.get("required", ()) else "*optional.* "
        here = f"{path}{name}"
        text = optional + found.get("description", "")
        yield f"| `{here}` | {_type(found)} | {text.strip()} |"
        yield from _below(found, schema, here)


def _below(found: dict[str, Any], schema: dict[str, Any], here: str) -> Iterator[str]:
    yield from _rows(found, schema, f"{here}.")
    for key, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if key in found:
            yield from _below(_resolved(found[key], schema), schema, here + mark)


def _resolved(part: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The part with what it refers to; its own words come first."""
    if "$ref" not in part:
        return part
    target = schema["$defs"][part["$ref"].rpartition("/")[2]]
    return {**_resolved(target, schema), **part}


def _type(part: dict[str, Any]) -> str:
    if "const" in part:
        return f"`{json.dumps(part['const'])}`"
    if "enum" in part:
        return " or ".join(f"`{json.dumps(each)}`" for each in part["enum"])
    found = part["type"]
    return found if isinstance(found, str) else " or ".join(found)
