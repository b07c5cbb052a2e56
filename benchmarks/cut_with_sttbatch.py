"""Cut one recording as a batch does and send nothing: what prepare.py measures.

Usage: ``python benchmarks/cut_with_sttbatch.py RECORDING SPOOL HELD``; prints how many chunks.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque
from pathlib import Path

from sttbatch.caching.fingerprints import Fingerprinter
from sttbatch.core.models import AudioChunk, UploadCodec
from sttbatch.core.options import ChunkingOptions
from sttbatch.database.files import SqlFileIndex
from sttbatch.database.opening import open_ledger
from sttbatch.processing.media.media_messages import Source, SplitPlan
from sttbatch.processing.media.media_workers import MediaWorkers


async def cut(path: Path, spool: Path, held: int) -> int:
    """Fingerprint, probe and cut `path`; how many chunks. The last `held` are kept in memory."""
    options = ChunkingOptions()
    chunks: deque[AudioChunk] = deque(maxlen=held)
    count = 0
    with contextlib.closing(open_ledger(spool)) as database:
        async with MediaWorkers(spool) as media:
            known = await Fingerprinter(SqlFileIndex(database)).fingerprint(path)
            file = await media.probe(path)
            state = known.size_bytes, known.mtime_ns, known.inode
            source = Source(known.size_bytes, path=bytes(path), state=state)
            plan = SplitPlan(
                target_s=options.target_duration_s,
                max_bytes=options.max_chunk_bytes,
                codec=UploadCodec.COPY,
                declared_s=file.duration_s,
            )
            async with media.split(source, plan) as cutting:
                while (chunk := await cutting.next()) is not None:
                    chunks.append(chunk)
                    count += 1
                    del chunk
    return count


if __name__ == "__main__":
    print(asyncio.run(cut(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
