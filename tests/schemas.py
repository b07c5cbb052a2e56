"""Checks JSON against the published schemas, and that these miss no field."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator

from sttbatch.cli.commands.schema import SCHEMAS


def schema(name: str) -> dict[str, Any]:
    path = files("sttbatch").joinpath("schemas", SCHEMAS[name])
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


@cache
def validator(name: str) -> Draft202012Validator:
    """Of the schema, without any further field."""
    return Draft202012Validator(_closed(schema(name)))


def check(name: str, value: Any) -> None:
    """Fails if `value` is not of the form, or has a field that its schema does not tell."""
    validator(name).validate(value)


def _closed(part: Any) -> Any:
    if isinstance(part, list):
        return [_closed(each) for each in part]
    if not isinstance(part, dict):
        return part
    found = {key: _closed(value) for key, value in part.items()}
    # A field may be called `properties`, but none is.
    return {"additionalProperties": False, **found} if "properties" in found else found


def fields_of(part: Any) -> set[str]:
    """The names of all fields that a schema tells."""
    if isinstance(part, list):
        return set().union(*map(fields_of, part))
    if not isinstance(part, dict):
        return set()
    return set(part.get("properties", ())).union(*map(fields_of, part.values()))


def names_in(value: Any) -> set[str]:
    """The names of all fields in JSON."""
    if isinstance(value, list):
        return set().union(*map(names_in, value))
    return set(value).union(*map(names_in, value.values())) if isinstance(value, dict) else set()
