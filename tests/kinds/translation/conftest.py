from __future__ import annotations

from tests.kinds.language.conftest import endpoint

__all__ = ["endpoint"]
