import logging
import sys

# Otherwise httpx imports its command line, with click and pygments: 50 ms.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

# At INFO they print addresses, at DEBUG headers.
for _name in ("httpx", "httpcore", "hpack", "h2"):
    logging.getLogger(_name).setLevel(logging.WARNING)
# At DEBUG it logs whole encoded header blocks, the key among them.
logging.getLogger("hpack.hpack").addFilter(lambda _: False)
