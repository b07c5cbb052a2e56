"""docs/messages.py lists what people meet; `sttbatch` alone shows how to begin."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def printed(*arguments: str, code: int = 0, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_messages_of_each_kind_are_listed_with_their_place() -> None:
    lines = printed(str(DOCS / "messages.py")).splitlines()
    assert len(lines) > 1000
    source = DOCS.parent / "src" / "sttbatch"
    for path, use in (
        ("cli/options.py", "option"),
        ("cli/commands/search.py", "command"),
        ("composition/credentials.py", "UsageError"),
        ("cli/commands/doctor.py", "_Check"),
        ("monitoring/logs.py", "_TEXTS"),
    ):
        found = [line.split(":", 3) for line in lines if line.startswith(f"{path}:")]
        number = next(int(number) for _, number, used, _ in found if used.strip() == use)
        assert number <= len((source / path).read_text("utf-8").splitlines())


@pytest.mark.parametrize(("arguments", "code"), [((), 2), (("--help",), 0)])
def test_without_a_command_three_examples_are_shown_on_a_line_each(
    arguments: tuple[str, ...], code: int
) -> None:
    shown = printed("-m", "sttbatch", *arguments, code=code, COLUMNS="80", NO_COLOR="1")
    examples = [line for line in shown.splitlines() if line.startswith(" sttbatch ")]
    assert [line.split()[1] for line in examples] == ["transcribe", "transcribe", "search"]
    assert all("  # " in line for line in examples)
