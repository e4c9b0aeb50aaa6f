"""Everything about one run, as one piece of HTML: a report's chapter, and the dashboard's page of a run."""

from __future__ import annotations

from edgekit.records import Record, Samples
from edgekit.results import (
    plots,
    plots_device,
    sections,
    sections_device,
    sections_latency,
    sections_operators,
)
from edgekit.results.canvas import css_class
from edgekit.results.markup import Child, Html, el, join
from edgekit.results.parts import badge, title_of
from edgekit.results.plots import Detail, Plot
from edgekit.results.plots_device import LegendPlot
from edgekit.results.wording import time_scale

TITLES = {
    "mC": "Temperature",
    "kHz": "Clock frequency",
    "bytes": "Memory",
    "mW": "Power",
    "uJ": "Energy counters",
}


def chapter(record: Record, samples: Samples, prefix: str, detail: Detail | None) -> Html:
    """All sections of a run below its heading; without figures where `detail` is None. `prefix` makes the figures' ids
    unique in the page."""
    return join(
        [
            sections.tiles(record),
            el("h2", "Can these numbers be trusted?"),
            sections.verdict(record),
            el("h2", "Latency"),
            _latency_figures(record, samples, prefix, detail) if detail else None,
            sections_latency.latency_facts(record),
            sections.throughput(record),
            el("h2", "Launches"),
            _launch_figures(record, samples, prefix, detail) if detail else None,
            sections.launches(record),
            *([el("h2", "Operators"), sections_operators.operators(record)] if record.operators else []),
            el("h2", "The device during the run"),
            _device_figures(record, samples, prefix, detail) if detail else None,
            sections_device.sustained(record),
            el("div", sections_device.conditions(record), sections_device.memory(record), class_="grid"),
            el("h2", "Accuracy and energy"),
            el("div", sections_device.accuracy(record), sections_device.energy(record), class_="grid"),
            el("h2", "Environment and provenance"),
            sections_device.environment(record),
            sections_device.provenance(record),
            sections_device.events(record),
        ]
    )


def heading(record: Record, name: str | None = None) -> Html:
    """What was measured where, the verdict, and when and with what."""
    title = title_of(record)
    eyebrow = el("p", "edgekit report", class_="eyebrow") if not name else None
    text = el("div", eyebrow, el("h1", title))
    return el("header", el("div", text, badge(record.verdict.state), class_="top"), lead(record))


def lead(record: Record) -> Html:
    """When and with what, on one line."""
    words = [
        record.started_at[:16].replace("T", " ") + " UTC"
        if record.started_at.endswith("Z")
        else record.started_at
    ]
    words += [" ".join(filter(None, [record.runtime.name, record.runtime.version]))]
    words += [f"profile {record.profile.name}"] if record.profile else []
    return el("p", " · ".join(words), class_="lead")


def _latency_figures(record: Record, samples: Samples, prefix: str, detail: Detail) -> Html | None:
    launches = [launch for launch in samples.launches if launch.size]
    if not launches:
        why = "The tool that measured keeps its samples." if record.latency.source == "summaries" else ""
        return el("p", "No samples were kept with this run. ", why, class_="fine")
    scale = time_scale(record.latency.median)
    shares = figure("How many at or below", plots.cumulative(launches, scale, f"{prefix}e"))
    if detail.few:
        box = plots.per_launch(launches, _numbers(samples), scale, f"{prefix}b")
        return el("div", shares, figure("Launch by launch", box), class_="grid")
    two = [figure("How often", plots.histogram(launches, scale, f"{prefix}h")), shares]
    return join(
        [
            el("div", two, class_="grid"),
            figure("In order", plots.over_time(launches, scale, f"{prefix}t", detail)),
        ]
    )


def _numbers(samples: Samples) -> list[int]:
    """What the launches that have samples are called: they count from 1."""
    return [i + 1 for i, launch in enumerate(samples.launches) if launch.size]


def _launch_figures(record: Record, samples: Samples, prefix: str, detail: Detail) -> Html | None:
    if detail.few:
        return None
    launches = [launch for launch in samples.launches if launch.size]
    two: list[Child] = []
    if launches:
        box = plots.per_launch(launches, _numbers(samples), time_scale(record.latency.median), f"{prefix}b")
        two.append(figure("Launch by launch", box))
    if start := plots_device.start_up(record, f"{prefix}s"):
        two.append(_with_legend("Until the first result", start))
    return el("div", two, class_="grid") if two else None


def _device_figures(record: Record, samples: Samples, prefix: str, detail: Detail) -> Html | None:
    units = list(dict.fromkeys(one.unit for one in samples.telemetry))
    units.sort(key=lambda unit: list(TITLES).index(unit) if unit in TITLES else len(TITLES))
    found: list[Child] = []
    for i, unit in enumerate(units[: 2 if detail.few else 6]):
        plot = plots_device.telemetry(record, samples.telemetry, unit, f"{prefix}d{i}", detail)
        if plot is not None:
            found.append(_with_legend(f"{TITLES.get(unit, 'Readings')} over time", plot))
    return join(found) if found else None


def figure(title: str, plot: Plot, legend: Child = None) -> Html:
    """A figure with its heading and, where there is one, its caption."""
    caption = el("figcaption", plot.caption) if plot.caption else None
    return el("figure", el("h3", title), legend, plot.svg, caption, class_="card")


def _with_legend(title: str, found: LegendPlot) -> Html:
    entries = [el("li", el("i", class_=css_class(one.color)), one.words) for one in found.legend]
    return figure(title, found.plot, el("ul", entries, class_="legend"))
