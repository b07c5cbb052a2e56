"""How fast the html page of a long recording is: to make, to open, to scroll, to search.

    python benchmarks/html_page.py [--hours 10] [--runs 3]

The recording is made up: two speakers, 9,000 words an hour with their times. The page is opened in
headless Chromium without a network; of several runs the median. `interactive` is the time from the
start of the navigation until the page has drawn its text and answers; scrolling is by a screen and
by 100 pixels in each frame, and a screen of 60 Hz has one every 16.7 ms.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from playwright.sync_api import Page, sync_playwright

from benchmarks.claims import Claim, print_claims
from sttbatch.core.models import Segment, Transcript, Word
from sttbatch.core.options import OutputOptions
from sttbatch.outputs.document import Document
from sttbatch.outputs.formats import FORMATS

INTERACTIVE_S = 2.0
SAID = (
    "we talk about what is new in the plan and who does it until the end of the week because "
    "nobody else has the time or wants to look at the budget of the project again"
)
READY = """new Promise(resolve => requestAnimationFrame(() => setTimeout(
  () => resolve(performance.now()))))"""
SCROLL = """async step => {
  const frames = [];
  let last = performance.now();
  for (let frame = 0; frame < 150; frame++) {
    scrollBy(0, step || innerHeight);
    await new Promise(resolve => requestAnimationFrame(resolve));
    frames.push(performance.now() - last);
    last = performance.now();
  }
  return frames.sort((one, other) => one - other)[Math.floor(frames.length * 0.95)];
}"""
SEARCH = """async () => {
  const begun = performance.now();
  document.querySelector("#query").value = "budget of";
  document.querySelector("#query").dispatchEvent(new Event("input"));
  await new Promise(resolve => requestAnimationFrame(resolve));
  return performance.now() - begun;
}"""


def made_up(hours: float) -> Document:
    """A recording of two people, with 2.5 words a second."""
    chance = random.Random(1)  # noqa: S311 - equal pages in all runs, nothing to guard
    vocabulary = SAID.split()
    segments: list[Segment] = []
    end_s = 0.0
    while end_s < hours * 3600:
        count = chance.randint(5, 14)
        words = [
            Word(chance.choice(vocabulary), end_s + at * 0.31, end_s + at * 0.31 + 0.27)
            for at in range(count)
        ]
        text = " ".join(word.text for word in words).capitalize() + "."
        speaker = str(len(segments) // 5 % 2 + 1)
        segments.append(Segment(text, end_s, words[-1].end_s, tuple(words), speaker))
        end_s = words[-1].end_s + chance.choice([0.1, 0.2, 2.5])
    transcript = Transcript(end_s, "en", tuple(segments), ())
    return Document("talk.mp3", "ab" * 32, "whisper", "cloudru", transcript, OutputOptions())


def measured(page: Page, path: Path) -> dict[str, float]:
    page.goto(path.as_uri(), wait_until="commit")
    page.wait_for_load_state()
    return {
        "interactive": page.evaluate(READY),
        "a frame, scrolling by a screen": page.evaluate(SCROLL, 0),
        "a frame, scrolling by 100 pixels": page.evaluate(SCROLL, 100),
        "search and its first frame": page.evaluate(SEARCH),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    document = made_up(options.hours)
    words = sum(len(segment.words) for segment in document.transcript.segments)
    begun_s = time.process_time()
    content = b"".join(FORMATS["html"](document))
    cpu_s = time.process_time() - begun_s
    runs = []
    with tempfile.TemporaryDirectory(prefix="html-page-") as folder, sync_playwright() as driver:
        path = Path(folder, "talk.html")
        path.write_bytes(content)
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"))
        for _ in range(options.runs):
            context = browser.new_context(offline=True, viewport={"width": 1200, "height": 900})
            runs.append(measured(context.new_page(), path))
            context.close()
        browser.close()
    medians = {name: median(run[name] for run in runs) for name in runs[0]}
    ready_s = medians.pop("interactive") / 1000
    size = f"{options.hours:g} h, {words} words, {len(content) / 1e6:.1f} MB"
    claims = [Claim("interactive", ready_s, INTERACTIVE_S, size, unit="s")]
    claims += [Claim(name, ms, None, "95 of 100" if "frame," in name else "", unit="ms")
               for name, ms in medians.items()]  # fmt: skip
    claims.append(Claim("CPU time to make it", cpu_s, None, unit="s"))
    print_claims("The html page", claims)


if __name__ == "__main__":
    main()
