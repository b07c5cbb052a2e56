"""`sttbatch search` as its users meet it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cloudru import HeardWord, make_recording
from tests.shell import Shell

OPTIONS = ("--chunk-duration", "30", "--words")


@pytest.fixture
def talk(folder: Path) -> list[HeardWord]:
    return make_recording(folder / "talk.flac", duration_s=65, sample_rate=8_000, channels=1)


def hits(shell: Shell, *arguments: str | Path) -> list[dict[str, Any]]:
    result = shell.run("search", *arguments, "--json")
    assert result.code in {0, 1}, result.err
    found: list[dict[str, Any]] = json.loads(result.out)["hits"]
    assert (result.code == 0) == bool(found)
    return found


def clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"


def indexed(shell: Shell) -> list[str]:
    with closing(sqlite3.connect(shell.home / "data" / "search.db")) as database:
        return [key for (key,) in database.execute("SELECT key FROM search_transcripts")]


def test_a_word_is_found_where_it_is_spoken(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    assert shell.transcribe(folder, *OPTIONS).code == 0
    assert shell.endpoint is not None
    assert len(indexed(shell)) == 1, "it was indexed while it was transcribed"
    sent, word = len(shell.endpoint.received), talk[40]
    result = shell.run("search", word.text, cwd=folder)
    assert result.code == 0, result.err
    assert result.err == ""
    (line,) = result.out.splitlines()
    assert line.startswith(f"talk.flac:{clock(word.start_s)}: ")
    assert word.text in line
    (hit,) = hits(shell, word.text.upper(), folder)
    assert hit["path"] == str(folder / "talk.flac")
    assert abs(hit["second"] - word.start_s) < 0.1
    assert hit["words"] == [word.text]
    assert hit["transcript"].startswith("transcript:")
    # A phrase, over the end of every chunk and sentence.
    every = " ".join(each.text for each in talk[:60])
    (hit,) = hits(shell, f'"{every}"')
    assert len(hit["words"]) == 60
    assert abs(hit["second"] - talk[0].start_s) < 0.1
    (hit,) = hits(shell, word.text, "--context", "1")
    assert [len(hit[name]) for name in ("before", "after")] == [1, 1]
    assert len(shell.endpoint.received) == sent, "nothing is sent"


def test_what_is_not_found_and_what_is_wrong_have_exit_codes_of_their_own(
    shell: Shell, folder: Path, talk: list[HeardWord], tmp_path: Path
) -> None:
    assert shell.transcribe(folder, *OPTIONS).code == 0
    word = talk[40].text
    nothing = shell.run("search", "nowhere")
    assert (nothing.code, nothing.out, nothing.err) == (1, "", "")
    (tmp_path / "other").mkdir()
    for arguments in (
        ("nowhere", folder),
        (word, tmp_path / "other"),
        (word, "--speaker", "1"),
        (f"{word} -{word}",),
    ):
        assert hits(shell, *arguments) == []
    for missing in (tmp_path / "none", folder / "none.flac", "s3://bucket/none"):
        unknown = shell.run("search", word, folder, missing)
        assert (unknown.code, unknown.out) == (2, "")
        assert f"{missing}: it does not exist, and nothing of it is transcribed" in unknown.err
    (folder / "talk.flac").rename(tmp_path / "moved.flac")
    assert len(hits(shell, word, folder / "talk.flac")) == 1, "the ledger knows it"
    assert len(hits(shell, word, "--since", "1h")) == 1
    for query, reason in (
        ('"open', 'a quote of the query is not closed; add a "'),
        ("-- -word", "a query with -words needs a word to look for too"),
        ("", "the query has no word to look for"),
    ):
        wrong = shell.run("search", *(query.split(" ") if "--" in query else [query]))
        assert (wrong.code, wrong.out) == (2, "")
        assert wrong.err == f"sttbatch: {reason}\n"
    assert shell.run("search", word, "--since", "soon").code == 2


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="needs /dev/full")
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["lines", "json"])
def test_hits_that_cannot_be_written_are_a_failure(
    shell: Shell, folder: Path, talk: list[HeardWord], form: list[str]
) -> None:
    assert shell.transcribe(folder, *OPTIONS).code == 0
    with Path("/dev/full").open("wb") as full:
        result = shell.finish(shell.start("search", talk[40].text, *form, stdout=full))
    assert result.code == 2
    assert result.err.startswith("sttbatch: standard output cannot be written: No space left")


def test_a_renamed_recording_has_its_present_name(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    assert shell.transcribe(folder, *OPTIONS).code == 0
    (folder / "talk.flac").rename(folder / "zebra.flac")
    assert shell.transcribe(folder, *OPTIONS).code == 0
    (hit,) = hits(shell, talk[3].text)
    assert hit["path"] == str(folder / "zebra.flac")
    assert len(hits(shell, talk[3].text, folder / "zebra.flac")) == 1


def test_an_edited_output_is_found_by_its_text(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    forms = ("json", "srt", "vtt", "tsv", "txt")
    assert shell.transcribe(folder, *OPTIONS, "-f", ",".join(forms)).code == 0
    word = talk[40]
    assert len(hits(shell, word.text)) == 1
    for form in forms:
        path = folder / f"talk.{form}"
        text = path.read_text("utf-8")
        assert word.text in text
        path.write_text(text.replace(word.text, "exhibit"), "utf-8")
        (hit,) = hits(shell, "exhibits")
        assert abs(hit["second"] - word.start_s) < (0.1 if form in {"json", "txt"} else 10), form
        assert hits(shell, word.text) == [], form
        # Another file, and no other text.
        path.unlink()
        path.write_text(text, "utf-8")
    assert hits(shell, "exhibits") == []
    assert len(hits(shell, word.text)) == 1


def test_an_edited_output_may_have_any_times(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    assert shell.transcribe(folder, *OPTIONS, "-f", "json,srt,tsv").code == 0
    words = '[{"word": "exhibit", "start": 1e308, "end": 1}]'
    for form, text in (
        ("json", '{"segments": [{"text": "exhibit", "start": -5, "end": 1}]}'),
        (
            "json",
            f'{{"segments": [{{"text": "exhibit", "start": -1e300, "end": 1, "words": {words}}}]}}',
        ),
        ("tsv", f"start\tend\ttext\n-{'9' * 300}\t1\texhibit"),
        ("srt", f"1\n{'9' * 20}:00:00,000 --> {'9' * 20}:00:00,000\nexhibit\n"),
    ):
        path = folder / f"talk.{form}"
        written = path.read_bytes()
        path.write_text(text, "utf-8")
        (hit,) = hits(shell, "exhibits")
        assert 0 <= hit["second"] <= 1e9, text
        path.unlink()
        path.write_bytes(written)


def test_what_is_invalidated_is_gone_from_the_index_too(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    other = make_recording(
        folder / "other.flac", duration_s=12, sample_rate=8_000, channels=1, first_word=900
    )
    assert shell.transcribe(folder, *OPTIONS).code == 0
    assert len(indexed(shell)) == 2
    (folder / "talk.txt").write_text(f"exhibit {talk[40].text}", "utf-8")
    assert len(hits(shell, "exhibits")) == 1
    assert shell.run("cache", "invalidate", "--file", folder / "talk.flac").code == 0
    assert len(indexed(shell)) == 1
    files = b"".join(path.read_bytes() for path in (shell.home / "data").glob("search.db*"))
    # Terms of FTS5 have their common beginnings once: the ends of longer words are enough.
    assert talk[40].text.encode() not in files
    assert b"talk.txt" not in files, "nor is the name of what was edited"
    assert other[3].text.encode() in files
    assert hits(shell, talk[40].text) == []
    assert len(hits(shell, other[3].text)) == 1


def test_a_folder_without_an_index_a_damaged_one_and_one_of_another_version(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    assert shell.transcribe(folder, *OPTIONS).code == 0
    file, word = shell.home / "data" / "search.db", talk[40].text
    (hit,) = hits(shell, word)
    file.unlink()
    assert hits(shell, word) == [hit]
    with closing(sqlite3.connect(file)) as database:
        database.execute("UPDATE search_transcripts SET version = 'old'")
        database.execute("UPDATE search_passages SET data = x'00'")
        database.commit()
    assert hits(shell, word) == [hit]
    os.truncate(file, 9_000)
    damaged = shell.run("search", word)
    assert damaged.code == 2, "1 would say that nothing is found"
    assert "search.db" in damaged.err
    assert "`sttbatch index --rebuild`" in damaged.err
    # A run neither fails nor waits for it.
    make_recording(folder / "b.flac", duration_s=9, sample_rate=8_000, channels=1, first_word=900)
    assert shell.transcribe(folder, *OPTIONS).code == 0
    rebuilt = shell.run("index", "--rebuild")
    assert rebuilt.code == 0, rebuilt.err
    assert rebuilt.out.startswith("2 transcripts indexed, ")
    assert hits(shell, word) == [hit]


_KILLED_IN_INDEXING = """
import os, signal, sys
from sttbatch.database import search_sqlite
insert = search_sqlite.SqliteSearchIndex._insert_passages
def killed(self, session, place, rows):
    insert(self, session, place, rows)
    os.kill(os.getpid(), signal.SIGKILL)
search_sqlite.SqliteSearchIndex._insert_passages = killed
from sttbatch.__main__ import main
sys.argv = ["sttbatch", *sys.argv[1:]]
main()
"""


def test_a_process_killed_while_it_indexes_loses_nothing(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    import subprocess

    process = subprocess.run(
        [sys.executable, "-c", _KILLED_IN_INDEXING, "transcribe", folder, *OPTIONS],
        env=shell.environment, cwd=shell.home, capture_output=True, check=False,
    )  # fmt: skip
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert indexed(shell) == []
    assert len(hits(shell, talk[40].text)) == 1


def test_two_processes_index_at_once(shell: Shell, folder: Path, talk: list[HeardWord]) -> None:
    for number in range(4):
        make_recording(
            folder / f"{number}.flac", duration_s=9, sample_rate=8_000, channels=1,
            first_word=900 + 100 * number,
        )  # fmt: skip
    assert shell.transcribe(folder, *OPTIONS).code == 0
    (shell.home / "data" / "search.db").unlink()
    searches = [shell.start("search", talk[40].text, "--json") for _ in range(3)]
    results = [shell.finish(each) for each in searches]
    assert [each.code for each in results] == [0, 0, 0], [each.err for each in results]
    assert len({each.out for each in results}) == 1
    assert len(indexed(shell)) == 5


def test_a_copied_ledger_is_searched_and_nothing_stale_is_found(
    shell: Shell, folder: Path, talk: list[HeardWord], tmp_path: Path
) -> None:
    assert shell.transcribe(folder, *OPTIONS).code == 0
    (hit,) = hits(shell, talk[40].text)
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    # What another ledger in that folder had.
    (other / "search.db").write_bytes((shell.home / "data" / "search.db").read_bytes())
    with closing(sqlite3.connect(other / "search.db")) as database:
        database.execute("UPDATE search_transcripts SET key = 'transcript:gone', file_sha256 = 'g'")
        database.commit()
    (other / "search.db").chmod(0o600)
    copied = shell.run("database", "copy", shell.home / "data", other)
    assert copied.code == 0, copied.err
    shell.extra["STTBATCH_DATA_DIR"] = str(other)
    assert hits(shell, talk[40].text) == [hit]
    with closing(sqlite3.connect(other / "search.db")) as database:
        ((key,),) = database.execute("SELECT key FROM search_transcripts").fetchall()
    assert key == hit["transcript"]
