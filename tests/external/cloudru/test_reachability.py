"""What doctor asks of an endpoint."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sttbatch.core.engine import APIRequest
from sttbatch.core.errors import EndpointUnreachable, UsageError
from sttbatch.external.cloudru import reachability
from sttbatch.external.cloudru.reachability import check_reachability, check_transcription
from tests.cloudru import CloudRu
from tests.listener import dripping

from .lanes import OPTIONS, lanes_to


def test_reach_says_how_it_speaks(endpoint: CloudRu) -> None:
    for url in (endpoint.base_url, endpoint.base_url + "/"):
        found = asyncio.run(check_reachability(url))
        assert (found.status, found.http_version, found.tls) == (200, "HTTP/2", "TLSv1.3")
        assert found.clock_ahead_s is None or abs(found.clock_ahead_s) < 5


def test_reach_says_what_to_do(endpoint: CloudRu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(EndpointUnreachable, match="SSL_CERT_FILE"):
        asyncio.run(check_reachability(endpoint.base_url))
    endpoint.go_away()
    with pytest.raises(EndpointUnreachable, match=r"cannot be reached.*HTTPS_PROXY"):
        asyncio.run(check_reachability(endpoint.base_url))


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "socks5://127.0.0.1:1"])
def test_this_machine_is_reached_directly(
    endpoint: CloudRu, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    assert asyncio.run(check_reachability(endpoint.base_url)).status == 200


def test_an_endpoint_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline is one for all of it, however often something comes."""
    monkeypatch.setattr(reachability, "DEADLINE_S", 0.3)
    with (
        dripping() as address,
        pytest.raises(EndpointUnreachable, match=r"did not answer within 0\.3 s"),
    ):
        asyncio.run(check_reachability(f"http://{address}/v1"))


def test_one_second_is_sent_and_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[APIRequest] = []

    async def record(post: APIRequest) -> None:
        told.append(post)

    async def sending(endpoint: CloudRu) -> float:
        async with lanes_to(endpoint) as lanes:
            return await check_transcription(lanes.engine, OPTIONS, record)

    with CloudRu() as endpoint:
        monkeypatch.setenv("SSL_CERT_FILE", str(endpoint.ca_file))
        assert asyncio.run(sending(endpoint)) > 0
        (post,) = endpoint.received
    assert post.audio_s == pytest.approx(1.0)
    assert post.status == 200
    assert [each.paid for each in told] == [True]


def test_certificates_that_could_not_be_loaded_are_loaded_once_they_are_mended(
    endpoint: CloudRu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def story() -> None:
        async with lanes_to(endpoint) as lanes:
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
            with pytest.raises(UsageError, match="SSL_CERT_FILE"):
                await lanes.pool.prepare()
            monkeypatch.setenv("SSL_CERT_FILE", str(endpoint.ca_file))
            await lanes.pool.prepare()

    asyncio.run(story())
