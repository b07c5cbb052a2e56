"""Jobs of recordings that nothing is sent for: what failed is noted, what had failed is done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sttbatch.batch.claims import Failure, JobClaims
from sttbatch.batch.endings import Endings
from sttbatch.batch.job import Job
from sttbatch.caching.file_index import UNREAD, unread_content
from sttbatch.core import events
from sttbatch.core.errors import SttbatchError


class Settling:
    """Keeps the ledger's jobs in step with recordings that no lane works on.

    What cannot be noted is warned of: it fails no recording that has its outputs.
    """

    def __init__(self, claims: JobClaims, endings: Endings, emit: events.Emit) -> None:
        self._claims = claims
        self._endings = endings
        self._emit = emit

    async def fail(self, failures: Sequence[Failure]) -> None:
        """Report what cannot be read, and note it."""
        for each in failures:
            self._endings.failed(each.shown, each.audio_s, each.reason)
        await self._note(failures)

    async def write(self, job: Job) -> bool:
        """Write a transcript that is there already, and end its job; whether all went well."""
        assert job.transcript is not None
        reason = await self._endings.write(job)
        if reason is None:
            await self._claims.complete(job)
        elif job.claim is not None:
            await self._claims.fail(job, reason)
        else:
            sha256, audio_s = job.fingerprint.sha256, job.transcript.duration_s
            await self._note([Failure(job.shown, sha256, reason, audio_s)])
        return reason is None

    async def settle(self, done: Iterable[Job], readable: Iterable[Job]) -> None:
        """Earlier failures of what is done now, or can be read now, are over."""
        try:
            rows = await self._claims.unfinished()
            if any(content.startswith(UNREAD) for content in rows):
                read = rows.keys() & _places(readable)
                await self._claims.forget([rows[content] for content in read])
            finished = rows.keys() & {job.fingerprint.sha256 for job in done}
            await self._claims.finish([rows[content] for content in finished])
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
