"""Word errors: as tables and lines side by side, and as JSON."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from typing import TYPE_CHECKING, Any

from sttbatch.cli.console.text import aligned, counted, printable
from sttbatch.core.timestamps import timestamp

if TYPE_CHECKING:
    from sttbatch.composition.evaluating import BadLine, Evaluation
    from sttbatch.kinds.evaluation.word_errors import ErrorCounts, Pair

_SUBSTITUTED, _INSERTED, _DELETED = "S", "I", "D"
_COLOURS = {_SUBSTITUTED: "\x1b[31m", _INSERTED: "\x1b[33m", _DELETED: "\x1b[35m", "": ""}
_PLAIN = "\x1b[0m"
_MISSING = "***"
_NONE = "-"


def eval_lines(evaluation: Evaluation) -> list[str]:
    """Tables of rates, what the settings differ by, the worst lines, and what has none."""
    if not evaluation.recordings:
        return []
    several = len(evaluation.settings) > 1
    lines = []
    if several:
        lines += [f"{_tag(number)} {each.label}" for number, each in _numbered(evaluation)]
        lines.append("")
    lines += [*_table(evaluation), ""]
    for number, each in _numbered(evaluation):
        name = _tag(number) if several else printable(each.label)
        lines.append(f"{name}: {_counts(evaluation.total(number))}")
    lines += _differences(evaluation)
    for bad in evaluation.worst:
        lines += ["", *_side_by_side(bad, several=several)]
    return lines


def _table(evaluation: Evaluation) -> list[str]:
    numbers = range(len(evaluation.settings))
    heads = ["WER"] if len(numbers) == 1 else [_tag(number) for number in numbers]
    rows = [["recording", "words", *heads, *(["CER"] if len(numbers) == 1 else [])]]
    listed = [(printable(each.path), each.counts) for each in evaluation.recordings]
    common = evaluation.common()
    groups = [("all", evaluation.recordings)]
    if 0 < len(common) < len(evaluation.recordings):
        groups.append((f"the {len(common)} that all have", common))
    if len(evaluation.recordings) > 1:
        listed += [
            (name, {number: evaluation.total(number, among) for number in numbers})
            for name, among in groups
        ]
    for name, counts in listed:
        words = max(each.words for each in counts.values())
        rates = [_percent(counts[each].wer) if each in counts else _NONE for each in numbers]
        if len(numbers) == 1:
            rates.append(_percent(counts[0].cer))
        rows.append([name, f"{words:,}", *rates])
    return aligned(rows, numbers=len(rows[0]) - 1)


def _differences(evaluation: Evaluation) -> list[str]:
    """How the word error rates differ from the first one's, on what both have."""
    lines = []
    for number, _ in _numbered(evaluation)[1:]:
        both = [each for each in evaluation.recordings if {0, number} <= each.counts.keys()]
        rates = [evaluation.total(each, both).wer for each in (0, number)]
        if rates[0] is not None and rates[1] is not None:
            points = 100 * (rates[1] - rates[0])
            on = counted(len(both), "recording")
            lines.append(f"{_tag(number)} - {_tag(0)}: {points:+.2f} points of WER on {on}")
    return lines


def _counts(counts: ErrorCounts) -> str:
    return (
        f"WER {_percent(counts.wer)}, CER {_percent(counts.cer)}; of {counts.words:,} words "
        f"{counts.substitutions:,} substituted, {counts.deletions:,} deleted, "
        f"{counts.insertions:,} inserted"
    )


def _side_by_side(bad: BadLine, *, several: bool) -> list[str]:
    said, heard, marks = ["reference "], ["transcript"], [" " * 10]
    coloured = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    for pair in bad.line.pairs:
        mark = _mark(pair)
        before, after = (printable(word.shown) if word else _MISSING for word in pair)
        width = max(_width(before), _width(after))
        begin, end = (_COLOURS[mark], _PLAIN) if mark and coloured else ("", "")
        said.append(begin + _padded(before, width) + end)
        heard.append(begin + _padded(after, width) + end)
        marks.append(mark.ljust(width))
    tag = f" {_tag(bad.setting)}" if several else ""
    title = f"{printable(bad.path)}{tag} at {timestamp(int(bad.start_s))}: "
    title += f"{counted(bad.line.errors, 'error')} in {counted(len(bad.line.pairs), 'word')}"
    return [title, *("  " + " ".join(row).rstrip() for row in (said, heard, marks))]


def _mark(pair: Pair) -> str:
    said, heard = pair
    if said is None:
        return _INSERTED
    if heard is None:
        return _DELETED
    return "" if said.text == heard.text else _SUBSTITUTED


def _width(text: str) -> int:
    """How many columns a terminal takes for it."""
    return sum(
        0 if unicodedata.combining(each) else 1 + (unicodedata.east_asian_width(each) in "WF")
        for each in text
    )


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _percent(rate: float | None) -> str:
    return _NONE if rate is None else f"{100 * rate:.2f} %"


def _tag(number: int) -> str:
    return f"[{number + 1}]"


def _numbered(evaluation: Evaluation) -> list[tuple[int, Any]]:
    return list(enumerate(evaluation.settings))


def eval_json(evaluation: Evaluation, normalization: str) -> str:
    """Everything as one document; rates are fractions, and null without words."""
    numbers = range(len(evaluation.settings))
    document = {
        "normalization": normalization,
        "settings": [
            {"label": each.label, "facts": dict(each.facts)} for each in evaluation.settings
        ],
        "recordings": [
            {
                "recording": each.path,
                "reference": str(each.reference),
                "results": [
                    {"setting": number, **_facts(counts)}
                    for number, counts in sorted(each.counts.items())
                ],
            }
            for each in evaluation.recordings
        ],
        "all": [{"setting": each, **_facts(evaluation.total(each))} for each in numbers],
        "in_common": [
            {"setting": each, **_facts(evaluation.total(each, evaluation.common()))}
            for each in numbers
        ],
        "worst": [
            {
                "recording": bad.path,
                "setting": bad.setting,
                "at": round(bad.start_s, 3),
                "errors": bad.line.errors,
                "pairs": [
                    [word.shown if word else None for word in pair] for pair in bad.line.pairs
                ],
            }
            for bad in evaluation.worst
        ],
        "missing": [{"path": path, "reason": reason} for path, reason in evaluation.missing],
        "unreferenced": evaluation.unreferenced,
        "unused": evaluation.unused,
    }
    return json.dumps(document, ensure_ascii=False, indent=1)


def _facts(counts: ErrorCounts) -> dict[str, Any]:
    return {
        "wer": counts.wer,
        "cer": counts.cer,
        "words": counts.words,
        "substitutions": counts.substitutions,
        "insertions": counts.insertions,
        "deletions": counts.deletions,
        "characters": counts.characters,
        "character_errors": counts.character_errors,
    }
