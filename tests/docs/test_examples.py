"""What README and the documentation tell people to type does what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.object_server import ObjectServer

from .examples import examples_of, typed
from .world import machine, stored_in

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for page in (*ROOT.glob("README*.md"), *ROOT.glob("docs/**/*.md"))
    if examples_of(page.read_text("utf-8")).examples
    and "Made by `make docs`" not in page.read_text("utf-8")
)


@pytest.mark.parametrize("page", PAGES)
def test_every_example_does_what_it_says(
    page: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    text = (ROOT / page).read_text("utf-8")
    examples = examples_of(text).examples
    home = tmp_path / "home"
    home.mkdir()
    with machine(home) as environment:
        here = {}
        if "s3://" in "".join(each.command for each in examples):
            objects: ObjectServer = request.getfixturevalue("shared_objects")
            here = stored_in(objects, home)
        results = typed(examples, environment, home, here)
    for example, (code, printed) in zip(examples, results, strict=True):
        assert code == 0, f"$ {example.command}\n{printed}"
        assert example.is_as_shown(printed), f"$ {example.command}\n{printed}"


def test_pages_are_found() -> None:
    assert "README.md" in PAGES
    assert len(PAGES) > 12
