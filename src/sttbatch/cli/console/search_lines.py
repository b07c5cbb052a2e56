"""Hits of a search: as lines, in the way of grep, and as JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sttbatch.cli.console.stdio import StandardOutput
from sttbatch.cli.console.text import printable
from sttbatch.core.scripts import running_text
from sttbatch.core.timestamps import timestamp
from sttbatch.kinds.indexing.passages import Utterance
from sttbatch.kinds.indexing.searching import Hit, MarkedUtterance

_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"
_BETWEEN = "--"


class SearchLines:
    """Prints hits, one a line, with the found words in bold on a terminal.

    With context, its lines have `-` where a hit has `:`, and groups are parted by a line `--`.
    """

    def __init__(self, output: StandardOutput, *, with_context: bool) -> None:
        self._output = output
        self._with_context = with_context
        self._is_first = True
        self._is_bold = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._here = str(Path.cwd()).rstrip("/") + "/"

    def show(self, hit: Hit) -> None:
        name = printable(self._name(hit))
        if self._with_context and not self._is_first:
            self._write(_BETWEEN)
        self._is_first = False
        for utterance in hit.before:
            self._write(f"{name}-{timestamp(utterance.start_s)}- {printable(utterance.text)}")
        self._write(f"{name}:{timestamp(hit.second)}: {self._text(hit.utterances)}")
        for utterance in hit.after:
            self._write(f"{name}-{timestamp(utterance.start_s)}- {printable(utterance.text)}")

    def _name(self, hit: Hit) -> str:
        if hit.path is None:
            return hit.transcript.file_sha256[:12]
        return os.fsdecode(hit.path).removeprefix(self._here)

    def _text(self, utterances: Sequence[MarkedUtterance]) -> str:
        return running_text(" ".join(self._marked(each).split()) for each in utterances)

    def _marked(self, marked: MarkedUtterance) -> str:
        text = marked.utterance.text
        if not self._is_bold:
            return printable(" ".join(text.split()))
        parts, at = [], 0
        for begin, end in marked.marks:
            parts += [printable(text[at:begin]), _BOLD, printable(text[begin:end]), _PLAIN]
            at = end
        return "".join([*parts, printable(text[at:])])

    def _write(self, line: str) -> None:
        self._output.write(line.encode("utf-8", "backslashreplace") + b"\n")


def search_json(hits: Sequence[Hit]) -> str:
    return json.dumps({"hits": [_entry(hit) for hit in hits]}, ensure_ascii=False)


def _entry(hit: Hit) -> dict[str, Any]:
    head = hit.utterances[0].utterance
    path = None if hit.path is None else os.fsencode(hit.path).decode("utf-8", "backslashreplace")
    entry: dict[str, Any] = {
        "path": path,
        "second": round(hit.second, 3),
        "end": round(hit.utterances[-1].utterance.end_s, 3),
        "text": running_text(each.utterance.text for each in hit.utterances),
        "words": [
            each.utterance.text[begin:end] for each in hit.utterances for begin, end in each.marks
        ],
        "speaker": head.speaker,
        "language": hit.transcript.language,
        "transcript": hit.transcript.key,
    }
    if hit.score is not None:
        passage = hit.passage
        entry["score"] = round(hit.score, 6)
        entry["passage"] = {
            "second": round(passage[0].start_s, 3),
            "end": round(passage[-1].end_s, 3),
            "text": running_text(" ".join(each.text.split()) for each in passage),
        }
    if hit.before or hit.after:
        entry |= {"before": _context(hit.before), "after": _context(hit.after)}
    return entry


def _context(utterances: Sequence[Utterance]) -> list[dict[str, Any]]:
    return [{"second": round(each.start_s, 3), "text": each.text} for each in utterances]
