"""Several runs in one report: chosen by what they differ in, compared with one that the reader picks, no script."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgekit.records import METRICS, Record, Samples, value_of
from edgekit.results import plots_device, plots_many, sections
from edgekit.results import wording as w
from edgekit.results.chapter import figure
from edgekit.results.facets import Facet, boxes, classes, device_of, recipe_of
from edgekit.results.markup import Child, Html, el, join
from edgekit.results.parts import badge, card, centre_us, table
from edgekit.results.plots import Detail
from edgekit.stats.comparing import UnpairedRatio, welch_ratio

MAX_COLUMNS = 8
"""So many runs stand side by side as columns with all their metrics."""
MAX_DRAWN = 60
"""So many get a row in a figure."""
MAX_REFERENCES = 60
"""So many can be what the others are compared with; every pair is a cell of the page."""
_BAR_PX = 150
WARNING = (
    "These runs were made one after another, at different times and perhaps on different devices, so a"
    " difference between them has more causes than the model."
)


def overview(
    records: Sequence[Record],
    samples: Sequence[Samples],
    names: Sequence[str],
    every: Sequence[Facet],
    linked: int,
    detail: Detail,
) -> Html:
    """Boxes to choose by, the runs as rows, figures, devices against recipes. The first `linked` runs have a chapter."""
    medians = plots_device.comparison(records[:MAX_DRAWN], names[:MAX_DRAWN], "cmp", detail)
    spread = plots_many.distributions(samples[:MAX_DRAWN], names[:MAX_DRAWN], "dst", detail)
    return join(
        [
            el("h2", "Runs"),
            boxes(every),
            runs(records, names, every, linked),
            el("h2", "Comparison"),
            matrices(records, names),
            figure("Median latency", medians) if medians else None,
            figure("Distributions", spread) if spread else None,
            sections.comparison(records, names) if len(records) <= MAX_COLUMNS else None,
        ]
    )


def reference_rules(count: int) -> str:
    """Style: only the ratios to the run that is picked are shown."""
    return "\n".join(
        f"body:has(#ref-{i}:checked) .vs-{i} {{ display: inline; }}"
        for i in range(min(count, MAX_REFERENCES))
    )


def runs(records: Sequence[Record], names: Sequence[str], every: Sequence[Facet], linked: int) -> Html:
    """One row a run. The radio button of a row makes its run the one that the others are compared with."""
    centres = [centre_us(record) for record in records]
    scale = w.time_scale(next((value for value in centres if value), None))
    limits = _limits(records)
    picks = range(min(len(records), MAX_REFERENCES))
    with_energy = any(record.energy.per_inference_uj is not None for record in records)
    with_accuracy = any(record.accuracy.value is not None for record in records)
    rows: list[Html] = []
    for i, record in enumerate(records):
        radio = el(
            "input",
            type="radio",
            name="ref",
            id=f"ref-{i}",
            aria_label=f"Compare with run {names[i]}",
            autocomplete="off",
            **({"checked": ""} if i == 0 else {}),
        )
        named: Child = el("a", names[i], href=f"#run-{i}") if i < linked else names[i]
        cells: list[Child] = [
            radio if i in picks else None,
            [record.model.name, [el("small", words) for words in _what(record)]],
            [scale.show(centres[i]), _bar(record, limits)],
            [
                el(
                    "span",
                    "–" if k == i else versus(against(records[k], record)),
                    class_=f"vs vs-{k}",
                )
                for k in picks
            ],
            badge(record.verdict.state),
            scale.show(record.latency.p99),
            w.size(record.memory.peak_rss),
        ]
        if with_energy:
            cells.append(w.metric_value(METRICS["energy_per_inference"], record.energy.per_inference_uj))
        if with_accuracy:
            cells.append(w.metric_value(METRICS["accuracy"], record.accuracy.value))
        head = el("th", named, scope="row")
        rows.append(el("tr", head, [el("td", cell) for cell in cells], class_=classes(every, i) or None))
    titles = ["Run", "Compare with", "Model", "Median", "Against the one picked", "Verdict"]
    titles += ["99th percentile", "Peak memory"]
    titles += ["Energy per inference"] if with_energy else []
    titles += ["Accuracy"] if with_accuracy else []
    top = el("thead", el("tr", [el("th", title, scope="col") for title in titles]))
    body = el("table", top, el("tbody", rows), class_="runs")
    return card(
        None,
        el("div", body, class_="table", tabindex="0", role="group", aria_label="All runs"),
        el("p", WARNING, class_="fine"),
        el(
            "p",
            "A ratio is of the launches' medians, in brackets its 95 % interval (Welch's, of logarithms); = is where"
            " the interval has 1 in it.",
            class_="fine",
        ),
    )


def _what(record: Record) -> tuple[str, str]:
    return device_of(record), f"{record.runtime.name}, {recipe_of(record)}"


def launch_values(record: Record) -> list[float]:
    """What each launch that ended well had: its median, or the mean of a tool that tells no more."""
    means = record.latency.ci95_of == "mean"
    found = [one.mean_us if means else one.median_us for one in record.launches if one.ok]
    return [value for value in found if value]


def against(reference: Record, record: Record) -> UnpairedRatio | None:
    """The run's launches over the reference's; None where a side has none, or one tells medians and one tells means."""
    if reference.latency.ci95_of != record.latency.ci95_of:
        return None
    step_us = max(one.latency.resolution_us or 0.0 for one in (reference, record))
    return welch_ratio(launch_values(reference), launch_values(record), step_us)


def differs(found: UnpairedRatio) -> bool | None:
    """Whether the interval leaves out 1; None where there is none."""
    if found.ci95_low is None or found.ci95_high is None:
        return None
    return not found.ci95_low <= 1 <= found.ci95_high


def versus(found: UnpairedRatio | None) -> str:
    """A ratio with its interval, in words."""
    if found is None:
        return w.UNKNOWN
    if found.ci95_low is None or found.ci95_high is None:
        return f"{w.significant(found.ratio, 3)} ×"
    mark = "" if differs(found) else " ="
    interval = f"{w.significant(found.ci95_low, 3)} to {w.significant(found.ci95_high, 3)}"
    return f"{w.significant(found.ratio, 3)} ×{mark} ({interval})"


def _limits(records: Sequence[Record]) -> tuple[float, float] | None:
    """Logarithms of the lowest and highest end that the bars have."""
    ends = [
        value
        for record in records
        for value in (centre_us(record), record.latency.ci95_low, record.latency.ci95_high)
        if value is not None and value > 0
    ]
    return (math.log(min(ends)), math.log(max(ends))) if ends else None


def _bar(record: Record, limits: tuple[float, float] | None) -> Html | None:
    """Where the run's median and its interval lie among all runs', on a logarithmic axis; the numbers stand beside it."""
    centre = centre_us(record)
    if limits is None or centre is None or centre <= 0:
        return None
    low, high = limits

    def x(value: float) -> str:
        share = (math.log(value) - low) / (high - low) if high > low else 0.5
        return f"{4 + share * (_BAR_PX - 8):.1f}"

    ends = record.latency.ci95_low, record.latency.ci95_high
    line = None
    if ends[0] is not None and ends[1] is not None and ends[0] > 0:
        line = Html(
            f'<path d="M{x(ends[0])} 6H{x(ends[1])}" stroke="var(--accent)" stroke-width="5" stroke-opacity="0.35"/>'
        )
    dot = Html(f'<circle cx="{x(centre)}" cy="6" r="3.5" fill="var(--accent)"/>')
    rail = Html(f'<path d="M0 6H{_BAR_PX}" stroke="var(--grid)" stroke-width="1"/>')
    return el("svg", rail, line, dot, viewBox=f"0 0 {_BAR_PX} 12", class_="bar", aria_hidden="true")


def matrices(records: Sequence[Record], names: Sequence[str]) -> list[Html]:
    """For every model that ran on several devices or with several recipes: devices as rows, recipes as columns. The newest
    run of each stands for it; invalid runs only where there is no other."""
    found = []
    for model in dict.fromkeys(record.model.name for record in records):
        places = [i for i, record in enumerate(records) if record.model.name == model]
        devices = list(dict.fromkeys(device_of(records[i]) for i in places))
        recipes = list(dict.fromkeys(recipe_of(records[i]) for i in places))
        if len(devices) * len(recipes) < 2 or len(recipes) > MAX_COLUMNS:
            continue
        best: dict[tuple[str, str], int] = {}
        for i in sorted(places, key=lambda k: (records[k].verdict.state != "invalid", records[k].started_at)):
            best[device_of(records[i]), recipe_of(records[i])] = i
        body = [
            [device, *_row(records, names, [best.get((device, one)) for one in recipes])]
            for device in devices
        ]
        title = f"{model}: devices and recipes" if len(devices) > 1 else f"{model}: recipes"
        note = "The newest run of each that is not invalid; ratios are to the first column, of medians."
        found.append(card(title, table(["", *recipes], body, label=title), el("p", note, class_="fine")))
    return found


def _row(records: Sequence[Record], names: Sequence[str], runs: Sequence[int | None]) -> list[Child]:
    first = records[runs[0]] if runs[0] is not None else None
    cells: list[Child] = []
    for column, i in enumerate(runs):
        if i is None:
            cells.append("–")
            continue
        record = records[i]
        value = centre_us(record)
        small = [f"run {names[i]}", *([record.verdict.state] if record.verdict.state != "valid" else [])]
        small += _difference(first, record) if first is not None and column else []
        accuracy = value_of(record, "accuracy")
        small += [] if accuracy is None else [f"accuracy {w.significant(accuracy, 3)}"]
        cells.append([w.time(value), [el("small", words) for words in small]])
    return cells


def _difference(first: Record, record: Record) -> list[str]:
    found = against(first, record)
    if found is None:
        return []
    equal = " (no difference seen)" if differs(found) is False else ""
    return [f"{w.significant(found.ratio, 3)} ×{equal}"]
