"""What `celery -A sttbatch.execution.celery_app worker` runs beside Celery's threads."""

from __future__ import annotations

import asyncio
import sys
import threading

from sttbatch.composition.credentials import load_key
from sttbatch.composition.serving import WorkerProcess
from sttbatch.composition.settings import load_settings
from sttbatch.core.errors import SttbatchError
from sttbatch.execution.celery_app import leave, serve
from sttbatch.monitoring.logs import EventLog


class ServingThread(threading.Thread):
    """The worker of this process, in an event loop of its own."""

    def __init__(self) -> None:
        super().__init__(name="sttbatch", daemon=True)
        loaded = load_settings()
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

    def run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._process.run())
            except SttbatchError as error:
                self._process.warn(str(error))
                leave()

    def drain(self) -> None:
        self._loop.call_soon_threadsafe(self._process.drain)


serve(ServingThread)
