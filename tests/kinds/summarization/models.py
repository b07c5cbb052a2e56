"""A model in this process, which says what a test wants, and transcripts to ask it about."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from msgspec.structs import replace

from sttbatch.core.language_models import ChatAnswer, Question
from sttbatch.kinds.summarization.summarizer import Summarizer
from sttbatch.kinds.summarization.summary import Summary, SummaryOptions
from sttbatch.kinds.summarization.windows import Utterance
from tests.cloudru.summaries import summary_of

OPTIONS = SummaryOptions("a/model", 32_000, transcript_language="ru")
WORDS = re.findall(
    r"\w+",
    "поставка договор склад проект бюджет отчёт клиент заказ система команда встреча задача"
    " оплата сервер график поддержка качество обучение продажа реклама",
)

SMALL = replace(OPTIONS, context_tokens=4000)
"""Windows of some 60 segments of `talk`."""

Values: TypeAlias = dict[str, Any]
Wrong: TypeAlias = Callable[[int, Values, Values], ChatAnswer | str | None]
"""Gets the number of a question, its data and the honest answer, which it may change; what it
returns is said in place of that."""


class Model:
    """Answers honestly, and then does what is `wrong`."""

    def __init__(self, wrong: Wrong = lambda _number, _values, _answer: None) -> None:
        self.questions: list[Question] = []
        self._wrong = wrong

    async def answer(self, question: Question) -> ChatAnswer:
        self.questions.append(question)
        values = json.loads(question.data)
        answer = summary_of(values)
        said = self._wrong(len(self.questions) - 1, values, answer)
        # Others have their turn meanwhile, as with a server.
        await asyncio.sleep(0)
        if isinstance(said, ChatAnswer):
            return said
        return ChatAnswer(said or json.dumps(answer, ensure_ascii=False), "stop")

    def values(self, number: int) -> Values:
        values: Values = json.loads(self.questions[number].data)
        return values

    def asked_windows(self) -> list[list[int]]:
        """Ids of segments, of all questions about windows."""
        every = (json.loads(question.data) for question in self.questions)
        return [
            [each["id"] for each in values["segments"]] for values in every if "segments" in values
        ]


def summarize(
    model: Model, utterances: Sequence[Utterance], options: SummaryOptions = OPTIONS
) -> Summary:
    return asyncio.run(Summarizer(model.answer, options).summarize(utterances))


def said(*texts: str, speaker: str | None = None) -> list[Utterance]:
    """Utterances of five seconds each."""
    return [
        Utterance(number, 5.0 * number - 5.0, 5.0 * number, text, speaker)
        for number, text in enumerate(texts, 1)
    ]


def talk(count: int, seed: int = 1, words: int = 8) -> list[Utterance]:
    """Segments in Russian that each have a figure of their own, from 1001 on."""
    choose = random.Random(seed)
    return said(
        *(
            f"{' '.join(choose.choices(WORDS, k=words)).capitalize()} {1000 + number}."
            for number in range(1, count + 1)
        )
    )


TEXTS = said(
    "Склад арендуем за 5200 рублей.",
    "Решили подписать договор.",
    "Нужно отправить отчёт.",
    "Кто поедет в Москву?",
    speaker="1",
)


def asked(utterances: Sequence[Utterance]) -> list[list[int]]:
    """The ids of the windows of SMALL."""
    model = Model()
    summarize(model, utterances, SMALL)
    return model.asked_windows()


def texts(summary: Summary, section: str = "points") -> list[str]:
    return [statement.text for statement in summary.of(section)]
