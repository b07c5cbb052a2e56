"""Replacement of objects, if they have not been changed by others; as `atomic_files` for files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile

from msgspec import Struct

from sttbatch.core.errors import RecordingError
from sttbatch.core.locations import ObjectUrl
from sttbatch.core.ports.objects import ObjectFacts, ObjectStore
from sttbatch.outputs.atomic_files import Existing
from sttbatch.outputs.spooled_content import SpooledContent

_AT_ONCE = 16
_ROUNDS = 3


class ObjectTarget(Struct, frozen=True):
    """As `Target`; `seen` has the facts of the existing object."""

    path: ObjectUrl
    content: SpooledContent
    existing: Existing
    seen: ObjectFacts | None


def examine_object(
    store: ObjectStore, url: ObjectUrl, content: SpooledContent, digests: frozenset[str]
) -> ObjectTarget:
    """Compare the object at `url` with `content` and with the `digests` that were written.

    Raises RecordingError if it cannot be examined.
    """
    for _ in range(_ROUNDS):
        facts = store.facts(url)
        if facts is None:
            return ObjectTarget(url, content, Existing.NOTHING, None)
        if not digests and facts.size_bytes != content.size_bytes:
            return ObjectTarget(url, content, Existing.FOREIGN, facts)
        digest = store.sha256(facts)
        if digest is not None:
            kind = Existing.OURS if digest in digests else Existing.FOREIGN
            kind = Existing.SAME if digest == content.sha256 else kind
            return ObjectTarget(url, content, kind, facts)
    raise RecordingError(f"{url} cannot be written: others change it at the same time; run again")


def replace_objects(store: ObjectStore, targets: Sequence[ObjectTarget]) -> list[ObjectTarget]:
    """Write all contents; returns the targets that changed since they were examined."""
    return [each for each in targets if not store.put(each.path, each.content.file, each.seen)]


def object_state(facts: ObjectFacts | None) -> str | None:
    """What tells that an object has not changed; None: there is none."""
    return None if facts is None else f"{facts.size_bytes} {facts.modified_ns} {facts.etag}"


def listed_objects(store: ObjectStore, urls: Sequence[ObjectUrl]) -> dict[bytes, ObjectFacts]:
    """The facts of those of many objects that exist, by their addresses: a listing a bucket."""
    keys: defaultdict[str, list[str]] = defaultdict(list)
    for url in urls:
        keys[url.bucket].append(url.key)
    wanted = {str(url) for url in urls}
    return {
        str(facts.url).encode("utf-8", "surrogateescape"): facts
        for bucket, of_bucket in keys.items()
        for facts in store.list(ObjectUrl(f"s3://{bucket}/{_beginning(of_bucket)}"))
        if str(facts.url) in wanted
    }


def _beginning(keys: Sequence[str]) -> str:
    """What all keys begin with."""
    both = zip(min(keys), max(keys), strict=False)
    return "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], both))


def object_states(store: ObjectStore, urls: Sequence[ObjectUrl]) -> dict[bytes, str | None]:
    """The states of many objects, by their addresses."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="objects") as threads:
        found = threads.map(lambda url: object_state(store.facts(url)), urls)
        return {
            str(url).encode("utf-8", "surrogateescape"): state
            for url, state in zip(urls, found, strict=True)
        }
