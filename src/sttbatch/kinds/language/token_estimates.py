"""How many tokens a text has, before a model has counted them."""

from __future__ import annotations

from sttbatch.core.language_models import Question, TokenCount

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
