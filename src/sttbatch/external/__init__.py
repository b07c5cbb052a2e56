"""Clients of speech recognition and notification services."""

import logging
import sys

# httpx imports its own command line if it can, and with it click and pygments: 50 ms.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

# At INFO they print addresses, at DEBUG headers.
for _name in ("httpx", "httpcore", "hpack", "h2"):
    logging.getLogger(_name).setLevel(logging.WARNING)
# At DEBUG it writes whole header blocks, in a code that anybody can read, the key among them.
logging.getLogger("hpack.hpack").addFilter(lambda _: False)
