"""How the history grew, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

from repo_slim.report.growth import Point
from repo_slim.report.markup import Markup, tag
from repo_slim.text import bytes_text, day

_WIDTH, _HEIGHT = 900, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 12, 12, 26
_LABELS, _HALF_A_DATE = 8, 30


def plot(points: Sequence[Point]) -> Markup:
    """An SVG: all file versions as an area, and before it those below 1 MiB. Nothing to draw: a sentence."""
    if len(points) < 2 or not points[-1].disk:
        return tag("p", "All of it came at one time.", class_="note")
    top = _nice(points[-1].disk)
    last = points[-1]
    span = f"From {day(points[0].time)} to {day(last.time)}"
    said = f"{span}: {bytes_text(last.disk)}, of which {bytes_text(last.small)} in files below 1 MiB"
    parts = [
        tag("title", said),
        *(_level(top * number // 4, top) for number in range(5)),
        *(_mark(points, time, label) for time, label in _dates(points)),
        _area(points, [point.disk for point in points], top, "all"),
        _area(points, [point.small for point in points], top, "small"),
    ]
    return tag("svg", *parts, class_="plot", viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=said)


def _nice(value: int) -> int:
    """A round number that is not much larger, and of which a quarter is one, too."""
    power = int(10 ** max(1, len(str(value)) - 2))
    return next(step * power for step in (10, 12, 16, 20, 24, 32, 40, 60, 80, 100) if step * power >= value)


def _x(points: Sequence[Point], time: float) -> float:
    first, last = points[0].time, points[-1].time
    return _LEFT + (time - first) / max(1, last - first) * (_WIDTH - _LEFT - _RIGHT)


def _y(value: int, top: int) -> float:
    return _HEIGHT - _BOTTOM - value / top * (_HEIGHT - _TOP - _BOTTOM)


def _area(points: Sequence[Point], values: Sequence[int], top: int, kind: str) -> Markup:
    """Steps: between two points nothing is known but that it had not grown further."""
    line, before = [f"M{_LEFT},{_y(0, top):.1f}"], values[0]
    for point, value in zip(points, values, strict=True):
        x = _x(points, point.time)
        line += [f"L{x:.1f},{_y(before, top):.1f}", f"L{x:.1f},{_y(value, top):.1f}"]
        before = value
    return tag("path", d=f"{' '.join(line)} L{_WIDTH - _RIGHT},{_y(0, top):.1f} Z", class_=kind)


def _level(value: int, top: int) -> Markup:
    y = f"{_y(value, top):.1f}"
    line = tag("line", x1=str(_LEFT), x2=str(_WIDTH - _RIGHT), y1=y, y2=y)
    return tag("g", line, tag("text", bytes_text(value).replace(".0 ", " "), x=str(_LEFT - 8), y=y, class_="level"))


def _mark(points: Sequence[Point], time: int, label: str) -> Markup:
    at = _x(points, time)
    x, kind = f"{at:.1f}", "date last" if at > _WIDTH - _RIGHT - _HALF_A_DATE else "date"  # which would be cut at the edge
    line = tag("line", x1=x, x2=x, y1=str(_HEIGHT - _BOTTOM), y2=str(_HEIGHT - _BOTTOM + 4))
    return tag("g", line, tag("text", label, x=x, y=str(_HEIGHT - 8), class_=kind))


def _dates(points: Sequence[Point]) -> list[tuple[int, str]]:
    """Beginnings of years or months inside the plot, as many as there is room for."""
    try:
        first, last = (datetime.fromtimestamp(point.time, timezone.utc) for point in (points[0], points[-1]))
    except (OverflowError, ValueError, OSError):
        return []
    months = [(number // 12, number % 12 + 1) for number in range(first.year * 12 + first.month, last.year * 12 + last.month)]
    years = [(year, month) for year, month in months if month == 1]
    if len(years) >= 3:
        chosen, form = years[:: -(-len(years) // _LABELS)], "%Y"
    else:
        chosen, form = months[:: max(1, -(-len(months) // _LABELS))], "%b %Y"
    dates = [datetime(year, month, 1, tzinfo=timezone.utc) for year, month in chosen if year > 0]
    if not dates:
        return [(points[0].time, day(points[0].time)), (points[-1].time, day(points[-1].time))]
    return [(int(date.timestamp()), date.strftime(form)) for date in dates]
