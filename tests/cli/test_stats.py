"""`sttbatch stats` agrees with the endpoint's own log."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from statistics import quantiles
from typing import Any

import pytest

from tests.cloudru import CloudRu, Heard, Status, hear, make_recording, times_per_chunk
from tests.schemas import check
from tests.shell import Shell

TALK_S = 120.0
PRICE = 0.01
OPTIONS = ("--chunk-duration", "10", "-j", "4")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "talks"
    found.mkdir()
    make_recording(found / "[b]talk.flac", duration_s=TALK_S, sample_rate=8_000, channels=1)
    return found


def stats(shell: Shell, *options: str) -> dict[str, Any]:
    result = shell.run("stats", "--json", *options)
    assert result.code == 0, result.err
    found: dict[str, Any] = json.loads(result.out)
    check("stats", found)
    return found


def latencies(endpoint: CloudRu) -> list[float]:
    return [
        each.answered_at_s - each.arrived_at_s
        for each in endpoint.received
        if each.status == 200 and each.answered_at_s is not None
    ]


def recorded(shell: Shell) -> list[float]:
    query = "SELECT latency_s FROM requests WHERE status = 200"
    with contextlib.closing(sqlite3.connect(shell.home / "data" / "ledger.db")) as db:
        return [latency_s for (latency_s,) in db.execute(query)]


def test_counts_and_latencies_are_the_endpoints(
    shell: Shell, cloudru: CloudRu, folder: Path
) -> None:
    cloudru.latency_s = 0.8
    cloudru.faults = times_per_chunk(1, Status(503))
    assert shell.transcribe(folder, *OPTIONS).code == 0
    found, log = stats(shell), cloudru.received
    answered = sum(each.status == 200 for each in log)
    assert found["requests"] == {
        "total": len(log),
        "ok": answered,
        "retried": len(log) - answered,
        "failed": len(log) - answered,
        "maybe_paid": 0,
        "sent_bytes": found["requests"]["sent_bytes"],
    }
    assert found["errors"] == found["retries"] == {"503": len(log) - answered}
    assert found["requests"]["sent_bytes"] >= sum(each.file_bytes for each in log)
    assert found["paid_seconds"] == pytest.approx(
        sum(each.audio_s for each in log if each.status == 200), rel=1e-3
    )
    # Ours begin before their requests arrive, on a busy machine long before.
    theirs, ours = sorted(latencies(cloudru)), sorted(recorded(shell))
    assert all(seen >= known for seen, known in zip(ours, theirs, strict=True))
    cuts = quantiles(ours, n=20, method="inclusive")
    assert found["latency_seconds"]["p50"] == pytest.approx(cuts[9], rel=0.05)
    assert found["latency_seconds"]["p95"] == pytest.approx(cuts[18], rel=0.05)
    assert found["jobs"]["completed"] == 1
    assert found["recordings"] == {"transcribed": 1, "cached": 0, "unchanged": 0, "failed": 0}
    assert found["audio_seconds"] == pytest.approx(TALK_S, rel=1e-3)
    assert found["runs"] == {"total": 1, "unfinished": 0, "stopped": 0}
    # One look for the transcript and one for each chunk.
    assert (found["cache"]["lookups"], found["cache"]["hits"]) == (answered + 1, 0)

    # What is finished is found in the ledger alone, and counts as a hit; but a file that had just
    # changed when it was indexed would be looked at again.
    with contextlib.closing(sqlite3.connect(shell.home / "data" / "ledger.db")) as db, db:
        db.execute("UPDATE files SET indexed_at_ns = indexed_at_ns + 10000000000")
    assert shell.transcribe(folder, *OPTIONS).code == 0
    # Without its transcript the stretches are kept, each of them a hit.
    shell.run("cache", "invalidate", "--pattern", "transcript:*")
    assert shell.transcribe(folder, *OPTIONS).code == 0
    again = stats(shell)
    assert again["requests"] == found["requests"]
    assert again["cache"]["hits"] == again["cache"]["levels"]["L3"]["hits"] == answered + 1
    assert again["recordings"] == {"transcribed": 1, "cached": 1, "unchanged": 1, "failed": 0}
    assert again["saved_seconds"] == pytest.approx(TALK_S, rel=1e-3)
    assert again["saved_cost"] == pytest.approx(TALK_S * PRICE, rel=1e-3)

    for by in ("model", "engine", "day"):
        groups = stats(shell, "--by", by)["by"][by]
        assert [each["requests"]["total"] for each in groups] == [len(log)]
        assert groups[0]["latency_seconds"] == found["latency_seconds"]

    plain = shell.run("stats", "--watch", "--by", "model")
    assert plain.code == 0, plain.err
    assert "\x1b" not in plain.out
    assert "[b]talk.flac" in plain.out
    assert "openai/whisper-large-v3" in plain.out


@pytest.mark.slow
def test_percentiles_are_within_five_percent_of_the_endpoints(
    shell: Shell, cloudru: CloudRu, folder: Path
) -> None:
    """Its latencies are long, so that what a busy machine adds to ours is little beside them."""
    cloudru.latency_s, cloudru.latency_per_audio_s = 20.0, 1.0
    assert shell.transcribe(folder, *OPTIONS[:2], "-j", "10").code == 0
    found = stats(shell)
    theirs = quantiles(latencies(cloudru), n=20, method="inclusive")
    assert found["latency_seconds"]["p50"] == pytest.approx(theirs[9], rel=0.05)
    assert found["latency_seconds"]["p95"] == pytest.approx(theirs[18], rel=0.05)
    print(found["latency_seconds"], theirs[9], theirs[18])


def test_nothing_done_yet_is_no_error(shell: Shell) -> None:
    found = stats(shell)
    assert (found["requests"]["total"], found["cache"]["hit_rate"]) == (0, None)
    assert shell.run("stats").code == 0
    assert shell.run("stats", "--since", "soon").code == 2
    assert shell.run("stats", "--by", "colour").code == 2


@pytest.mark.slow
def test_metrics_that_cannot_be_kept_fail_no_run(new_shell: Shell, folder: Path) -> None:
    data = new_shell.home / "data"
    data.mkdir()
    (data / "metrics.db").write_bytes(b"no database at all" * 1000)
    result = new_shell.transcribe(folder, *OPTIONS)
    assert result.code == 0, result.err
    assert "no metrics of this run are kept" in result.err


class Watching:
    """`stats --watch` on a terminal; what it draws is read as it comes."""

    def __init__(self, shell: Shell) -> None:
        self._keyboard, terminal = os.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sttbatch", "stats", "--watch"],
            env=shell.environment | {"TERM": "xterm", "COLUMNS": "140", "LINES": "40"},
            cwd=shell.home,
            stdin=terminal,
            stdout=terminal,
            stderr=subprocess.PIPE,
        )
        os.close(terminal)

    def until(self, words: str) -> None:
        """Until a frame says so; each begins at the terminal's first line."""
        shown = ""
        while words not in shown.rpartition("\x1b[H")[2]:
            shown += os.read(self._keyboard, 65_536).decode("utf-8", "replace")

    def end(self) -> tuple[int, bytes]:
        self._process.send_signal(signal.SIGINT)
        try:
            # Leaving the screen is written too, and somebody has to read it.
            with contextlib.suppress(OSError):
                while os.read(self._keyboard, 65_536):
                    pass
            _, complaints = self._process.communicate(timeout=60)
        finally:
            self._process.kill()
            os.close(self._keyboard)
        return self._process.returncode, complaints


def test_watching_a_run_of_another_process(shell: Shell, cloudru: CloudRu, folder: Path) -> None:
    gate, first = threading.Event(), iter(range(2))

    def heard(data: bytes) -> Heard:
        if next(first, None) is None:
            gate.wait(60)
        return hear(data)

    cloudru.recognise = heard
    watching = Watching(shell)
    try:
        watching.until("0: 0 ok")
        run = shell.start("transcribe", folder, *OPTIONS)
        watching.until("2: 2 ok")
        watching.until("1 processing")
        assert run.poll() is None
        gate.set()
        assert shell.finish(run).code == 0
        watching.until("1 transcribed")
    finally:
        gate.set()
        ended = watching.end()
    assert ended == (0, b"")


@pytest.mark.slow
def test_the_page_draws_in_a_browser(shell: Shell, folder: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed")
    assert shell.transcribe(folder, *OPTIONS).code == 0
    path = tmp_path / "report.html"
    result = shell.run("stats", "--html", path)
    assert (result.code, result.out) == (0, ""), result.err
    assert [each.name for each in tmp_path.glob("*report*")] == ["report.html"]
    text = path.read_text("utf-8")
    assert "://" not in text
    assert "talk" not in text
    # A script counts what has an extent once it is laid out, and nothing may come from elsewhere.
    probe = tmp_path / "probe.html"
    probe.write_text(text.replace("</body>", f"<script>{COUNT_SHAPES}</script></body>"), "utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", probe.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout
    drawn = json.loads(dom.partition('<pre id="drawn">')[2].partition("</pre>")[0])
    assert shell.endpoint is not None
    assert drawn["lanes rect.ok"] == len(shell.endpoint.received)
    assert drawn["latency circle.p50"] > 0
    assert drawn["cache rect"] == 1
    assert drawn["money rect"] == 1
    assert drawn["outside"] == 0


COUNT_SHAPES = """
const drawn = {};
for (const what of ["lanes rect.ok", "latency circle.p50", "cache rect", "money rect"])
  drawn[what] = [...document.querySelectorAll("#" + what)]
    .filter(each => each.getBoundingClientRect().width > 0.5).length;
drawn.outside = [...document.querySelectorAll("svg")].filter(svg => {
  const around = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("rect,text,circle")].some(each => {
    const box = each.getBoundingClientRect();
    return box.width && (box.left < around.left - 1 || box.right > around.right + 1);
  });
}).length;
const said = document.createElement("pre");
said.id = "drawn"; said.textContent = JSON.stringify(drawn); document.body.append(said);
"""
