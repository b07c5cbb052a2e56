"""The html output: a page with a player, in which a transcript is read, searched and corrected.

Whatever comes from a recording or its name is data: the page has it as JSON, and its script shows
it as text. A policy allows no other script or style than those of the page, and no connection.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from operator import itemgetter
from pathlib import Path, PurePosixPath
from string import Template
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from sttbatch.core.errors import RecordingError
from sttbatch.core.languages import language_code
from sttbatch.core.models import Segment, Transcript
from sttbatch.outputs.document import Document
from sttbatch.outputs.subtitles import NAMED, cues
from sttbatch.outputs.unicode_text import plain

# A multiple of three bytes has no padding, so that pieces can be joined.
_PIECE_BYTES = 3 * 256 * 1024

_RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ps", "sd", "ur", "yi"})
_FILM_ENDINGS = frozenset(
    {
        ".3g2", ".3gp", ".asf", ".avi", ".f4v", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4",
        ".mpeg", ".mpg", ".mts", ".mxf", ".ogm", ".ogv", ".qt", ".ts", ".vob", ".webm", ".wmv",
    }
)  # fmt: skip
# Of what browsers play. A browser looks itself at what has the type of any bytes.
_MEDIA_TYPES = {
    ".aac": "audio/aac",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".m4b": "audio/mp4",
    ".m4v": "video/mp4",
    ".mp3": "audio/mpeg",
    ".mp4": "video/mp4",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".wav": "audio/wav",
    ".weba": "audio/webm",
    ".webm": "video/webm",
}
_INDENTATION = re.compile(rb"\n *")
_ANY_BYTES = "application/octet-stream"

_SCRIPTS = ("text.js", "reading.js", "editing.js", "controls.js")

# What a piece that is not known yet stands for, as no other text of the page contains it.
_LATER = "\0"


def html_page(
    document: Document, as_json: Callable[[Document], Iterator[bytes]]
) -> Iterator[bytes]:
    """A page that needs nothing but the recording, or not even that if it is embedded.

    `as_json` makes its json, which the page contains. Raises RecordingError if the recording that
    is to be embedded cannot be read, or has changed.
    """
    code = plain(language_code(document.transcript.language))
    strings = _strings(code.partition("-")[0])
    style, script = _part("page.css"), "".join(map(_part, _SCRIPTS))
    name = PurePosixPath(document.source)
    filled = Template(_part("page.html")).substitute(
        {key: escape(text) for key, text in strings.items()},
        policy=escape(_policy(style, script, document)),
        style=style,
        script=script,
        title=escape(plain(name.name)),
        language=_language(code),
        player="video" if name.suffix.lower() in _FILM_ENDINGS else "audio",
        recording=_LATER if document.file else escape(document.link or ""),
        transcript=_LATER,
        page=_LATER,
    )
    head, *parts, end = filled.split(_LATER)
    yield head.encode()
    if document.file is not None:
        yield from _embedded(document.file, document.sha256, name.suffix.lower())
        yield parts.pop(0).encode()
    shown = _shown(document)
    yield from map(_in_script, as_json(shown))
    yield parts.pop(0).encode()
    yield _in_script(msgspec.json.encode({**_facts(shown, strings), "language": code}))
    yield end.encode()


def _shown(document: Document) -> Document:
    """The document with words, and without control characters in its text."""

    def shown(segment: Segment) -> Segment:
        speaker = None if segment.speaker is None else plain(segment.speaker)
        return replace(segment, text=plain(segment.text), speaker=speaker)

    transcript: Transcript = document.transcript
    transcript = replace(
        transcript,
        segments=tuple(map(shown, transcript.segments)),
        dropped=tuple(replace(each, segment=shown(each.segment)) for each in transcript.dropped),
    )
    return replace(document, transcript=transcript, options=replace(document.options, words=True))


def _facts(document: Document, strings: dict[str, str]) -> dict[str, Any]:
    """What the page's script knows beside the json: the order of its rows, and their cues.

    A row has the number of its segment in the json, or is a note about a missing part.
    """
    numbered = enumerate(document.segments())
    parts: list[tuple[float, dict[str, Any]]] = [
        (each.start_s, {"segment": number}) for number, each in numbered if each.text
    ]
    parts.sort(key=itemgetter(0))
    parts += [
        (each.start_s, {"note": each.text, "start": each.start_s, "end": each.end_s})
        for each in document.missing()
    ]
    rows = [{**row, "cues": []} for _, row in sorted(parts, key=itemgetter(0))]
    for cue in cues(document, NAMED):
        rows[cue.row]["cues"].append((cue.start_ms, cue.end_ms, cue.lines))
    options = document.options
    return {
        "rows": rows,
        "width": options.max_line_width,
        "lines": options.max_lines,
        "timestamps": options.timestamps,
        "strings": strings,
    }


def _embedded(path: Path, expected: str, ending: str) -> Iterator[bytes]:
    digest = sha256()
    yield f"data:{_MEDIA_TYPES.get(ending, _ANY_BYTES)};base64,".encode()
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                digest.update(piece)
                yield b64encode(piece)
    except OSError as error:
        raise RecordingError(f"it cannot be embedded: {error.strerror}") from error
    if digest.hexdigest() != expected:
        raise RecordingError("it has changed since it was transcribed; run again to embed it")


def _policy(style: str, script: str, document: Document) -> str:
    """The page's own script and style by their digests, its recording, and nothing else.

    A recording that the reader chooses is a blob:.
    """
    if document.file is not None:
        media = "data:"
    elif document.link and (address := urlsplit(document.link)).netloc:
        media = f"{address.scheme}://{address.netloc}"
    else:
        # Browsers differ in whether a file is of the same origin as one beside it.
        media = "'self' file:"
    return (
        f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; "
        f"media-src blob: {media}; base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _language(code: str) -> str:
    """The attributes of text in a language; empty: it is unknown."""
    if not code:
        return 'dir="auto"'
    is_rtl = code.partition("-")[0] in _RIGHT_TO_LEFT
    return f'lang="{escape(code)}" dir="{"rtl" if is_rtl else "ltr"}"'


def _in_script(piece: bytes) -> bytes:
    """JSON in which no tag and no comment begins, as both would end the script's element.

    Line breaks stand between its values alone.
    """
    return _INDENTATION.sub(b"", piece).replace(b"<", b"\\u003c")


@cache
def _part(name: str) -> str:
    return files("sttbatch.outputs").joinpath(f"page/{name}").read_text("utf-8")


def _strings(language: str) -> dict[str, str]:
    """What the page says, in Russian or English."""
    known: dict[str, dict[str, str]] = json.loads(_part("strings.json"))
    return known.get(language, known["en"])
