"""LanguageTask: what one kind of job makes of a transcript, without knowing how it is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from sttbatch.core.language_models import ChatAnswer, Question
from sttbatch.core.options import OutputOptions
from sttbatch.kinds.language.spoken_text import SpokenText

R = TypeVar("R")

Ask: TypeAlias = Callable[[Question], Awaitable[ChatAnswer]]
"""Answers a question; raises as `Asker.ask`."""


class ExpectedQuestion(NamedTuple):
    """A question that is expected to be asked, and about how many tokens its answer has."""

    question: Question
    generated: int


class Shortcoming(NamedTuple):
    """What a result lacks; `is_hindered`: for a reason that is not the recording's own."""

    reason: str
    is_hindered: bool = False


class LanguageTask(Protocol[R]):
    """A task over transcripts with certain options.

    Attributes:
        kind: the kind of its jobs, with which the keys of its answers begin.
        how: what it does with a recording, as in `JobCompleted`.
        result: the type of its results, which can be stored as JSON.
    """

    @property
    def kind(self) -> str: ...
    @property
    def how(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def result(self) -> type[R]: ...

    def options(self) -> Mapping[str, Any]:
        """What its kind makes it of again, as values that JSON knows."""

    def facts(self) -> Mapping[str, Any]:
        """Everything but the transcript that decides the result, as values that JSON knows.

        Raises UsageError if the task cannot be done by its model.
        """

    async def run(self, text: SpokenText, ask: Ask) -> R:
        """Make the result; raises as `ask`."""

    def left_out(self, result: R) -> int:
        """How much of what the model said is not in a result, as it could not be trusted."""

    def shortcoming(self, text: SpokenText, result: R) -> Shortcoming | None:
        """What a result lacks, so that its recording counts as failed; None: nothing."""

    def contents(
        self,
        source: str,
        text: SpokenText,
        result: R,
        outputs: OutputOptions,
        link: str | None = None,
    ) -> Mapping[str, Iterable[bytes]]:
        """The outputs by the formats of `outputs`, in pieces.

        `source` is the recording's display path, and `link` as in `Document`.
        """

    def expected(self, text: SpokenText) -> Sequence[ExpectedQuestion]:
        """What `run` is going to ask, if no answer has to be asked for again."""
