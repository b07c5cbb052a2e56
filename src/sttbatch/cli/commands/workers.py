"""sttbatch workers: who works on the queue."""

from __future__ import annotations

from sttbatch.cli.console.stdio import print_lines
from sttbatch.cli.options import AsJson
from sttbatch.core.jobs import Worker


def workers(as_json: AsJson = False) -> None:
    """List workers and running transcriptions: where, how busy, last heartbeat.

    States: ACTIVE, IDLE, DRAINING (it takes nothing new), OFFLINE (it was
    killed, or its machine is gone). A run of `transcribe` has none.
    """
    import asyncio

    from sttbatch.cli.console.worker_tables import workers_json, workers_table
    from sttbatch.composition.settings import load_settings
    from sttbatch.composition.stores import opened_stores

    async def read() -> tuple[list[Worker], set[str]]:
        with opened_stores(load_settings().settings) as stores:
            known = await stores.workers.store.list()
            return known, set(await stores.workers.living([worker.id for worker in known]))

    known, living = asyncio.run(read())
    print_lines(workers_json(known, living) if as_json else workers_table(known, living))
