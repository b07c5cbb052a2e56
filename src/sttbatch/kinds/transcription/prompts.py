"""Prompts for Whisper that name the terms of a glossary, as far as it reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

PROMPT_TOKENS = 223
"""Half of Whisper's context less one; of a longer prompt it reads the end (openai/whisper)."""

# Tokens a character, never fewer in all than Whisper's multilingual tokenizer makes of names and
# terms: counted with that of the base model in 19 languages. It makes 1.05 (Amharic, Georgian) to 3
# times fewer, of English and Russian about half. No text has more tokens than bytes.
_SPACE, _COMMON, _CAPITAL = 0.5, 0.75, 1.0


class GlossaryPrompt(NamedTuple):
    """A prompt, and the terms for which it has no room."""

    prompt: str | None
    left_out: tuple[str, ...] = ()


def glossary_prompt(prompt: str | None, terms: Sequence[str]) -> GlossaryPrompt:
    """The user's prompt, if any, with as many of `terms` behind it as fit, in their order.

    The order is the file's, not that of how often transcripts have them: it would change with each
    transcript, and every other prompt is another request.
    """
    begin = f"{prompt.rstrip()} " if prompt and prompt.strip() else ""
    reached, count = most_tokens(begin), 0
    for term in terms:
        reached += most_tokens(f"{term}, ")
        if reached > PROMPT_TOKENS:
            break
        count += 1
    if not count:
        return GlossaryPrompt(prompt, tuple(terms))
    return GlossaryPrompt(f"{begin}{', '.join(terms[:count])}.", tuple(terms[count:]))


def most_tokens(text: str) -> float:
    """How many tokens of Whisper a text of terms has at most."""
    return sum(map(_tokens, text))


def _tokens(character: str) -> float:
    if character == " ":
        return _SPACE
    if "a" <= character <= "z" or "\u0430" <= character <= "\u044f":
        return _COMMON
    if character.isascii() or "\u0401" <= character <= "\u0451":
        return _CAPITAL
    return len(character.encode())
