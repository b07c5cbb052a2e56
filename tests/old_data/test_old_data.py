"""A data folder of version 0.1 opens, and what it holds is found again: keys have not changed.

`make.py` tells what is in it. Only commands are run here, since modules may be renamed: what must
stay is what users have on their disks.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from tests.cloudru import CloudRu, hear
from tests.old_data.origin import fixed_origin
from tests.shell import Result, Shell, load, texts, words_of

HERE = Path(__file__).parent
FORMATS = ("-f", "txt,json")
TALKS = ("talks", "-f", "txt,json,srt")
CALLS = ("calls", "--channels", "split", *FORMATS)
ANSWERED = (
    'sttbatch_requests_total{cause="none",engine="cloudru",model="openai/whisper-large-v3",'
    'outcome="answered"}'
)


class OldData(Shell):
    """The command line on the old folder; recordings are named as they were then."""

    @property
    def folder(self) -> Path:
        return self.home.parent / "recordings"

    def again(self, *arguments: str) -> Result:
        return self.transcribe(*arguments, cwd=self.folder)

    def asked(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert (result.code, result.err) == (0, "")
        return json.loads(result.out)

    def figures(self) -> dict[str, float]:
        """Totals of all time, by name and labels."""
        text = self.run("stats", "--prometheus").out
        # Version 0.1 did not say of which ledger they are.
        lines = re.sub(r',?ledger="[^"]*"', "", text).replace("{,", "{").replace("{}", "")
        samples = (line.rpartition(" ") for line in lines.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def statuses(self) -> dict[str, str]:
        """By recording: each has one job, also after it was taken up again."""
        jobs = self.asked("jobs", "list")
        found = {job["recording"]: job["status"] for job in jobs}
        assert len(found) == len(jobs)
        return found

    def words(self, recording: str) -> list[str]:
        return texts(hear((self.folder / recording).read_bytes()).words)

    def sent(self) -> list[str]:
        """The words of all uploads, in the order of their arrival."""
        assert self.endpoint is not None
        return [word for post in self.endpoint.received for word in post.words]


@pytest.fixture
def old(home: Path, cloudru: CloudRu) -> Iterator[OldData]:
    """A copy for each test, with the recordings and outputs where the folder says that they are."""
    with fixed_origin(cloudru) as variables:
        found = OldData(home, cloudru, variables)
        found.extra["STTBATCH_CONFIG"] = str(HERE / "settings.toml")
        shutil.copytree(HERE / "recordings", found.folder)
        data = home / "data"
        (data / "answers").mkdir(parents=True, mode=0o700)
        shutil.copy(HERE / "spooled.answer", data / "answers" / "1-000000000000.answer")
        for name in ("ledger", "metrics"):
            text = (HERE / f"{name}.sql").read_text("utf-8")
            with contextlib.closing(sqlite3.connect(data / f"{name}.db")) as database:
                database.executescript(_moved(text, found.folder.resolve()))
        yield found


def _moved(text: str, folder: Path) -> str:
    """The ledger has paths as bytes, in SQL their hexadecimal digits."""
    before, after = b"/recordings/".hex().upper(), os.fsencode(f"{folder}/").hex().upper()
    return text.replace(before, after)


@pytest.fixture
def told() -> dict[str, Any]:
    """What version 0.1 said of the folder."""
    return load(HERE / "told.json")


def said_still(before: Any, now: Any) -> None:
    """Whatever was told then is told now; a later version may tell more."""
    if isinstance(before, dict):
        for name, value in before.items():
            said_still(value, now[name])
    elif isinstance(before, list):
        for one, other in zip(before, now, strict=True):
            said_still(one, other)
    elif isinstance(before, float):
        # SQLite adds up more exactly from 3.43 on.
        assert now == pytest.approx(before)
    else:
        assert now == before


@pytest.mark.slow
def test_what_was_there_is_told_as_version_01_did(old: OldData, told: dict[str, Any]) -> None:
    said_still(told["stats"], old.asked("stats", "--since", "36500d"))
    # Their order is another since.
    by_id = itemgetter("id")
    said_still(sorted(told["jobs"], key=by_id), sorted(old.asked("jobs", "list"), key=by_id))
    said_still(told["alerts"], old.asked("alerts", "list"))
    said_still(told["cache"], old.asked("cache", "stats")["levels"]["L3"])
    figures = (line.rpartition(" ") for line in told["figures"])
    said_still({name: float(value) for name, _, value in figures}, old.figures())
    assert old.run("cache", "verify").code == 0
    assert old.sent() == []


@pytest.mark.slow
def test_each_job_can_be_looked_at(old: OldData, told: dict[str, Any]) -> None:
    for job in told["jobs"]:
        found = old.asked("jobs", "show", job["id"])
        said_still(job, found)
        # Of what cannot be read no chunk was made.
        assert bool(found["chunks"]) is (job["audio_s"] > 0), job["recording"]
        assert found["passes"]


def test_a_second_run_sends_nothing(old: OldData) -> None:
    def outputs() -> dict[Path, Any]:
        return {path: content(path) for path in old.folder.rglob("*") if path.is_file()}

    before = outputs()
    for arguments in (TALKS, CALLS):
        result = old.again(*arguments)
        assert result.code == 0, result.err
    finished(old)
    # Nothing that an output says is another thing, nor is any written beside them.
    assert outputs() == before


def content(path: Path) -> Any:
    """What an output says, but for what was sent: a newer merger takes the chunks of an older."""
    if path.suffix != ".json":
        return path.read_bytes()
    document = load(path)
    for chunk in document["chunks"]:
        del chunk["cached"]
    return document


TRANSCRIPTS = "DELETE FROM cache_entries WHERE key LIKE 'transcript:%'"
CUTS = "DELETE FROM cuts"
LOST = {
    "transcripts": [TRANSCRIPTS],
    # What was asked for again has keys like chunks, and is no cut of a recording.
    "cuts and asks": [
        TRANSCRIPTS,
        """DELETE FROM cache_entries
           WHERE key LIKE 'chunk:%' AND key NOT IN (SELECT chunk_key FROM cuts)""",
        CUTS,
    ],
    "cuts and audits": [TRANSCRIPTS, "DELETE FROM cache_entries WHERE key LIKE 'audit:%'", CUTS],
}


def test_its_transcripts_are_searched_although_it_has_no_index(old: OldData) -> None:
    word = old.words("talks/memo.flac")[1]
    (hit,) = old.asked("search", word, str(old.folder))["hits"]
    assert hit["path"] == str(old.folder / "talks" / "memo.flac")
    assert hit["words"] == [word]
    assert old.sent() == []


@pytest.mark.parametrize(
    "lost",
    [
        "transcripts",
        *(
            pytest.param(lost, marks=pytest.mark.slow)
            for lost in ("cuts and asks", "cuts and audits")
        ),
    ],
)
def test_each_kind_of_key_finds_what_is_left_without_the_others(old: OldData, lost: str) -> None:
    with contextlib.closing(sqlite3.connect(old.home / "data" / "ledger.db")) as ledger, ledger:
        ledger.execute("PRAGMA foreign_keys = ON")
        for statement in LOST[lost]:
            assert ledger.execute(statement).rowcount > 0
    for path in (*old.folder.glob("talks/*.json"), *old.folder.glob("calls/*.json")):
        path.unlink()
    if lost == "cuts and audits":
        # It has to look for holes again, and tones are no speech to a detector.
        old.extra["STTBATCH_VAD"] = "off"
    for arguments in (TALKS, CALLS):
        result = old.again(*arguments)
        assert result.code == 0, result.err
    finished(old)


def finished(old: OldData) -> None:
    """All words are there, and none was sent."""
    assert old.sent() == []
    for name in ("talks/talk.mp3", "talks/memo.flac", "talks/lost.ogg", "calls/call.flac"):
        assert words_of((old.folder / name).with_suffix(".json")) == old.words(name), name
    speakers = {each["speaker"] for each in load(old.folder / "calls" / "call.json")["segments"]}
    assert speakers == {"1", "2"}


def test_outputs_are_known_for_its_own_and_edited_ones_are_kept(old: OldData) -> None:
    edited = old.folder / "talks" / "memo.json"
    edited.write_text("by hand")
    result = old.again(*TALKS, "--words")
    assert result.code == 0, result.err
    assert f"{edited.name}: not replaced" in result.err
    assert edited.read_text() == "by hand"
    assert "words" in load(old.folder / "talks" / "talk.json")["segments"][0]
    assert old.sent() == []


@pytest.mark.parametrize(
    "chunk_s",
    [pytest.param("10", marks=pytest.mark.slow), "30"],
    ids=["cut as then", "cut otherwise"],
)
def test_what_a_killed_run_had_stored_is_not_sent_again(
    old: OldData, told: dict[str, Any], chunk_s: str
) -> None:
    words = old.words("unfinished/long.ogg")
    result = old.again("unfinished", "--chunk-duration", chunk_s, "-j", "1", *FORMATS)
    assert result.code == 0, result.err
    assert words_of(old.folder / "unfinished" / "long.json") == words
    assert told["stored_words"] + old.sent() == words
    assert old.statuses()["unfinished/long.ogg"] == "COMPLETED"


def test_an_answer_that_waits_in_the_spool_is_stored_and_used(old: OldData) -> None:
    before = old.asked("stats", "--since", "36500d")["requests"]
    result = old.again("spooled", *FORMATS)
    assert result.code == 0, result.err
    assert old.sent() == []
    assert words_of(old.folder / "spooled" / "kept.json") == old.words("spooled/kept.ogg")
    assert list((old.home / "data" / "answers").iterdir()) == []
    assert old.figures()[ANSWERED] == before["ok"] + 1
    assert old.run("cache", "verify").code == 0


def test_what_failed_waits_or_was_cancelled_can_be_done(old: OldData) -> None:
    retried = old.asked("jobs", "retry", "--failed")
    assert {job["recording"] for job in retried} == {
        f"failed/{name}" for name in ("refused.ogg", "broken.mp3", "gone.mp3")
    }
    failed = old.again("failed", *FORMATS)
    assert failed.code == 1, failed.err
    (cancelled,) = old.asked("jobs", "list", "--status", "cancelled")
    old.asked("jobs", "retry", cancelled["id"])
    assert old.again("waiting", *FORMATS).code == 0
    done = ["failed/refused.ogg", "waiting/queued.ogg", "waiting/cancelled.ogg"]
    assert sorted(old.sent()) == sorted(word for name in done for word in old.words(name))
    statuses = old.statuses()
    assert {statuses[name] for name in done} == {"COMPLETED"}
    assert statuses["failed/broken.mp3"] == "FAILED"


@pytest.mark.slow
def test_no_total_falls_when_the_old_measurements_expire(old: OldData) -> None:
    def totals() -> dict[str, float]:
        # Requests never expire; the one whose answer waits in the spool is counted anew.
        return {
            name: value
            for name, value in old.figures().items()
            if "_total" in name and not name.startswith("sttbatch_requests_")
        }

    before = totals()
    assert old.again(*TALKS).code == 0
    after = totals()
    assert [name for name, value in before.items() if after[name] < value] == []
    assert old.asked("stats", "--since", "36500d")["runs"]["total"] == 1
    assert after["sttbatch_runs_begun_total"] == before["sttbatch_runs_begun_total"] + 1


def test_speakers_of_an_old_recording_get_names_with_its_next_run(old: OldData) -> None:
    result = old.run("speakers", "rename", "call.txt", "1=Anna", cwd=old.folder / "calls")
    assert (result.code, result.out) == (0, ""), result.err
    outputs = [old.folder.resolve() / "calls" / f"call.{name}" for name in ("json", "txt")]
    assert result.err.splitlines() == [
        f"sttbatch: {each}: gets the names when the command that wrote it is run again"
        for each in outputs
    ]
    assert old.again(*CALLS).code == 0
    assert "Anna: " in outputs[1].read_text()
    # From now on it is known how they were written.
    result = old.run("speakers", "rename", outputs[1], "1=Maria")
    assert (result.code, result.out.splitlines()) == (0, [*map(str, outputs)]), result.err
    assert "Maria: " in outputs[1].read_text()
    assert old.sent() == []
