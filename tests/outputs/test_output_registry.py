from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

import pytest

from sttbatch.core.options import OutputOptions
from sttbatch.database.database import Database
from sttbatch.database.outputs import SqlOutputStore, owners_below
from sttbatch.database.store_facts import Scan
from sttbatch.outputs.output_names import Recording, fitted, stems
from sttbatch.outputs.output_registry import NameTakenError, OutputRegistry
from sttbatch.outputs.owned_names import OwnedNames
from tests.database.backends import BACKENDS, Statement
from tests.outputs.examples import names, planned, recording, saying, with_ledger, write
from tests.queue.harness import Ledger


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    return tmp_path / "talks"


def test_outputs_stand_beside_the_recording(ledger: Ledger, talks: Path) -> None:
    item = recording(talks / "a" / "talk.mp3", talks)
    plan = planned(ledger, [item])[item.path]
    assert plan.paths == {"txt": talks / "a/talk.txt", "json": talks / "a/talk.json"}


def test_an_output_folder_mirrors_the_input_tree(
    ledger: Ledger, tmp_path: Path, talks: Path
) -> None:
    deep, outside = recording(talks / "a" / "talk.mp3", talks), recording(tmp_path / "else.mp3")
    odd = Recording(outside.path, talks)
    plans = planned(ledger, [deep, odd], directory=tmp_path / "out")
    assert plans[deep.path].paths["txt"] == tmp_path / "out/a/talk.txt"
    assert plans[odd.path].paths["txt"] == tmp_path / "out/else.txt"


def test_paths_are_spelled_as_the_user_spells_them(
    ledger: Ledger, talks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording(talks / "talk.mp3")
    monkeypatch.chdir(talks)
    for spelled in (Path("talk.mp3"), Path("../talks/talk.mp3")):
        plan = planned(ledger, [Recording(spelled, spelled.parent)])[spelled]
        assert plan.paths["txt"] == spelled.with_suffix(".txt")


def test_the_first_of_a_batch_keeps_the_short_name(ledger: Ledger, talks: Path) -> None:
    items = [recording(talks / name) for name in ("talk.mp3", "talk.wav", "talk.wav.ogg")]
    assert names(ledger, items) == ["talk.txt", "talk.wav.txt", "talk.wav.ogg.txt"]
    assert names(ledger, items[::-1]) == ["talk.wav.txt", "talk.txt", "talk.mp3.txt"]


def test_whoever_wrote_first_keeps_the_short_name_in_later_runs(
    ledger: Ledger, talks: Path
) -> None:
    wav, mp3 = recording(talks / "talk.wav"), recording(talks / "talk.mp3")
    assert names(ledger, [wav], write=True) == ["talk.txt"]
    assert names(ledger, [mp3, wav], write=True) == ["talk.mp3.txt", "talk.txt"]
    assert names(ledger, [mp3]) == ["talk.mp3.txt"]


def test_a_name_belongs_to_its_owner_in_every_format(ledger: Ledger, talks: Path) -> None:
    wav, mp3 = recording(talks / "talk.wav"), recording(talks / "talk.mp3")
    names(ledger, [wav], write=True, formats=("txt",))
    assert names(ledger, [mp3], formats=("srt", "txt")) == ["talk.mp3.srt"]
    assert names(ledger, [mp3], formats=("srt",)) == ["talk.mp3.srt"]
    assert names(ledger, [wav], formats=("srt",)) == ["talk.srt"]


@pytest.mark.parametrize("formats", [("en.srt",), ("summary.md", "summary.json")])
def test_outputs_with_two_endings_stand_beside_the_others(
    ledger: Ledger, talks: Path, formats: tuple[str, ...]
) -> None:
    wav, mp3 = recording(talks / "talk.wav"), recording(talks / "talk.mp3")
    assert names(ledger, [wav, mp3], write=True) == ["talk.txt", "talk.mp3.txt"]
    plans = planned(ledger, [mp3, wav], formats=formats)
    for item, stem in ((wav, "talk"), (mp3, "talk.mp3")):
        found = [path.name for path in plans[item.path].paths.values()]
        assert found == [f"{stem}.{name}" for name in formats]


def test_a_translation_and_the_transcript_of_a_recording_called_like_it_never_share_a_file(
    ledger: Ledger, talks: Path
) -> None:
    talk, english = recording(talks / "talk.mp3"), recording(talks / "talk.en.mp3")
    assert names(ledger, [talk], write=True, formats=("en.srt",)) == ["talk.en.srt"]
    assert names(ledger, [english], formats=("srt",)) == ["talk.en.mp3.srt"]
    assert names(ledger, [english], formats=("txt",)) == ["talk.en.mp3.txt"]
    other, german = recording(talks / "call.mp3"), recording(talks / "call.de.mp3")
    assert names(ledger, [german], write=True, formats=("srt",)) == ["call.de.srt"]
    assert names(ledger, [other], formats=("de.srt",)) == ["call.mp3.de.srt"]
    assert names(ledger, [other], formats=("en.srt",)) == ["call.en.srt"]


def test_a_long_name_is_shortened_for_a_long_ending(ledger: Ledger, talks: Path) -> None:
    talk = recording(talks / f"{'x' * 250}.mp3")
    (name,) = names(ledger, [talk], write=True, formats=("summary.json",))
    assert len(name) == 255
    assert names(ledger, [talk], write=True, formats=("summary.json",)) == [name]
    (transcript,) = names(ledger, [talk], write=True)
    assert transcript.endswith(".txt")


def test_a_recording_keeps_its_long_name_when_the_short_one_becomes_free(
    ledger: Ledger, talks: Path
) -> None:
    wav, mp3 = recording(talks / "talk.wav"), recording(talks / "talk.mp3")
    names(ledger, [wav, mp3], write=True)
    for path in (talks / "talk.wav", talks / "talk.txt", talks / "talk.json"):
        path.unlink()
    assert names(ledger, [mp3]) == ["talk.mp3.txt"]


def test_a_name_is_inherited_once_recording_and_outputs_are_gone(
    ledger: Ledger, talks: Path
) -> None:
    wav, mp3 = recording(talks / "talk.wav"), recording(talks / "talk.mp3")
    names(ledger, [wav], write=True)
    (talks / "talk.wav").unlink()
    assert names(ledger, [mp3]) == ["talk.mp3.txt"]
    (talks / "talk.txt").unlink()
    assert names(ledger, [mp3]) == ["talk.mp3.txt"]
    (talks / "talk.json").unlink()
    assert names(ledger, [mp3], write=True) == ["talk.txt"]
    recording(talks / "talk.wav")
    assert names(ledger, [wav, mp3], write=True) == ["talk.wav.txt", "talk.txt"]


def test_what_another_machine_wrote_keeps_its_name_though_it_is_not_here(
    ledger: Ledger, talks: Path
) -> None:
    """Its disk need not be this one's."""
    wav, mp3 = recording(talks / "talk.wav"), recording(talks / "talk.mp3")
    names(ledger, [wav], write=True, host="there")
    for path in (talks / "talk.wav", talks / "talk.txt", talks / "talk.json"):
        path.unlink()
    assert names(ledger, [mp3], write=True, host="here") == ["talk.mp3.txt"]
    ogg = recording(talks / "talk.ogg")
    assert names(ledger, [ogg], write=True, host="there") == ["talk.txt"]


def test_a_full_name_that_is_taken_gets_a_hash(ledger: Ledger, tmp_path: Path) -> None:
    roots = [tmp_path / name for name in ("a", "b", "c", "d")]
    items = [recording(root / "talk.mp3") for root in roots]
    found = names(ledger, items, directory=tmp_path / "out")
    assert found[:2] == ["talk.txt", "talk.mp3.txt"]
    assert all(re.fullmatch(r"talk\.mp3-[0-9a-f]{8}\.txt", name) for name in found[2:])
    assert len(set(found)) == 4
    assert names(ledger, [items[3]], directory=tmp_path / "out") == ["talk.txt"]


def test_names_that_differ_in_case_or_composition_do_not_clash(ledger: Ledger, talks: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    spellings = ("Talk.mp3", "talk.wav", f"{composed}.mp3", f"{apart.upper()}.ogg")
    items = [recording(talks / name) for name in spellings]
    expected = ["Talk.txt", "talk.wav.txt", f"{composed}.txt", f"{apart.upper()}.ogg.txt"]
    assert names(ledger, items) == expected
    names(ledger, items[:1], write=True)
    assert names(ledger, items[1:2]) == ["talk.wav.txt"]


def test_no_output_replaces_a_recording(ledger: Ledger, talks: Path) -> None:
    odd = recording(talks / "talk.txt")
    assert names(ledger, [odd]) == ["talk.txt.txt"]
    assert names(ledger, [recording(talks / "talk.mp3"), odd]) == ["talk.mp3.txt", "talk.txt.txt"]


def test_a_recording_without_an_ending_has_a_name_to_fall_back_on(
    ledger: Ledger, talks: Path
) -> None:
    mp3, bare = recording(talks / "talk.mp3"), recording(talks / "talk")
    assert re.fullmatch(r"talk-[0-9a-f]{8}\.txt", names(ledger, [mp3, bare])[1])


def test_a_folder_behind_a_symlink_is_the_same_folder(
    ledger: Ledger, tmp_path: Path, talks: Path
) -> None:
    mp3, wav = recording(talks / "talk.mp3"), recording(talks / "talk.wav")
    names(ledger, [mp3], write=True)
    (tmp_path / "link").symlink_to(talks)
    linked = [
        Recording(tmp_path / "link" / item.path.name, tmp_path / "link") for item in (wav, mp3)
    ]
    assert names(ledger, linked) == ["talk.wav.txt", "talk.txt"]


@pytest.mark.parametrize("letter", ["x", "ж", "👩", "\udcff"])
def test_names_too_long_are_shortened_with_a_hash(ledger: Ledger, talks: Path, letter: str) -> None:
    name = letter * (250 // len(os.fsencode(letter)))
    items = [recording(talks / f"{name}.{ending}") for ending in ("mp3", "wav")]
    found = names(ledger, items, write=True)
    assert len(set(found)) == 2
    assert all(len(os.fsencode(item.replace(".txt", ".json"))) <= 255 for item in found)
    assert names(ledger, items[::-1]) == found[::-1]


def test_shortened_names_differ_where_long_ones_do() -> None:
    assert fitted("x" * 300) != fitted("x" * 301)
    assert len(set(stems("x" * 260 + ".mp3", b"source"))) == 5
    assert fitted("short") == "short"


def test_folders_within_folders_are_read_once_and_apart(ledger: Ledger, talks: Path) -> None:
    items = [
        recording(talks / folder / "talk.mp3") for folder in ("", "a", "a/b", "a-b", "a.b", "ab")
    ]
    assert set(names(ledger, items, write=True)) == {"talk.txt"}
    others = [recording(Path(item.root) / "talk.wav") for item in items]
    assert set(names(ledger, others)) == {"talk.wav.txt"}
    assert set(names(ledger, items)) == {"talk.txt"}


def test_planning_searches_the_index(ledger: Ledger) -> None:
    async def explain(database: Database) -> list[Scan]:
        bounds = [b"/a/", b"/a0", b"/b/", b"/b0"]
        return await BACKENDS[ledger.backend].scans(database, owners_below(2), bounds)

    assert Scan("outputs", "outputs_pkey") in with_ledger(ledger, explain)


def test_planning_asks_the_ledger_once_for_a_batch(ledger: Ledger, talks: Path) -> None:
    items = [Recording(talks / f"{index % 300}/{index}.mp3", talks) for index in range(3000)]

    async def work(database: Database) -> list[Statement]:
        async with BACKENDS[ledger.backend].traced(database) as seen:
            plans = await OutputRegistry(SqlOutputStore(database)).plan(items, OutputOptions())
        assert len(plans) == 3000
        return seen

    assert sum("outputs" in text for text, _ in with_ledger(ledger, work)) == 1


def test_what_this_run_planned_is_taken_for_its_later_plans(ledger: Ledger, talks: Path) -> None:
    mp3, wav = recording(talks / "talk.mp3"), recording(talks / "talk.wav")

    async def work(database: Database) -> list[str]:
        registry = OutputRegistry(SqlOutputStore(database))
        plans = [await registry.plan([item], OutputOptions()) for item in (mp3, wav, mp3)]
        return [plan.paths["txt"].name for some in plans for plan in some.values()]

    assert with_ledger(ledger, work) == ["talk.txt", "talk.wav.txt", "talk.txt"]


def test_of_two_runs_that_plan_the_same_name_the_second_to_write_is_told(
    ledger: Ledger, talks: Path
) -> None:
    mp3, wav = recording(talks / "talk.mp3"), recording(talks / "talk.wav")

    async def work(database: Database) -> None:
        first, second = (
            OutputRegistry(SqlOutputStore(database)),
            OutputRegistry(SqlOutputStore(database)),
        )
        one = (await first.plan([mp3], OutputOptions()))[mp3.path]
        other = (await second.plan([wav], OutputOptions()))[wav.path]
        assert one.paths == other.paths
        await first.intend(one, {"txt": "aa"})
        for call in (second.digests(other), second.intend(other, {"json": "bb"})):
            with pytest.raises(NameTakenError, match=r"talk\.mp3"):
                await call

    with_ledger(ledger, work)


def test_runs_of_a_process_read_a_folder_once_and_again_when_others_took_a_name(
    ledger: Ledger, talks: Path
) -> None:
    items = [recording(talks / f"{index}.mp3") for index in range(9)]
    mp3, wav = recording(talks / "talk.mp3"), recording(talks / "talk.wav")

    async def work(database: Database) -> None:
        store = SqlOutputStore(database)
        owned = OwnedNames(store)
        async with BACKENDS[ledger.backend].traced(database) as seen:
            for item in items:
                await OutputRegistry(store, owned).plan([item], OutputOptions())
        assert sum("outputs" in text for text, _ in seen) == 1
        # Another process takes a name that this one has seen free.
        other = OutputRegistry(store)
        await other.intend((await other.plan([mp3], OutputOptions()))[mp3.path], {"txt": "aa"})
        mine = OutputRegistry(store, owned)
        taken = (await mine.plan([wav], OutputOptions()))[wav.path]
        with pytest.raises(NameTakenError):
            await mine.intend(taken, {"txt": "bb"})
        again = (await mine.plan([wav], OutputOptions()))[wav.path]
        assert again.paths["txt"].name == "talk.wav.txt"

    with_ledger(ledger, work)


def test_known_outputs_are_those_below_a_folder(
    ledger: Ledger, tmp_path: Path, talks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/talk.mp3", "b/talk.mp3"):
        write(ledger, recording(talks / name), saying("Hi.", formats=("txt",)))
    (tmp_path / "link").symlink_to(talks)
    monkeypatch.chdir(talks)

    def known(folder: Path) -> frozenset[bytes]:
        return with_ledger(
            ledger,
            lambda database: OutputRegistry(SqlOutputStore(database)).known_outputs(folder),
        )

    assert known(talks / "a") == {os.fsencode(talks / "a/talk.txt")}
    assert known(Path()) == {b"a/talk.txt", b"b/talk.txt"}
    assert known(tmp_path / "link") == {
        os.fsencode(tmp_path / "link" / name / "talk.txt") for name in ("a", "b")
    }
    assert len(known(Path("/"))) == 2
