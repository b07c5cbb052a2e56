"""What decides an answer is in its key; nothing else is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import asdict, fields, replace

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.core.options import ChunkingOptions, OutputOptions, RequestOptions, RunOptions

REQUEST = RequestOptions("cloudru", "https://example.org", "whisper", "ru", "Слова", 0.2)
AUDIO, FILE = "a" * 64, "f" * 64


def keys(request: RequestOptions) -> set[str]:
    addresser = ContentAddresser(request)
    return {
        addresser.request_sha256,
        addresser.chunk_key(AUDIO),
        addresser.transcript_key(FILE, 0, 1),
    }


def changed(value: Any) -> Any:
    """Something else of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return f"{value}x"
    if isinstance(value, tuple):
        return (*value, "x")
    assert value is None
    return "x"


def assert_every_field_counts(request: RequestOptions) -> None:
    for each in fields(request):
        now = getattr(request, each.name)
        for value in {changed(now), None} - {now}:
            others: dict[str, Any] = {each.name: value}
            other = replace(request, **others)
            assert not keys(request) & keys(other), each.name


def test_every_field_of_a_request_is_in_every_key() -> None:
    assert_every_field_counts(REQUEST)


@pytest.mark.parametrize("name", ["diarize", "audio", "file", "tag", "version", "request"])
def test_so_is_a_field_that_is_added_whatever_its_name(name: str) -> None:
    made: Any = msgspec.defstruct("Later", [(name, str, "")], bases=(RequestOptions,), frozen=True)
    later = made(**asdict(REQUEST))
    assert not keys(REQUEST) & keys(later)
    assert_every_field_counts(later)


def test_so_is_a_field_of_a_subclass() -> None:
    class Later(RequestOptions, frozen=True):
        hints: tuple[str, ...] = ()

    assert_every_field_counts(Later(**asdict(REQUEST)))


def test_what_else_a_user_chooses_shares_no_field_with_a_request() -> None:
    """Formats, folders, concurrency and chunking cannot reach a key: it is made of the request."""
    names = {each.name for each in fields(RequestOptions)}
    for options in (ChunkingOptions, OutputOptions, RunOptions):
        assert not names & {each.name for each in fields(options)}


def test_a_transcript_is_of_a_file_a_stream_a_merger_and_an_audit_mode() -> None:
    addresser = ContentAddresser(REQUEST)
    found = {
        addresser.transcript_key(FILE, 0, 1),
        addresser.transcript_key("0" * 64, 0, 1),
        addresser.transcript_key(FILE, 1, 1),
        addresser.transcript_key(FILE, 0, 2),
        addresser.transcript_key(FILE, 0, 1, audit_mode="on"),
    }
    assert len(found) == 5
    assert addresser.transcript_key(FILE, 0, 1, "off") in found


def test_a_temperature_of_nothing_is_one_temperature() -> None:
    one, *others = (keys(replace(REQUEST, temperature=value)) for value in (0.0, 0, -0.0))
    assert all(other == one for other in others)


def test_keys_stay_what_they_are() -> None:
    """A change here means that all users pay again: count KEY_VERSION up and say so."""
    addresser = ContentAddresser(REQUEST)
    assert (
        addresser.request_sha256
        == "b56f43ffa75bade754ed7dc5eca5820890bd5a349fa3b0303b9c93be058114de"
    )
    assert addresser.chunk_key(AUDIO) == (
        "chunk:f5eff4f52f86b98e1023a3e3f6b66299d38a9195cfef48116b090a7d584894e7"
    )
    assert addresser.transcript_key(FILE, 0, 1) == (
        "transcript:8482be671a10448907550c498629e3061f789acef245a1461cc9a645e959e5b9"
    )
