"""How many tokens a text has, before a model has counted them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sttbatch.core.language_models import Question, TokenCount, TokensSent
from sttbatch.kinds.language.task import ExpectedQuestion

# Tokens a character, rather too many than too few, as a window must fit into the model's context.
# Tokenizers with 100,000 and more entries need about 0.22 for English and 0.3 for Russian.
_ASCII, _ALPHABETIC, _IDEOGRAPHIC = 0.25, 0.36, 1.0
_FIRST_IDEOGRAPH = "\u2e80"

FRAME_TOKENS = 32
"""Of the roles and ends of a question's two messages."""


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has."""
    if text.isascii():
        return int(_ASCII * len(text)) + 1
    ascii_count = sum(map(str.isascii, text))
    ideographs = sum(character >= _FIRST_IDEOGRAPH for character in text)
    others = len(text) - ascii_count - ideographs
    return int(_ASCII * ascii_count + _ALPHABETIC * others + _IDEOGRAPHIC * ideographs) + 1


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
