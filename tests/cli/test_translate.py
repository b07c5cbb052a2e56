"""`sttbatch translate` as its users meet it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pysubs2
import pytest

from tests.calls import make_call
from tests.cloudru import CloudRu, Hang, Said, Status, make_recording
from tests.cloudru.service import MODEL
from tests.cloudru.translating import TranslatingModel, translated
from tests.shell import Shell, load, texts

from .working import rows, working

CHAT = "openai/gpt-oss-120b"
PRICED = {"metadata": {"prompt_tokens_cost": 100, "generated_tokens_cost": 1000}}


@pytest.fixture
def model(cloudru: CloudRu) -> TranslatingModel:
    model = TranslatingModel()
    cloudru.chat = model
    cloudru.models = ({"id": MODEL}, {"id": CHAT, "context_length": 131_072, **PRICED})
    return model


@pytest.fixture
def talk(folder: Path) -> Path:
    make_recording(folder / "talk.flac", duration_s=65, sample_rate=8_000, channels=1)
    return folder / "talk.flac"


def chats(cloudru: CloudRu) -> int:
    return sum(each.path.endswith("/chat/completions") for each in cloudru.received)


def test_every_line_is_translated_at_its_time_and_paid_once(
    shell: Shell, cloudru: CloudRu, model: TranslatingModel, talk: Path
) -> None:
    assert shell.transcribe(talk, "-f", "json,srt").code == 0
    result = shell.run("translate", talk, "--to", "en", "-f", "srt,vtt,txt,tsv,json,html")
    assert result.code == 0, result.err
    assert result.out == f"{talk.with_suffix('.en.srt')}\n"
    assert "1 recording done" in result.summary
    source, target = load(talk.with_suffix(".json")), load(talk.with_suffix(".en.json"))
    assert target["language"] == "en"
    for before, after in zip(source["segments"], target["segments"], strict=True):
        assert after["text"] == translated(before["text"])
        assert (after["start"], after["end"]) == (before["start"], before["end"])
        assert after["source_text"] == before["text"]
    page = talk.with_suffix(".en.html").read_text("utf-8")
    assert f' src="{talk.name}">' in page
    assert page.count('"source_text":') == len(target["segments"])
    ours, theirs = (pysubs2.load(str(talk.with_suffix(end))) for end in (".srt", ".en.srt"))
    assert (ours[0].start, ours[-1].end) == (theirs[0].start, theirs[-1].end)
    sent = len(cloudru.received)
    for more in ((), ("-f", "vtt")):
        again = shell.run("translate", talk, "--to", "en", *more)
        assert again.code == 0, again.err
        assert "1 from cache" in again.summary
    assert len(cloudru.received) == sent, "nothing is paid twice"


def test_models_read_what_outputs_say_and_names_cost_nothing(
    shell: Shell, cloudru: CloudRu, model: TranslatingModel, folder: Path
) -> None:
    call, rules = folder / "call.wav", folder.parent / "rules.txt"
    truths = make_call(call, {"duration_s": 9.0}, {"duration_s": 9.0, "lead_silence_s": 10.0})
    first = texts(truths[0])[0]
    rules.write_text(f"{first} => Cloud\n")
    split = {"STTBATCH_CHANNELS": "split"}
    shell.extra |= split
    assert shell.transcribe(call, "-f", "json", "--replace", rules).code == 0
    found = json.loads(shell.run("search", "cloud", "--json").out)["hits"]
    assert (len(found), shell.run("search", first).code) == (1, 1)
    assert shell.run("translate", call, "--to", "en", "-f", "json").code == 0
    written = load(call.with_suffix(".en.json"))["segments"][0]
    assert written["source_text"].startswith("Cloud ")
    sent = len(cloudru.received)
    renamed = shell.run("speakers", "rename", call, "1=Anna")
    assert renamed.code == 0, renamed.err
    # Only what models wrote has to be written by the command that asked them.
    assert renamed.out == f"{call.with_suffix('.json')}\n"
    assert f"{call.with_suffix('.en.json')}: gets the names when" in renamed.err
    again = shell.run("translate", call, "--to", "en", "-f", "json")
    assert again.code == 0, again.err
    assert load(call.with_suffix(".en.json"))["segments"][0]["speaker"] == "Anna"
    assert len(cloudru.received) == sent
    # Rules that are given are those that are meant.
    rules.write_text(f"{first} => Other\n")
    assert shell.run("translate", call, "--to", "en", "-f", "json", "--replace", rules).code == 0
    written = load(call.with_suffix(".en.json"))["segments"][0]
    assert written["source_text"].startswith("Other ")
    # Whoever is forgotten has no name either, nor have the rules.
    assert shell.run("cache", "invalidate", "--file", call).code == 0
    for table in ("speaker_names", "dictionaries"):
        assert rows(shell, f"SELECT count(*) FROM {table}") == [(0,)]


def test_what_has_no_transcript_gets_one_first(
    shell: Shell, cloudru: CloudRu, model: TranslatingModel, talk: Path
) -> None:
    without = shell.run("translate", talk, "--to", "en", "--no-transcribe")
    assert without.code == 1
    assert "it has no transcript; transcribe it first" in without.err
    assert cloudru.received == []
    result = shell.run("translate", talk.parent, "--to", "en")
    assert result.code == 0, result.err
    assert sorted(path.name for path in talk.parent.iterdir()) == ["talk.en.srt", "talk.flac"]
    sent = len(cloudru.received)
    assert shell.transcribe(talk).code == 0
    assert len(cloudru.received) == sent, "its transcript was stored"


def test_without_a_key_it_is_said_what_to_set(shell: Shell, talk: Path) -> None:
    shell.extra["CLOUDRU_API_KEY"] = ""
    result = shell.run("translate", talk, "--to", "en")
    assert result.code == 2
    assert "set CLOUDRU_API_KEY, or CLOUDRU_API_KEY_FILE" in result.err
    # It recognises speech alone.
    assert "--engine local" not in result.err


@pytest.mark.slow
def test_a_dry_run_says_what_is_booked(
    shell: Shell, cloudru: CloudRu, model: TranslatingModel, talk: Path
) -> None:
    assert shell.transcribe(talk).code == 0
    sent = len(cloudru.received)
    expected = shell.run("translate", talk, "--to", "en", "--dry-run")
    assert expected.code == 0, expected.err
    assert "would send 1 question" in expected.out
    assert len(cloudru.received) == sent
    assert not talk.with_suffix(".en.srt").exists()
    assert shell.run("translate", talk, "--to", "en").code == 0
    again = shell.run("translate", talk, "--to", "en", "--dry-run")
    assert "nothing to send" in again.out


def test_a_line_that_nobody_translates_stays_and_is_named(
    shell: Shell, cloudru: CloudRu, model: TranslatingModel, talk: Path
) -> None:
    def lose(number: int, entries: list[dict[str, object]]) -> None:
        entries[:] = [each for each in entries if each["id"] != 2]

    model.wrong = lose
    result = shell.run("translate", talk, "--to", "en", "-f", "srt,json")
    assert result.code == 1
    assert f"{talk}: failed: 1 line is not translated: at 00:00:" in result.err
    segments = load(talk.with_suffix(".en.json"))["segments"]
    assert [each["id"] for each in segments if each.get("translated") is False] == [1]
    assert segments[1]["text"] == segments[1]["source_text"]
    model.wrong = lambda number, entries: None
    again = shell.run("translate", talk, "--to", "en", "-f", "srt,json", "--force")
    assert again.code == 0, again.err
    assert "translated" not in load(talk.with_suffix(".en.json"))["segments"][1]


def test_half_a_character_in_an_answer_ends_no_run(
    shell: Shell, cloudru: CloudRu, model: TranslatingModel, talk: Path
) -> None:
    def halve(number: int, entries: list[dict[str, object]]) -> Said:
        for each in entries:
            each["text"] = f"{each['text']} \ud83d"
        return Said(json.dumps({"segments": entries}))

    model.wrong = halve
    result = shell.run("translate", talk, "--to", "en", "-f", "srt,json")
    assert result.code == 0, result.err
    assert load(talk.with_suffix(".en.json"))["segments"][0]["text"].endswith(" \ufffd")


def test_a_job_ends_when_its_stored_result_is_written_by_a_later_run(
    shell: Shell, cloudru: CloudRu, model: TranslatingModel, talk: Path
) -> None:
    assert shell.transcribe(talk).code == 0
    target = talk.with_suffix(".en.srt")
    target.mkdir()
    result = shell.run("translate", talk, "--to", "en")
    assert result.code == 1
    assert "a folder has this name" in result.err
    target.rmdir()
    assert shell.run("translate", talk, "--to", "en").code == 0
    assert chats(cloudru) == 1
    jobs = json.loads(shell.run("jobs", "list", "--json").out)
    assert {job["status"] for job in jobs} == {"COMPLETED"}


def test_each_recording_is_left_once_when_the_budget_ends_before_all_are_transcribed(
    shell: Shell, cloudru: CloudRu, model: TranslatingModel, talk: Path
) -> None:
    for name in ("b", "c"):
        make_recording(
            talk.with_name(f"{name}.flac"),
            duration_s=65,
            sample_rate=8_000,
            channels=1,
            first_word=100 * ord(name),
        )
    result = shell.run("translate", talk.parent, "--to", "en", "--max-cost", "0.7")
    assert result.code == 4, result.err
    assert "3 left for the next run" in result.summary
    assert chats(cloudru) == 0


def test_fail_fast_ends_with_a_recording_that_cannot_be_transcribed(
    shell: Shell, cloudru: CloudRu, model: TranslatingModel, talk: Path
) -> None:
    assert shell.transcribe(talk).code == 0
    make_recording(
        talk.with_name("other.flac"), duration_s=65, sample_rate=8_000, channels=1, first_word=500
    )
    cloudru.faults = lambda post: Status(400) if post.path.endswith("transcriptions") else None
    result = shell.run("translate", talk.parent, "--to", "en", "--fail-fast")
    assert result.code == 1, result.err
    assert "1 failed, 1 left for the next run" in result.summary
    assert chats(cloudru) == 0


def test_workers_translate_what_is_submitted_and_transcribe_it_first(
    shell: Shell, cloudru: CloudRu, model: TranslatingModel, talk: Path
) -> None:
    other = talk.parent / "other"
    submit = ("submit", talk, "--kind", "translation", "--to", "en", "--wait")
    with working(shell):
        result = shell.run(*submit, "-f", "srt,json")
        assert result.code == 0, result.err
        assert result.out == f"{talk.with_suffix('.en.srt')}\n"
        sent = len(cloudru.received)
        # It is stored, so that another order is fulfilled at once.
        result = shell.run(*submit, "-o", other)
        assert result.code == 0, result.err
        assert (other / "talk.en.srt").is_file()
    assert len(cloudru.received) == sent
    assert chats(cloudru) == 1
    jobs = json.loads(shell.run("jobs", "list", "--json").out)
    assert {(job["kind"], job["status"]) for job in jobs} == {
        ("transcription", "COMPLETED"),
        ("translation", "COMPLETED"),
    }


def test_submit_says_how_the_chat_model_is_chosen(shell: Shell, talk: Path) -> None:
    submit = ("submit", talk, "--kind", "translation", "--to", "en")
    refused = shell.run(*submit, "--model", "a/chat")
    assert refused.code == 2
    assert "for --kind translation set STTBATCH_CHAT_MODEL" in refused.err
    shell.extra["STTBATCH_CHAT_MODEL"] = "a/chat"
    assert shell.run(*submit).code == 0
    (job,) = json.loads(shell.run("jobs", "list", "--json").out)
    assert job["request"] == {"model": "a/chat"}


def test_a_failed_translation_is_run_again_by_its_id(
    shell: Shell, cloudru: CloudRu, model: TranslatingModel, talk: Path
) -> None:
    assert shell.transcribe(talk).code == 0
    cloudru.faults = lambda post: Status(400) if post.path.endswith("completions") else None
    result = shell.run("translate", talk, "--to", "en")
    assert result.code == 1, result.err
    assert f"{talk}: failed: " in result.err
    assert not talk.with_suffix(".en.srt").exists()
    cloudru.faults = None
    jobs = json.loads(shell.run("jobs", "list", "--status", "failed", "--json").out)
    result = shell.run("jobs", "retry", jobs[0]["id"], "--now")
    assert result.code == 0, result.err
    assert talk.with_suffix(".en.srt").is_file()


def test_what_is_not_taken_is_counted(
    shell: Shell, cloudru: CloudRu, model: TranslatingModel, talk: Path
) -> None:
    talk.with_name("cover.jpg").write_bytes(b"no sound")
    recent = shell.run("translate", talk.parent, "--to", "en", "--min-age", "1h")
    assert recent.code == 0, recent.err
    assert "modified too recently" in recent.summary
    # Its own outputs are not counted.
    for _ in range(2):
        result = shell.run("translate", talk.parent, "--to", "en")
        assert result.code == 0, result.err
        assert "1 other file skipped" in result.summary


def test_a_model_that_is_not_served_is_named_with_what_chooses_it(
    shell: Shell, cloudru: CloudRu, model: TranslatingModel, talk: Path
) -> None:
    cloudru.faults = lambda post: Status(404) if post.path.endswith("completions") else None
    result = shell.run("translate", talk, "--to", "en")
    assert result.code == 2, result.err
    assert f"the endpoint does not serve the model {CHAT}" in result.err
    assert "Choose one by --model or STTBATCH_CHAT_MODEL\n" in result.err


def test_limits_of_cost_count_what_models_cost(
    shell: Shell, cloudru: CloudRu, model: TranslatingModel, talk: Path
) -> None:
    assert shell.transcribe(talk).code == 0
    shell.extra["STTBATCH_BUDGET_PER_DAY"] = "0.66"
    result = shell.run("translate", talk, "--to", "en", "--max-cost", "0.001")
    assert result.code == 4, result.err
    assert "1 left for the next run" in result.summary
    result = shell.run("translate", talk, "--to", "en")
    assert result.code == 4, result.err
    assert "budget_per_day" in result.err
    assert chats(cloudru) == 0
    cloudru.models = ()
    result = shell.run("translate", talk, "--to", "en")
    assert result.code == 2
    assert "set chat_price_in and chat_price_out" in result.err
    shell.extra |= {"STTBATCH_CHAT_PRICE_IN": "1", "STTBATCH_CHAT_PRICE_OUT": "2"}
    assert shell.run("translate", talk, "--to", "en").code == 0
    assert chats(cloudru) == 1


def test_a_killed_run_pays_no_window_twice(
    shell: Shell, cloudru: CloudRu, model: TranslatingModel, folder: Path
) -> None:
    make_recording(folder / "long.flac", duration_s=600, sample_rate=8_000, channels=1)
    assert shell.transcribe(folder, "--chunk-duration", "300").code == 0
    cloudru.faults = lambda post: Hang() if chats(cloudru) == 3 else None
    process = shell.start("translate", folder, "--to", "en")
    cloudru.wait_for(lambda _: chats(cloudru) == 3, 60)
    process.kill()
    process.communicate()
    cloudru.faults = None
    result = shell.run("translate", folder, "--to", "en")
    assert result.code == 0, result.err
    asked = [tuple(ids) for ids in model.ids]
    # The model heard the third one, and nobody got its answer.
    assert Counter(asked) == Counter(dict.fromkeys(asked, 1)) + Counter([asked[2]])


def test_an_edited_transcript_is_translated_as_it_reads_now(
    shell: Shell, cloudru: CloudRu, model: TranslatingModel, talk: Path
) -> None:
    assert shell.transcribe(talk, "-f", "srt").code == 0
    assert shell.run("translate", talk, "--to", "en").code == 0
    subtitles = talk.with_suffix(".srt")
    changed = subtitles.read_text("utf-8").splitlines()
    changed[2] = "Corrected words by hand"
    subtitles.write_text("\n".join(changed) + "\n", "utf-8")
    assert shell.run("translate", talk, "--to", "en").code == 0
    assert translated("Corrected words") in talk.with_suffix(".en.srt").read_text("utf-8")
