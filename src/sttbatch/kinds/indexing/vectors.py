"""Arithmetic of vectors, in numpy: their lengths, and which are near another one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def normalized(vectors: Sequence[bytes]) -> bytes:
    """float32 vectors of length 1, one after another; those of length 0 stay as they are."""
    if not vectors:
        return b""
    matrix = np.frombuffer(b"".join(vectors), np.float32).reshape(len(vectors), -1)
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return np.asarray(matrix / lengths, np.float32).tobytes()


class Nearest:
    """Collects the vectors that are nearest to another one, by the cosine of their angle."""

    def __init__(self, vector: bytes, limit: int) -> None:
        self._vector = np.frombuffer(vector, np.float32)
        self._limit = limit
        self._numbers = np.empty(0, np.int64)
        self._cosines = np.empty(0, np.float32)

    def add(self, first: int, step: int, vectors: bytes) -> None:
        """Consider vectors of length 1; the first one is `first`, the others `step` apart."""
        matrix = np.frombuffer(vectors, np.float32).reshape(-1, len(self._vector))
        numbers = first + step * np.arange(len(matrix), dtype=np.int64)
        self._numbers = np.concatenate((self._numbers, numbers))
        self._cosines = np.concatenate((self._cosines, matrix @ self._vector))
        if len(self._numbers) > 2 * self._limit:
            best = np.argpartition(self._cosines, -self._limit)[-self._limit :]
            self._numbers, self._cosines = self._numbers[best], self._cosines[best]

    def cosines(self) -> dict[int, float]:
        """By number, the best first."""
        best = np.argsort(-self._cosines, kind="stable")[: self._limit]
        return dict(zip(self._numbers[best].tolist(), self._cosines[best].tolist(), strict=True))
