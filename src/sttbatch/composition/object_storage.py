"""Opens object storage, on first use."""

from __future__ import annotations

import functools
import threading

from sttbatch.composition.settings import Settings
from sttbatch.core.errors import ExtraMissing
from sttbatch.core.locations import ObjectUrl
from sttbatch.core.ports import Objects, ObjectStore

_opening = threading.Lock()


def objects_of(settings: Settings) -> Objects:
    """Access to the objects of the endpoint in the settings; nothing is opened yet."""
    return functools.partial(_opened, settings.s3_endpoint)


def describe_objects(settings: Settings, prefix: str | None = None) -> str:
    """Describe the endpoint, or how outputs are written below `prefix`."""
    store = objects_of(settings)()
    return store.describe() if prefix is None else store.probe(ObjectUrl(prefix))


def _opened(endpoint: str | None) -> ObjectStore:
    with _opening:
        return _store(endpoint)


@functools.cache
def _store(endpoint: str | None) -> ObjectStore:
    try:
        from sttbatch.external.objects.s3_store import S3Store
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in {"boto3", "botocore"}:
            raise
        raise ExtraMissing("s3:// needs the extra s3: pip install 'sttbatch[s3]'") from error
    return S3Store(endpoint)
