"""The key goes to the endpoint and nowhere else."""

from __future__ import annotations

import asyncio
import logging
import traceback

import pytest

from sttbatch.external.secret import Secret
from tests.cloudru import CloudRu, Fin, Status, before_body, in_turn

from .lanes import MIB, Lanes, lanes_to

KEY = "sk-7f3a9d5c1b-never-to-be-seen"


def test_a_secret_does_not_show() -> None:
    secret = Secret(KEY)
    shown = f"{secret} {secret!r} {[secret]}"
    assert KEY not in shown
    assert secret.reveal() == KEY


def test_the_key_is_in_no_log_record_post_or_exception(
    endpoint: CloudRu, caplog: pytest.LogCaptureFixture
) -> None:
    """At DEBUG, over both versions of HTTP, with answers that repeat it."""
    endpoint.key = KEY
    echo = {"error": {"message": f"Incorrect API key provided: {KEY}", "code": KEY}}
    endpoint.faults = in_turn([None, Status(500, body=echo), None, Status(401, body=echo)])

    async def sending() -> Lanes:
        async with lanes_to(endpoint, key=KEY) as lanes:
            await lanes.send_all(3, lanes=1)
            endpoint.faults = before_body(lambda post: Fin() if post.attempt < 2 else None)
            await lanes.send_all(2, lanes=1, size=2 * MIB)
            return lanes

    with caplog.at_level(logging.DEBUG):
        for name in list(logging.root.manager.loggerDict):
            caplog.set_level(logging.DEBUG, logger=name)
        lanes = asyncio.run(sending())
    assert {post.authorised for post in endpoint.received} == {True}
    assert {post.http_version for post in endpoint.received} == {"2", "1.1"}
    loggers = {record.name for record in caplog.records}
    assert {"httpcore.http2", "httpcore.http11", "httpx"} <= loggers
    # It would write the header block, from which the key can be decoded.
    assert "hpack.hpack" not in loggers
    assert KEY not in caplog.text
    assert not any(KEY in repr(record.__dict__) for record in caplog.records)
    assert KEY not in repr(lanes.posts)
    assert KEY not in "".join(lanes.warnings)
    for result in lanes.results.values():
        if isinstance(result, Exception):
            assert KEY not in "".join(traceback.format_exception(result))


def test_a_refusal_that_repeats_the_key_is_shown_without_it(endpoint: CloudRu) -> None:
    body = {"error": {"message": f"Incorrect API key provided: {KEY}"}}
    endpoint.key = KEY
    endpoint.faults = lambda _: Status(401, body=body)

    async def sending() -> Lanes:
        async with lanes_to(endpoint, key=KEY) as lanes:
            await lanes.send(0)
            return lanes

    message = str(asyncio.run(sending()).results[0])
    assert message.endswith("Incorrect API key provided: ***")
