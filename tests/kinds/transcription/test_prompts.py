"""Prompts with the terms of a glossary, as far as Whisper reads them."""

from __future__ import annotations

from sttbatch.kinds.transcription.prompts import PROMPT_TOKENS, glossary_prompt, most_tokens


def test_terms_follow_the_users_prompt_in_their_order() -> None:
    assert glossary_prompt("A meeting. ", ["Cloud.ru", "Иванов"]) == (
        "A meeting. Cloud.ru, Иванов.", (),
    )  # fmt: skip
    assert glossary_prompt(None, ["Cloud.ru"]) == ("Cloud.ru.", ())
    assert glossary_prompt("A meeting.", []) == ("A meeting.", ())


def test_what_does_not_fit_is_left_out_from_there_on() -> None:
    terms = [f"Иванов{number}" for number in range(100)]
    prompt, left_out = glossary_prompt("Встреча.", terms)
    assert prompt is not None
    assert 10 < len(left_out) < 90
    assert prompt == f"Встреча. {', '.join(terms[: -len(left_out)])}."
    assert most_tokens(prompt) <= PROMPT_TOKENS < most_tokens(f"{prompt[:-1]}, {left_out[0]}.") + 2
    # A prompt that is too long by itself is the user's business.
    assert glossary_prompt("word " * 300, ["term"]) == ("word " * 300, ("term",))


def test_tokens_are_never_fewer_than_whispers_tokenizer_makes() -> None:
    # Counted with the tokenizer of Whisper base.
    made = {
        "Мухаметшин, Нурмагомедов, Роскомнадзор, ОГРНИП, ФСТЭК": 34,
        "Kubernetes, PostgreSQL, gRPC, HTTP/2, RFC7231, XJ-900": 24,
        "Қазақстан, Нұрсұлтан, Өскемен, Әлия": 32,
        "北京市朝阳区, 阿里巴巴, 魑魅魍魉": 25,
        "თბილისი, საქართველო": 49,
    }
    for text, tokens in made.items():
        assert most_tokens(text) >= tokens, text
