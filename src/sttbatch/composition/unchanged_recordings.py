"""Reports recordings whose outputs are up to date, before what sends the others is loaded."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

from sttbatch.composition.object_storage import objects_of
from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import LedgerStores
from sttbatch.core.events import Emit
from sttbatch.database.database import Database
from sttbatch.kinds.transcription.spec import RunConfig
from sttbatch.processing.discovery import Discovery


async def report_up_to_date(
    settings: Settings, database: Database, discovery: Discovery, config: RunConfig, emit: Emit
) -> None:
    """Report up-to-date recordings, without importing what a pipeline needs."""
    from sttbatch.caching.fingerprints import Fingerprinter
    from sttbatch.kinds.transcription.up_to_date import report_skipped, take_up_to_date
    from sttbatch.outputs.output_registry import OutputRegistry

    stores = LedgerStores(settings, database)
    fingerprinter, registry = (
        Fingerprinter(stores.files),
        OutputRegistry(stores.outputs, objects=objects_of(settings)),
    )
    # It creates no garbage, and collecting would take a tenth of its time.
    with _without_garbage_collection():
        await take_up_to_date(
            discovery,
            fingerprinter,
            stores.results,
            registry,
            stores.speaker_names,
            config,
            emit,
        )
    if not (discovery.candidates or discovery.failures):
        await report_skipped(discovery, registry, emit)


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
