"""Codes of languages."""

from __future__ import annotations

_CODES = {
    "arabic": "ar", "armenian": "hy", "bashkir": "ba", "basque": "eu", "belarusian": "be",
    "bulgarian": "bg", "catalan": "ca", "chinese": "zh", "czech": "cs", "danish": "da",
    "dutch": "nl", "english": "en", "estonian": "et", "finnish": "fi", "french": "fr",
    "georgian": "ka", "german": "de", "greek": "el", "hebrew": "he", "hindi": "hi",
    "hungarian": "hu", "indonesian": "id", "italian": "it", "japanese": "ja", "kazakh": "kk",
    "korean": "ko", "lithuanian": "lt", "macedonian": "mk", "mongolian": "mn", "nepali": "ne",
    "norwegian": "no", "persian": "fa", "polish": "pl", "portuguese": "pt", "romanian": "ro",
    "russian": "ru", "serbian": "sr", "spanish": "es", "swedish": "sv", "tajik": "tg",
    "tamil": "ta", "tatar": "tt", "thai": "th", "turkish": "tr", "ukrainian": "uk",
    "vietnamese": "vi", "yiddish": "yi",
}  # fmt: skip


def language_code(name: str | None) -> str:
    """The code of a language that a server may call by its name; empty: nobody says."""
    lowered = (name or "").lower()
    return _CODES.get(lowered, lowered)
