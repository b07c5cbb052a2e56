from __future__ import annotations

import json
from typing import Any

import pytest

from sttbatch.core.errors import UsageError
from sttbatch.core.options import OutputOptions
from sttbatch.kinds.ordering import outputs_from_json, outputs_to_json


@pytest.mark.parametrize(
    "options",
    [
        OutputOptions(),
        OutputOptions(("en.docx", "summary.md"), timestamps=True, public_base_url="https://a.b"),
    ],
)
def test_output_options_are_those_of_the_order(options: OutputOptions) -> None:
    assert outputs_from_json(outputs_to_json(options)) == options


def test_what_earlier_versions_do_not_know_is_said_only_if_it_is_asked_for() -> None:
    assert "timestamps" not in json.loads(outputs_to_json(OutputOptions()))


@pytest.mark.parametrize("later", [{"fonts": "large"}, {"formats": ["txt", "en.pdf"]}])
def test_what_a_later_version_asks_for_is_refused_and_not_left_out(later: dict[str, Any]) -> None:
    order = json.loads(outputs_to_json(OutputOptions())) | later
    with pytest.raises(UsageError, match="newer version"):
        outputs_from_json(json.dumps(order))
