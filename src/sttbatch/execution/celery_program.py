"""What `celery worker` runs beside its threads: begun, drained and ended as Celery ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol

from celery.apps.worker import Worker
from celery.bootsteps import StartStopStep
from celery.concurrency.thread import TaskPool
from celery.signals import worker_shutting_down
from celery.worker import WorkController, state

from sttbatch.core.errors import SttbatchError
from sttbatch.execution.celery_app import Threads, app


class Serving(Protocol):
    """What answers the messages of a process that is Celery's worker."""

    def start(self) -> None: ...

    def drain(self) -> None:
        """Take no more jobs."""

    def join(self) -> None:
        """Wait until what is in flight is stored."""

    def quit(self) -> None:
        """Cancel what is in flight, and wait a moment for that."""


def serve(new: Callable[[int | None], Serving]) -> None:
    """Have `celery worker` begin, drain and end with what `new` makes.

    `new` is given `--concurrency`, or None.
    """

    class Step(StartStopStep):  # type: ignore[misc]
        # So that it ends before them.
        requires: ClassVar = {"celery.worker.components:Pool"}
        serving: Serving | None = None

        def include_if(self, parent: WorkController) -> bool:
            # Which one in a thread of `sttbatch worker` is not.
            return isinstance(parent, Worker)

        def start(self, parent: WorkController) -> None:
            _check(parent)
            is_default = parent.concurrency == app.conf.worker_concurrency
            try:
                self.serving = new(None if is_default else parent.concurrency)
            except SttbatchError as error:
                raise SystemExit(f"sttbatch: {error}") from None
            Threads.quits.append(self.serving.quit)
            self.serving.start()
            # Its loop notices later.
            worker_shutting_down.connect(self.close, weak=False)

        def close(self, *_: object, **__: object) -> None:
            if self.serving is not None:
                self.serving.drain()

        def stop(self, parent: WorkController) -> None:
            del parent
            if self.serving is not None:
                self.serving.join()

        def terminate(self, parent: WorkController) -> None:
            del parent
            if self.serving is not None:
                self.serving.quit()

    app.steps["worker"].add(Step)


def end_worker() -> None:
    """Have `celery worker` end because of an error."""
    state.should_stop = 1


def _check(worker: WorkController) -> None:
    """Leave with a message where a worker could not do its work."""
    if not issubclass(worker.pool_cls, TaskPool):
        raise SystemExit("sttbatch: Celery's threads are needed; omit --pool")
    ours = {queue.name for queue in app.conf.task_queues}
    if not ours.intersection(app.amqp.queues.consume_from):
        names = ", ".join(sorted(ours))
        raise SystemExit(f"sttbatch: its jobs are in other queues ({names}); omit --queues")
