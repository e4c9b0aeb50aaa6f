"""The figures of latency. Each function gives SVG and a caption that says what was drawn and what was not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.results import canvas
from edgekit.results.envelope import ecdf, envelope, occupied
from edgekit.results.markup import Html, join
from edgekit.results.wording import Scale, count, percent, time
from edgekit.stats.latency import FAR_OUT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Launches = Sequence[NDArray[np.float64]]

WIDE_PX, HALF_PX, NARROW_PX = 900, 410, 350
MAX_ROWS = 40
"""Launches drawn one by one; of more, these are spread evenly over the run."""


@dataclass(frozen=True)
class Detail:
    """How finely to draw: columns of the widest figure, whether phones get figures of their own, and whether only the
    main figures are drawn."""

    columns: int = 450
    narrow: bool = True
    few: bool = False


FULL = Detail()


@dataclass(frozen=True)
class Plot:
    svg: Html
    caption: str


def both(detail: Detail, name: str, draw: Any) -> Html:
    """A wide figure and, where wished, a narrow one; the page's width decides which one shows."""
    wide = draw(WIDE_PX, f"{name}w", "wide" if detail.narrow else "")
    return join([wide, draw(NARROW_PX, f"{name}n", "narrow")]) if detail.narrow else wide


def histogram(launches: Launches, scale: Scale, name: str) -> Plot:
    """How often each latency came, launches stacked. The axis ends at Tukey's outer fence (or at the
    95th percentile, if that is higher): a long tail would press everything else into one column. What lies
    beyond is counted in the caption."""
    pooled = np.concatenate(list(launches)) / scale.divisor
    low, high = float(pooled.min()), float(pooled.max())
    first, third, most = (float(value) for value in np.percentile(pooled, [25, 75, 95]))
    end = min(high, max(most, third + FAR_OUT * (third - first)))
    beyond = int(np.count_nonzero(pooled > end)) if end < high else 0
    if end <= low:
        low, end = low * 0.95, low * 1.05 + 1e-9
    edges = np.linspace(low, end, 61)
    with canvas.figure(HALF_PX, [210], left_px=50) as (drawing, (axis,)):
        base = np.zeros(60)
        for i, launch in enumerate(launches):
            found, _ = np.histogram(launch / scale.divisor, edges)
            axis.stairs(
                base + found,
                edges,
                baseline=base,
                fill=True,
                color=canvas.ramp(i, len(launches)),
                linewidth=0,
            )
            base = base + found
        axis.axvline(float(np.median(pooled)), color=canvas.FG, linewidth=1.2, dashes=(4, 3))
        axis.set_xlim(low, end)
        axis.set_ylim(0, max(1.0, float(base.max())) * 1.06)
        axis.grid(False, axis="x")
        canvas.plain_ticks(axis, "x", log=False)
        canvas.plain_ticks(axis, "y", log=False, most=5)
        canvas.x_title(axis, f"latency, {scale.unit}")
        canvas.y_title(axis, "samples")
        svg = canvas.to_svg(drawing, name, "Histogram of latency, launches stacked")
    caption = "Launches stacked, in their colours; the dashed line is the median of all samples."
    if beyond:
        longest = time(high * scale.divisor)
        caption += (
            f" {count(beyond)} of {count(pooled.size)} samples ({percent(beyond / pooled.size, 2)}) lie to the right"
            f" of this axis, the longest at {longest}; the other figures show them."
        )
    return Plot(svg, caption)


def cumulative(launches: Launches, scale: Scale, name: str) -> Plot:
    """The share of samples at or below each latency, one line per launch, over the whole range."""
    low, high, log = _limits(launches, scale)
    with canvas.figure(HALF_PX, [210], left_px=50) as (drawing, (axis,)):
        for i, launch in enumerate(launches):
            x, share = ecdf(launch / scale.divisor)
            axis.step(x, share * 100, where="post", color=canvas.ramp(i, len(launches)), linewidth=1.5)
        if log:
            axis.set_xscale("log")
        axis.set_xlim(low, high)
        axis.set_ylim(0, 102)
        canvas.plain_ticks(axis, "x", log=log)
        canvas.plain_ticks(axis, "y", log=False, most=5)
        canvas.x_title(axis, f"latency, {scale.unit}{', logarithmic' if log else ''}")
        canvas.y_title(axis, "% of samples")
        svg = canvas.to_svg(drawing, name, "Share of samples at or below each latency, by launch")
    return Plot(svg, "Every launch from its shortest to its longest sample. Lines apart: launches differ.")


def per_launch(launches: Launches, numbers: Sequence[int], scale: Scale, name: str) -> Plot:
    """A row per launch, called by its number: box from quartile to quartile, median, and a mark wherever there is a sample."""
    low, high, log = _limits(launches, scale)
    shown = spread(len(launches), MAX_ROWS)
    row_px = 30 if len(shown) <= 12 else 18
    with canvas.figure(HALF_PX, [row_px * len(shown)], left_px=34) as (drawing, (axis,)):
        if log:
            axis.set_xscale("log")
        for row, i in enumerate(shown):
            _box(axis, row, launches[i] / scale.divisor, canvas.ramp(i, len(launches)), (low, high, log))
        axis.set_xlim(low, high)
        axis.set_ylim(len(shown) - 0.5, -0.5)
        axis.set_yticks(range(len(shown)), [str(numbers[i]) for i in shown])
        axis.grid(False, axis="y")
        canvas.plain_ticks(axis, "x", log=log, most=5)
        canvas.x_title(axis, f"latency, {scale.unit}{', logarithmic' if log else ''}")
        canvas.y_title(axis, "launch")
        svg = canvas.to_svg(drawing, name, "Box and marks of the latencies of every launch")
    caption = (
        "Box: the middle half of the samples, with the median. Every sample lies under one of the fine marks."
    )
    if len(shown) < len(launches):
        caption += f" {len(shown)} of {len(launches)} launches are drawn, spread evenly."
    return Plot(svg, caption)


def over_time(launches: Launches, scale: Scale, name: str, detail: Detail) -> Plot:
    """All samples in the order in which they were taken, launch after launch."""
    low, high, log = _limits(launches, scale)
    widest = 0

    def draw(width_px: int, own: str, class_: str) -> Html:
        nonlocal widest
        columns = max(8, round(detail.columns * width_px / WIDE_PX / len(launches)))
        with canvas.figure(width_px, [200], left_px=50) as (drawing, (axis,)):
            begin = 0
            for i, launch in enumerate(launches):
                found = envelope(launch / scale.divisor, columns)
                widest = max(widest, found.per_column)
                color, x = canvas.ramp(i, len(launches)), begin + found.position
                axis.fill_between(x, found.low, found.high, color=color, alpha=0.3, linewidth=0)
                axis.plot(x, found.median, color=color, linewidth=1.3)
                begin += launch.size
                if i + 1 < len(launches):
                    axis.axvline(begin - 0.5, color=canvas.MUTED, linewidth=0.7, dashes=(2, 3))
            if log:
                axis.set_yscale("log")
            axis.set_xlim(0, max(1, begin - 1))
            axis.set_ylim(low, high)
            canvas.plain_ticks(axis, "x", log=False, most=7 if width_px > HALF_PX else 4)
            canvas.plain_ticks(axis, "y", log=log, most=6)
            axis.grid(False, axis="x")
            canvas.x_title(axis, "samples since the start of the first launch")
            canvas.y_title(axis, f"latency, {scale.unit}{', logarithmic' if log else ''}")
            return canvas.to_svg(drawing, own, "Latency of every sample in order", class_)

    svg = both(detail, name, draw)
    caption = "Dashed lines separate launches."
    if widest > 1:
        caption += (
            f" Up to {count(widest)} samples share one column: the band reaches from the shortest to the longest of"
            " them, the line is their median. No sample is left out of the band."
        )
    return Plot(svg, caption)


def _box(
    axis: Any, row: int, values: NDArray[np.float64], color: str, limits: tuple[float, float, bool]
) -> None:
    low, high, log = limits
    marks = occupied(values, low, high, columns=HALF_PX // 2, log=log)
    x = np.repeat(marks, 3)
    y = np.tile([row - 0.36, row + 0.36, np.nan], marks.size)
    axis.plot(x, y, color=color, linewidth=0.9, alpha=0.6)
    first, median, third = np.percentile(values, [25, 50, 75])
    axis.fill_between([first, third], row - 0.28, row + 0.28, color=canvas.CARD, alpha=0.7, linewidth=0)
    axis.plot(
        [first, third, third, first, first], row + np.array([-0.28, -0.28, 0.28, 0.28, -0.28]), color=color
    )
    axis.plot([median, median], [row - 0.28, row + 0.28], color=canvas.FG, linewidth=2)


def _limits(launches: Launches, scale: Scale) -> tuple[float, float, bool]:
    """Lowest and highest value with a little room, and whether the axis should be logarithmic: where the
    longest sample is so far out that a linear axis would press the rest together."""
    pooled = np.concatenate(list(launches)) / scale.divisor
    low, high = float(pooled.min()), float(pooled.max())
    if low > 0 and high > 4 * float(np.median(pooled)):
        return low / 1.05, high * 1.05, True
    room = 0.04 * (high - low) or 0.05 * high or 1.0
    return max(0.0, low - room), high + room, False


def spread(total: int, most: int) -> list[int]:
    """At most `most` of the numbers 0..total-1, evenly spread, first and last included."""
    if total <= most:
        return list(range(total))
    return [round(i * (total - 1) / (most - 1)) for i in range(most)]
