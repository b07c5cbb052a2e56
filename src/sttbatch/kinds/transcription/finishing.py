"""A recording's end: merged, stored, written, and its job brought to an end."""

from __future__ import annotations

from collections.abc import Callable

from sttbatch.caching.result_cache import ResultCache
from sttbatch.core import events
from sttbatch.core.errors import EndpointUnreachable, SttbatchError
from sttbatch.core.models import GapReason
from sttbatch.kinds.transcription.endings import Endings
from sttbatch.kinds.transcription.job_claims import JobClaims
from sttbatch.kinds.transcription.recording_job import Job
from sttbatch.kinds.transcription.report import BatchReport
from sttbatch.processing.transcript.result_merger import ResultMerger

DURATION_TOLERANCE = 0.01
"""Of the duration that was found; a larger difference is reported."""

LEAST_DIFFERENCE_S = 0.1
"""A smaller one would be shown as none."""


class Finishing:
    """Brings recordings to their end; no lane is held meanwhile.

    Args:
        give_up: stops the run for a reason that concerns every recording.
    """

    def __init__(
        self,
        results: ResultCache,
        claims: JobClaims,
        endings: Endings,
        emit: events.Emit,
        report: BatchReport,
        give_up: Callable[[SttbatchError], None],
    ) -> None:
        self._results = results
        self._claims = claims
        self._endings = endings
        self._emit = emit
        self._report = report
        self._give_up = give_up
        self._merger = ResultMerger()

    async def finish_if_done(self, job: Job) -> None:
        """See to a job's end, once nothing of it is under way."""
        if job.finished or job.pending or job.claim is None:
            return
        if job.failure is None and isinstance(self._report.fatal, EndpointUnreachable) and job.left:
            job.failure = str(self._report.fatal)
        if job.failure is None and (job.left or not job.is_cut):
            return
        # The cutter and the last lane may both come by.
        job.finished = True
        if job.failure is None:
            await self._finish(job)
        try:
            if job.failure is not None:
                await self._claims.fail(job, job.failure)
            else:
                await self._claims.complete(job)
        except SttbatchError as error:
            # Raised on, it would cancel what other lanes have in flight.
            self._give_up(error)
        if job.failure is not None:
            self._endings.fail(job, job.failure)
        job.let_go()

    async def _finish(self, job: Job) -> None:
        """Merge, store, write; or set the job's `failure`."""
        assert job.counted_s is not None
        self._compare_durations(job)
        failed = [o for o in job.outcomes if o.gap is GapReason.STILL_MISSING]
        if not job.outcomes:
            job.failure = "it holds no sound at all"
        elif len(failed) == len(job.outcomes):
            job.failure = failed[0].detail
        if job.failure is not None:
            return
        try:
            job.transcript = job.merged(self._merger)
            if job.transcript.is_complete:
                await self._results.store_transcript(
                    job.transcript_key, job.transcript, job.fingerprint.sha256
                )
            job.cached = all(outcome.cached for outcome in job.outcomes)
            reason = await self._endings.write(job)
            if reason is not None:
                await self._claims.fail(job, reason)
        except SttbatchError as error:
            job.failure = str(error)
            self._give_up(error)

    def _compare_durations(self, job: Job) -> None:
        counted_s = job.counted_s or 0.0
        tolerated_s = max(DURATION_TOLERANCE * counted_s, LEAST_DIFFERENCE_S)
        if abs(counted_s - job.declared_s) > tolerated_s and job.declared_s:
            self._emit(
                events.Warned(
                    job.display_path,
                    f"its header declares {job.declared_s:.1f} s, {counted_s:.1f} s were found",
                )
            )
