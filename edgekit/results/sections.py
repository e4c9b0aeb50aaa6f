"""The parts of a report about what was measured, in words and tables: at a glance, verdict, latency, launches,
several runs side by side. Every function gives finished HTML, or None where there is nothing to tell."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.records import METRICS, Accuracy, Metric, Record, value_of
from edgekit.results import wording as w
from edgekit.results.markup import Child, Html, el, join
from edgekit.results.parts import badge, card, centre_us, facts, table, title_of
from edgekit.results.plots import MAX_ROWS, spread

MEBIBYTES = w.AXIS_SCALES["bytes"]


def tiles(record: Record) -> Html:
    """At a glance: the handful of numbers that most readers came for."""
    latency, memory = record.latency, record.memory
    if latency.ci95_low is not None and latency.ci95_high is not None:
        interval = f"95 % interval {_range(latency.ci95_low, latency.ci95_high)}"
    else:
        interval = latency.unavailable.get("ci95", "interval unknown")
    size = record.model.size_bytes
    every = [
        _tile(f"{latency.ci95_of.capitalize()} latency", w.time(centre_us(record)), interval, main=True),
        _tile(
            "99th percentile", w.time(latency.p99), latency.unavailable.get("p99", "1 of 100 takes longer")
        ),
        _tile(
            "First inference",
            w.time(latency.first_inference),
            _unless_unknown("loading takes", w.time(latency.load)),
        ),
        _tile(
            "Peak memory",
            w.size(memory.peak_rss),
            _unless_unknown("the model adds", w.size(memory.model_delta)),
        ),
        _tile(
            "Model file", w.size(size), " · ".join(filter(None, [record.model.format, record.model.recipe]))
        )
        if size is not None
        else None,
        _accuracy_tile(record.accuracy),
        _tile(
            "Energy per inference",
            w.metric_value(METRICS["energy_per_inference"], record.energy.per_inference_uj),
            record.energy.boundary or "",
        )
        if record.energy.per_inference_uj is not None
        else None,
    ]
    shown = [tile for tile in every if tile is not None]
    return el("div", shown, class_=f"tiles of{len(shown)}")


def _tile(name: str, value: str, more: str, *, main: bool = False) -> Html:
    number, space, unit = value.rpartition(" ")
    shown: Child = [number, " ", el("small", unit)] if space else value
    return el(
        "div",
        el("div", name, class_="name"),
        el("div", shown, class_="value none" if value == w.UNKNOWN else "value"),
        el("div", more, class_="more") if more else None,
        class_="tile main" if main else "tile",
    )


def _unless_unknown(words: str, value: str) -> str:
    return "" if value == w.UNKNOWN else f"{words} {value}"


def _accuracy_tile(accuracy: Accuracy) -> Html | None:
    if accuracy.value is None:
        return None
    source = "" if accuracy.source_value is None else f"source model: {w.significant(accuracy.source_value)}"
    name = "Accuracy" if accuracy.metric is None else f"Accuracy ({accuracy.metric})"
    return _tile(name, w.significant(accuracy.value), source)


def _range(low_us: float, high_us: float) -> str:
    scale = w.time_scale(high_us)
    return f"{scale.number(low_us)} to {scale.number(high_us)} {scale.unit}"


def verdict(record: Record) -> Html:
    found = record.verdict
    return el(
        "section",
        el("p", badge(found.state), " ", w.VERDICTS[found.state][1]),
        el("ul", [el("li", reason) for reason in found.reasons]) if found.reasons else None,
        el(
            "div",
            el("h3", "To know"),
            el("ul", [el("li", note) for note in (*found.notes, *record.notes)]),
            class_="notes",
        )
        if found.notes or record.notes
        else None,
        class_="card verdict",
    )


def throughput(record: Record) -> Html | None:
    """Of runs with `--streams`: all streams together, and each of them."""
    found = record.throughput
    if found is None:
        return None
    interval = None if found.ci95 is None else " to ".join(f"{w.significant(end)} /s" for end in found.ci95)
    medians = found.per_stream_median_us
    scale = w.time_scale(medians[0] if medians else None)
    return card(
        "Throughput",
        facts(
            [
                ("Processes at once", w.count(found.streams)),
                ("Inferences", w.metric_value(METRICS["throughput"], found.inferences_per_second)),
                ("95 % interval", interval),
                (
                    "Time in which all ran",
                    None
                    if found.overlap_share is None
                    else f"at least {w.percent(found.overlap_share)} of each launch",
                ),
                (
                    "Median latency, fastest stream to slowest",
                    ", ".join(scale.number(value) for value in medians) + f" {scale.unit}"
                    if medians
                    else None,
                ),
            ]
        ),
        el("p", "Only what happened while all of them ran counts, here and in the latency.", class_="fine"),
    )


def launches(record: Record) -> Html | None:
    """One row per process."""
    if not record.launches:
        return None
    scale = w.time_scale(centre_us(record))
    loading, first = w.time_scale(record.latency.load), w.time_scale(record.latency.first_inference)
    of_medians = record.latency.ci95_of == "median"
    rows = [record.launches[i] for i in spread(len(record.launches), MAX_ROWS)]
    body = [
        [
            [
                str(one.index + 1),
                None if one.ok else el("small", f"failed: {one.error or 'no reason given'}"),
            ],
            w.count(one.count),
            scale.number(one.median_us if of_medians else one.mean_us),
            loading.number(one.load_us),
            first.number(one.first_inference_us),
            MEBIBYTES.number(one.memory.peak_rss_bytes),
            _or_dash(one.usage.involuntary_switches),
            _or_dash(one.usage.major_faults),
            _ended(one.exit_code, one.signal),
        ]
        for one in rows
    ]
    head = [
        "Launch",
        "Samples",
        f"{'Median' if of_medians else 'Mean'}, {scale.unit}",
        f"Load, {loading.unit}",
    ]
    head += [f"First inference, {first.unit}", "Peak memory, MiB"]
    note = None
    if len(rows) < len(record.launches):
        note = el("p", f"{len(rows)} of {len(record.launches)} launches, spread evenly.", class_="fine")
    return card(
        "Launches, one process each", table([*head, "Preempted", "Major faults", "Ended"], body), note
    )


def _or_dash(value: int | None) -> str:
    return "–" if value is None else w.count(value)


def _ended(exit_code: int | None, signal: int | None) -> str:
    if signal is not None:
        return f"signal {signal}"
    return "–" if exit_code is None else f"exit {exit_code}"


def comparison(records: Sequence[Record], names: Sequence[str]) -> Html:
    """Runs as columns, the metrics that any of them has as rows, one unit to a row."""
    head: list[Child] = [
        "",
        *([name, el("small", title_of(one))] for name, one in zip(names, records, strict=True)),
    ]
    rows: list[list[Child]] = [["Verdict", *(badge(one.verdict.state) for one in records)]]
    for metric in METRICS.values():
        values = [value_of(one, metric) for one in records]
        if metric.name == "median_latency":
            rows.append([metric.title, *_medians(records)])
        elif metric.name != "p50_latency" and any(value is not None for value in values):
            rows.append([metric.title, *_one_unit(metric, values)])
    return card("Side by side", table(head, rows))


def _one_unit(metric: Metric, values: Sequence[float | None]) -> list[str]:
    if metric.unit != "us":
        return [w.metric_value(metric, value) for value in values]
    scale = w.time_scale(min(value for value in values if value is not None))
    return [scale.show(value) for value in values]


def _medians(records: Sequence[Record]) -> list[Html]:
    """Every run's median, its interval, and how many times the first run's it is."""
    first_us = records[0].latency.median
    scale = w.time_scale(first_us)
    cells = []
    for i, one in enumerate(record.latency for record in records):
        interval, ratio = "no interval", None
        if one.ci95_low is not None and one.ci95_high is not None and one.ci95_of == "median":
            interval = f"{scale.number(one.ci95_low)} to {scale.show(one.ci95_high)}"
        if i and one.median is not None and first_us:
            ratio = el("small", f"{w.significant(one.median / first_us, 3)} × the first run's")
        cells.append(join([scale.show(one.median), el("small", interval), ratio]))
    return cells
