"""Examples of a page: commands with what they print, between fences of `console`.

A line with `…` stands for any number of lines, `…` in a line for any text, a number for any number.
A comment before a fence, `<!-- not run: why -->`, takes its commands out.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK = re.compile(r"(?ms)(?:^<!-- not run: (?P<why>.+?) -->\n+)?^```console\n(?P<lines>.*?)^```$")
_ANY = "…"
# Where no terminal is, these stand for the progress bars; recordings end in any order.
_PROGRESS = re.compile(r"\S+: (transcribed|from cache|up to date|sent)\b.*")
_PATH = re.compile(r"\S+/\S+\.(txt|md|html|docx|srt|json)")
_FIGURES = re.compile(r"(?:\b[0-9a-f]{8}\b|\d(?:[\d.,:]*\d)?)")
_MARK = "=== example"


@dataclass(frozen=True)
class Example:
    """A command, and the lines that it prints; none are shown: any."""

    command: str
    shown: tuple[str, ...]

    def is_as_shown(self, printed: str) -> bool:
        if not self.shown:
            return True
        parts = [_pattern(line) for line in _in_order(self.shown)]
        lines = [line for line in printed.splitlines() if not _PROGRESS.fullmatch(line)]
        return re.fullmatch("".join(parts), _plain(_in_order(lines))) is not None


@dataclass
class Page:
    """What can be typed of a page, and why the rest cannot."""

    examples: list[Example] = field(default_factory=list)
    not_run: list[str] = field(default_factory=list)


def examples_of(text: str) -> Page:
    page = Page()
    for block in _BLOCK.finditer(text):
        if block["why"] is not None:
            page.not_run.append(block["why"])
        else:
            page.examples += _examples(block["lines"])
    return page


def _examples(block: str) -> Iterator[Example]:
    command: list[str] = []
    shown: list[str] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            if command:
                yield Example("\n".join(command), tuple(shown))
            command, shown = [line[2:]], []
        elif command and command[-1].endswith(("|", "\\")):
            command.append(line)
        else:
            shown.append(line)
    if command:
        yield Example("\n".join(command), tuple(shown))


def typed(
    examples: list[Example],
    environment: Mapping[str, str],
    folder: Path,
    here: Mapping[str, str] = {},
) -> list[tuple[int, str]]:
    """The exit codes of all commands, typed into one shell, and what each printed.

    `here` has what stands on this machine for words of the page, which has no key, either.
    """
    commands = [each.command for each in examples]
    for word, found in {"CLOUDRU_API_KEY=…": "CLOUDRU_API_KEY=$KEY", **here}.items():
        commands = [command.replace(word, found) for command in commands]
    script = "".join(f"{command}\nprintf '\\n{_MARK} %d\\n' $?\n" for command in commands)
    done = subprocess.run(
        ["bash", "-c", script],
        stdin=subprocess.DEVNULL,
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    *parts, rest = re.split(rf"\n{_MARK} (\d+)\n", done.stdout)
    assert rest == "", rest
    return [(int(code), text) for text, code in zip(parts[::2], parts[1::2], strict=True)]


def _in_order(lines: Sequence[str]) -> list[str]:
    """Paths of outputs first, in their order."""
    paths = [line for line in lines if _PATH.fullmatch(line)]
    return [*sorted(paths), *(line for line in lines if line not in paths)]


def _plain(lines: Sequence[str]) -> str:
    return "".join(f"{' '.join(line.split())}\n" for line in lines if line.strip())


def _pattern(line: str) -> str:
    """An expression for a line as it may be printed."""
    if line.strip() == _ANY:
        return r"(?:.*\n)*"
    if not line.strip():
        return ""
    kept = " ".join(line.split())
    parts = [_numbers(part) for part in kept.split(_ANY)]
    return ".*".join(parts) + r"\n"


def _numbers(text: str) -> str:
    pieces = _FIGURES.split(text)
    return _FIGURES.pattern.join(map(re.escape, pieces))
