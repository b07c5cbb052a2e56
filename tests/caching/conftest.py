"""What tests of the cache share."""

from __future__ import annotations

import pytest

from .second_levels import SECOND_KINDS, SecondKind


@pytest.fixture(scope="module", params=SECOND_KINDS)
def second(request: pytest.FixtureRequest) -> SecondKind:
    """Each kind of L2 in turn, whose server runs."""
    if request.param == "redis":
        request.getfixturevalue("shared_redis")
    return SECOND_KINDS[request.param]
