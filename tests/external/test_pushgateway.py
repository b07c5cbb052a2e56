"""A Pushgateway gets all figures, and nobody gets its password."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from sttbatch.core.errors import NotificationError, UsageError
from sttbatch.external.notifications import gateway_at, push
from tests.cli.working import until_line, working
from tests.cloudru import KEY
from tests.listener import Listener, dripping
from tests.monitoring.exposed import value
from tests.shell import Shell

PASSWORD = "hunter2:/@ ü"
QUOTED = "hunter2%3A%2F%40%20%C3%BC"


EXPOSITION = b"sttbatch_lanes 4.0\n"


@pytest.fixture
def gateway() -> Iterator[Listener]:
    with Listener.running() as server:
        yield server


def test_all_figures_replace_what_this_machine_had_there(shell: Shell, gateway: Listener) -> None:
    result = shell.run("stats", "--push", f"http://me:{QUOTED}@{gateway.address}/behind/a/proxy/")
    assert (result.code, result.out, result.err) == (0, "", "")
    (request,) = gateway.requests
    host = socket.gethostname()
    assert (request.method, request.path) == (
        "PUT",
        f"/behind/a/proxy/metrics/job/sttbatch/instance/{host}",
    )
    assert request.headers["Content-Type"].startswith("text/plain; version=")
    scheme, _, login = request.headers["Authorization"].partition(" ")
    assert (scheme, base64.b64decode(login).decode()) == ("Basic", f"me:{PASSWORD}")
    assert value(request.body.decode(), "sttbatch_runs_begun_total") == 0
    assert KEY not in f"{request}"


@pytest.mark.parametrize("status", [302, 307, 400, 401, 500])
def test_a_refusal_says_so_without_the_password(gateway: Listener, status: int) -> None:
    gateway.status = status
    with pytest.raises(NotificationError, match=f"{gateway.address} answered {status}; ") as caught:
        asyncio.run(push(gateway_at(f"http://me:{QUOTED}@{gateway.address}"), EXPOSITION))
    assert "hunter2" not in str(caught.value)
    assert len(gateway.requests) == 1


def test_a_gateway_that_is_not_there_ends_with_one_line(shell: Shell) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    result = shell.run("stats", "--push", f"http://me:{QUOTED}@127.0.0.1:{port}")
    assert (result.code, result.out) == (1, "")
    (line,) = result.err.splitlines()
    assert f"http://127.0.0.1:{port} cannot be reached" in line
    assert "hunter2" not in line


def test_a_gateway_that_hangs_up_or_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sttbatch.external.notifications.PUSH_DEADLINE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"

        def hang_up() -> None:
            connection, _ = server.accept()
            connection.recv(1)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(NotificationError, match="cannot be reached"):
            asyncio.run(push(gateway_at(address), EXPOSITION))
        thread.join()
        # The kernel takes the connection, and nobody ever answers.
        with pytest.raises(NotificationError, match=r"did not answer within 0\.2 s"):
            asyncio.run(push(gateway_at(address), EXPOSITION))


def test_a_gateway_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline is one for all of it, however often something comes."""
    monkeypatch.setattr("sttbatch.external.notifications.PUSH_DEADLINE_S", 0.3)
    with (
        dripping() as address,
        pytest.raises(NotificationError, match=r"did not answer within 0\.3 s"),
    ):
        asyncio.run(push(gateway_at(f"http://{address}"), EXPOSITION))


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "socks5://127.0.0.1:1"])
def test_a_gateway_on_this_machine_is_told_directly(
    gateway: Listener, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    asyncio.run(push(gateway_at(f"http://{gateway.address}"), EXPOSITION))
    assert len(gateway.requests) == 1


@pytest.mark.parametrize(
    "url",
    ["gateway:9091", "ftp://gateway", "http://", "http://me:hunter2@host:hunter2",
     "http://gateway/?token=hunter2", "http://gateway/#hunter2"],
)  # fmt: skip
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(UsageError, match="--push") as caught:
        gateway_at(url)
    assert "hunter2" not in str(caught.value)


def test_a_receiver_that_refuses_is_told_without_the_password(
    shell: Shell, gateway: Listener
) -> None:
    gateway.status = 500
    url = f"http://me:{QUOTED}@{gateway.address}/api/v1/write?token=hunter2"
    result = shell.run("stats", "--remote-write", url)
    assert (result.code, result.out) == (1, "")
    assert f"the receiver at http://{gateway.address}/api/v1/write answered 500" in result.err
    with working(shell, "--remote-write", url) as (worker,):
        said = until_line(worker, "answered 500")
    assert said.startswith("warning: ")
    assert "hunter2" not in result.err + said
    (request, *_) = gateway.requests
    assert (request.method, request.headers["Content-Encoding"]) == ("POST", "snappy")
    assert KEY not in f"{gateway.requests}"


def test_a_worker_does_not_start_with_what_is_no_receiver(shell: Shell) -> None:
    result = shell.run("worker", "--remote-write", "localhost:9090")
    assert result.code == 2
    assert "--remote-write needs the address of a receiver" in result.err
