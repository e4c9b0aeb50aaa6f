"""The dashboard's own figures: a metric over time, two metrics against each other. No text from outside is in them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from edgekit.records import Metric
from edgekit.results import canvas
from edgekit.results.asking import RunRow
from edgekit.results.markup import Html
from edgekit.results.plots import HALF_PX, WIDE_PX, Detail, Plot, both
from edgekit.results.steps import Point, Step
from edgekit.results.wording import AXIS_SCALES, Scale, time_scale
from edgekit.web.beside import HEIGHT_PX, Box, numbers_beside
from edgekit.web.times import limits, ticks

DRAWING = threading.RLock()
"""Matplotlib's settings belong to the process; pages are made by several threads."""
DETAIL = Detail(450, True)
MAX_NAMED = 40
"""Points that have their number beside them, where there is room for it."""
RIGHT_PX = 12.0
"""What is free to the right of an axis."""


def axis_scale(metric: Metric, values: Sequence[float]) -> Scale:
    """The unit of an axis."""
    if metric.unit == "us":
        return time_scale(max(values))
    if metric.unit == "uJ":
        return Scale(1e3, "mJ") if max(values) >= 1e3 else Scale(1, "µJ")
    return AXIS_SCALES.get(metric.unit, Scale(1, "" if metric.unit == "1" else metric.unit))


def trend_figure(
    rows: Sequence[RunRow],
    points: Sequence[Point],
    found: Sequence[Step],
    releases: Sequence[int],
    metric: Metric,
    name: str,
) -> Plot | None:
    """A dot a run with its interval, hollow where it is not valid; a ring around a step; a line at a release."""
    places = [i for i, one in enumerate(points) if one.value is not None]
    if not places:
        return None
    scale = axis_scale(metric, [points[i].value or 0.0 for i in places])
    moments = [row.started_s for row in rows]
    low_s, high_s = limits([moments[i] for i in places])

    def draw(width_px: int, own: str, class_: str) -> Html:
        with canvas.figure(width_px, [190], left_px=58) as (drawing, (axis,)):
            for i in releases:
                axis.axvline(moments[i], color=canvas.MUTED, linewidth=1, dashes=(3, 3))
            for i in places:
                _dot(axis, moments[i], points[i], scale, rows[i].verdict)
            for one in found:
                value = (points[one.place].value or 0.0) / scale.divisor
                color = canvas.FG if one.worse else canvas.MUTED
                axis.plot([moments[one.place]], [value], "o", markersize=15, markerfacecolor="none",
                          markeredgecolor=color, markeredgewidth=2)  # fmt: skip
            axis.set_xlim(low_s, high_s)
            _limits(axis, [points[i] for i in places], scale)
            found_ticks = ticks(low_s, high_s, most=7 if width_px > HALF_PX else 3)
            axis.set_xticks([at for at, _ in found_ticks], [words for _, words in found_ticks])
            canvas.plain_ticks(axis, "y", log=False, most=5)
            axis.grid(False, axis="x")
            canvas.y_title(axis, scale.unit)
            return canvas.to_svg(drawing, own, f"{metric.title} of every run over time", class_)

    caption = "Dot: a run; hollow: suspect or invalid. Bar: its 95 % interval, where there is one."
    if found:
        caption += " Ring: a step, strong where it is worse."
    if releases:
        caption += " Dashed line: another version of model or runtime."
    with DRAWING:
        return Plot(both(DETAIL, name, draw), caption)


def _dot(axis: Any, moment_s: float, point: Point, scale: Scale, verdict: str) -> None:
    value = (point.value or 0.0) / scale.divisor
    if point.low is not None and point.high is not None:
        ends = [point.low / scale.divisor, point.high / scale.divisor]
        axis.plot([moment_s, moment_s], ends, color=canvas.ACCENT, linewidth=4, alpha=0.3)
    face = canvas.ACCENT if verdict == "valid" else canvas.CARD
    axis.plot([moment_s], [value], "o", markersize=6, markerfacecolor=face, markeredgecolor=canvas.ACCENT)


def _limits(axis: Any, points: Sequence[Point], scale: Scale) -> None:
    values = [
        value / scale.divisor
        for one in points
        for value in (one.value, one.low, one.high)
        if value is not None
    ]
    low, high = min(values), max(values)
    room = 0.12 * (high - low) or 0.05 * abs(high) or 1.0
    axis.set_ylim(max(0.0, low - room) if low >= 0 else low - room, high + room)


def pareto_figure(
    points: Sequence[tuple[float, float, bool]], metrics: tuple[Metric, Metric], name: str
) -> Plot | None:
    """`points`: values of the two metrics, and whether no other beats it in both. Numbers beside the points are the rows of
    the table."""
    if not points:
        return None
    scales = tuple(axis_scale(metrics[k], [point[k] for point in points]) for k in (0, 1))
    log = [
        min(p[k] for p in points) > 0 and max(p[k] for p in points) > 20 * min(p[k] for p in points)
        for k in (0, 1)
    ]

    named: list[int] = []

    def draw(width_px: int, own: str, class_: str) -> Html:
        with canvas.figure(width_px, [300], left_px=58) as (drawing, (axis,)):
            if log[0]:
                axis.set_xscale("log")
            if log[1]:
                axis.set_yscale("log")
            axis.margins(0.08)
            front = sorted((x / scales[0].divisor, y / scales[1].divisor) for x, y, best in points if best)
            axis.plot(*zip(*front, strict=True), color=canvas.ACCENT, linewidth=1.2, alpha=0.5)
            places = [(x / scales[0].divisor, y / scales[1].divisor) for x, y, _ in points]
            for at, (_, _, best) in zip(places, points, strict=True):
                face = canvas.ACCENT if best else canvas.CARD
                axis.plot(
                    [at[0]], [at[1]], "o", markersize=7, markerfacecolor=face, markeredgecolor=canvas.ACCENT
                )
            axis.autoscale_view()
            canvas.plain_ticks(axis, "x", log=log[0], most=7 if width_px == WIDE_PX else 4)
            canvas.plain_ticks(axis, "y", log=log[1], most=6)
            named.append(_number(axis, places))
            words = [
                ", ".join(
                    filter(None, [metrics[k].title.lower(), scales[k].unit, "logarithmic" if log[k] else ""])
                )
                for k in (0, 1)
            ]
            canvas.x_title(axis, words[0])
            canvas.y_title(axis, words[1])
            return canvas.to_svg(drawing, own, f"{metrics[1].title} against {metrics[0].title}", class_)

    caption = "Filled: no other run is better in one of the two and no worse in the other. Numbers: rows of the table."
    with DRAWING:
        drawn = both(DETAIL, name, draw)
    if min(named) < len(points):
        caption += " Where points lie too close together, not every one has its number."
    return Plot(drawn, caption)


def _number(axis: Any, places: Sequence[tuple[float, float]]) -> int:
    """Write its number beside each point, where there is room; how many have one. The axis has its limits."""
    # a figure has one pixel to the point
    points = [(float(x), float(y)) for x, y in axis.transData.transform(places)]
    low, high = axis.bbox.min, axis.bbox.max
    room = Box(low[0], low[1], high[0] + RIGHT_PX, high[1] + HEIGHT_PX)
    found = numbers_beside(points, MAX_NAMED, room)
    for i, offset in enumerate(found):
        if offset is not None:
            axis.annotate(str(i + 1), places[i], xytext=offset, textcoords="offset points", color=canvas.MUTED,
                          fontsize=11)  # fmt: skip
    return sum(offset is not None for offset in found)
