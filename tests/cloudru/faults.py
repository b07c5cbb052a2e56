"""What can go wrong between a client and the endpoint, and ways to say when it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .log import Received


@dataclass(frozen=True, slots=True)
class Status:
    """Answers with a status instead of a transcript.

    `early`: at the first bytes of the body, the rest of which is not read. An h2 stream's window
    then stays shut, a body larger than it is never sent in whole; with `reset` RST_STREAM(NO_ERROR)
    follows the answer, as RFC 9113 8.1 has it. On HTTP/1.1 the rest is thrown away unseen, or, with
    `reset`, the connection is closed.
    """

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Mapping[str, Any] | None = None
    early: bool = False
    reset: bool = False

    @property
    def before_body(self) -> bool:
        """Whether it happens while the body is still coming in."""
        return self.early


@dataclass(frozen=True, slots=True)
class Truncated:
    """A 200 whose JSON breaks off in the middle, though the response ends as it should."""

    before_body = False


@dataclass(frozen=True, slots=True)
class NotJson:
    """A 200 with a gateway's HTML page."""

    before_body = False


@dataclass(frozen=True, slots=True)
class _Break:
    """Ends a request without an answer, at the first bytes of its body or after the last one."""

    after_body: bool = False

    @property
    def before_body(self) -> bool:
        """Whether it happens while the body is still coming in."""
        return not self.after_body


@dataclass(frozen=True, slots=True)
class Goaway(_Break):
    """GOAWAY that leaves this stream out, then the connection is closed. HTTP/1.1: just closed."""


@dataclass(frozen=True, slots=True)
class ResetStream(_Break):
    """RST_STREAM; `error_code` 2 is INTERNAL_ERROR, 7 REFUSED_STREAM. HTTP/1.1: closed."""

    error_code: int = 2


@dataclass(frozen=True, slots=True)
class Fin(_Break):
    """The TCP connection is closed without a word, not even TLS's own."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Nothing for so many seconds, after the body was read; then the answer."""

    seconds: float = 3600.0
    before_body = False


Fault: TypeAlias = Status | Truncated | NotJson | Goaway | ResetStream | Fin | Hang


@dataclass(frozen=True, slots=True)
class Choice:
    """Decides what goes wrong with a POST.

    With `before_body` it is asked at the first bytes of the body, when the file is not known yet;
    otherwise once the body was read and its words were heard. Faults that happen in the midst of
    the body need the former.
    """

    choose: Callable[[Received], Fault | None]
    before_body: bool = False

    def __call__(self, received: Received) -> Fault | None:
        return self.choose(received)


def before_body(choose: Callable[[Received], Fault | None]) -> Choice:
    """Have `choose` asked at the first bytes of the body."""
    return Choice(choose, before_body=True)


def always(fault: Fault) -> Choice:
    """The same for every POST."""
    return Choice(lambda _: fault, fault.before_body)


def times_per_chunk(count: int, fault: Fault) -> Choice:
    """For the first `count` posts of each chunk: see `Received.attempt`."""
    return Choice(lambda post: fault if post.attempt < count else None, fault.before_body)


def twice_per_chunk(fault: Fault) -> Choice:
    """For the first two posts of each chunk."""
    return times_per_chunk(2, fault)


def in_turn(faults: Sequence[Fault | None]) -> Choice:
    """One after another in the order in which posts come to be asked about, then none.

    When one of them happens before the body was read, all are asked for then.
    """
    left = iter(faults)
    early = any(fault is not None and fault.before_body for fault in faults)
    return Choice(lambda _: next(left, None), early)
