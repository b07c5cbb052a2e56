"""Arithmetic of vectors, in numpy: their lengths, and which are near another one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_KEPT = 20
"""So many times more are collected than are wanted, before they are sorted."""


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
        self._numbers: list[np.ndarray] = []
        self._cosines: list[np.ndarray] = []
        self._count = 0

    def add(self, first: int, step: int, vectors: bytes) -> None:
        """Consider vectors of length 1; the first one is `first`, the others `step` apart."""
        matrix = np.frombuffer(vectors, np.float32).reshape(-1, len(self._vector))
        self._numbers.append(np.arange(first, first + step * len(matrix), step))
        self._cosines.append(matrix @ self._vector)
        self._count += len(matrix)
        if self._count > _KEPT * self._limit:
            self._keep_best()

    def cosines(self) -> dict[int, float]:
        """By number, the best first."""
        self._keep_best()
        (numbers,), (cosines,) = self._numbers, self._cosines
        return dict(zip(numbers.tolist(), cosines.tolist(), strict=True))

    def _keep_best(self) -> None:
        numbers = np.concatenate([np.empty(0, np.int64), *self._numbers])
        cosines = np.concatenate([np.empty(0, np.float32), *self._cosines])
        best = np.argsort(-cosines, kind="stable")[: self._limit]
        self._numbers, self._cosines = [numbers[best]], [cosines[best]]
        self._count = len(best)
