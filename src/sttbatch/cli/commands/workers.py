"""sttbatch workers: who works on the queue."""

from __future__ import annotations

import typer

from sttbatch.cli.console.stdio import print_lines
from sttbatch.cli.console.text import printable
from sttbatch.cli.options import AsJson
from sttbatch.core.errors import BrokerUnreachable
from sttbatch.core.jobs import Worker


def workers(as_json: AsJson = False) -> None:
    """List workers and running transcriptions: where, how busy, last heartbeat.

    States: ACTIVE, IDLE, DRAINING (it takes nothing new), OFFLINE (it was
    killed, or its machine is gone). Runs of `transcribe` have none.
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
    if load_settings().settings.broker_url is not None:
        _check_broker()


def _check_broker() -> None:
    """Say on standard error if the broker cannot be used."""
    from sttbatch.composition.extras import needs_celery

    try:
        with needs_celery():
            from sttbatch.execution.celery_app import ring
        ring("", ())
    except BrokerUnreachable as error:
        text = f"warning: {error}; until it is back, workers poll the ledger"
        typer.echo(printable(text), err=True)
