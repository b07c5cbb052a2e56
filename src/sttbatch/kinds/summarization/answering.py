"""Answers that can be trusted: what a model says wrong is asked for once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from sttbatch.core.errors import ChunkError, ChunkTooLarge, is_hindrance
from sttbatch.core.language_models import CUT_OFF, REFUSALS, ChatAnswer, Question
from sttbatch.kinds.language.json_values import json_value
from sttbatch.kinds.language.task import Ask
from sttbatch.kinds.language.token_estimates import estimated_tokens
from sttbatch.kinds.summarization.checks import Candidate, Checker, Draft, Fault, Reason, draft_of
from sttbatch.kinds.summarization.names import compared_words
from sttbatch.kinds.summarization.questions import (
    Task,
    TokenBudget,
    asked_for_json,
    question_of,
    with_more_tokens,
)
from sttbatch.kinds.summarization.summary import ACTIONS, Statement, SummaryOptions
from sttbatch.outputs.unicode_text import plain

_QUOTED = 80
_TITLE = "title"


class NoAnswer(Exception):
    """A question has no answer that can be read.

    Attributes:
        is_too_long: half of it may have one.
        is_hindered: for a reason that is not its own.
    """

    def __init__(
        self, reason: str, *, is_too_long: bool = False, is_hindered: bool = False
    ) -> None:
        super().__init__(reason)
        self.is_too_long = is_too_long
        self.is_hindered = is_hindered


class Findings(Struct, frozen=True):
    """What can be trusted of an answer.

    Attributes:
        title: empty if it cannot be trusted, for `title_fault`.
        cited: the ids that the statements cite, with the sections of these.
        faults: of statements that are left out.
        problem: why they could not be asked for again.
    """

    title: str
    statements: tuple[Statement, ...]
    cited: frozenset[tuple[str, int]]
    faults: tuple[Fault, ...] = ()
    title_fault: Reason | None = None
    problem: NoAnswer | None = None


class Answering(Struct, frozen=True):
    """Asks one question after another about one transcript."""

    ask: Ask
    options: SummaryOptions
    budget: TokenBudget
    checker: Checker

    async def findings(self, task: Task, *, has_title: bool) -> Findings:
        """What can be trusted of the answer; raises NoAnswer, and as `ask` but for ChunkError.

        A title is asked for again only if `has_title`.
        """
        draft = await self._draft(question_of(task, self.options, self.budget.answer))
        found = self._checked(draft, task)
        is_title_wrong = has_title and found.title_fault is not None
        if not found.faults and not is_title_wrong:
            return found
        named = self._named(found.faults)
        if is_title_wrong:
            fault = f"it cannot be trusted: {found.title_fault}"
            named.append({"section": _TITLE, "text": draft.title, "fault": fault})
        if not named:
            return found
        question = question_of(task, self.options, self.budget.answer, named)
        try:
            answer = await self._asked(question)
        except NoAnswer as error:
            return replace(found, problem=error)
        again = draft_of(json_value(answer.text), self.options.style.sections)
        return found if again is None else _corrected(found, self._checked(again, task))

    async def _draft(self, question: Question) -> Draft:
        """The answer, asked for once more if it cannot be read."""
        answer = await self._asked(question)
        sections = self.options.style.sections
        draft = draft_of(json_value(answer.text), sections)
        if draft is None and answer.finish not in REFUSALS:
            if answer.needs_tokens:
                question = with_more_tokens(question, self.budget.most_of_answer)
            else:
                question = asked_for_json(question)
            answer = await self._asked(question)
            draft = draft_of(json_value(answer.text), sections)
        if draft is None:
            raise _no_answer(answer)
        return draft

    async def _asked(self, question: Question) -> ChatAnswer:
        try:
            return await self.ask(question)
        except ChunkError as error:
            raise NoAnswer(
                str(error),
                is_too_long=isinstance(error, ChunkTooLarge),
                is_hindered=is_hindrance(error),
            ) from error

    def _checked(self, draft: Draft, task: Task) -> Findings:
        drafted = [_with_facts(each, task.merged) for each in draft.candidates]
        results = [(each, self.checker.checked(each, task.cited)) for each in drafted]
        statements = tuple(result for _, result in results if isinstance(result, Statement))
        cited = frozenset(
            (candidate.section, each)
            for candidate, result in results
            if isinstance(result, Statement)
            for each in candidate.ids
        )
        faults = tuple(result for _, result in results if isinstance(result, Fault))
        title_fault = self.checker.title_fault(draft.title, task.cited)
        return Findings("" if title_fault else draft.title, statements, cited, faults, title_fault)

    def _named(self, faults: Sequence[Fault]) -> list[dict[str, Any]]:
        """Faults as the model gets them, as many as the context has room for."""
        named: list[dict[str, Any]] = []
        room = self.budget.answer
        for fault in faults:
            entry = {**_entry(fault.candidate), "fault": fault.message}
            room -= estimated_tokens(str(entry))
            if room < 0:
                break
            named.append(entry)
        return named


def _with_facts(candidate: Candidate, merged: Mapping[int, Statement]) -> Candidate:
    """A merged action with who and when, if those that it is made of agree on what it lacks."""
    made_of = [merged[each] for each in candidate.ids if each in merged]
    if candidate.section != ACTIONS or not made_of:
        return candidate
    who = {each.who for each in made_of} - {None}
    when = {each.when for each in made_of} - {None}
    return replace(
        candidate,
        who=candidate.who or (who.pop() if len(who) == 1 else None),
        when=candidate.when or (when.pop() if len(when) == 1 else None),
    )


def _entry(candidate: Candidate) -> Mapping[str, Any]:
    facts = {"who": candidate.who, "when": candidate.when} if candidate.section == ACTIONS else {}
    return {
        "section": candidate.section,
        "text": candidate.text,
        **facts,
        "ids": list(candidate.ids),
    }


def _no_answer(answer: ChatAnswer) -> NoAnswer:
    if answer.finish in REFUSALS:
        return NoAnswer(f"the model refuses to answer ({answer.finish})")
    if answer.finish == CUT_OFF:
        return NoAnswer("the model's answer was cut off", is_too_long=True)
    said = plain(answer.text)
    if not said:
        return NoAnswer("the model answered nothing")
    return NoAnswer(f"the model's answer cannot be read: {said[:_QUOTED]}")


def _corrected(found: Findings, again: Findings) -> Findings:
    """Findings with what was corrected, which stands for the faults that it is most like."""
    left = list(found.faults)
    statements = list(found.statements)
    known = {(statement.section, statement.text) for statement in statements}
    for statement in again.statements:
        if (statement.section, statement.text) in known:
            continue
        statements.append(statement)
        words = compared_words(statement.text)
        candidates = [each for each in left if each.candidate.section == statement.section] or left
        if candidates:
            left.remove(max(candidates, key=lambda each: _common(each, words)))
    title, title_fault = found.title, found.title_fault
    if again.title:
        title, title_fault = title or again.title, None
    cited = found.cited | again.cited
    return Findings(title, tuple(statements), cited, tuple(left), title_fault)


def _common(fault: Fault, words: frozenset[str]) -> int:
    return len(compared_words(fault.candidate.text) & words)
