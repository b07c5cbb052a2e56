"""ObjectIntake: takes in the recordings of buckets one by one, each just before it is cut."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from sttbatch.core.errors import RecordingError
from sttbatch.core.ports.objects import ObjectFacts
from sttbatch.kinds.transcription.completion import Completion
from sttbatch.kinds.transcription.intake import Intake, IntakeResult, unread
from sttbatch.kinds.transcription.job_claims import Failure, JobClaims
from sttbatch.kinds.transcription.recording_job import RecordingJob, RunState
from sttbatch.processing.discovery import Candidate

_LOOKED_AHEAD = 64
"""Recordings that decide, by their lengths, how the one before them is cut."""


@dataclass(slots=True, eq=False)
class ObjectIntake:
    """Fetches the objects that an intake left unfetched, so that each is fetched once.

    Attributes:
        taken: of the intake; new jobs are added, and `unfetched` shrinks, the largest ones first.
    """

    intake: Intake
    claims: JobClaims
    completion: Completion
    taken: IntakeResult
    jobs: list[RecordingJob] = field(default_factory=list, init=False)
    _by_content: dict[str, RecordingJob] = field(init=False)

    def __post_init__(self) -> None:
        self.taken.unfetched.sort(key=lambda each: each.status.st_size)
        self._by_content = {job.fingerprint.sha256: job for job in self.taken.jobs}

    @property
    def sizes(self) -> list[int]:
        """The sizes in bytes of all objects that are not fetched yet."""
        return [each.status.st_size for each in reversed(self.taken.unfetched)]

    @property
    def next_sizes(self) -> list[int]:
        """As `sizes`, of the next ones."""
        return [each.status.st_size for each in self.taken.unfetched[: -_LOOKED_AHEAD - 1 : -1]]

    async def next(self, opened: AsyncExitStack) -> RecordingJob | None:
        """Fetch the next object, whose file remains for as long as `opened`.

        None: there is nothing to do for it, or it has ended.
        """
        candidate = self.taken.unfetched.pop()
        try:
            job = await self._examined(candidate, opened)
        except RecordingError as error:
            await self.completion.fail_unread([unread(candidate.display_path, str(error))])
            return None
        except BaseException:
            # The run ends before it.
            self.taken.unfetched.append(candidate)
            raise
        if job.candidates[0] is not candidate:
            return None
        if job.state is RunState.FAILED:
            sha256, reason = job.fingerprint.sha256, job.reason
            copies = [Failure(each.display_path, sha256, reason) for each in job.candidates]
            await self.completion.fail_unread(copies)
            job.release()
            return None
        self.taken.jobs.append(job)
        self.jobs.append(job)
        if not self.claims.adopt(job):
            self.completion.fail_changed(job)
            return None
        if job.state is RunState.CACHED:
            await self.completion.write_stored(job)
            return None
        return job

    async def _examined(self, candidate: Candidate, opened: AsyncExitStack) -> RecordingJob:
        facts, fetched = candidate.status, self.intake.fetched
        assert isinstance(facts, ObjectFacts)
        assert fetched is not None
        file = await opened.enter_async_context(fetched.held(facts, self.intake.stopping))
        job = await self.intake.examine(candidate, file, self._by_content)
        if job.candidates[0] is not candidate:
            fetched.forget(facts)
        return job
