from __future__ import annotations

import random

from sttbatch.core.models import Segment
from sttbatch.kinds.indexing.alignment import with_times
from sttbatch.kinds.indexing.words import Language
from tests.kinds.indexing.library import with_words


def test_words_of_an_edited_text_keep_the_times_of_those_that_were_spoken() -> None:
    chance = random.Random(5)
    said = [
        f"{chance.choice(['so', 'and', 'the', 'word'])}{chance.randrange(300)}" for _ in range(900)
    ]
    spoken = [
        with_words(Segment(" ".join(said[at : at + 9]), float(at), at + 9.0))
        for at in range(0, 900, 9)
    ]
    written = list(said)
    written[100] = "corrected"
    del written[400:420]
    written[600:600] = ["three", "new", "words"]
    edited = [Segment(" ".join(written[at : at + 50]), 0.0, 0.0) for at in range(0, 883, 50)]
    timed = with_times(edited, spoken, Language("en"))
    times = [word.start_s for segment in timed for word in segment.words]
    assert times == sorted(times)
    assert [segment.text for segment in timed] == [segment.text for segment in edited]
    # What they said, by their place in the original.
    truth = [*range(400), *range(420, 620), 619, 619, 619, *range(620, 900)]
    offsets = [abs(at - true) for at, true in zip(times, truth, strict=True)]
    assert sum(offset > 0.01 for offset in offsets) <= 6, "but for words beside what was changed"
    assert max(offsets) <= 3
    assert timed[3].start_s == timed[3].words[0].start_s


def test_a_text_that_is_another_one_has_times_all_the_same() -> None:
    spoken = [Segment("not a word of it", 3.0, 5.0)]
    (timed,) = with_times([Segment("entirely different", 0.0, 0.0)], spoken, Language("en"))
    assert 3.0 <= timed.start_s <= timed.end_s <= 5.0
    (timed,) = with_times([Segment("text", 0.0, 0.0)], [], Language("en"))
    assert (timed.start_s, timed.end_s) == (0.0, 0.0)
