"""The html output: what its bytes are made of."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from sttbatch.core.errors import RecordingError
from sttbatch.core.locations import location
from sttbatch.core.models import Gap, GapReason, Segment
from sttbatch.core.options import OutputOptions
from sttbatch.outputs.document import EMBED_MAX_BYTES, Document, embeddable
from sttbatch.outputs.formats import FORMATS
from sttbatch.outputs.html_page import html_page
from sttbatch.outputs.made_from import made_from
from sttbatch.outputs.output_names import Recording, link_between
from sttbatch.outputs.unicode_text import encodable
from tests.outputs.examples import document, saying, write
from tests.queue.harness import Ledger

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]> <b>&amp;</b> \"quoted\" 'and' `this` ${that}",
    "a\u2028b\u2029c",
    "\u202etfel ot thgir\u2066",
    "\x00\x07\x1b[31m\x9b",
    "\udcff",
)


class Elements(HTMLParser):
    """The elements of a page: their attributes, and the text in each."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), []))

    def handle_endtag(self, tag: str) -> None:
        self.found.append((f"/{tag}", {}, []))

    def handle_data(self, data: str) -> None:
        if self.found:
            self.found[-1][2].append(data)

    def named(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attributes, "".join(text)) for name, attributes, text in self.found if name == tag]

    def attributes(self, tag: str) -> dict[str, str | None]:
        return self.named(tag)[0][0]

    def data(self, name: str) -> Any:
        return next(
            json.loads(text)
            for attributes, text in self.named("script")
            if attributes.get("id") == name
        )


def page_of(made: Document) -> Elements:
    return Elements(b"".join(FORMATS["html"](made)))


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_and_no_name_becomes_markup(text: str) -> None:
    gap = Gap(2.0, 9.0, GapReason.STILL_MISSING, text)
    made = document([Segment(f"so {text}", 0.0, 2.0, speaker=encodable(text))], [gap])
    made = replace(made, source=f"talks/{text}.mp3", model=text, link=quote(os.fsencode(text)))
    made = replace(made, transcript=replace(made.transcript, language=encodable(text)))
    hostile, harmless = page_of(made), page_of(document(gaps=[replace(gap, detail="")]))
    assert [tag for tag, *_ in hostile.found] == [tag for tag, *_ in harmless.found]
    for (_, one, _), (_, other, _) in zip(hostile.found, harmless.found, strict=True):
        assert one.keys() <= other.keys() | {"lang", "dir"}
    said = hostile.data("transcript")["segments"][0]["text"]
    assert re.sub(r"[\s\x00-\x1f\x7f-\x9f\ufffd]", "", said) == re.sub(
        r"[\s\x00-\x1f\x7f-\x9f\udcff]", "", f"so {text}"
    )
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", b"".join(FORMATS["html"](made)).decode())


def test_the_policy_allows_the_page_alone() -> None:
    page = page_of(document())
    policy = page.attributes("meta") | page.named("meta")[1][0]
    assert policy["content"] is not None
    rules = dict(rule.split(" ", 1) for rule in policy["content"].split("; "))
    script = next(text for attributes, text in page.named("script") if not attributes)
    [(_, style)] = page.named("style")
    for rule, text in {"script-src": script, "style-src": style}.items():
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'"
    assert "connect-src" not in rules
    assert not re.search(
        r"https?://(?!www\.w3\.org/2000/svg)", b"".join(FORMATS["html"](document())).decode()
    )


@pytest.mark.parametrize(
    ("link", "media"),
    [
        ("../a.mp3", "media-src blob: 'self' file:"),
        ("https://cdn.example/b/a.mp3", "media-src blob: https://cdn.example"),
        (None, "media-src blob: 'self' file:"),
    ],
)
def test_the_policy_allows_the_recording(link: str | None, media: str) -> None:
    page = page_of(replace(document(), link=link))
    policy = page.named("meta")[1][0]["content"]
    assert policy is not None
    assert media in policy.split("; ")


def test_equal_documents_give_equal_pages() -> None:
    assert b"".join(FORMATS["html"](document())) == b"".join(FORMATS["html"](document()))


def test_it_has_the_json_and_the_cues_of_the_subtitles() -> None:
    gap = Gap(3.0, 60.0, GapReason.STILL_MISSING, "no answer")
    segments = [Segment("Late.", 61.0, 62.0), Segment("", 2.0, 2.1), Segment("Early.", 0.0, 1.0)]
    made = document(segments, [gap])
    page = page_of(made)
    assert page.data("transcript") == json.loads(b"".join(FORMATS["json"](made)))
    rows = page.data("page")["rows"]
    assert [row.get("segment", row.get("note")) for row in rows] == [
        2,
        "[not transcribed: 00:00:03 - 00:01:00, no answer]",
        0,
    ]
    assert [row["cues"] for row in rows] == [
        [[0, 1000, ["Early."]]],
        [[3000, 8000, ["[not transcribed: 00:00:03 -", "00:01:00, no answer]"]]],
        [[61_000, 62_000, ["Late."]]],
    ]


@pytest.mark.parametrize(
    ("language", "spoken", "said"),
    [
        ("ru", {"lang": "ru", "dir": "ltr"}, "ru"),
        ("ar", {"lang": "ar", "dir": "rtl"}, "en"),
        ("he", {"lang": "he", "dir": "rtl"}, "en"),
        ("Russian", {"lang": "ru", "dir": "ltr"}, "ru"),
        ("Hebrew", {"lang": "he", "dir": "rtl"}, "en"),
        ("ru-RU", {"lang": "ru-ru", "dir": "ltr"}, "ru"),
        (None, {"dir": "auto"}, "en"),
    ],
)
def test_languages(language: str | None, spoken: dict[str, str], said: str) -> None:
    made = saying("word")
    page = page_of(replace(made, transcript=replace(made.transcript, language=language)))
    assert page.attributes("html") == {"lang": said}
    assert page.attributes("main").items() >= spoken.items()


def test_both_languages_say_the_same_things() -> None:
    path = Path(str(html_page.__code__.co_filename)).parent / "page" / "strings.json"
    strings = json.loads(path.read_text("utf-8"))
    assert strings["en"].keys() == strings["ru"].keys()
    for name, text in strings["en"].items():
        assert text.count("{0}") == strings["ru"][name].count("{0}")


@pytest.mark.parametrize(
    ("output", "recording", "base", "link"),
    [
        ("talks/a.html", "talks/a.mp3", None, "a.mp3"),
        ("out/x/a.html", "talks/x/a.mp3", None, "../../talks/x/a.mp3"),
        ("/out/a.html", "/talks/50%? #1: ё.mp3", None, "../talks/50%25%3F%20%231%3A%20%D1%91.mp3"),
        ("a.html", "b\udcff.mp3", None, "b%FF.mp3"),
        ("s3://b/out/x/a.html", "s3://b/in/a b.mp3", None, "../../in/a%20b.mp3"),
        ("s3://b/a.html", "s3://b/a.mp3", "https://cdn.example/b/", "https://cdn.example/b/a.mp3"),
        ("s3://b/a.html", "s3://c/a.mp3", "https://cdn.example/b/", None),
        ("s3://b/a.html", "a.mp3", None, None),
        ("a.html", "s3://b/a.mp3", None, None),
    ],
)
def test_where_the_recording_is(
    output: str, recording: str, base: str | None, link: str | None
) -> None:
    assert link_between(location(output), location(recording), base) == link


@pytest.mark.parametrize(("name", "tag"), [("a.mp3", "audio"), ("a.MKV", "video")])
def test_films_are_seen(name: str, tag: str) -> None:
    page = page_of(replace(document(), source=name, link=name))
    assert page.attributes(tag)["src"] == name


def test_a_written_page_links_to_its_recording(ledger: Ledger, tmp_path: Path) -> None:
    talk = tmp_path / "in" / "talk & more.mp3"
    talk.parent.mkdir()
    talk.write_bytes(b"sound")
    made = document(formats=("html",), directory=tmp_path / "out")
    written = write(ledger, Recording(talk, talk.parent), made)
    [path] = written.paths
    assert isinstance(path, Path)
    page = Elements(path.read_bytes())
    assert page.attributes("audio")["src"] == "../in/talk%20%26%20more.mp3"


def embedding(path: Path, content: bytes) -> Document:
    made = replace(document(), source=path.name, file=path, link=path.name)
    return replace(made, sha256=hashlib.sha256(content).hexdigest())


def test_an_embedded_recording_is_read_piece_by_piece(tmp_path: Path) -> None:
    path, content = tmp_path / "talk.mp3", bytes(range(256)) * 10_000
    path.write_bytes(content)
    pieces = list(html_page(embedding(path, content), FORMATS["json"]))
    page = Elements(b"".join(pieces))
    head, _, data = (page.attributes("audio")["src"] or "").partition(",")
    assert head == "data:audio/mpeg;base64"
    assert base64.b64decode(data, validate=True) == content
    assert max(map(len, pieces)) < len(content) / 2
    assert "media-src blob: data:;" in html.unescape(pieces[0].decode())


def test_an_embedded_recording_is_the_one_that_was_transcribed(tmp_path: Path) -> None:
    path = tmp_path / "talk.mp3"
    path.write_bytes(b"other")
    with pytest.raises(RecordingError, match="changed"):
        b"".join(FORMATS["html"](embedding(path, b"sound")))
    path.unlink()
    with pytest.raises(RecordingError, match="No such file"):
        b"".join(FORMATS["html"](embedding(path, b"sound")))


def test_what_can_be_embedded(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.truncate(EMBED_MAX_BYTES)
    assert embeddable(path, path.stat()) == path
    assert embeddable(location("s3://bucket/long.wav"), path.stat()) is None
    with path.open("ab") as file:
        file.write(b"x")
    assert embeddable(path, path.stat()) is None


def test_embedding_decides_the_bytes() -> None:
    origins = {made_from("key", "a", OutputOptions(embed_audio=each)) for each in (False, True)}
    assert len(origins) == 2


@pytest.mark.parametrize(
    ("formats", "has_audio"),
    [(("txt", "html"), True), (("en.html",), True), (("txt",), False), ((), True)],
)
def test_pages_alone_contain_recordings(formats: tuple[str, ...], has_audio: bool) -> None:
    assert OutputOptions(formats, embed_audio=True).has_audio is has_audio
    assert not OutputOptions(formats).has_audio
