"""Jobs and requests of language models beside transcription, as their users meet them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from sttbatch.core.jobs import JobSpec
from sttbatch.core.language_models import Question
from tests.cloudru import CloudRu, Said, make_recording
from tests.kinds.language.harness import PRICES, conversation
from tests.monitoring.exposed import value
from tests.shell import Shell

MODEL = "a/model"
SPEC = JobSpec(
    "summary", 2, {"recording": "talk.wav", "model": MODEL, "unit": "tokens", "quantity": 2500}
)
QUESTION = Question(MODEL, "Name the points.", '{"text": "one, two"}', {"type": "object"}, 300)
LENGTH_S = 9.0


@pytest.fixture
def summarized(
    shell: Shell, cloudru: CloudRu, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Shell:
    """A recording was transcribed, and a question about it was answered; its job is queued."""
    monkeypatch.setenv("SSL_CERT_FILE", str(cloudru.ca_file))
    make_recording(folder / "talk.wav", duration_s=LENGTH_S, sample_rate=8_000, channels=1)
    assert shell.transcribe(folder).code == 0
    cloudru.chat = lambda _: Said('{"points": ["two"]}')

    async def ask() -> None:
        async with conversation(shell.home / "data", cloudru, spec=SPEC) as talk:
            await talk.ask(QUESTION)

    asyncio.run(ask())
    return shell


def asked(shell: Shell, *arguments: str) -> Any:
    result = shell.run(*arguments, "--json")
    assert result.code == 0, result.err
    return json.loads(result.out)


def test_jobs_are_listed_by_their_kind_each_in_its_unit(summarized: Shell) -> None:
    shell = summarized
    head, *lines = shell.run("jobs", "list").out.splitlines()
    assert head.split()[:2] == ["KIND", "ID"]
    assert [line.split()[0] for line in lines] == ["summary", "transcription"]
    assert "  2,500 tokens  talk.wav" in lines[0]
    assert "  0:09" in lines[1]
    (only,) = asked(shell, "jobs", "list", "--kind", "summary")
    wanted = {"kind": "summary", "audio_s": 0.0, "quantity": 2500.0, "unit": "tokens"}
    assert wanted.items() <= only.items()
    assert only["request"] == {"model": MODEL}
    (spoken,) = asked(shell, "jobs", "list", "--kind", "transcription", "--status", "completed")
    assert spoken["audio_s"] == spoken["quantity"] == pytest.approx(LENGTH_S, abs=0.1)
    assert shell.run("jobs", "list", "--kind", "translation").out.count("\n") == 1
    wrong = shell.run("jobs", "list", "--kind", "audio")
    assert (wrong.code, "transcription, summary, translation, embedding" in wrong.err) == (2, True)


def test_a_job_of_questions_is_shown_and_changed_by_its_id(summarized: Shell) -> None:
    shell = summarized
    (job,) = asked(shell, "jobs", "list", "--kind", "summary")
    shown = shell.run("jobs", "show", job["id"]).out
    for part in ("kind:      summary", "length:    2,500 tokens", f"request:   model {MODEL}"):
        assert part in shown
    assert "\nQUESTION  ATTEMPT" in shown
    assert "CHUNK" not in shown
    assert " summary:" in shown
    (question,) = asked(shell, "jobs", "show", job["id"])["chunks"]
    assert (question["audio_s"], question["unit"]) == (0.0, "tokens")
    assert question["quantity"] > 0
    for command, state in (
        (("priority", job["id"], "high"), "QUEUED"),
        (("cancel", job["id"]), "CANCELLED"),
        (("retry", job["id"]), "QUEUED"),
    ):
        (changed,) = asked(shell, "jobs", *command)
        assert (changed["status"], changed["kind"]) == (state, "summary")
    assert shell.run("jobs", "purge", "--all").out == "2 jobs removed\n"


def test_stats_keep_seconds_and_tokens_apart(summarized: Shell, cloudru: CloudRu) -> None:
    shell = summarized
    stats = asked(shell, "stats", "--by", "kind")
    tokens = stats["kinds"]["summary"]["tokens"]
    cost = (tokens["prompt"] * PRICES.prompt + tokens["generated"] * PRICES.generated) / 1e6
    assert tokens["prompt"] > 8
    assert tokens["generated"] > 1
    assert stats["paid_seconds"] == stats["audio_seconds"] == pytest.approx(LENGTH_S, abs=0.1)
    assert stats["cost"] == pytest.approx(cost + 0.01 * stats["paid_seconds"])
    assert stats["requests"]["total"] == len(cloudru.received) == 2
    summary, spoken = stats["by"]["kind"]
    assert (summary["name"], spoken["name"]) == ("summary", "transcription")
    assert (summary["tokens"], summary["paid_seconds"]) == (tokens, 0.0)
    assert summary["cost"] == pytest.approx(cost)
    assert summary["latency_seconds"]["p50"] > 0
    assert spoken["tokens"] == {"prompt": 0, "generated": 0}
    screen = shell.run("stats", "--by", "kind").out
    read, written = tokens["prompt"], tokens["generated"]
    assert f"summary: {cost:.2f} RUB, 1 request, {read} tokens read, {written} written" in screen
    assert "tokens read" in screen.split("p50")[-2]
    page = shell.home / "page.html"
    assert shell.run("stats", "--html", page).code == 0
    assert "Spending by kind" in page.read_text("utf-8")


def test_without_language_models_nothing_is_said_of_them(shell: Shell, folder: Path) -> None:
    make_recording(folder / "talk.wav", duration_s=LENGTH_S, sample_rate=8_000, channels=1)
    assert shell.transcribe(folder).code == 0
    screen = shell.run("stats", "--by", "kind").out
    assert "tokens" not in screen
    assert "language" not in screen
    assert "KIND" not in shell.run("jobs", "list").out


def test_prometheus_and_alerts_tell_kinds_apart(summarized: Shell) -> None:
    shell = summarized
    (summary, spoken) = asked(shell, "stats", "--by", "kind")["by"]["kind"]
    text = shell.run("stats", "--prometheus").out
    assert value(text, "sttbatch_kind_requests_total", kind="summary") == 1
    assert value(text, "sttbatch_kind_requests_total", kind="translation") == 0
    for group in (summary, spoken):
        of_kind = value(text, "sttbatch_kind_cost_rubles_total", kind=group["name"])
        assert of_kind == pytest.approx(group["cost"], abs=1e-6)
    for type_, count in summary["tokens"].items():
        assert (
            value(text, "sttbatch_tokens_total", kind="summary", model=MODEL, type=type_) == count
        )
    assert value(text, "sttbatch_paid_audio_seconds_total", model=MODEL) == 0
    config = shell.home / ".config" / "sttbatch" / "config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(
        "".join(
            f"[[alerts]]\nmetric = '{metric}'\nthreshold = 1e9\n{kind}"
            for metric in ("cost", "tokens", "requests", "latency_p95", "jobs_failed")
            for kind in ("", "kind = 'summary'\n")
        )
    )
    rules = asked(shell, "alerts", "list")
    found = {(rule["metric"], rule["kind"]): rule["value"] for rule in rules}
    assert found["cost", None] == pytest.approx(summary["cost"] + spoken["cost"])
    assert found["cost", "summary"] == pytest.approx(summary["cost"])
    tokens = sum(summary["tokens"].values())
    assert (found["tokens", None], found["tokens", "summary"]) == (tokens, tokens)
    assert (found["requests", None], found["requests", "summary"]) == (2, 1)
    assert found["latency_p95", "summary"] == pytest.approx(summary["latency_seconds"]["p95"])
    assert found["jobs_failed", "summary"] == 0
    assert "cost of summary > 1e+09 over 3600 s" in {rule["name"] for rule in rules}
    config.write_text("[[alerts]]\nmetric = 'cost'\nthreshold = 1\nkind = 'sound'\n")
    wrong = shell.run("alerts", "list")
    assert (wrong.code, "line 4: kind = 'sound'; it is one of" in wrong.err) == (2, True)
