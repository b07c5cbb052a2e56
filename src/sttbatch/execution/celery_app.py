"""The Celery application. A message is a doorbell: it carries a job's id and nothing else.

Whether there is anything to do for that job, and for whom, the ledger knows; so a message that
comes twice does no harm, and one that is lost is sent again.

    celery -A sttbatch.execution.celery_app worker
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, ClassVar, Self

from celery import Celery
from celery.concurrency.thread import TaskPool
from celery.exceptions import Reject
from celery.worker import WorkController, state
from kombu.entity import Queue
from kombu.exceptions import OperationalError

from sttbatch.core.errors import BrokerUnreachable, SttbatchError, UsageError
from sttbatch.core.jobs import JobPriority

VISIBILITY_S = 12 * 3600
"""Seconds after which Redis delivers a message again that nobody has acknowledged; the ledger has
told of a dead worker's jobs long before."""

CONNECT_S = 5.0
LEAVE_S = 5.0

_MANNERS = {
    "worker_pool": "sttbatch.execution.celery_app:Threads",
    # Without it Celery takes a message more than it can work on, which nobody can overtake.
    "worker_disable_prefetch": True,
    "worker_prefetch_multiplier": 1,
    "worker_hijack_root_logger": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_transport_options": {
        # Otherwise the queues take turns.
        "queue_order_strategy": "priority",
        "visibility_timeout": VISIBILITY_S,
        "global_keyprefix": "sttbatch:",
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
        # Otherwise one that is reached but does not answer is waited for without end.
        "socket_connect_timeout": CONNECT_S,
        "socket_timeout": CONNECT_S,
    },
    "task_serializer": "json",
    "accept_content": ["json"],
    "task_ignore_result": True,
}

app = Celery("sttbatch", changes=_MANNERS, config_source="sttbatch.composition.celery_settings")


class Doorbells:
    """The messages that a worker has received and not acknowledged, the most urgent ones first.

    Celery's threads `ring` and wait; the rest is for the event loop that is `open` to them. A job
    has one message that waits and one that was taken: another one that waits says nothing new.

    Attributes:
        receives_nothing: no more messages are received, though nobody has closed it.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opened = threading.Event()
        self._waiting: dict[str, Future[bool]] = {}
        self._taken: dict[str, Future[bool]] = {}
        self._done: list[Future[bool]] = []
        self._closed = False
        self.receives_nothing = False
        self.rung = asyncio.Event()

    def ring(self, job_id: str) -> bool:
        """Have a job looked at; False: it has to be delivered to another worker."""
        self._opened.wait()
        if self._loop is None or self._closed:
            return False
        answer: Future[bool] = Future()
        self._loop.call_soon_threadsafe(self._add, job_id, answer)
        return answer.result()

    def open(self) -> None:
        """Receive messages in the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._opened.set()

    def close(self) -> None:
        """Give back the messages that were not taken, and all that come later."""
        self._closed = True
        # For those who wait for a loop that will never run.
        self._opened.set()
        for answer in self._waiting.values():
            answer.set_result(False)
        self._waiting.clear()
        while self._done:
            self.acknowledge()

    @property
    def waiting(self) -> list[str]:
        """The jobs that were rung for, the first ones first."""
        return [*self._waiting]

    def take(self, job_id: str) -> None:
        """A job is looked at; to be answered."""
        self._taken[job_id] = self._waiting.pop(job_id)

    def nothing_to_do(self, job_id: str) -> None:
        """Acknowledge the message of a job that was taken."""
        self._taken.pop(job_id).set_result(True)

    def done(self, job_id: str) -> None:
        """A job that was taken has ended; its message, if any, is acknowledged later.

        Until a lane is free for another job, the next message is better received by others.
        """
        if (answer := self._taken.pop(job_id, None)) is not None:
            self._done.append(answer)
        if self._closed:
            self.acknowledge()

    def acknowledge(self) -> None:
        """Acknowledge the message of one job that is done, so that another one is received."""
        if self._done:
            self._done.pop().set_result(True)

    def return_message(self, job_id: str) -> bool:
        """Give back the message of a job that was taken; returns whether there was one."""
        if (answer := self._taken.pop(job_id, None)) is None:
            return False
        answer.set_result(False)
        return True

    def _add(self, job_id: str, answer: Future[bool]) -> None:
        if self._closed:
            answer.set_result(False)
        elif job_id in self._waiting:
            answer.set_result(True)
        else:
            self._waiting[job_id] = answer
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
    """Send a message for each job, if any.

    Raises BrokerUnreachable if the broker takes none, and UsageError if its address is wrong.
    """
    with _connection() as connection:
        connection.ensure_connection(max_retries=1, timeout=CONNECT_S)
        producer = app.amqp.Producer(connection, auto_declare=False)
        for job_id, priority in jobs:
            work.apply_async(
                (job_id,), queue=queue_name(priority, route), producer=producer, retry=False
            )


@contextlib.contextmanager
def _connection() -> Iterator[Any]:
    """A connection that is not open yet, whose errors are translated as `ring` says."""
    faults: tuple[type[BaseException], ...] = (OperationalError, OSError)
    try:
        with app.connection_for_write() as connection:
            _check_reach(connection.transport.driver_type)
            faults += connection.connection_errors + connection.channel_errors
            yield connection
    except SttbatchError:
        raise
    except faults as error:
        raise BrokerUnreachable(f"the broker cannot be reached: {error}") from error
    except ImportError as error:
        raise UsageError(
            f"broker_url needs {error.name}, which is not installed; install it"
        ) from error
    except Exception as error:
        # Without its text, which may show a part of a password.
        raise UsageError(
            "broker_url is not an address that Celery knows; it must be like "
            "redis://user:password@host:6379/0 or amqp://user:password@host//"
        ) from error


def _check_reach(transport: str) -> None:
    if transport == "memory":
        raise UsageError("broker_url: memory:// reaches no other process; use redis://host/0")


class Threads(TaskPool):  # type: ignore[misc]
    """Celery's threads, of a worker that can quit: `quits` cancel what they wait for."""

    quits: ClassVar[list[Callable[[], None]]] = []

    def on_stop(self) -> None:
        if state.should_terminate:
            for each in self.quits:
                each()
        super().on_stop()

    def terminate_job(self, pid: int, signal: object = None) -> None:
        """Do nothing: without it, Celery could not quit."""


class Messages:
    """What a broker tells this process, until it is closed.

    Args:
        concurrency: number of messages that are held at the same time.
        receives: whether Celery's worker runs in a thread of this process, which keeps its own
            signals; False: this process is Celery's worker.

    Raises UsageError if the address of the broker is wrong.
    """

    doorbells = doorbells

    def __init__(self, route: str, concurrency: int, *, receives: bool) -> None:
        self._receiving: threading.Thread | None = None
        with _connection():
            pass
        if receives:
            for name in ("celery", "kombu"):
                # What cannot be reached, the dispatcher tells.
                logging.getLogger(name).addHandler(logging.NullHandler())
                logging.getLogger(name).propagate = False
            app.conf.task_queues = queues(route)
            # It would end Celery's worker, and not this process.
            app.conf.worker_enable_remote_control = False
            controller = WorkController(
                app=app,
                concurrency=concurrency,
                # Gossip listens, without which it would not notice that a broker is gone.
                without_mingle=True,
                without_heartbeat=True,
            )
            self._receiving = threading.Thread(
                target=self._receive, args=(controller,), daemon=True
            )

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

    def _receive(self, controller: WorkController) -> None:
        controller.start()
        doorbells.receives_nothing = True
