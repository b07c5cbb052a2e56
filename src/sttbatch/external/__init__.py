"""Clients of speech recognition and notification services."""

import sys

# httpx imports its own command line if it can, and with it click and pygments: 50 ms.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
