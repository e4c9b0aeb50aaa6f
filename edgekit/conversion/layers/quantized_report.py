"""What each quantized operator costs: data for JSON, and a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from rich.table import Table

_SPARKS = " ▁▂▃▄▅▆▇█"


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """Counts in bins of equal width from `low` to `high`, of the float and of the quantized model."""

    low: float
    high: float
    before: tuple[int, ...]
    after: tuple[int, ...]


class TensorRange(msgspec.Struct, frozen=True, kw_only=True):
    """`low`, `high`: of the float model's values. `held_low`, `held_high`, `step`: what the quantized tensor can hold;
    None where it stays float. `saturated`: share of the float values beyond that by more than half a step; `used`: the part
    of what can be held that the float values span."""

    low: float
    high: float
    held_low: float | None
    held_high: float | None
    step: float | None
    saturated: float | None
    used: float | None
    histogram: Histogram


class Weight(msgspec.Struct, frozen=True, kw_only=True):
    """A constant that is stored as integers. `error`: rms of its rounding over the rms of its float values; None where the
    float model has none of that name. `scales`: 1, or one for each channel."""

    name: str
    dtype: str
    scales: int
    error: float | None


class QuantizedOp(msgspec.Struct, frozen=True, kw_only=True):
    """One operator of the quantized model that computes with integers or has integer weights.

    All errors are the rms of the difference from the float model over the rms of the float model's tensor. `entering`: of
    its inputs, the worst; `leaving`: of its output; `own`: of its output beside the float operator's when both are run alone on
    the same values, which are the float model's as this operator's inputs can hold them. None: cannot be told (it has no
    counterpart, or cannot be run alone). `own_by_channel`: as `own`, but the root mean square over channels of each channel's:
    a channel that is lost beside a far larger one shows here. `dtypes`: of its inputs.
    """

    index: int
    op: str
    name: str
    dtypes: tuple[str, ...]
    entering: float | None
    leaving: float | None
    own: float | None
    own_by_channel: float | None
    weights: tuple[Weight, ...]
    range: TensorRange | None


class QuantizedReport(msgspec.Struct, frozen=True, kw_only=True):
    """`ops` in execution order; `worst`: places in it, the largest error of its own first; `operators`: of the model."""

    samples: int
    operators: int
    ops: tuple[QuantizedOp, ...]
    worst: tuple[int, ...]
    summary: str
    notes: tuple[str, ...] = ()


def percent(value: float | None) -> str:
    """ "12 %", "0.34 %", "0", "–" where there is none."""
    if value is None:
        return "–"
    return "0" if value == 0 else f"{100 * value:.2g} %" if value < 0.995 else f"{100 * value:.0f} %"


def span_words(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{low:.3g} … {high:.3g}"


def spark(counts: tuple[int, ...], width: int = 8) -> str:
    """A histogram in a few characters, heights by the square root of the counts: tails stay visible."""
    step = -(-len(counts) // width)
    sums = [sum(counts[i : i + step]) for i in range(0, len(counts), step)]
    most = max(sums, default=0)
    if not most:
        return ""
    # what is there at all is at least the lowest mark
    heights = [0 if not one else max(1, round((one / most) ** 0.5 * (len(_SPARKS) - 1))) for one in sums]
    return "".join(_SPARKS[height] for height in heights)


def render_quantized(report: QuantizedReport, *, limit: int | None = None) -> Table:
    """Two lines per quantized operator, of more than `limit` of those with the largest error of their own, in execution
    order. The second line: histograms of the float and of the quantized model, and what the quantized tensor can hold."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    places = shown(report, limit)
    caption = (
        "errors: rms over the rms of the float tensor; second line: histograms float|quantized, range that can be held;"
        f" {len(places)} of {len(report.ops)} quantized operators"
    )
    table = Table(
        title=escape(report.summary), title_justify="left", title_style="", caption=caption, caption_justify="left",
        pad_edge=False, padding=(0, 1, 0, 0), box=SIMPLE_HEAD,
    )  # fmt: skip
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("operator", overflow="fold")
    for title in ("enters", "own", "leaves", "weights", "satur."):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("range", no_wrap=True)
    for place in places:
        row = report.ops[place]
        first = bool(report.worst) and place == report.worst[0]
        held = row.range
        bars = f"{spark(held.histogram.before)}|{spark(held.histogram.after)}" if held else ""
        ranges = (
            (span_words(held.low, held.high), span_words(held.held_low, held.held_high))
            if held
            else ("–", "")
        )
        table.add_row(
            str(row.index),
            f"{escape(row.op)}\n{bars}",
            percent(row.entering),
            percent(row.own),
            percent(row.leaving),
            percent(max((w.error for w in row.weights if w.error is not None), default=None)),
            percent(held.saturated if held else None),
            "\n".join(ranges),
            style="bold red" if first else "",
        )
    return table


def shown(report: QuantizedReport, limit: int | None) -> tuple[int, ...]:
    """Places of the rows to show where not all fit, in execution order."""
    if limit is None or len(report.ops) <= limit:
        return tuple(range(len(report.ops)))
    rest = [place for place in range(len(report.ops)) if place not in set(report.worst)]
    return tuple(sorted([*report.worst, *rest][:limit]))
