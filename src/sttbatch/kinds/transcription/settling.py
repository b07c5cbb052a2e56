"""Jobs of recordings that nothing is sent for: what failed is noted, what had failed is done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sttbatch.caching.fingerprints import UNREAD, unread_content
from sttbatch.caching.result_cache import ResultCache
from sttbatch.core import events
from sttbatch.core.errors import SttbatchError
from sttbatch.kinds.transcription.endings import Endings
from sttbatch.kinds.transcription.job_claims import Failure, JobClaims
from sttbatch.kinds.transcription.recording_job import Job


class Settling:
    """Keeps the ledger's jobs in step with recordings that no lane works on.

    What cannot be noted is warned of: it fails no recording that has its outputs.
    """

    def __init__(
        self, claims: JobClaims, results: ResultCache, endings: Endings, emit: events.Emit
    ) -> None:
        self._claims = claims
        self._results = results
        self._endings = endings
        self._emit = emit
        self._done: set[str] = set()

    async def fail(self, failures: Sequence[Failure]) -> None:
        """Report what cannot be read, and note it."""
        for each in failures:
            self._endings.failed(each.display_path, each.audio_s, each.reason)
        await self._note(failures)

    async def write_stored(self, job: Job) -> str | None:
        """Write a job's outputs if its transcript is stored, and end its row.

        Returns:
            The cache level that had the transcript; None: there is none.
        """
        hit = await self._results.transcript(job.transcript_key)
        if hit is None:
            return None
        job.transcript, job.cached = hit.value, True
        reason = await self._endings.write(job)
        job.finished = True
        job.let_go()
        sha256 = job.fingerprint.sha256
        if reason is None:
            self._done.add(sha256)
            await self._claims.complete(job)
        elif job.claim is not None:
            await self._claims.fail(job, reason)
        else:
            await self._note([Failure(job.display_path, sha256, reason, hit.value.duration_s)])
        return hit.level

    async def settle(self, readable: Iterable[Job]) -> None:
        """Earlier failures of what was written by now, or can be read now, are over."""
        try:
            rows = await self._claims.unfinished()
            if any(content.startswith(UNREAD) for content in rows):
                read = rows.keys() & _places(readable)
                await self._claims.forget([rows[content] for content in read])
            await self._claims.finish([rows[content] for content in rows.keys() & self._done])
        except SttbatchError as error:
            self._warn(error)

    async def _note(self, failures: Sequence[Failure]) -> None:
        try:
            await self._claims.note(failures)
        except SttbatchError as error:
            self._warn(error)

    def _warn(self, error: SttbatchError) -> None:
        self._emit(events.Warned("", f"`sttbatch jobs` misses some of what failed: {error}"))


def _places(jobs: Iterable[Job]) -> set[str]:
    """What stood for the files, and for the folders that they lie in, while they were unread."""
    files = {each.path.absolute() for job in jobs for each in job.candidates}
    folders = {folder for file in files for folder in file.parents}
    return {unread_content(path) for path in files | folders}
