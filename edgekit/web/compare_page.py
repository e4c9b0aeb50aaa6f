"""Two runs against each other: what differs beyond doubt, and what else is different between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit.benchmarking.difference import Difference, FieldDifference, MetricDifference, difference
from edgekit.errors import InputError
from edgekit.records import METRICS, Record, Samples
from edgekit.results import canvas
from edgekit.results import wording as w
from edgekit.results.canvas import css_class
from edgekit.results.chapter import figure
from edgekit.results.envelope import ecdf
from edgekit.results.markup import Child, Html, el
from edgekit.results.parts import badge, card, table, title_of
from edgekit.results.plots import HALF_PX, Detail, Plot, both
from edgekit.results.store import Store
from edgekit.web.figures import DRAWING
from edgekit.web.layout import run_url
from edgekit.web.listing import alert

_WORDS = {
    "better": ("better", "better"),
    "worse": ("worse", "worse"),
    "no_difference": ("no difference seen", ""),
    "untested": ("not tested", ""),
    "unknown": ("unknown", ""),
}
MAX_FIELDS = 60


def compare_page(store: Store, runs: Sequence[str]) -> tuple[list[Child], int]:
    """The page's parts and its status. `runs`: two, as `Store.resolve` takes them."""
    form = _form(runs)
    wanted = [run for run in runs if run.strip()]
    if len(wanted) != 2:
        words = (
            "Name two runs, or tick two in the list of runs."
            if len(wanted) < 2
            else "Only two runs can be compared."
        )
        return [el("p", words, class_="card"), form], 200 if len(wanted) < 2 else 400
    try:
        ids = [store.resolve(run) for run in wanted]
    except InputError as error:
        return [alert(error), form], 404
    a, b = (store.get(run) for run in ids)
    found = difference(a, b)
    plot = _distributions([store.samples(run) for run in ids])
    legend = el("ul", [el("li", el("i", class_=css_class(c)), name) for c, name in zip(_COLORS, "AB", strict=True)],
                class_="legend")  # fmt: skip
    return [
        el("div", [_side(name, one) for name, one in (("A", a), ("B", b))], class_="grid"),
        _warnings(found),
        el("h2", "Numbers"),
        _numbers(found.metrics),
        figure("How many at or below", plot, legend) if plot else None,
        el("h2", "What else differs"),
        _fields(found.fields),
        form,
    ], 200


def _form(runs: Sequence[str]) -> Html:
    boxes = [
        el("label", name, el("input", type="text", name="run", value=run, autocomplete="off", maxlength=200))
        for name, run in zip(("Run A", "Run B"), (*runs[:2], "", ""), strict=False)
    ]
    return el(
        "form", boxes, el("div", el("button", "Compare"), class_="actions"), method="get", action="/compare",
        class_="filters card", aria_label="Two runs to compare",
    )  # fmt: skip


def _side(name: str, record: Record) -> Html:
    return card(
        None,
        el("h2", f"{name}: ", el("a", title_of(record), href=run_url(record.id))),
        el("p", badge(record.verdict.state), " ", record.started_at[:16].replace("T", " ")),
        el("p", el("code", record.id), class_="fine"),
    )


def _warnings(found: Difference) -> Html | None:
    if not found.warnings:
        return None
    return el(
        "div",
        el("h3", "Before you conclude"),
        el("ul", [el("li", one) for one in found.warnings]),
        class_="card",
    )


def _numbers(metrics: Sequence[MetricDifference]) -> Html:
    body = [_row(one) for one in metrics]
    note = (
        "B against A. Better and worse: the launches differ with p < 0.01, at least 3 on each side; in brackets the 95 %"
        " interval of the ratio. Runs that were not interleaved differ by more than the model: `edgekit compare` pairs them."
    )
    return card(None, table(["", "A", "B", "B / A", ""], body, label="Numbers"), el("p", note, class_="fine"))


def _row(one: MetricDifference) -> list[Child]:
    metric = METRICS[one.metric]
    ratio: list[Child] = ["–"]
    if one.ratio is not None:
        ratio = [f"{w.significant(one.ratio, 3)} ×"]
        if one.ci95_low is not None and one.ci95_high is not None:
            ratio.append(
                el("small", f"{w.significant(one.ci95_low, 3)} to {w.significant(one.ci95_high, 3)}")
            )
    words, class_ = _WORDS[one.change]
    small = None if one.p_value is None else el("small", _p_value(one.p_value))
    change = [el("span", words, class_=class_ or None), small]
    return [metric.title, w.metric_value(metric, one.a), w.metric_value(metric, one.b), ratio, change]


def _p_value(p_value: float) -> str:
    return "p < 0.0001" if p_value < 1e-4 else f"p = {p_value:.2g}"


def _fields(fields: Sequence[FieldDifference]) -> Html:
    if not fields:
        return card(None, el("p", "Nothing that the records know of."))
    body = [(one.path, _value(one.a), _value(one.b)) for one in fields[:MAX_FIELDS]]
    more = len(fields) - len(body)
    return card(
        None,
        el("div", table(["", "A", "B"], body, label="What else differs"), class_="words"),
        el("p", f"{more} more are in the records.", class_="fine") if more > 0 else None,
    )


def _value(value: object) -> Html:
    shown = "–" if value is None else str(value)
    return el("span", shown[:200], class_="value")


_COLORS = (canvas.ramp(0, 2), canvas.ramp(1, 2))


def _distributions(every: Sequence[Samples]) -> Plot | None:
    """Both runs' samples, all launches together; None where one kept none above 0."""
    pooled = [np.concatenate(one.launches) if one.launches else np.empty(0) for one in every]
    if any(not values.size or float(values.min()) <= 0 for values in pooled):
        return None
    scale = w.time_scale(float(np.median(pooled[0])))
    low = min(float(values.min()) for values in pooled) / scale.divisor
    high = max(float(np.percentile(values, 99.5)) for values in pooled) / scale.divisor
    log = high > 4 * low

    def draw(width_px: int, own: str, class_: str) -> Html:
        with canvas.figure(width_px, [220], left_px=50) as (drawing, (axis,)):
            for color, values in zip(_COLORS, pooled, strict=True):
                x, share = ecdf(values / scale.divisor)
                axis.step(x, share * 100, where="post", color=color, linewidth=2)
            if log:
                axis.set_xscale("log")
            axis.set_xlim(low * 0.98, high * 1.02)
            axis.set_ylim(0, 102)
            canvas.plain_ticks(axis, "x", log=log, most=7 if width_px > HALF_PX else 4)
            canvas.plain_ticks(axis, "y", log=False, most=5)
            canvas.x_title(axis, f"latency, {scale.unit}{', logarithmic' if log else ''}")
            canvas.y_title(axis, "% of samples")
            return canvas.to_svg(
                drawing, own, "Share of samples at or below each latency, of both runs", class_
            )

    with DRAWING:
        return Plot(
            both(Detail(), "cmp", draw), "All samples; the axis ends at the slower run's 99.5th percentile."
        )
