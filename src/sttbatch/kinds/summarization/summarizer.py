"""Summarizer: finds what matters in each window of a transcript, and merges it in levels."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from itertools import chain
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from sttbatch.core.errors import SttbatchError
from sttbatch.core.scripts import letters
from sttbatch.kinds.language.task import Ask
from sttbatch.kinds.summarization.answering import Answering, Findings, NoAnswer
from sttbatch.kinds.summarization.checks import Checker, Reason
from sttbatch.kinds.summarization.merging import groups_of, in_order, tokens_of, without_repeats
from sttbatch.kinds.summarization.questions import budget_of, extraction, merging
from sttbatch.kinds.summarization.summary import (
    POINTS,
    LostWindow,
    Statement,
    Summary,
    SummaryOptions,
)
from sttbatch.kinds.summarization.windows import Utterance, halves, windows_of
from sttbatch.outputs.unicode_text import encodable

T = TypeVar("T")

AT_ONCE = 16
"""Windows that are asked about at once, if there are lanes for them."""

MOST_HALVINGS = 3
"""How often a window is halved whose answer is always cut off."""

_FEWER = 0.8
"""Merging goes on while statements have so many tokens of those before at most."""


class Summarizer(Struct, frozen=True):
    """Summarizes transcripts; `ask` answers one question and may raise."""

    ask: Ask
    options: SummaryOptions

    async def summarize(self, utterances: Sequence[Utterance]) -> Summary:
        """The summary of one transcript, which names what it lacks.

        Raises UsageError if the model's context is too short, and as `ask` but for ChunkError.
        """
        spoken = spoken_of(utterances)
        checker = Checker(spoken, self.options)
        answering = Answering(self.ask, self.options, budget_of(self.options), checker)
        return await _Run(answering, spoken).summary()


def spoken_of(utterances: Iterable[Utterance]) -> list[Utterance]:
    """The utterances that say something, as they can be sent."""
    return [
        each if (text := encodable(each.text)) == each.text else replace(each, text=text)
        for each in utterances
        if letters(each.text)
    ]


class _Part(Struct, frozen=True):
    """What was found in one window, or in one half of it."""

    statements: tuple[Statement, ...] = ()
    title: str = ""
    reasons: tuple[Reason, ...] = ()
    title_fault: Reason | None = None
    lost: tuple[LostWindow, ...] = ()


class _Merged(Struct, frozen=True):
    """What became of some statements."""

    statements: Sequence[Statement]
    title: str = ""
    title_fault: Reason | None = None
    unmerged: tuple[LostWindow, ...] = ()


class _Run:
    """The questions about one transcript."""

    def __init__(self, answering: Answering, utterances: Sequence[Utterance]) -> None:
        self._answering = answering
        self._options = answering.options
        self._utterances = utterances

    async def summary(self) -> Summary:
        windows = list(windows_of(self._utterances, self._answering.budget.window))
        has_title = len(windows) == 1
        found = await _all(self._parts_of(window, has_title=has_title) for window in windows)
        parts = list(chain.from_iterable(found))
        left_out = Counter(reason for part in parts for reason in part.reasons)
        if len(parts) == 1:
            merged = _Merged(parts[0].statements, parts[0].title, parts[0].title_fault)
        else:
            merged = await self._merged_in_levels(
                [statement for part in parts for statement in part.statements]
            )
        if merged.title_fault is not None:
            left_out[merged.title_fault] += 1
        return Summary(
            merged.title or next((part.title for part in parts if part.title), ""),
            self._options.style,
            self._options.answer_language,
            tuple(in_order(_with_all_parts(merged.statements, parts))),
            {str(reason): count for reason, count in sorted(left_out.items())},
            tuple(lost for part in parts for lost in part.lost),
            merged.unmerged,
        )

    async def _parts_of(
        self, window: Sequence[Utterance], halvings: int = 0, *, has_title: bool
    ) -> list[_Part]:
        """What was found in a window, or in its halves if its answer is too long."""
        task = extraction(window, self._options.style)
        try:
            findings = await self._answering.findings(task, has_title=has_title)
        except NoAnswer as error:
            parts = halves(window) if error.is_too_long and halvings < MOST_HALVINGS else []
            if len(parts) > 1:
                asked = [
                    await self._parts_of(half, halvings + 1, has_title=False) for half in parts
                ]
                return list(chain.from_iterable(asked))
            return [_Part(lost=(self._lost(task.cited, error),))]
        reasons = tuple(fault.reason for fault in findings.faults)
        problem = findings.problem
        if problem is None and reasons and not findings.statements:
            known = ", ".join(sorted(set(map(str, reasons))))
            problem = NoAnswer(f"nothing that the model said can be trusted ({known})")
        lost = () if problem is None else (self._lost(task.cited, problem),)
        return [_Part(findings.statements, findings.title, reasons, findings.title_fault, lost)]

    async def _merged_in_levels(self, statements: Iterable[Statement]) -> _Merged:
        """The statements of a summary, of those of all windows."""
        statements = without_repeats(statements)
        unmerged: tuple[LostWindow, ...] = ()
        kept: list[Statement] = []
        while len(groups := groups_of(statements, self._answering.budget.window)) > 1:
            level = await _all(self._merged(group, is_last=False) for group in groups)
            unmerged += tuple(each for merged in level for each in merged.unmerged)
            before = sum(map(tokens_of, statements))
            statements = without_repeats(chain.from_iterable(merged.statements for merged in level))
            if sum(map(tokens_of, statements)) > _FEWER * before:
                # Points alone may be left out, so that they fit in the end.
                points = [each for each in statements if each.section == POINTS]
                if len(points) in {0, len(statements)}:
                    return _Merged([*statements, *kept], unmerged=unmerged)
                kept = [each for each in statements if each.section != POINTS]
                statements = points
        if not statements:
            return _Merged(())
        last = await self._merged(statements, is_last=True)
        merged = without_repeats([*last.statements, *kept])
        return _Merged(merged, last.title, last.title_fault, unmerged + last.unmerged)

    async def _merged(
        self, statements: Sequence[Statement], halvings: int = 0, *, is_last: bool
    ) -> _Merged:
        """The statements merged, with what must not be lost; as they are if there is no answer."""
        task = merging(statements, self._options.style, is_last=is_last)
        try:
            findings = await self._answering.findings(task, has_title=is_last)
        except NoAnswer as error:
            if error.is_too_long and halvings < MOST_HALVINGS and len(statements) > 1:
                middle = len(statements) // 2
                parts = [
                    await self._merged(half, halvings + 1, is_last=False)
                    for half in (statements[:middle], statements[middle:])
                ]
                return _Merged(
                    [statement for part in parts for statement in part.statements],
                    unmerged=tuple(each for part in parts for each in part.unmerged),
                )
            return _Merged(statements, unmerged=(self._lost_of(statements, error),))
        if not findings.statements and not findings.faults:
            nothing = NoAnswer("the model left out everything")
            return _Merged(statements, unmerged=(self._lost_of(statements, nothing),))
        problem = findings.problem
        return _Merged(
            [*findings.statements, *self._carried(statements, findings)],
            findings.title,
            findings.title_fault if is_last else None,
            () if problem is None else (self._lost_of(statements, problem),),
        )

    def _carried(self, statements: Sequence[Statement], findings: Findings) -> list[Statement]:
        """Statements that a merge left out and must not, or whose merge cannot be trusted.

        A model may leave out some of the points, but nothing else.
        """
        cited = {number for _, number in findings.cited}
        beside_points = {number for section, number in findings.cited if section != POINTS}
        wrong = {number for fault in findings.faults for number in fault.candidate.ids}
        has_points = any(statement.section == POINTS for statement in findings.statements)
        return [
            statement
            for number, statement in enumerate(statements, 1)
            if (statement.section != POINTS and number not in beside_points)
            or (
                statement.section == POINTS
                and number not in cited
                and (number in wrong or not has_points)
            )
        ]

    def _lost_of(self, statements: Iterable[Statement], error: NoAnswer) -> LostWindow:
        return self._lost((each for statement in statements for each in statement.segments), error)

    def _lost(self, segments: Iterable[int], error: NoAnswer) -> LostWindow:
        parts = [self._answering.checker.utterance(each) for each in segments]
        start_s, end_s = min(each.start_s for each in parts), max(each.end_s for each in parts)
        return LostWindow(start_s, end_s, str(error), error.is_hindered)


def _with_all_parts(statements: Iterable[Statement], parts: Iterable[_Part]) -> list[Statement]:
    """The statements, with the first one of each window that has none of its own among them."""
    statements = list(statements)
    covered = {segment for statement in statements for segment in statement.segments}
    for part in parts:
        if part.statements and all(
            covered.isdisjoint(statement.segments) for statement in part.statements
        ):
            statements.append(in_order(part.statements)[0])
            covered.update(statements[-1].segments)
    return statements


async def _all(jobs: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all, of which AT_ONCE are begun; after an error no other one is begun.

    Those that have begun are awaited, since their answers are paid for.
    """
    left = enumerate(jobs)
    results: dict[int, T] = {}
    errors: list[SttbatchError] = []

    async def work() -> None:
        for number, job in left:
            try:
                results[number] = await job
            except SttbatchError as error:
                errors.append(error)
            if errors:
                return

    async with asyncio.TaskGroup() as workers:
        for _ in range(AT_ONCE):
            workers.create_task(work())
    if errors:
        raise errors[0]
    return [results[number] for number in sorted(results)]
