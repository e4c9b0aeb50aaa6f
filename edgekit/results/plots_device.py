"""The figures of what is not latency: starting, the device's state over time, several runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.records import Record, Series
from edgekit.results import canvas
from edgekit.results.envelope import envelope, zigzag
from edgekit.results.markup import Html
from edgekit.results.plots import HALF_PX, MAX_ROWS, Detail, Plot, both, spread
from edgekit.results.wording import AXIS_SCALES, Scale, time_scale

MAX_SERIES = 6
"""Lines in one figure; of more series of one unit, those that changed most are drawn."""

PHASES = (
    ("loading the runtime", "dlopen_us"),
    ("environment", "environment_us"),
    ("reading the model", "model_us"),
    ("preparing the model", "compile_us"),
    ("first inference", "first_inference_us"),
)


@dataclass(frozen=True)
class Legend:
    """A colour of the page and the words for it; the words may come from the device."""

    color: str
    words: str


@dataclass(frozen=True)
class LegendPlot:
    plot: Plot
    legend: tuple[Legend, ...]


def start_up(record: Record, name: str) -> LegendPlot | None:
    """What passed until the first result, phase by phase, per launch; None where nothing is known."""
    launches = [record.launches[i] for i in spread(len(record.launches), MAX_ROWS)]
    table = {
        field: np.array(
            [_known(getattr(one, field, None) or getattr(one.load, field, None)) for one in launches]
        )
        for _, field in PHASES
    }
    drawn = [(i, words, field) for i, (words, field) in enumerate(PHASES) if table[field].any()]
    if not launches or not drawn:
        return None
    total = sum(table[field] for _, _, field in drawn)
    scale = time_scale(float(np.max(total)))
    row_px = 30 if len(launches) <= 12 else 16
    with canvas.figure(HALF_PX, [row_px * len(launches)], left_px=34) as (drawing, (axis,)):
        begin = np.zeros(len(launches))
        for i, _, field in drawn:
            width = table[field] / scale.divisor
            axis.barh(range(len(launches)), width, left=begin, height=0.62, color=canvas.ramp(i, len(PHASES)))
            begin = begin + width
        axis.set_ylim(len(launches) - 0.5, -0.5)
        axis.set_xlim(0, float(begin.max()) * 1.03)
        axis.set_yticks(range(len(launches)), [str(one.index + 1) for one in launches])
        axis.grid(False, axis="y")
        canvas.plain_ticks(axis, "x", log=False, most=5)
        canvas.x_title(axis, f"time, {scale.unit}")
        canvas.y_title(axis, "launch")
        svg = canvas.to_svg(drawing, name, "Time until the first result of every launch, by phase")
    legend = tuple(Legend(canvas.ramp(i, len(PHASES)), words) for i, words, _ in drawn)
    return LegendPlot(Plot(svg, "Phases that are not known are not drawn."), legend)


def telemetry(
    record: Record, every: Sequence[Series], unit: str, name: str, detail: Detail
) -> LegendPlot | None:
    """All series of one unit over time, launches shaded; None where none has a reading."""
    readable = [one for one in every if one.unit == unit and np.isfinite(one.value).any()]
    if not readable:
        return None
    shown = sorted(readable, key=lambda one: -float(np.ptp(one.value[np.isfinite(one.value)])))[:MAX_SERIES]
    scale = AXIS_SCALES.get(unit, Scale(1, ""))
    starts = [one.start_us for one in record.launches if one.start_us is not None]
    zero_us = min([float(one.t_us[0]) for one in shown] + starts)
    columns_used = 1

    def draw(width_px: int, own: str, class_: str) -> Html:
        nonlocal columns_used
        with canvas.figure(width_px, [150], left_px=58) as (drawing, (axis,)):
            _shade_launches(axis, record, zero_us)
            for i, one in enumerate(shown):
                found = envelope(one.value / scale.divisor, width_px // 3)
                columns_used = max(columns_used, found.per_column)
                at_s = np.interp(found.position, np.arange(one.t_us.size), (one.t_us - zero_us) / 1e6)
                axis.plot(*zigzag(at_s, found), color=canvas.ramp(i, len(shown)), linewidth=1.5)
            axis.set_ylim(*_room(axis.get_ylim()))
            canvas.plain_ticks(axis, "x", log=False, most=7 if width_px > HALF_PX else 4)
            canvas.plain_ticks(axis, "y", log=False, most=4)
            axis.grid(False, axis="x")
            canvas.x_title(axis, "seconds since the start")
            canvas.y_title(axis, scale.unit)
            return canvas.to_svg(
                drawing, own, f"Readings in {scale.unit or 'their own unit'} over time", class_
            )

    svg = both(detail, name, draw)
    caption = (
        "Shaded: a launch is running."
        if any(one.start_us is not None and one.wall_us for one in record.launches)
        else ""
    )
    if columns_used > 1:
        caption += " Readings that share a column are drawn as a line from the lowest to the highest."
    if len(shown) < len(readable):
        caption += f" {len(readable)} series were read; those that changed most are drawn."
    legend = tuple(Legend(canvas.ramp(i, len(shown)), one.name) for i, one in enumerate(shown))
    return LegendPlot(Plot(svg, caption.strip()), legend)


def comparison(records: Sequence[Record], names: Sequence[str], name: str, detail: Detail) -> Plot | None:
    """Median and its interval of several runs, one row each; None where no run has a median."""
    rows = [
        (label, one.latency)
        for label, one in zip(names, records, strict=True)
        if one.latency.median is not None
    ]
    if not rows:
        return None
    scale = time_scale(rows[0][1].median)

    def draw(width_px: int, own: str, class_: str) -> Html:
        with canvas.figure(width_px, [max(60, 30 * len(rows))], left_px=34) as (drawing, (axis,)):
            ends = []
            for row, (_, latency) in enumerate(rows):
                values = [latency.median, latency.ci95_low, latency.ci95_high]
                middle, low, high = (None if v is None else v / scale.divisor for v in values)
                if low is not None and high is not None:
                    axis.plot([low, high], [row, row], color=canvas.ACCENT, linewidth=7, alpha=0.3)
                axis.plot([middle], [row], "o", color=canvas.ACCENT, markersize=7)
                ends += [end for end in (middle, low, high) if end is not None]
            axis.set_xlim(*_room((min(ends), max(ends))))
            axis.set_ylim(len(rows) - 0.5, -0.5)
            axis.set_yticks(range(len(rows)), [label for label, _ in rows])
            axis.grid(False, axis="y")
            canvas.plain_ticks(axis, "x", log=False, most=8 if width_px > HALF_PX else 4)
            canvas.x_title(axis, f"median latency, {scale.unit}")
            return canvas.to_svg(drawing, own, "Median latency and its interval of every run", class_)

    caption = (
        "Dot: median of all samples. Bar: 95 % confidence interval from the launches; a run of one launch has"
        " none. The axis does not begin at zero."
    )
    return Plot(both(detail, name, draw), caption)


def _shade_launches(axis: Any, record: Record, zero_us: float) -> None:
    for i, one in enumerate(record.launches):
        if one.start_us is not None and one.wall_us is not None:
            begin = (one.start_us - zero_us) / 1e6
            color = canvas.ramp(i, len(record.launches))
            axis.axvspan(begin, begin + one.wall_us / 1e6, color=color, alpha=0.1, linewidth=0)


def _room(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = limits
    space = 0.08 * (high - low) or 0.02 * abs(high) or 1.0
    return max(0.0, low - space) if low >= 0 else low - space, high + space


def _known(value: float | None) -> float:
    return value or 0.0
