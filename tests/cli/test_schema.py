from __future__ import annotations

import json

import pytest

from sttbatch.cli.commands.schema import SCHEMAS
from tests.schemas import schema
from tests.shell import Shell


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_printed_as_they_are_in_the_package(shell: Shell, name: str) -> None:
    result = shell.run("schema", name)
    assert (result.code, json.loads(result.out)) == (0, schema(name))


def test_unknown_schemas_are_wrong_usage(shell: Shell) -> None:
    result = shell.run("schema", "summary")
    assert (result.code, result.out) == (2, "")
    assert "transcript or stats" in result.err
