# ruff: noqa: RUF001 - Russian texts
"""A machine on which the examples of the documentation can be typed, one page after another.

Its recordings say what the pages show: word n of the test recordings means `WORDS[n]`.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.calls import make_call
from tests.cloudru import KEY, Asked, CloudRu, Heard, HeardWord, Said, hear, make_recording
from tests.cloudru.summaries import summarised
from tests.cloudru.translating import answer_of
from tests.object_server import SECRET, ObjectServer

MONDAY = (
    "Коллеги, давайте начнём, сегодня у нас три вопроса.",
    "Решили подписать договор с новым поставщиком до пятницы.",
    "Теперь о том, какие сроки договора мы предложим.",
    "Нужно отправить смету на ремонт склада до вторника.",
    "Кто проверит счета за прошлый месяц до отчёта?",
    "Спасибо всем, в следующий раз встречаемся в среду.",
)
PANEL = (
    "Welcome to the panel about speech on machines.",
    "We decided to publish every transcript this spring.",
    "Please send the payment terms before Friday noon.",
    "Who will write the invoice for the venue?",
)
ROOT = Path(__file__).parents[2]
TRANSLATED = dict(
    zip(
        PANEL,
        (
            "Добро пожаловать на дискуссию о речи и машинах.",
            "Весной мы решили опубликовать все расшифровки.",
            "Пришлите условия оплаты до полудня пятницы.",
            "Кто напишет счёт за помещение?",
        ),
        strict=True,
    )
)
MODELS = (
    {
        "id": "openai/whisper-large-v3",
        "metadata": {"type": "audio-to-text", "provider": "cloud.ru"},
    },
    {
        "id": "openai/gpt-oss-120b",
        "context_length": 131_072,
        "metadata": {
            "type": "llm",
            "provider": "cloud.ru",
            "prompt_tokens_cost": 15.86,
            "generated_tokens_cost": 61.0,
        },
    },
)
WHISPER_JSON = """{"text": " We found an old letter. Nobody has paid the invoice.", "segments": [
{"id": 0, "start": 0.0, "end": 2.5, "text": " We found an old letter."},
{"id": 1, "start": 2.5, "end": 5.0, "text": " Nobody has paid the invoice."}], "language": "en"}
"""
WORDS = " ".join((*MONDAY, *PANEL)).split()
_SENTENCE_WORDS = 8
_SENTENCE_S = _SENTENCE_WORDS * 0.46 + 0.5
_FIRST_OF_PANEL = _SENTENCE_WORDS * len(MONDAY)


def stored_in(server: ObjectServer, home: Path) -> dict[str, str]:
    """Put a call where the pages have it; what stands for the address of their server."""
    with server.client() as client:
        for bucket in ("calls", "transcripts"):
            client.create_bucket(Bucket=bucket)
        client.upload_file(str(home / "calls" / "call-17.wav"), "calls", "2026/05/call-17.wav")
    profile = home / ".aws" / "credentials"
    profile.parent.mkdir()
    profile.write_text(
        f"[recordings]\naws_access_key_id = a-key\naws_secret_access_key = {SECRET}\n"
    )
    return {"https://s3.cloud.ru": server.endpoint}


def recognised(data: bytes) -> Heard:
    heard = hear(data)
    words = tuple(replace(word, text=_meant(word)) for word in heard.words)
    is_russian = any(word.text > "а" for word in words)
    return replace(heard, words=words, language="ru" if is_russian else "en")


def _meant(word: HeardWord) -> str:
    # What was cut in the midst of a word is heard as a part of it.
    digits = re.sub(r"\W", "", word.text)
    return WORDS[int(digits or "0", 16) % len(WORDS)]


def asked_of_a_model(asked: Asked) -> Said:
    """It translates what is to be translated, and summarises the rest."""
    if "most" in asked.values["context"]:
        return summarised(asked)
    lines = [{**each, "text": TRANSLATED[each["text"]]} for each in asked.values["segments"]]
    return Said(answer_of(lines))


def record_all(folder: Path) -> None:
    """The recordings that the pages name."""
    for name in ("talks", "films", "calls", "my-recordings"):
        (folder / name).mkdir()
    shutil.copy(ROOT / "fixtures" / "speech" / "bread.flac", folder / "my-recordings")
    _record(folder / "talks" / "monday.mp3", MONDAY, 0)
    _record(folder / "talks" / "panel.mp4", PANEL, _FIRST_OF_PANEL)
    _record(folder / "films" / "night.mkv", PANEL, _FIRST_OF_PANEL)
    half_s = 2 * _SENTENCE_S + 0.6
    make_call(
        folder / "calls" / "call-17.wav",
        {"duration_s": half_s, "first_word": 0},
        {"duration_s": half_s, "first_word": 2 * _SENTENCE_WORDS},
    )


def _record(path: Path, sentences: Sequence[str], first_word: int) -> None:
    duration_s = _SENTENCE_S * len(sentences) + 0.6
    video = path.suffix in {".mp4", ".mkv"}
    make_recording(path, duration_s=duration_s, first_word=first_word, channels=1, video=video)


@contextmanager
def machine(home: Path) -> Iterator[dict[str, str]]:
    """The environment of a shell in `home`, where the commands of the pages are installed."""
    programs = home / "bin"
    programs.mkdir()
    python = sys.executable
    for name, command in {
        "sttbatch": f'exec {python} -m sttbatch "$@"',
        # What is installed is looked at; nothing is fetched.
        "pip": f'exec {python} -m tests.docs.installed "$@"',
    }.items():
        path = programs / name
        path.write_text(f"#!/bin/sh\n{command}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    record_all(home)
    (home / "terms.txt").write_text("invoice = счёт\n")
    (home / "old").mkdir()
    (home / "old" / "interview.json").write_text(WHISPER_JSON)
    with CloudRu(recognise=recognised, chat=asked_of_a_model, models=MODELS) as endpoint:
        yield {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            "STTBATCH_BASE_URL": endpoint.base_url,
            "SSL_CERT_FILE": str(endpoint.ca_file),
            "KEY": KEY,
        }
        assert endpoint.errors == [], endpoint.errors[0]
