"""Glossaries as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sttbatch.core.errors import UsageError
from sttbatch.kinds.language.glossaries import read_glossary


def test_terms_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "terms.txt"
    path.write_text(
        "\ufeff# ours\r\n\r\nVertrag = contract  # not agreement\r\nC# = C sharp\r\na=b=c\r\n",
        "utf-8",
    )
    assert read_glossary(path) == {"Vertrag": "contract", "C#": "C sharp", "a": "b=c"}


@pytest.mark.parametrize("line", ["term", "= translation", "term =", "term = # nothing"])
def test_the_line_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "terms.txt"
    path.write_text(f"# ours\n{line}\n", "utf-8")
    with pytest.raises(UsageError, match=r"line 2: write `term = translation`"):
        read_glossary(path)
