"""What `celery -A sttbatch.execution.celery_app worker` runs beside Celery's threads."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable

from sttbatch.composition.credentials import load_key
from sttbatch.composition.serving import WorkerProcess
from sttbatch.composition.settings import load_settings
from sttbatch.core.errors import SttbatchError
from sttbatch.execution.celery_app import LEAVE_S
from sttbatch.execution.celery_program import end_worker, serve
from sttbatch.monitoring.logs import EventLog


class ServingThread(threading.Thread):
    """The worker of this process, in an event loop of its own."""

    def __init__(self, concurrency: int | None) -> None:
        super().__init__(name="sttbatch", daemon=True)
        loaded = load_settings({"concurrency": concurrency})
        key = load_key(loaded.settings) if loaded.settings.engine == "cloudru" else None
        self._process = WorkerProcess(
            loaded.settings,
            key,
            alerts=loaded.alerts,
            # Celery takes standard error for its own log.
            listeners=[EventLog(sys.__stderr__ or sys.stderr, as_json=False)],
            receives=False,
        )
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self._process.run())

    def run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._ended())
            except SttbatchError as error:
                self._process.warn(str(error))
                end_worker()

    async def _ended(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def drain(self) -> None:
        self._call(self._process.drain)

    def quit(self) -> None:
        self._call(self._task.cancel)
        self.join(LEAVE_S)

    def _call(self, call: Callable[[], object]) -> None:
        # It may have ended by itself.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call)


serve(ServingThread)
