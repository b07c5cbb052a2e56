"""How many tokens a text has, before a model has counted them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from sttbatch.core.language_models import Question, TokenCount, TokensSent
from sttbatch.kinds.language.task import ExpectedQuestion

# Tokens a character, fitted by least squares to what o200k_base (the tokenizer of gpt-oss) makes of
# speech and of JSON with it: within 7 % for English, German and Russian, 10 to 20 % too few for
# Ukrainian and Kazakh. cl100k_base makes 1.6 times as many of Cyrillic.
_ASCII, _PUNCTUATION, _ALPHABETIC, _IDEOGRAPHIC = 0.19, 0.8, 0.275, 0.7
_ASCII_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")
_FIRST_IDEOGRAPH = "\u2e80"

FRAME_TOKENS = 32
"""Of the roles and ends of a question's two messages."""


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has."""
    punctuation = len(_ASCII_PUNCTUATION.findall(text))
    tokens = (_PUNCTUATION - _ASCII) * punctuation
    if text.isascii():
        return int(tokens + _ASCII * len(text)) + 1
    ascii_count = sum(map(str.isascii, text))
    ideographs = sum(character >= _FIRST_IDEOGRAPH for character in text)
    others = len(text) - ascii_count - ideographs
    tokens += _ASCII * ascii_count + _ALPHABETIC * others + _IDEOGRAPHIC * ideographs
    return int(tokens) + 1


def most_tokens(question: Question) -> TokenCount:
    """What a question may consume at most, as far as it can be known before it is asked."""
    prompt = estimated_tokens(question.instruction) + estimated_tokens(question.data)
    return TokenCount(prompt + FRAME_TOKENS, question.max_tokens)


def expected_tokens(
    expected: Sequence[ExpectedQuestion], earlier: TokensSent | None = None
) -> TokenCount:
    """What questions consume, as `earlier` ones did, or else by the estimates of their texts."""
    if earlier is not None and earlier.sent_bytes:
        share = sum(_sent_bytes(each.question) for each in expected) / earlier.sent_bytes
        return TokenCount(round(share * earlier.prompt), round(share * earlier.generated))
    prompt = sum(most_tokens(each.question).prompt for each in expected)
    return TokenCount(prompt, sum(each.generated for each in expected))


_ENVELOPE_BYTES = 250
"""Of names and options in the body of a request."""


def _sent_bytes(question: Question) -> int:
    parts = [question.instruction, question.data, question.schema]
    return _ENVELOPE_BYTES + len(json.dumps(parts, ensure_ascii=False).encode())
