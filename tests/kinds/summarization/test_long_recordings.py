"""Ten hours: every window is asked about and in the summary, in flat memory."""

from __future__ import annotations

import asyncio
import json
import tracemalloc

import pytest
from msgspec.structs import replace

from sttbatch.core.language_models import ChatAnswer, Question
from sttbatch.kinds.summarization.summarizer import AT_ONCE, Summarizer
from sttbatch.kinds.summarization.summary import Summary, SummaryOptions
from sttbatch.kinds.summarization.windows import Utterance
from tests.cloudru.summaries import summary_of

from .models import OPTIONS, talk

SEGMENTS = 7200
"""Ten hours of segments of five seconds."""


class Server:
    """Forgets what it is asked, but for which segments it has seen, and how much at once."""

    def __init__(self) -> None:
        self.windows: list[tuple[int, int]] = []
        self.most_bytes = self._bytes = 0

    async def answer(self, question: Question) -> ChatAnswer:
        self._bytes += len(question.data)
        self.most_bytes = max(self.most_bytes, self._bytes)
        values = json.loads(question.data)
        if "segments" in values:
            self.windows.append((values["segments"][0]["id"], values["segments"][-1]["id"]))
        answer = ChatAnswer(json.dumps(summary_of(values), ensure_ascii=False), "stop")
        await asyncio.sleep(0)
        self._bytes -= len(question.data)
        return answer


def summarized(
    utterances: list[Utterance], options: SummaryOptions = OPTIONS
) -> tuple[Summary, Server]:
    server = Server()
    return asyncio.run(Summarizer(server.answer, options).summarize(utterances)), server


def test_ten_hours() -> None:
    utterances = talk(SEGMENTS)
    summary, server = summarized(utterances)
    assert summary.is_complete
    assert len(server.windows) > 20
    reached = 0
    for first, last in sorted(server.windows):
        assert first <= reached + 1
        reached = last
    assert reached == SEGMENTS
    cited = {each for statement in summary.statements for each in statement.segments}
    for first, last in server.windows:
        assert not cited.isdisjoint(range(first, last + 1))


def test_memory_does_not_grow_with_windows() -> None:
    (_, one), (summary, many) = (summarized(talk(count)) for count in (SEGMENTS // 20, SEGMENTS))
    assert summary.is_complete
    # Questions exist for so many windows at once, however many there are.
    assert many.most_bytes <= 1.2 * AT_ONCE * one.most_bytes


def most_memory(utterances: list[Utterance]) -> int:
    """In bytes, beside the transcript."""
    tracemalloc.start()
    try:
        summarized(utterances, replace(OPTIONS, context_tokens=6000))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_twice_the_hours_take_little_more_memory() -> None:
    # Of more windows than are asked about at once.
    hours, twice = talk(SEGMENTS // 4), talk(SEGMENTS // 2)
    most_memory(hours)  # what is loaded and cached once
    more = most_memory(twice) - most_memory(hours)
    # Of each segment its place is known, and no text.
    assert more < 500 * (len(twice) - len(hours))
