"""Small charts as SVG, coloured by the style sheet of their page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from html import escape
from itertools import pairwise

from msgspec import Struct

from sttbatch.core.metrics import MeasuredRequest

WIDTH = 900
LEFT = 60
RIGHT = 12
TOP = 8
BOTTOM = 24
LANE_HEIGHT = 22
ROW_HEIGHT = 28
_TICKS = 4
_LAST = -1
_LEAST_PX = 0.75
_BREAK_PX = 50.0
_DAY_S = 86_400.0


class LatencyPoint(Struct, frozen=True):
    """Percentiles of the latencies in a short time that begins `at`."""

    at: float
    p50: float
    p95: float


class _Scale(Struct, frozen=True):
    """Maps a range of values linearly onto a range of pixels."""

    low: float
    high: float
    from_px: float
    to_px: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return self.from_px + share * (self.to_px - self.from_px)


def latency_chart(points: Sequence[LatencyPoint], height: int = 220) -> str:

    across = _Scale(points[0].at, points[-1].at, LEFT, WIDTH - RIGHT)
    ticks = _round_ticks(max(point.p95 for point in points))
    up = _Scale(0.0, ticks[-1], height - BOTTOM, TOP)
    parts = [_grid(ticks, up), _times(across, height)]
    for name in ("p95", "p50"):
        points_px = [(across(point.at), up(getattr(point, name))) for point in points]
        for section in _unbroken(points_px):
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in section)
            parts.append(f'<polyline class="{name}" points="{line}"/>')
        parts += [
            f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="2.5">'
            f"<title>{name} {getattr(point, name):.3f} s</title></circle>"
            for point, (x, y) in zip(points, points_px, strict=True)
        ]
    return _svg("latency", height, parts, "Latency over time")


def _unbroken(points_px: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """The sections of a line, which has gaps between runs."""
    sections = [[points_px[0]]]
    for before, point in pairwise(points_px):
        if point[0] - before[0] > _BREAK_PX:
            sections.append([])
        sections[-1].append(point)
    return sections


def lane_chart(requests: Sequence[MeasuredRequest]) -> str:
    """A row for each lane; before each request is a thin line while its chunk waited for a lane."""
    rows = _lanes(requests)
    height = TOP + LANE_HEIGHT * len(rows) + BOTTOM
    first = min(request.queued_at for request in requests)
    last = max(request.ended_at for request in requests)
    across = _Scale(first, last, LEFT, WIDTH - RIGHT)
    parts = [_seconds_from(across, height)]
    for number, row in enumerate(rows):
        y = TOP + LANE_HEIGHT * number
        parts.append(f'<text x="{LEFT - 8}" y="{y + 14}" class="end">lane {number + 1}</text>')
        for sent in row:
            kind = "ok" if sent.is_ok else "failed"
            title = (
                f"chunk {sent.chunk}: {sent.outcome}; {sent.queue_wait_s:.2f} s for a lane, "
                f"{sent.rate_wait_s:.2f} s for the limit, {sent.latency_s:.2f} s for an answer"
            )
            parts += [
                f"<g><title>{escape(title)}</title>",
                _bar(across, sent.queued_at, sent.in_lane_at, y + 17, 3, "queue"),
                _bar(across, sent.in_lane_at, sent.sent_at, y + 3, 12, "rate"),
                _bar(across, sent.sent_at, sent.ended_at, y + 3, 12, kind),
                "</g>",
            ]
    return _svg("lanes", height, parts, "Lanes of the last run")


def _lanes(requests: Sequence[MeasuredRequest]) -> list[list[MeasuredRequest]]:
    """The requests by lane, each in the first one that was free."""
    lanes: list[list[MeasuredRequest]] = []
    for request in requests:
        for lane in lanes:
            if lane[-1].ended_at <= request.in_lane_at:
                lane.append(request)
                break
        else:
            lanes.append([request])
    return lanes


def bars(kind: str, rows: Sequence[tuple[str, float, str]], label: str) -> str:
    """Horizontal bars of (name, value, label after the bar)."""
    height = TOP + ROW_HEIGHT * len(rows)
    top = max((value for _, value, _ in rows), default=0.0)
    along = _Scale(0.0, top or 1.0, 110, WIDTH - 190)
    parts = []
    for number, (name, value, text) in enumerate(rows):
        y = TOP + ROW_HEIGHT * number
        end = along(value)
        parts += [
            f'<text x="100" y="{y + 14}" class="end">{escape(name)}</text>',
            f'<rect class="{kind}" x="110" y="{y + 2}" width="{end - 110:.1f}" height="16"/>',
            f'<text x="{end + 8:.1f}" y="{y + 14}">{escape(text)}</text>',
        ]
    return _svg(kind, height, parts, label)


def _svg(kind: str, height: int, parts: Sequence[str], label: str) -> str:
    return (
        f'<svg id="{kind}" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )


def _bar(scale: _Scale, begin: float, end: float, y: float, height: float, kind: str) -> str:
    x = scale(begin)
    # Zero durations are not drawn, and short ones have a minimum width.
    if end - begin < 1e-3:
        return ""
    width = max(scale(end) - x, _LEAST_PX)
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}"/>'


def _round_ticks(top: float) -> list[float]:
    """From 0 to at least `top` in steps of 1, 2 or 5 times a power of ten."""
    least = max(top, 1e-3) / _TICKS
    power = 10.0 ** math.floor(math.log10(least))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least)
    return [step * tick for tick in range(math.ceil(max(top, 1e-3) / step - 1e-9) + 1)]


def _grid(ticks: Sequence[float], up: _Scale) -> str:
    return "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{LEFT - 8}" y="{y + 4:.1f}" class="end">{value:.3g} s</text>'
        for value, y in ((value, up(value)) for value in ticks)
    )


def _times(across: _Scale, height: int) -> str:
    pattern = "%d %b %H:%M" if across.high - across.low > _DAY_S / 2 else "%H:%M:%S"
    parts = []
    for tick in range(_TICKS + 1):
        at = across.low + (across.high - across.low) * tick / _TICKS
        text = datetime.fromtimestamp(at).astimezone().strftime(pattern)
        parts.append(_tick(across(at), height, text, _LAST if tick == _TICKS else tick))
    return "".join(parts)


def _seconds_from(across: _Scale, height: int) -> str:
    length = across.high - across.low
    return "".join(
        _tick(across(across.low + seconds), height, f"{seconds:.3g} s", number)
        for number, seconds in enumerate(_round_ticks(length))
        # A label close to the right edge would be cut off.
        if seconds <= 0.97 * length
    )


def _tick(x: float, height: int, text: str, tick: int) -> str:
    # Centred, the outermost labels would be half outside.
    where = {0: "start", _LAST: "end"}.get(tick, "middle")
    return f'<text x="{x:.1f}" y="{height - 6}" class="{where}">{escape(text)}</text>'
