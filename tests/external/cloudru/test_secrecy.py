"""The key goes to the endpoint and nowhere else."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback

import pytest

from sttbatch.external.cloudru.retry_policy import decide
from sttbatch.external.secret import Secret
from tests.cloudru import CloudRu, Fin, Status, before_body, in_turn

from .lanes import MIB, Lanes, lanes_to

KEY = "sk-7f3a9d5c1b-never-to-be-seen"


def test_a_secret_does_not_show() -> None:
    secret = Secret(KEY)
    shown = f"{secret} {secret!r} {[secret]}"
    assert KEY not in shown
    assert secret.reveal() == KEY


ODD = "sk/7f\\3a'9d\"5c?1b"


@pytest.mark.parametrize(
    "spelled",
    [
        ODD,
        json.dumps(ODD),
        json.dumps(json.dumps(ODD)),
        repr([ODD]),
        ODD.replace("/", "\\/"),
        "".join(f"\\u{ord(each):04x}" for each in ODD),
        "".join(f"\\\\u{ord(each):04X}" for each in ODD),
        "".join(f"\\x{ord(each):02x}" for each in ODD),
    ],
)
def test_a_key_is_masked_however_it_is_spelled(spelled: str) -> None:
    masked = Secret(ODD).masked(f"sent with {spelled} and more")
    assert masked.startswith("sent with ")
    assert masked.endswith(" and more")
    assert "***" in masked
    assert "7f" not in masked
    assert "5c" not in masked


@pytest.mark.parametrize(
    "body",
    [
        f'{{"message": "{"x" * 290} {KEY}"}}',
        f'{{"error": {{"other": {json.dumps(ODD)}}}}}',
        '{"message": "sk/7f\\\\3a\'9d\\"5c\\ud8001b"}',
        json.dumps({"message": "\0".join(KEY)}),
    ],
    ids=["where it is cut", "no message", "half a pair becomes ?", "zeros between"],
)
def test_no_part_of_the_key_is_left_in_a_message(body: str) -> None:
    secrets = [Secret(KEY), Secret(ODD)]
    decision = decide(422, {}, body.encode(), lambda t: secrets[0].masked(secrets[1].masked(t)))
    assert "***" in decision.message or "…" in decision.message
    assert not {"sk-7f", "sk/7f"} & {decision.message[n : n + 5] for n in range(400)}


def test_a_long_row_of_backslashes_is_read_in_no_time() -> None:
    text = "\\" * 200_000
    assert Secret(KEY).masked(text) == text


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
    assert "Incorrect API key provided: ***;" in message
