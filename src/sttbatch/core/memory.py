"""Memory that was freed, which the C library keeps for later."""

from __future__ import annotations


def release_freed_memory() -> None:
    """Return freed memory to the system where the C library is glibc; takes milliseconds."""
    # Hardly any run needs it.
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
