"""The reference is the code's."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def generate(script: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )


def test_it_is_up_to_date_and_a_stale_one_is_noticed(tmp_path: Path) -> None:
    assert generate(DOCS / "generate.py").returncode == 0
    shutil.copytree(DOCS, tmp_path / "docs")
    with (tmp_path / "docs" / "cli.md").open("a") as page:
        page.write("an option that was removed\n")
    stale = generate(tmp_path / "docs" / "generate.py")
    assert (stale.returncode, stale.stderr) == (1, "cli.md: stale; run `make docs`\n")


def test_every_field_of_json_is_described() -> None:
    page = (DOCS / "reference" / "json.md").read_text("utf-8")
    rows = [row for row in page.splitlines() if row[:3] == "| `"]
    assert len(rows) > 100
    assert not [row for row in rows if not row.split("|")[3].strip().removeprefix("*optional.*")]
