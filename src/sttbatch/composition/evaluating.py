"""Compares stored transcripts with reference texts."""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from msgspec import Struct, field
from msgspec.structs import replace

from sttbatch.caching.fingerprints import Fingerprinter
from sttbatch.caching.result_cache import decode_transcript
from sttbatch.composition.searching import transcript_source
from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import LedgerStores, opened_stores
from sttbatch.composition.transcript_facts import Facts, known_facts, labels_of
from sttbatch.core.errors import RecordingError
from sttbatch.core.locations import ObjectUrl
from sttbatch.core.models import Transcript
from sttbatch.core.search import StoredTranscript
from sttbatch.kinds.evaluation.references import References, read_bytes, read_reference
from sttbatch.kinds.evaluation.spoken_words import spoken_words
from sttbatch.kinds.evaluation.word_errors import ComparedLine, Comparison, ErrorCounts, compare
from sttbatch.processing.discovery import Candidate, Discovery


class Recording(Struct, frozen=True):
    """A recording with a reference; `sha256` is None if its content is unknown."""

    path: str
    reference: Path
    sha256: str | None


class Setting(Struct, frozen=True):
    """What some transcripts were made with; `label` says how it differs from the others."""

    label: str
    facts: Facts


class EvaluatedRecording(Struct, frozen=True):
    """The errors of each setting's transcript of a recording, by the setting's number."""

    path: str
    reference: Path
    counts: dict[int, ErrorCounts]


class BadLine(Struct, frozen=True):
    """A line with errors; `start_s` is a time in the recording."""

    path: str
    setting: int
    start_s: float
    line: ComparedLine


class Evaluation(Struct):
    """What was compared.

    Attributes:
        worst: the lines with most errors, the worst first.
        missing: recordings or references that could not be compared, and why.
        unreferenced: number of recordings without a reference.
        unused: number of references of other recordings than were named.
    """

    settings: list[Setting] = field(default_factory=list)
    recordings: list[EvaluatedRecording] = field(default_factory=list)
    worst: list[BadLine] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)
    unreferenced: int = 0
    unused: int = 0

    def total(self, setting: int, among: Sequence[EvaluatedRecording] | None = None) -> ErrorCounts:
        """The errors of all recordings together, not the mean of their rates."""
        found = self.recordings if among is None else among
        return sum(
            (each.counts[setting] for each in found if setting in each.counts), ErrorCounts()
        )

    def common(self) -> list[EvaluatedRecording]:
        """Recordings that every setting has a transcript of."""
        return [each for each in self.recordings if len(each.counts) == len(self.settings)]


def referenced(references: References, discovery: Discovery) -> list[Candidate]:
    """The recordings that have a reference."""

    def has_reference(candidate: Candidate) -> bool:
        try:
            return _reference_of(references, candidate.display_path, discovery) is not None
        except RecordingError:
            return False

    return [each for each in discovery.candidates if has_reference(each)]


async def evaluate(
    settings: Settings,
    references: References,
    discovery: Discovery | None,
    model: str | None = None,
    worst: int = 0,
) -> Evaluation:
    """Compare the transcripts of what was discovered, or of all that is known, by `model` alone.

    `worst` is how many lines are kept. Nothing is sent.
    """
    evaluation = Evaluation()
    with opened_stores(settings) as stores:
        if discovery is None:
            source = transcript_source(settings, stores.database)
            recordings = _known(await source.contents(), references, evaluation)
        else:
            recordings = await _discovered(stores, references, discovery, evaluation)
        used = {each.reference.with_suffix("") for each in recordings}
        unused = [file for file in references.files if file.with_suffix("") not in used]
        if discovery is None:
            reason = (
                "no recording of this name is transcribed; transcribe it, or give the text its name"
            )
            evaluation.missing += [(str(file), reason) for file in unused]
        else:
            evaluation.unused = len(unused)
        forms = [file for each in recordings for file in references.forms_of(each.reference)]
        ours = await _our_outputs(stores, forms)
        corrected = [_corrected(each, references, ours) for each in recordings]
        await _compare_all(stores, corrected, ours, evaluation, model, worst)
    return evaluation


async def _discovered(
    stores: LedgerStores, references: References, discovery: Discovery, evaluation: Evaluation
) -> list[Recording]:
    index = Fingerprinter(stores.files)
    await index.load([each.path.absolute() for each in discovery.candidates])
    evaluation.missing += discovery.failures
    found = []
    for candidate in discovery.candidates:
        path = candidate.path
        try:
            reference = _reference_of(references, candidate.display_path, discovery)
            if reference is None:
                evaluation.unreferenced += candidate.expected
                continue
            sha256: str | None
            if isinstance(path, ObjectUrl):
                sha256 = index.unchanged(os.fsencode(path), candidate.status)
            else:
                sha256 = (await index.fingerprint(path.absolute())).sha256
            found.append(Recording(candidate.display_path, reference, sha256))
        except RecordingError as error:
            evaluation.missing.append((candidate.display_path, str(error)))
    return found


def _known(
    contents: Sequence[tuple[bytes, str]], references: References, evaluation: Evaluation
) -> list[Recording]:
    """Recordings that were read once, each content by its first path that is still there."""
    found: dict[tuple[Path, str], Recording] = {}
    for name, sha256 in sorted(contents):
        path = os.fsdecode(name)
        try:
            reference = references.of(PurePosixPath(path))
        except RecordingError as error:
            evaluation.missing.append((path, str(error)))
            continue
        if reference is None:
            continue
        earlier = found.get((reference, sha256))
        if earlier is None or not os.path.lexists(earlier.path):
            found[reference, sha256] = Recording(path, reference, sha256)
    here = f"{Path.cwd()}/"
    named = (replace(each, path=each.path.removeprefix(here)) for each in found.values())
    return sorted(named, key=lambda each: each.path)


def _reference_of(references: References, path: str, discovery: Discovery) -> Path | None:
    if references.is_file and len(discovery.candidates) == 1:
        return references.path
    return references.of(PurePosixPath(path))


def _corrected(
    recording: Recording, references: References, ours: Mapping[str, tuple[str, ...]]
) -> Recording:
    """With what somebody has corrected in place of outputs of the same name that nobody has."""
    for file in references.forms_of(recording.reference):
        with contextlib.suppress(RecordingError):
            _check_is_reference(file, ours)
            return replace(recording, reference=file)
    return recording


async def _our_outputs(stores: LedgerStores, files: Sequence[Path]) -> dict[str, tuple[str, ...]]:
    """The digests of what was written to these files, by their real paths."""
    source = transcript_source(stores.settings, stores.database)
    outputs = await source.outputs([os.fsencode(file.resolve()) for file in files])
    return {os.fsdecode(each.path): each.sha256s for each in outputs}


async def _compare_all(
    stores: LedgerStores,
    recordings: Sequence[Recording],
    ours: Mapping[str, tuple[str, ...]],
    evaluation: Evaluation,
    model: str | None,
    worst: int,
) -> None:
    contents = [each.sha256 for each in recordings if each.sha256 is not None]
    source = transcript_source(stores.settings, stores.database)
    stored = [each for each in await source.stored_of(contents) if model in (None, each.model)]
    known = await known_facts(stores, contents)
    by_content: dict[str, dict[Facts, StoredTranscript]] = defaultdict(dict)
    for each in sorted(stored, key=lambda each: each.created_at):
        # The newest counts of those that nothing tells apart.
        by_content[each.file_sha256][known.get(each.key, (("model", each.model),))] = each
    used = Counter(facts for each in by_content.values() for facts in each)
    order = sorted(used, key=lambda facts: (-used[facts], facts))
    evaluation.settings = [
        Setting(label, facts) for label, facts in zip(labels_of(order), order, strict=True)
    ]
    for recording in recordings:
        transcripts = by_content.get(recording.sha256 or "", {})
        by_number = {order.index(facts): each.key for facts, each in transcripts.items()}
        try:
            _check_is_reference(recording.reference, ours)
            counts = await _compare_one(stores, recording, by_number, evaluation, worst)
        except RecordingError as error:
            evaluation.missing.append((recording.path, str(error)))
            continue
        if counts:
            path, reference = recording.path, recording.reference
            evaluation.recordings.append(EvaluatedRecording(path, reference, counts))
        else:
            by_model = f" by {model}" if model is not None else ""
            evaluation.missing.append(
                (recording.path, f"it has no transcript{by_model}; transcribe it first")
            )


async def _compare_one(
    stores: LedgerStores,
    recording: Recording,
    keys: dict[int, str],
    evaluation: Evaluation,
    worst: int,
) -> dict[int, ErrorCounts]:
    """The errors of each transcript by its setting, of those that are still stored."""
    counts = {}
    for number, key in sorted(keys.items()):
        values = await stores.results.get_many([key])
        transcript = decode_transcript(values[key].data) if key in values else None
        if transcript is not None:
            compared = _compared(recording, transcript)
            counts[number] = compared.counts
            bad = _bad_lines(recording, number, transcript, compared)
            evaluation.worst = heapq.nlargest(worst, [*evaluation.worst, *bad], key=_badness)
    return counts


def _check_is_reference(reference: Path, ours: Mapping[str, tuple[str, ...]]) -> None:
    """Raises RecordingError for a transcript that nobody has corrected, which says nothing."""
    digests = ours.get(str(reference.resolve()))
    if digests and hashlib.sha256(read_bytes(reference)).hexdigest() in digests:
        raise RecordingError(f"{reference} is sttbatch's own output, unchanged; correct it first")


def _compared(recording: Recording, transcript: Transcript) -> Comparison:
    speakers = sorted({each.speaker for each in transcript.segments if each.speaker is not None})
    reference = read_reference(recording.reference, speakers)
    language = transcript.language
    return compare(spoken_words(reference, language), spoken_words(transcript.segments, language))


def _bad_lines(
    recording: Recording, setting: int, transcript: Transcript, compared: Comparison
) -> Iterator[BadLine]:
    segment = 0
    for line in compared.lines:
        segment = next((heard.line for _, heard in line.pairs if heard is not None), segment)
        if line.errors:
            start_s = transcript.segments[segment].start_s if transcript.segments else 0.0
            yield BadLine(recording.path, setting, start_s, line)


def _badness(bad: BadLine) -> tuple[int, float]:
    return bad.line.errors, bad.line.errors / len(bad.line.pairs)
