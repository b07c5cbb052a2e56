"""What an endpoint refuses, and whom that concerns: a recording, or the whole run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cloudru import CloudRu, Received, Status, always, make_recording
from tests.shell import Shell

SHORT = ("--chunk-duration", "10", "--no-audit")


def record(folder: Path, *numbers: int, duration_s: float = 4) -> None:
    """Each with words of its own, which begin with its number."""
    for number in numbers:
        make_recording(
            folder / f"talk-{number}.wav",
            duration_s=duration_s,
            sample_rate=8_000,
            channels=1,
            first_word=0x100 * number,
        )


def of(number: int, status: Status) -> object:
    def choose(post: Received) -> Status | None:
        return status if post.words and post.words[0].startswith(f"{number:02x}") else None

    return choose


def test_a_403_for_one_recording_fails_that_recording(folder: Path, shell: Shell) -> None:
    assert shell.endpoint is not None
    record(folder, 1, 3)
    record(folder, 2, duration_s=40)
    shell.endpoint.faults = of(2, Status(403, body={"detail": "not for you"}))  # type: ignore[assignment]
    result = shell.transcribe(folder, *SHORT, "-j", "2")
    assert result.code == 1
    assert "403: not for you" in result.err
    assert "2 recordings done" in result.summary
    assert "1 failed" in result.summary


def test_a_second_403_in_a_row_ends_the_run(folder: Path, shell: Shell) -> None:
    assert shell.endpoint is not None
    record(folder, 1, 2, 3, 4)
    shell.endpoint.faults = always(Status(403, body={"detail": "not for you"}))
    result = shell.transcribe(folder, *SHORT, "-j", "1")
    assert result.code == 3
    assert "the endpoint refuses us: 403: not for you" in result.err
    assert len(shell.endpoint.received) == 2


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://127.0.0.1:1"])
@pytest.mark.parametrize("tls", [True, False])
def test_no_proxy_has_a_part_in_what_goes_to_this_machine(
    folder: Path, home: Path, proxy: str, tls: bool
) -> None:
    record(folder, 1)
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
    with CloudRu(tls=tls) as endpoint:
        result = Shell(home, endpoint, dict.fromkeys(names, proxy)).transcribe(folder)
    assert result.code == 0, result.err


def test_this_machine_has_one_origin_for_each_port(folder: Path, home: Path) -> None:
    """What was paid for under one of its names is found under the others."""
    record(folder, 1)
    with CloudRu(tls=False) as endpoint:
        shell = Shell(home, endpoint)
        assert shell.transcribe(folder, "-f", "txt").code == 0
        sent = len(endpoint.received)
        for host in ("localhost", "[::1]"):
            (folder / "talk-1.txt").unlink()
            shell.extra["STTBATCH_BASE_URL"] = f"http://{host}:{endpoint.port}/v1"
            assert shell.transcribe(folder, "-f", "txt").code == 0
            assert (folder / "talk-1.txt").exists()
        assert len(endpoint.received) == sent
