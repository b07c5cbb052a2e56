"""Chooses the name of this machine under which results are stored, as cache keys contain it."""

from __future__ import annotations

from msgspec.structs import replace

from sttbatch.core.addresses import origins
from sttbatch.core.models import MIXED
from sttbatch.database.chunk_index import count_cuts
from sttbatch.database.database import Database
from sttbatch.kinds.transcription.spec import RunConfig


async def at_known_origin(config: RunConfig, database: Database) -> RunConfig:
    """The same options, with the spelling of their origin under which most results are stored.

    Earlier versions took `localhost` and `127.0.0.1` for two origins; so what was paid for under
    one name is found under the other.
    """
    spellings = origins(config.request.origin) if config.request.origin else ()
    if len(spellings) < 2:
        return config
    from sttbatch.caching.cache_keys import ContentAddresser

    # Recordings were cut with all channels together, or channel by channel from 1.
    requests = {
        ContentAddresser(replace(config.request, origin=origin)).cut_sha256(channel): origin
        for origin in spellings
        for channel in (MIXED, 1)
    }
    cuts = dict.fromkeys(spellings, 0)
    for request_sha256, count in await count_cuts(database, list(requests)):
        cuts[requests[request_sha256]] += count
    best = max(spellings, key=cuts.__getitem__)
    return replace(config, request=replace(config.request, origin=best))
