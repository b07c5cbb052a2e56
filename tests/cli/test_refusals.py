"""What an endpoint refuses and what it lists, and whom that concerns: a recording, or the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
    assert "the endpoint refuses requests: 403: not for you" in result.err
    assert len(shell.endpoint.received) == 2


@pytest.mark.parametrize(
    ("proxy", "tls"),
    [
        ("socks5://127.0.0.1:1", True),
        ("http://127.0.0.1:1", False),
        pytest.param("socks5://127.0.0.1:1", False, marks=pytest.mark.slow),
        pytest.param("http://127.0.0.1:1", True, marks=pytest.mark.slow),
    ],
)
def test_no_proxy_has_a_part_in_what_goes_to_this_machine(
    folder: Path, home_in_use: Path, proxy: str, tls: bool
) -> None:
    record(folder, 1)
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
    with CloudRu(tls=tls) as endpoint:
        result = Shell(home_in_use, endpoint, dict.fromkeys(names, proxy)).transcribe(folder)
    assert result.code == 0, result.err


@pytest.mark.slow
def test_this_machine_has_one_origin_for_each_port(folder: Path, home_in_use: Path) -> None:
    """What was paid for under one of its names is found under the others."""
    record(folder, 1)
    with CloudRu(tls=False) as endpoint:
        shell = Shell(home_in_use, endpoint)
        assert shell.transcribe(folder, "-f", "txt").code == 0
        sent = len(endpoint.received)
        for host in ("localhost", "[::1]"):
            (folder / "talk-1.txt").unlink()
            shell.extra["STTBATCH_BASE_URL"] = f"http://{host}:{endpoint.port}/v1"
            assert shell.transcribe(folder, "-f", "txt").code == 0
            assert (folder / "talk-1.txt").exists()
        assert len(endpoint.received) == sent


def test_a_model_that_is_not_served_ends_the_run(folder: Path, shell: Shell) -> None:
    assert shell.endpoint is not None
    record(folder, 1, 2, 3, 4)
    shell.endpoint.faults = always(Status(404, body={"detail": "no model mistyped"}))
    result = shell.transcribe(folder, *SHORT, "-j", "2", "--model", "mistyped")
    assert result.code == 2
    assert "404: no model mistyped" in result.err
    assert "openai/whisper-large-v3" in result.err
    assert "not all that is listed can be called" in result.err
    assert len(shell.endpoint.received) <= 2


def test_an_endpoint_that_is_up_and_refuses_is_not_waited_for(folder: Path, shell: Shell) -> None:
    """Ten minutes would be the wait for an outage."""
    assert shell.endpoint is not None
    record(folder, 1, 2)
    shell.endpoint.faults = always(Status(503, body={"detail": "not understood"}))
    result = shell.transcribe(folder, *SHORT, "-j", "2", "--retries", "2")
    assert result.code == 1
    assert "the endpoint is up and refuses these requests: 503: not understood" in result.err
    assert "2 failed" in result.summary
    assert shell.endpoint.log.models_asked == 1


def test_a_short_outage_behind_a_gateway_costs_no_recording(folder: Path, shell: Shell) -> None:
    """The list of models is answered all the time; more requests fail than there are retries."""
    assert shell.endpoint is not None
    record(folder, 1, 2, 3)
    down = Status(503, body={"detail": "restarting"})
    shell.endpoint.faults = lambda post: down if 1 <= post.number <= 5 else None
    result = shell.transcribe(folder, *SHORT, "-j", "1", "--retries", "2")
    assert result.code == 0, result.err
    assert "3 recordings done" in result.summary
    assert "the endpoint fails (503: restarting); waiting up to 600 s" in result.err


CATALOGUE: list[dict[str, Any]] = [
    {"id": "openai/whisper-large-v3",
     "metadata": {"type": "audio-to-text", "provider": "cloud.ru"}},
    {"id": "big/model", "context_length": 131072, "metadata": {"type": "llm",
     "provider": "external", "prompt_tokens_cost": 15.86, "generated_tokens_cost": 61,
     "cache_read_tokens_cost": -1, "is_billable": True}},
    {"id": "BAAI/bge-m3", "max_model_len": "8192", "metadata": {"type": "embedder"},
     "is_billable": False},
    {"id": "bare", "metadata": None},
    {"metadata": {"type": "llm"}},
]  # fmt: skip


def test_models_are_listed_with_what_is_told_of_them(home_in_use: Path) -> None:
    with CloudRu(models=CATALOGUE) as endpoint:
        shell = Shell(home_in_use, endpoint)
        shell.extra["CLOUDRU_API_KEY"] = ""
        found = json.loads(shell.run("models", "--json").out)["models"]
        assert [each["id"] for each in found] == [
            "openai/whisper-large-v3", "big/model", "BAAI/bge-m3", "bare",
        ]  # fmt: skip
        assert found[1] == {
            "id": "big/model", "type": "llm", "provider": "external", "context_tokens": 131072,
            "prompt_price": 15.86, "generated_price": 61.0, "cached_price": None, "billable": True,
        }  # fmt: skip
        assert [each["billable"] for each in found] == [None, True, False, None]
        table = shell.run("models")
        assert table.code == 0
        _, *rows = table.out.splitlines()
        assert len(rows) == 4
        assert rows[2].endswith(" 131072     15.86         61             -")
        for kind, name in (("audio", "openai/"), ("llm", "big/"), ("embedder", "BAAI/")):
            _, line = shell.run("models", "--type", kind).out.splitlines()
            assert line.startswith(name)
        assert shell.run("models", "--type", "video").code == 2
        endpoint.models = Status(200, body=b"<html>")
        none = shell.run("models")
    assert none.code == 1
    assert "without a list of models" in none.err


@pytest.mark.parametrize(
    ("provider", "code"),
    [("cloud.ru", 0), pytest.param("external", 2, marks=pytest.mark.slow), (None, 2)],
    ids=str,
)
def test_only_internal_sends_nothing_to_others(
    folder: Path, home_in_use: Path, provider: str | None, code: int
) -> None:
    record(folder, 1)
    entry = {"id": "openai/whisper-large-v3", "metadata": {"provider": provider}}
    with CloudRu(models=[entry]) as endpoint:
        shell = Shell(home_in_use, endpoint, {"STTBATCH_ONLY_INTERNAL": "true"})
        result = shell.transcribe(folder)
        assert result.code == code
        assert bool(endpoint.received) == (code == 0)
        assert ("only_internal = true" in result.err) == (code == 2)
        checked = shell.run("doctor").out
        assert ("FAIL  model: " in checked) == (code == 2)


def test_doctor_checks_the_model(home_in_use: Path) -> None:
    with CloudRu(models=CATALOGUE) as endpoint:
        shell = Shell(home_in_use, endpoint)
        assert "ok    model: openai/whisper-large-v3 is listed, provider" in shell.run("doctor").out
        shell.extra["STTBATCH_MODEL"] = "mistyped"
        unknown = shell.run("doctor")
        shell.extra["STTBATCH_MODEL"] = "big/model"
        other = shell.run("doctor")
    assert unknown.code == other.code == 1
    assert "FAIL  model: mistyped is not listed" in unknown.out
    assert "FAIL  model: big/model is not a speech model" in other.out
