"""Traces and figures by OTLP, to a collector that decodes them, and without one."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.cli.working import (
    endpoint_of,
    metrics_port,
    record,
    rows,
    scraped_until,
    until_rows,
    working,
)
from tests.cloudru import KEY, CloudRu, Status, make_recording, times_per_chunk
from tests.cloudru.translating import TranslatingModel
from tests.listener import Listener
from tests.monitoring.exposed import samples, value
from tests.otlp_collector import Span, figures, sent_to, spans, traces
from tests.shell import Shell, texts

DONE = "SELECT count(*) FROM orders WHERE done_at IS NOT NULL"


@pytest.fixture
def collector(shell: Shell) -> Iterator[Listener]:
    with Listener.running() as running:
        shell.extra["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://{running.address}"
        yield running


def named(found: list[Span], name: str) -> list[Span]:
    return [span for span in found if span.name == name]


def test_a_trace_for_each_recording(
    shell: Shell, cloudru: CloudRu, collector: Listener, folder: Path
) -> None:
    truth = record(folder, 3, length_s=25)
    stored, refused, new = (folder / f"talk-{index}.wav" for index in range(3))
    assert shell.transcribe(stored).code == 0
    for output in folder.glob("talk-0.*[!v]"):
        output.unlink()
    collector.requests.clear()
    faulty, flaky = texts(truth["talk-1"]), times_per_chunk(1, Status(503))
    cloudru.faults = lambda post: Status(400) if {*post.words} & {*faulty} else flaky(post)
    shell.extra["OTEL_EXPORTER_OTLP_HEADERS"] = "x-tenant=secret-token"
    result = shell.transcribe(folder, "--chunk-duration", "10")
    assert result.code == 1
    assert "OpenTelemetry" not in result.err
    found = traces(collector)
    assert found.keys() == {str(stored), str(refused), str(new)}
    for path, (root, children) in found.items():
        assert all(root.holds(child) for child in children), path
        assert root.name == "transcribe"
        assert root.is_error == (path == str(refused))
        assert root.resource["service.name"] == "sttbatch"
    of_stored, of_refused, of_new = (found[str(path)] for path in (stored, refused, new))
    assert {span.name for span in of_stored[1]} == {"write"}
    assert of_stored[0].attributes["sttbatch.cached"] is True
    root, children = of_new
    assert {span.name for span in children} == {"cut", "wait", "request", "store", "merge", "write"}
    assert (root.attributes["sttbatch.outcome"], root.attributes["sttbatch.cached"]) == (
        "done",
        False,
    )
    assert root.attributes["sttbatch.audio.duration"] == pytest.approx(25, abs=0.1)
    assert rows(shell, f"SELECT status FROM processing_jobs WHERE id = "
                f"'{root.attributes['sttbatch.job.id']}'") == [("COMPLETED",)]  # fmt: skip
    chunks = {span.attributes["sttbatch.chunk.index"] for span in named(children, "cut")}
    assert len(chunks) > 1
    for index in chunks:
        of_chunk = [
            span for span in children if span.attributes.get("sttbatch.chunk.index") == index
        ]
        failed, answered = named(of_chunk, "request")
        assert (failed.is_error, answered.is_error) == (True, False)
        assert failed.attributes["http.response.status_code"] == 503
        assert failed.attributes["error.type"] == "503"
        assert answered.attributes["http.response.status_code"] == 200
        assert answered.attributes["http.request.resend_count"] == 1
        # One after the other, as far as events tell of them in time.
        steps = [named(of_chunk, name)[-1].begin for name in ("cut", "wait", "request", "store")]
        assert all(before <= after for before, after in pairwise(steps))
    (merge,), (write,) = named(children, "merge"), named(children, "write")
    assert max(span.end for span in named(children, "store")) <= merge.begin <= write.begin
    root, children = of_refused
    assert root.attributes["sttbatch.outcome"] == "failed"
    assert {
        span.attributes["http.response.status_code"] for span in named(children, "request")
    } == {400}
    assert not named(children, "store")
    sent = b"".join(request.body for request in collector.requests)
    for words in truth.values():
        # Alone they may be a part of an id.
        assert not any(f"{a} {b}".encode() in sent for a, b in pairwise(texts(words)))
    for secret in (KEY, "secret-token"):
        assert secret.encode() not in sent
    assert {request.headers["x-tenant"] for request in collector.requests} == {"secret-token"}


@pytest.mark.slow
def test_what_is_up_to_date_has_no_trace(shell: Shell, collector: Listener, folder: Path) -> None:
    record(folder, 1)
    deadline = time.monotonic() + 60
    sent = -1
    # A file that has just been written is read again, for two seconds.
    while sent != len(spans(collector)):
        assert time.monotonic() < deadline
        sent = len(spans(collector))
        assert shell.transcribe(folder).code == 0
    assert sent > 0


@pytest.mark.slow
def test_what_is_translated_has_a_trace_of_its_own(
    shell: Shell, cloudru: CloudRu, collector: Listener, folder: Path
) -> None:
    cloudru.chat = TranslatingModel()
    record(folder, 1)
    assert shell.run("translate", folder, "--to", "en").code == 0
    roots = [span for span in spans(collector) if not span.parent]
    assert [root.name for root in roots] == ["transcribe", "translation"]
    children = [span.name for span in spans(collector) if span.parent == roots[1].id]
    assert {"request", "store"} <= set(children)


def test_copies_and_names_that_are_not_in_utf_8(
    shell: Shell, collector: Listener, folder: Path
) -> None:
    odd = folder / os.fsdecode(b"caf\xe9.wav")
    make_recording(odd, duration_s=11, sample_rate=8_000, channels=1)
    (folder / "copy.wav").write_bytes(odd.read_bytes())
    assert shell.transcribe(folder).code == 0
    found = traces(collector)
    assert {Path(path).name for path in found} == {"caf\\udce9.wav", "copy.wav"}
    assert all(named(children, "write") for _, children in found.values())
    assert len(endpoint_of(shell).received) == 1


def test_a_worker_sends_traces_while_it_lives(
    shell: Shell, collector: Listener, folder: Path
) -> None:
    record(folder, 2)
    shell.extra |= {"OTEL_SERVICE_NAME": "speech", "OTEL_BSP_SCHEDULE_DELAY": "20"}
    shell.run("submit", folder)
    with working(shell):
        until_rows(shell, DONE, [(2,)])
        collector.wait_for(lambda: len(traces(collector)) == 2)
    for root, children in traces(collector).values():
        assert root.resource["service.name"] == "speech"
        assert all(root.holds(child) for child in children)
        assert named(children, "request")


def test_a_run_sends_what_stats_would_export(
    shell: Shell, cloudru: CloudRu, collector: Listener, folder: Path
) -> None:
    record(folder, 2)
    cloudru.faults = times_per_chunk(1, Status(503))
    assert shell.transcribe(folder).code == 0
    (_,) = sent_to(collector, "/v1/metrics")
    assert figures(collector) == samples(shell.run("stats", "--prometheus").out)
    shell.extra["OTEL_METRICS_EXPORTER"] = "none"
    assert shell.transcribe(folder, "--force").code == 0
    assert len([*sent_to(collector, "/v1/metrics")]) == 1


@pytest.mark.slow
def test_a_worker_sends_what_a_scrape_would_find(
    shell: Shell, collector: Listener, folder: Path
) -> None:
    record(folder, 2)
    shell.run("submit", folder)
    shell.extra["OTEL_METRIC_EXPORT_INTERVAL"] = "50"
    with working(shell, "--metrics-port", "0") as (worker,):
        port = metrics_port(worker)
        until_rows(shell, DONE, [(2,)])

        def all_done() -> bool:
            done = [v for (name, labels), v in figures(collector).items()
                    if name == "sttbatch_jobs" and ("state", "completed") in labels]  # fmt: skip
            return done == [2]

        collector.wait_for(all_done)
        text = scraped_until(port, lambda text: value(text, "sttbatch_worker_ledger_up") == 1)
        assert figures(collector).keys() == samples(text).keys()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 128 + signal.SIGTERM


@pytest.mark.parametrize("answer", [500, pytest.param(None, marks=pytest.mark.slow)])
def test_a_collector_that_fails_is_a_warning(
    shell: Shell, collector: Listener, folder: Path, answer: int | None
) -> None:
    record(folder, 2)
    if answer is None:
        # It is not waited for as long as a request may take.
        shell.extra["OTEL_EXPORTER_OTLP_TIMEOUT"] = "3600"
        collector.hold()
    else:
        collector.status = answer
    shell.extra["OTEL_EXPORTER_OTLP_ENDPOINT"] += "?token=secret"
    result = shell.transcribe(folder)
    assert result.code == 0, result.err
    assert result.err.count("OpenTelemetry:") == 1
    assert "secret" not in result.err
    assert len(result.out.splitlines()) == 2
    assert collector.requests


@pytest.mark.slow
def test_a_collector_that_is_away_is_a_warning(shell: Shell, folder: Path) -> None:
    record(folder, 1)
    shell.extra |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }
    result = shell.transcribe(folder)
    assert result.code == 0, result.err
    (warning,) = [line for line in result.err.splitlines() if "OpenTelemetry:" in line]
    assert warning.startswith("warning: ")
    shell.extra["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://me:secret@127.0.0.1:port"
    result = shell.transcribe(folder, "--force")
    assert (result.code, result.err.count("OpenTelemetry:")) == (0, 1)
    assert "secret" not in result.err
    quiet = shell.transcribe(folder, "--force", "--quiet")
    assert (quiet.code, quiet.err) == (0, "")


@pytest.mark.parametrize(
    "headers", ["Authorization: Bearer s3cret", "authorization=Bearer%20s3cret%0A-"]
)
def test_headers_that_cannot_be_sent_are_not_quoted(
    shell: Shell, collector: Listener, folder: Path, headers: str
) -> None:
    del collector
    record(folder, 1)
    shell.extra["OTEL_EXPORTER_OTLP_HEADERS"] = headers
    result = shell.transcribe(folder)
    assert (result.code, result.err.count("OpenTelemetry:")) == (0, 1)
    assert "s3cret" not in result.err


@pytest.mark.parametrize("off", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}])
def test_it_can_be_off(
    shell: Shell, collector: Listener, folder: Path, off: dict[str, str]
) -> None:
    record(folder, 1)
    shell.extra |= off
    assert shell.transcribe(folder).code == 0
    assert spans(collector) == []


def without_the_extra(shell: Shell, tmp_path: Path) -> None:
    package = tmp_path / "path" / "opentelemetry"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "raise ModuleNotFoundError('no such module', name='opentelemetry')"
    )
    shell.extra["PYTHONPATH"] = str(package.parent)


def test_without_the_extra_a_run_goes_on(
    shell: Shell, collector: Listener, folder: Path, tmp_path: Path
) -> None:
    record(folder, 1)
    without_the_extra(shell, tmp_path)
    result = shell.transcribe(folder)
    assert result.code == 0
    (line,) = [line for line in result.err.splitlines() if "sttbatch[otel]" in line]
    assert line.startswith("warning: nothing is sent to the OTLP collector")
    assert collector.requests == []


@pytest.mark.parametrize("interval", ["0", "-1", "soon"])
def test_figures_that_cannot_be_sent_so_often_are_not_sent(
    shell: Shell, collector: Listener, folder: Path, interval: str
) -> None:
    record(folder, 1)
    shell.extra["OTEL_METRIC_EXPORT_INTERVAL"] = interval
    result = shell.transcribe(folder)
    assert result.code == 0
    (line,) = [line for line in result.err.splitlines() if "OTEL_METRIC_EXPORT_INTERVAL" in line]
    assert line.startswith("warning: nothing is sent to the OTLP collector")
    assert collector.requests == []


def test_without_their_settings_no_extra_is_imported(
    shell: Shell, folder: Path, tmp_path: Path
) -> None:
    record(folder, 1)
    hidden = tmp_path / "path"
    hidden.mkdir()
    for package in (
        "boto3", "botocore", "celery", "cramjam", "cryptography", "faster_whisper", "kombu",
        "opentelemetry", "prometheus_client", "psycopg", "psycopg_pool", "redis", "tzlocal",
    ):  # fmt: skip
        # Who only asks whether it is there would not see this.
        (hidden / f"{package}.py").write_text("raise SystemExit(f'{__name__} was imported')")
    shell.extra["PYTHONPATH"] = str(hidden)
    result = shell.transcribe(folder)
    assert (result.code, "was imported" in result.err) == (0, False)
    with working(shell):
        assert shell.run("submit", folder, "--wait", "--force").code == 0


@pytest.mark.slow
def test_doctor_asks_the_collector(shell: Shell, collector: Listener, tmp_path: Path) -> None:
    def finding() -> dict[str, Any]:
        facts = json.loads(shell.run("doctor", "--json").out)
        (found,) = [each for each in facts["findings"] if each["name"] == "collector"]
        return dict(found)

    assert finding() == {
        "name": "collector",
        "ok": True,
        "text": f"http://{collector.address} takes traces and metrics",
        "advice": None,
    }
    assert spans(collector) == []
    collector.status = 401
    assert not finding()["ok"]
    assert "401" in finding()["text"]
    without_the_extra(shell, tmp_path)
    assert "sttbatch[otel]" in finding()["text"]
    shell.extra["OTEL_SDK_DISABLED"] = "true"
    assert '"collector"' not in shell.run("doctor", "--json").out
