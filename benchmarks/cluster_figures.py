"""The figures that the simulation of a cluster starts from, and the file they are kept in."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Task(msgspec.Struct, frozen=True):
    """One unit of work of a ledger's code, or several reads in a row.

    Attributes:
        statements: one after the other, each a round trip.
        seconds: without a network, those of the server and of the code between the statements.
        cpu_s: of the server.
        writes: it holds the lock of its tables.
        source: how the figures came about.
    """

    statements: float
    seconds: float
    cpu_s: float
    writes: bool
    source: str


class Step(msgspec.Struct, frozen=True):
    """What a recording of one chunk needs besides the named tasks; `times` on average."""

    name: str
    times: float
    task: Task


class RedisFigures(msgspec.Struct, frozen=True):
    """Of one worker and of one recording of one chunk, with Redis as broker and L2."""

    idle_commands_s: float
    commands_a_recording: float
    connections: float
    message_bytes: float
    value_bytes: float
    cpu_s_a_command: float
    get_s: float
    put_s: float


class Figures(msgspec.Struct, frozen=True):
    """All that a simulation needs to know.

    Attributes:
        tasks: by name, as the model asks for them.
        prepare, finish: the steps before a chunk is claimed, and after its answer is stored.
        ending: what ends a transaction while its lock is held: the mark and COMMIT.
        before: statements of a transaction before it has the lock.
        flush_s: of one write to this disk, for each durable commit.
        connections: PostgreSQL's own default for all but superusers.
    """

    machine: str
    load: str
    tasks: dict[str, Task]
    prepare: list[Step]
    finish: list[Step]
    ending: Task
    before: float
    flush_s: float
    connections: int
    redis: RedisFigures | None

    def write(self, path: Path) -> None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))


def read_figures(path: Path) -> Figures:
    """Raises msgspec.ValidationError if it has none."""
    return msgspec.json.decode(path.read_bytes(), type=Figures)
