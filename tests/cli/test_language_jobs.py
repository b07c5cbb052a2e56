"""Translations and summaries as jobs: their limits, their failures, and who is first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cloudru import Asked, Choice, CloudRu, Fin, Received, Said, make_recording
from tests.cloudru.service import MODEL
from tests.cloudru.summaries import summarised
from tests.cloudru.translating import Entries, TranslatingModel
from tests.shell import Shell

from .working import in_flight, rows, until_rows, working

CHAT = "openai/gpt-oss-120b"
CLAIMED = "SELECT count(*) FROM chunk_tasks WHERE status = 'PROCESSING'"
DONE = "SELECT count(*) FROM orders WHERE done_at IS NOT NULL"
PRICED = {"prompt_tokens_cost": 100, "generated_tokens_cost": 1000}


def list_models(cloudru: CloudRu, **facts: object) -> None:
    listed = {"id": CHAT, "context_length": 131_072, "metadata": {**PRICED, **facts}}
    cloudru.models = ({"id": MODEL, "metadata": {"provider": "cloud.ru"}}, listed)


@pytest.fixture
def model(cloudru: CloudRu) -> TranslatingModel:
    model = TranslatingModel()
    cloudru.chat = model
    list_models(cloudru)
    return model


def record(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        make_recording(
            folder / f"{name}.flac",
            duration_s=8,
            sample_rate=8_000,
            channels=1,
            first_word=100 * number,
        )


def questions(cloudru: CloudRu) -> list[Received]:
    return [each for each in cloudru.received if each.asked is not None]


def test_a_question_whose_connection_is_lost_is_said_to_be_possibly_billed_and_stays_reserved(
    shell: Shell, cloudru: CloudRu, model: TranslatingModel, folder: Path
) -> None:
    record(folder, "talk")
    assert shell.transcribe(folder).code == 0
    lost = Fin(after_body=True)
    cloudru.faults = Choice(lambda _: lost if len(questions(cloudru)) == 1 else None)
    result = shell.run("translate", folder, "--to", "en")
    assert result.code == 0, result.err
    assert "(1 request possibly billed)" in result.summary
    assert len(questions(cloudru)) == 2
    assert "1 requests possibly billed" in " ".join(shell.run("stats").out.split())
    ((maybe_paid, total),) = rows(
        shell, "SELECT sum(cost) FILTER (WHERE maybe_paid = 1), sum(cost) FROM requests"
    )
    assert isinstance(maybe_paid, float)
    assert isinstance(total, float)
    # Its answer may have had all its tokens.
    assert 1000 * model.asked[0].max_tokens / 1e6 < maybe_paid < total
    # A question like it has no room beside it.
    shell.extra["STTBATCH_BUDGET_PER_DAY"] = str(total + maybe_paid / 2)
    result = shell.run("translate", folder, "--to", "en", "--force")
    assert result.code == 4, result.err
    assert len(questions(cloudru)) == 2
    shell.extra["STTBATCH_BUDGET_PER_DAY"] = str(total + maybe_paid * 1.1)
    assert shell.run("translate", folder, "--to", "en", "--force").code == 0


@pytest.mark.parametrize("command", [("translate", "--to", "en"), ("summarize",)])
def test_an_external_model_gets_no_question(
    shell: Shell, cloudru: CloudRu, model: TranslatingModel, folder: Path, command: tuple[str, ...]
) -> None:
    record(folder, "talk")
    list_models(cloudru, provider="external")
    shell.extra["STTBATCH_ONLY_INTERNAL"] = "true"
    assert shell.transcribe(folder).code == 0
    name, *options = command
    result = shell.run(name, folder, *options)
    assert result.code == 2, result.err
    assert f"the model {CHAT} is run by an external provider" in result.err
    assert "only_internal = true" in result.err
    assert questions(cloudru) == []
    assert rows(shell, "SELECT count(*) FROM requests WHERE unit = 'tokens'") == [(0,)]


def test_a_translation_without_retries_is_a_dead_letter_until_it_is_forced(
    shell: Shell, cloudru: CloudRu, model: TranslatingModel, folder: Path
) -> None:
    record(folder, "talk")

    def lose(_number: int, entries: Entries) -> None:
        entries[:] = [each for each in entries if each["id"] != 1]

    model.wrong = lose
    shell.extra["STTBATCH_JOB_RETRIES"] = "0"
    first = shell.run("translate", folder, "--to", "en")
    assert first.code == 1, first.err
    assert "not translated" in first.err
    model.wrong = lambda _number, _entries: None
    sent = len(cloudru.received)
    again = shell.run("translate", folder, "--to", "en")
    assert again.code == 1, again.err
    (job,) = json.loads(shell.run("jobs", "list", "--kind", "translation", "--json").out)
    assert job["dead_letter"] is True
    assert "dead letter, failed 1 time: 1 line is not translated: at 00:00:0" in again.err
    assert f"`sttbatch jobs retry {job['id'][:8]}` or --force" in again.err
    assert len(cloudru.received) == sent
    forced = shell.run("translate", folder, "--to", "en", "--force")
    assert forced.code == 0, forced.err
    assert len(cloudru.received) == sent + 1


def summaries(shell: Shell) -> dict[str, dict[str, Any]]:
    result = shell.run("jobs", "list", "--kind", "summary", "--json")
    return {Path(job["recording"]).stem: job for job in json.loads(result.out)}


def test_workers_summarize_what_is_urgent_first_and_nothing_that_is_cancelled(
    shell: Shell, cloudru: CloudRu, folder: Path
) -> None:
    said: list[int] = []

    def chat(asked: Asked) -> Said:
        first = asked.values["segments"][0]["text"].split()[0]
        said.append(order.index(first))
        return summarised(asked)

    cloudru.chat = chat
    list_models(cloudru)
    names = ("first", "second", "third", "urgent", "dropped")
    record(folder, *names)
    assert shell.transcribe(folder, "-f", "txt").code == 0
    order = [(folder / f"{name}.txt").read_text().split()[0] for name in names]
    submit = ("submit", "--kind", "summary", "--priority")
    assert shell.run(*submit, "low", folder / "first.flac", folder / "dropped.flac").code == 0
    assert shell.run("jobs", "cancel", summaries(shell)["dropped"]["id"]).code == 0
    cloudru.hold()
    with working(shell, "-j", "1"):
        in_flight(shell, 1)
        later = [folder / f"{name}.flac" for name in ("second", "third")]
        assert shell.run(*submit, "low", *later).code == 0
        assert shell.run(*submit, "high", folder / "urgent.flac").code == 0
        # All questions wait for the lane, or do so within the latency.
        until_rows(shell, CLAIMED, [(4,)])
        cloudru.latency_s = 0.5
        cloudru.resume()
        until_rows(shell, DONE, [(4,)])
    assert said[:2] == [names.index("first"), names.index("urgent")]
    assert sorted(said) == [0, 1, 2, 3]
    assert summaries(shell)["dropped"]["status"] == "CANCELLED"
    assert not (folder / "dropped.summary.md").exists()
