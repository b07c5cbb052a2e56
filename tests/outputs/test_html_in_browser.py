"""The html output in a headless browser, with no network, as a reader uses it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from playwright.sync_api import Download, Page, sync_playwright

from sttbatch.core.models import Gap, GapReason, Segment, Word
from sttbatch.outputs.document import Document
from sttbatch.outputs.edited_text import edited_segments
from sttbatch.outputs.formats import FORMATS
from tests.cloudru import make_recording
from tests.outputs.examples import document

TALK_S = 30.0
GAP = Gap(12.0, 15.0, GapReason.STILL_MISSING, "no answer")


def said(text: str, start_s: float, speaker: str | None = None) -> Segment:
    words = [
        Word(word, start_s + number * 0.4, start_s + number * 0.4 + 0.3)
        for number, word in enumerate(text.rstrip(".").split())
    ]
    return Segment(text, start_s, words[-1].end_s, tuple(words), speaker)


CALL = (
    said("We begin with the budget.", 0.5, "1"),
    said("It is <b>larger</b> than last year.", 3.0, "1"),
    said("The budget is fine.", 6.0, "2"),
    said("Ещё один вопрос & ответ.", 9.0, "2"),
    said("After the hole.", 16.0, "2"),
    said("That is all.", 25.0, "1"),
)


class Reader:
    """A reader's browser, what it asked for, and what the page complained about."""

    def __init__(self, page: Page, folder: Path) -> None:
        self.page = page
        self.folder = folder
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, made: Document, name: str = "talk") -> None:
        path = self.folder / f"{name}.html"
        path.write_bytes(b"".join(FORMATS["html"](made)))
        self.page.goto(path.as_uri())

    def line(self, number: int) -> Any:
        return self.page.locator(f".line[data-row='{number}']")

    def click_word(self, row: int, word: str) -> None:
        place = self.page.evaluate(
            """([row, word]) => {
              const text = document.querySelector(`.line[data-row="${row}"]`).firstChild;
              const range = new Range();
              range.setStart(text, text.data.indexOf(word));
              range.setEnd(text, text.data.indexOf(word) + word.length);
              const box = range.getBoundingClientRect();
              return [box.x + box.width / 2, box.y + box.height / 2];
            }""",
            [row, word],
        )
        self.page.mouse.click(*place)

    def highlighted(self, name: str) -> list[str]:
        found: list[str] = self.page.evaluate(
            "name => [...CSS.highlights.get(name) ?? []].map(String)", name
        )
        return found

    def until(self, condition: str) -> None:
        # Playwright's own way to wait needs `eval`, which the page's policy forbids.
        frame = "new Promise(resolve => requestAnimationFrame(resolve))"
        self.page.evaluate(f"async () => {{ while (!({condition})) await {frame}; }}")

    def correct(self, row: int, text: str) -> None:
        self.line(row).dblclick()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.press("Delete")
        self.page.keyboard.type(text)
        self.page.keyboard.press("Enter")

    def download(self, form: str) -> str:
        self.page.click("#downloads summary")
        with self.page.expect_download() as downloading:
            self.page.click(f"[data-form={form}]")
        found: Download = downloading.value
        assert found.suggested_filename == f"talk.{form}"
        return Path(found.path()).read_text("utf-8")


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Callable[..., Reader]]:
    """Opens a browser for a reader; options are those of a browser context."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    make_recording(tmp_path / "talk.wav", duration_s=TALK_S, sample_rate=8_000, channels=1)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--autoplay-policy=no-user-gesture-required"]
        )

        def reader(**options: Any) -> Reader:
            context = browser.new_context(offline=True, **options)
            return Reader(context.new_page(), tmp_path)

        yield reader
        browser.close()


def call(**options: Any) -> Document:
    made = replace(document(CALL, [GAP], **options), source="talk.wav", link="talk.wav")
    return replace(made, transcript=replace(made.transcript, duration_s=TALK_S))


def test_a_reader_plays_searches_and_corrects(read: Callable[..., Reader], tmp_path: Path) -> None:
    reader = read()
    page = reader.page
    reader.open(call())
    reader.until("player.readyState >= 1")
    assert page.evaluate("player.duration") == pytest.approx(TALK_S, abs=0.1)

    # A click on a word seeks to it and plays, and the word is marked.
    reader.click_word(2, "fine")
    assert page.evaluate("player.currentTime") == pytest.approx(7.2, abs=1.0)
    reader.until("!player.paused && player.currentTime > 7.2")
    assert reader.line(2).get_attribute("aria-current") == "true"
    page.keyboard.press("Space")
    reader.until("player.paused")

    page.keyboard.press("/")
    page.keyboard.type("BUDGET")
    assert page.text_content("#count") == "1 of 2"
    assert reader.highlighted("found") == ["budget", "budget"]
    page.keyboard.press("Enter")
    assert page.text_content("#count") == "2 of 2"
    # Across the border of two lines, and with either letter.
    page.fill("#query", "fine. еще")
    assert reader.highlighted("found-now") == ["fine. Ещё"]
    page.keyboard.press("Escape")
    assert reader.highlighted("found") == []

    # A tab beside it hears of a correction once the browser has stored it.
    other = page.context.new_page()
    other.goto(page.url)
    other.evaluate("globalThis.stored = new Promise(done => addEventListener('storage', done)); 0")
    page.bring_to_front()
    reader.correct(0, "We start with the budget, <i>now</i>.")
    other.evaluate("stored.then(() => 0)")
    other.close()
    assert reader.line(0).text_content() == "We start with the budget, <i>now</i>."
    assert "edited" in (reader.line(0).get_attribute("class") or "")
    page.reload()
    assert reader.line(0).text_content() == "We start with the budget, <i>now</i>."
    assert page.locator("i, b").count() == 0
    subtitles = reader.download("srt")
    assert subtitles.startswith(
        "1\n00:00:00,500 --> 00:00:02,400\n1: We start with the budget, <i>now</i>.\n\n2\n"
    )
    content = json.loads(reader.download("json"))
    before = json.loads(b"".join(FORMATS["json"](call(words=True))))
    assert content.pop("text").startswith("We start with the budget, <i>now</i>. It is")
    first = content["segments"].pop(0)
    assert first == {
        "id": 0, "start": 0.5, "end": 2.4, "speaker": "1",
        "text": "We start with the budget, <i>now</i>.",
    }  # fmt: skip
    del before["text"], before["segments"][0]
    assert content == before

    page.click(".undo")
    assert reader.line(0).text_content() == "We begin with the budget."
    assert page.locator(".undo").count() == 0
    assert reader.complaints == []
    assert {Path(url).name for url in reader.asked if not url.startswith("blob:")} == {
        "talk.html",
        "talk.wav",
    }


@pytest.mark.slow
def test_downloads_are_our_formats(read: Callable[..., Reader]) -> None:
    long = said("word " * 40 + "end.", 17.0, "2")
    made = replace(call(), transcript=replace(call().transcript, segments=(*CALL, long)))
    reader = read()
    reader.open(made)
    for form in ("txt", "srt", "vtt"):
        assert reader.download(form) == b"".join(FORMATS[form](made)).decode()
    assert json.loads(reader.download("json")) == json.loads(
        b"".join(FORMATS["json"](replace(made, options=replace(made.options, words=True))))
    )
    # A correction that takes more than one cue, and one that takes a line away.
    text = "A rather long correction, of more words than two lines of 42 columns can hold, ever."
    reader.correct(1, text)
    reader.correct(7, "")
    for form in ("txt", "srt", "vtt", "json"):
        edited = edited_segments(reader.download(form).encode(), form, ["1", "2"])
        assert edited is not None
        words = " ".join(each.text for each in edited).split()
        assert " ".join(words).count(text) == 1
        assert "That is all." not in " ".join(words)
        if form in {"srt", "vtt"}:
            assert all(one.end_s <= two.start_s for one, two in pairwise(edited))
            lines = [line for line in reader.download(form).splitlines() if "-->" not in line]
            assert (
                max(len(line.removeprefix("<v 1>").removeprefix("<v 2>")) for line in lines) <= 42
            )


@pytest.mark.slow
def test_the_page_follows_until_the_reader_scrolls(read: Callable[..., Reader]) -> None:
    lines = [said(f"Line number {number} is said here.", number * 0.25) for number in range(120)]
    made = call()
    made = replace(made, transcript=replace(made.transcript, segments=tuple(lines)))
    reader = read(viewport={"width": 800, "height": 600}, reduced_motion="reduce")
    reader.open(made)
    reader.until("player.readyState >= 1")
    reader.page.keyboard.press("Space")
    seen = "(() => {const box = document.querySelector('[aria-current]')?.getBoundingClientRect();"
    seen += " return box && box.top > 0 && box.bottom < innerHeight})()"
    reader.page.evaluate("player.currentTime = 20")
    reader.until(f"player.currentTime > 20.2 && {seen}")
    reader.page.mouse.wheel(0, -5000)
    reader.until("!document.querySelector('#follow').hidden && scrollY === 0")
    reader.until(f"player.currentTime > 20.8 && !{seen}")
    reader.page.click("#follow")
    reader.until(f"document.querySelector('#follow').hidden && {seen}")
    assert reader.highlighted("word") != []


@pytest.mark.slow
def test_the_keyboard_is_enough(read: Callable[..., Reader]) -> None:
    reader = read()
    page = reader.page
    reader.open(call())
    reader.until("player.readyState >= 1")
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.row") == "2"
    page.keyboard.press("Enter")
    reader.until("!player.paused && player.currentTime >= 6")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    reader.until("player.paused && player.currentTime >= 11")
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#keys").is_visible()
    page.keyboard.press("e")
    page.keyboard.type(" Really")
    page.keyboard.press("Escape")
    assert reader.line(2).text_content() == "The budget is fine."
    page.keyboard.press("e")
    page.keyboard.type(" Really")
    page.keyboard.press("Enter")
    assert reader.line(2).text_content() == "The budget is fine. Really"
    assert reader.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_and_both_schemes(read: Callable[..., Reader], scheme: Any) -> None:
    reader = read(
        viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True, color_scheme=scheme
    )
    page = reader.page
    reader.open(call())
    page.fill("#query", "budget")
    page.click("#edit")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    lightness = "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g)[0]"
    before = int(page.evaluate(lightness))
    assert (before < 60) == (scheme == "dark")
    page.click("#theme")
    page.reload()
    assert (int(page.evaluate(lightness)) < 60) == (scheme == "light")


@pytest.mark.slow
def test_an_embedded_recording_plays_and_a_lost_one_is_chosen(
    read: Callable[..., Reader], tmp_path: Path
) -> None:
    reader = read()
    recording = tmp_path / "talk.wav"
    sha256 = hashlib.sha256(recording.read_bytes()).hexdigest()
    reader.open(replace(call(), file=recording, sha256=sha256), "embedded")
    reader.until(f"Math.abs(player.duration - {TALK_S}) < 0.1")
    reader.line(5).click()
    reader.until("player.currentTime >= 25 && !player.paused")
    assert reader.complaints == []

    reader.open(replace(call(), link="lost.wav"), "lost")
    reader.until("!document.querySelector('#unplayable').hidden")
    reader.page.set_input_files("#unplayable input", recording)
    reader.until(f"Math.abs(player.duration - {TALK_S}) < 0.1 && !player.hidden")


def test_marks_are_searched_as_they_are_written(read: Callable[..., Reader]) -> None:
    reader = read()
    said_so = said("Что-то стоит 10/20 (или $5.00) [да] \\o {x}|y*^?", 1.0)
    made = call()
    reader.open(replace(made, transcript=replace(made.transcript, segments=(said_so,), gaps=())))
    for query in ("что-то", "10/20", "(или $5.00)", "[да]", "\\o", "{x}|y*^?"):
        reader.page.fill("#query", query)
        assert [each.lower() for each in reader.highlighted("found-now")] == [query]
    assert reader.complaints == []


def test_a_line_that_was_only_visited_is_not_corrected(read: Callable[..., Reader]) -> None:
    reader = read()
    made, asked = call(), "Qu'est-ce que c'est\u00a0?"
    segments = (replace(said("Qu'est-ce que c'est", 1.0), text=asked),)
    reader.open(replace(made, transcript=replace(made.transcript, segments=segments, gaps=())))
    for key in ("Enter", "Escape"):
        reader.line(0).dblclick()
        reader.page.keyboard.press(key)
        assert reader.page.locator(".edited").count() == 0
    assert asked in reader.download("srt")
    # Written as before, by hand, it is no correction either.
    reader.correct(0, "Quoi ?")
    assert reader.page.locator(".edited").count() == 1
    reader.correct(0, asked.replace("\u00a0", " "))
    assert reader.page.locator(".edited").count() == 0
    assert asked in reader.download("txt")


def test_each_cue_of_a_correction_has_its_speaker(read: Callable[..., Reader]) -> None:
    reader = read()
    made, name = call(), "Anna & Sons, accountants of the whole building"
    segments = (said("Short.", 1.0, name), said("Fine.", 9.0, name))
    made = replace(made, transcript=replace(made.transcript, segments=segments, gaps=()))
    reader.open(made)
    assert reader.download("vtt") == b"".join(FORMATS["vtt"](made)).decode()
    reader.correct(0, "They wrote it down, and then they read it aloud again.")
    lines = [f"{name}: They wrote it down,", "and then they read it aloud again."]
    assert reader.download("srt").split("\n")[2:4] == lines
    reader.correct(0, "They wrote it down, and then they read it aloud again. " * 2)
    assert reader.download("srt").count(f"\n{name}: ") == 3
    assert (
        reader.download("vtt").count("<v Anna &amp; Sons, accountants of the whole building>") == 3
    )


def test_a_txt_has_times_where_they_were_asked_for(read: Callable[..., Reader]) -> None:
    reader = read()
    made = call(timestamps=True)
    turns = [
        said("It goes on and on" + "." * (at % 3 == 0), 30 + at * 10.0, "1") for at in range(30)
    ]
    turns = [replace(each, end_s=each.start_s + 9) for each in turns]
    segments = (*CALL, *turns, said("At last.", 3700.5, "2"))
    made = replace(made, transcript=replace(made.transcript, segments=segments, duration_s=4000.0))
    reader.open(made)
    expected = b"".join(FORMATS["txt"](made)).decode()
    assert "[01:01:40] 2: At last." in expected
    assert reader.download("txt") == expected
