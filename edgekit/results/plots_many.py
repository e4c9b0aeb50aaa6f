"""Figures of several runs together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.records import Samples
from edgekit.results import canvas
from edgekit.results.markup import Html
from edgekit.results.plots import WIDE_PX, Detail, Plot, both
from edgekit.results.wording import time_scale

if TYPE_CHECKING:
    from numpy.typing import NDArray


def distributions(every: Sequence[Samples], names: Sequence[str], name: str, detail: Detail) -> Plot | None:
    """A row a run: from the 1st to the 99th percentile, box of the middle half, median. None where fewer than two runs
    kept samples above 0."""
    pooled = [
        (label, values)
        for label, one in zip(names, every, strict=True)
        if one.launches and (values := np.concatenate(one.launches)).size and float(values.min()) > 0
    ]
    if len(pooled) < 2:
        return None
    scale = time_scale(float(np.median(pooled[0][1])))
    rows = [np.percentile(values / scale.divisor, [1, 25, 50, 75, 99]) for _, values in pooled]
    low, high = min(float(row[0]) for row in rows), max(float(row[-1]) for row in rows)
    log = high > 4 * low
    row_px = 26 if len(rows) <= 12 else 17
    room, space = (1.05, 0.0) if log else (1.0, 0.04 * (high - low) or 0.05 * high)

    def draw(width_px: int, own: str, class_: str) -> Html:
        with canvas.figure(width_px, [max(60, row_px * len(rows))], left_px=34) as (drawing, (axis,)):
            if log:
                axis.set_xscale("log")
            for y, row in enumerate(rows):
                _row(axis, y, row)
            axis.set_xlim(low / room - space, high * room + space)
            axis.set_ylim(len(rows) - 0.5, -0.5)
            axis.set_yticks(range(len(rows)), [label for label, _ in pooled])
            axis.grid(False, axis="y")
            canvas.plain_ticks(axis, "x", log=log, most=8 if width_px == WIDE_PX else 4)
            canvas.x_title(axis, f"latency, {scale.unit}{', logarithmic' if log else ''}")
            return canvas.to_svg(drawing, own, "Distribution of the latencies of every run", class_)

    caption = (
        "Line: from the 1st to the 99th percentile of all samples. Box: the middle half, with the median."
    )
    return Plot(both(detail, name, draw), caption)


def _row(axis: Any, y: int, percentiles: NDArray[np.float64]) -> None:
    first, lower, middle, upper, last = percentiles
    axis.plot([first, last], [y, y], color=canvas.MUTED, linewidth=1)
    axis.plot([lower, upper], [y, y], color=canvas.ACCENT, linewidth=8, alpha=0.45, solid_capstyle="butt")
    axis.plot([middle, middle], [y - 0.3, y + 0.3], color=canvas.FG, linewidth=2)
