"""The Celery application. A message is a doorbell: it carries a job's id and nothing else.

Whether there is anything to do for that job, and for whom, the ledger knows; so a message that
comes twice does no harm, and one that is lost is sent again.

    celery -A sttbatch.execution.celery_app worker
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol, Self

from celery import Celery
from celery.apps.worker import Worker
from celery.exceptions import Reject
from celery.signals import celeryd_after_setup, worker_shutdown, worker_shutting_down
from celery.worker import WorkController, state
from kombu.entity import Queue
from kombu.exceptions import OperationalError

from sttbatch.core.errors import BrokerUnreachable, SttbatchError
from sttbatch.core.jobs import JobPriority

VISIBILITY_S = 12 * 3600
"""Seconds after which Redis delivers a message again that nobody has acknowledged; the ledger has
told of a dead worker's jobs long before."""

CONNECT_S = 5.0
LEAVE_S = 5.0

_MANNERS = {
    "worker_pool": "threads",
    # Without it Celery takes a message more than it can work on, which nobody can overtake.
    "worker_disable_prefetch": True,
    "worker_prefetch_multiplier": 1,
    "worker_hijack_root_logger": False,
    "worker_enable_remote_control": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_transport_options": {
        # Otherwise the queues take turns.
        "queue_order_strategy": "priority",
        "visibility_timeout": VISIBILITY_S,
        "global_keyprefix": "sttbatch:",
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
    },
    "task_serializer": "json",
    "accept_content": ["json"],
    "task_ignore_result": True,
}

app = Celery("sttbatch", changes=_MANNERS, config_source="sttbatch.composition.celery_settings")


class Doorbells:
    """The messages that a worker has received and not acknowledged, the most urgent ones first.

    Celery's threads `ring` and wait; the rest is for the event loop that is `open` to them.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opened = threading.Event()
        self._waiting: dict[str, list[Future[bool]]] = {}
        self._taken: dict[str, list[Future[bool]]] = {}
        self._closed = False
        self.rung = asyncio.Event()

    def ring(self, job_id: str) -> bool:
        """Have a job looked at; False: it has to be delivered to another worker."""
        self._opened.wait()
        answer: Future[bool] = Future()
        if self._loop is None:
            return False
        self._loop.call_soon_threadsafe(self._add, job_id, answer)
        return answer.result()

    def open(self) -> None:
        """Receive messages in the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._opened.set()

    def close(self) -> None:
        """Give back the messages that were not taken, and all that come later."""
        self._closed = True
        for job_id in [*self._waiting]:
            self.take(job_id)
            self.answer(job_id, done=False)

    @property
    def waiting(self) -> list[str]:
        """The jobs that were rung for, the first ones first."""
        return [*self._waiting]

    def take(self, job_id: str) -> None:
        """A job is looked at; to be answered."""
        self._taken.setdefault(job_id, []).extend(self._waiting.pop(job_id, ()))

    def answer(self, job_id: str, *, done: bool) -> None:
        """Acknowledge the messages of a job that was taken, or give them back."""
        for answer in self._taken.pop(job_id, ()):
            answer.set_result(done)

    def _add(self, job_id: str, answer: Future[bool]) -> None:
        if self._closed:
            answer.set_result(False)
            return
        self._waiting.setdefault(job_id, []).append(answer)
        self.rung.set()


doorbells = Doorbells()
"""Those of this process, whose Celery threads find them here."""


@app.task(name="sttbatch.work", acks_late=True, reject_on_worker_lost=True, ignore_result=True)  # type: ignore[untyped-decorator]
def work(job_id: str) -> None:
    """Look after a job."""
    if not doorbells.ring(job_id):
        raise Reject("this worker is draining", requeue=True)


def queue_name(priority: JobPriority, route: str) -> str:
    """The queue of jobs of a priority; workers that can do others have queues of their own."""
    digest = hashlib.sha256(route.encode()).hexdigest()[:8]
    return f"{priority.name.lower()}-{digest}"


def queues(route: str) -> list[Queue]:
    """The queues of a route, the most urgent one first."""
    # It ships types, but not for this.
    new_queue: Callable[[str], Queue] = Queue
    return [
        new_queue(queue_name(priority, route)) for priority in sorted(JobPriority, reverse=True)
    ]


def ring(route: str, jobs: Sequence[tuple[str, JobPriority]]) -> None:
    """Send a message for each job; raises BrokerUnreachable if the broker cannot be reached."""
    try:
        with app.producer_pool.acquire(block=True) as producer:
            producer.connection.ensure_connection(max_retries=1, timeout=CONNECT_S)
            for job_id, priority in jobs:
                work.apply_async(
                    (job_id,),
                    queue=queue_name(priority, route),
                    producer=producer,
                    retry=False,
                )
    except OperationalError as error:
        raise BrokerUnreachable(f"the broker cannot be reached: {error}") from error


class Serving(Protocol):
    """What answers the messages of a process that is Celery's worker."""

    def start(self) -> None: ...

    def drain(self) -> None:
        """Take no more jobs."""

    def join(self) -> None:
        """Wait until what is in flight is stored."""


def serve(new: Callable[[], Serving]) -> None:
    """Have `celery worker` begin, drain and end with what `new` makes.

    An error of `new` ends it, which Celery has other signals survive.
    """
    serving: list[Serving] = []

    def begin(instance: Worker, **_: object) -> None:
        if not instance.pool_cls.__module__.endswith(".thread"):
            raise SystemExit("sttbatch: Celery's threads are needed; give --pool threads, or none")
        try:
            serving.append(new())
        except SttbatchError as error:
            raise SystemExit(f"sttbatch: {error}") from None
        serving[0].start()

    def drain(**_: object) -> None:
        for each in serving:
            each.drain()

    def end(**_: object) -> None:
        for each in serving:
            each.join()

    celeryd_after_setup.connect(begin, weak=False)
    worker_shutting_down.connect(drain, weak=False)
    worker_shutdown.connect(end, weak=False)


def leave() -> None:
    """Have `celery worker` end because of an error."""
    state.should_stop = 1


class Messages:
    """What a broker tells this process, until it is closed.

    Args:
        concurrency: number of messages that are held at the same time.
        receives: whether Celery's worker runs in a thread of this process, which keeps its own
            signals; False: this process is Celery's worker.
    """

    doorbells = doorbells

    def __init__(self, route: str, concurrency: int, *, receives: bool) -> None:
        self._receiving: threading.Thread | None = None
        if receives:
            for name in ("celery", "kombu"):
                # What cannot be reached, the dispatcher tells.
                logging.getLogger(name).addHandler(logging.NullHandler())
                logging.getLogger(name).propagate = False
            app.conf.task_queues = queues(route)
            controller = WorkController(
                app=app,
                concurrency=concurrency,
                # Gossip listens, without which it would not notice that a broker is gone.
                without_mingle=True,
                without_heartbeat=True,
            )
            self._receiving = threading.Thread(target=controller.start, daemon=True)

    async def __aenter__(self) -> Self:
        doorbells.open()
        if self._receiving is not None:
            self._receiving.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()
        if self._receiving is not None:
            # Until what it received is acknowledged or given back.
            await asyncio.to_thread(self._receiving.join, LEAVE_S)

    def stop(self) -> None:
        """Take no more messages, and give back those that were not taken."""
        if self._receiving is not None:
            state.should_stop = 0
        doorbells.close()
