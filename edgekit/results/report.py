"""The report: one HTML file that needs nothing else and is never larger than 1 MB.

No script, no network, no font; figures are inline SVG in the page's colours, so light, dark and print all
work. Matplotlib is loaded when a report is written.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TypeAlias

from edgekit.cache import atomic_write
from edgekit.errors import InputError
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

Entry: TypeAlias = tuple[Record, Samples]
MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class Level:
    """How much goes into a report. `detailed`: so many runs get their own chapter; `drawn`: so many of them
    with figures."""

    detail: Detail
    drawn: int
    detailed: int


LEVELS = (
    Level(Detail(450, True), 1000, 1000),
    Level(Detail(300, True), 1000, 1000),
    Level(Detail(240, False), 1000, 1000),
    Level(Detail(240, False), 6, 60),
    Level(Detail(120, False), 2, 20),
    Level(Detail(60, False), 0, 3),
)
"""From everything to little; the first one that gives a small enough file is used, and the page says so."""


def write_report(records_with_samples: Sequence[Entry], path: Path) -> Path:
    """Write the report of one or several runs to `path` (whole or not at all) and return `path`.

    Raises InputError (E_NO_RUN) without a run, HostError and HostDiskFull for the file.
    """
    atomic_write(path, render(records_with_samples).encode("utf-8"))
    return path


def render(entries: Sequence[Entry]) -> str:
    """The whole page as text of at most 1 MB. The order is kept; the first run is the one compared with."""
    if not entries:
        raise InputError("a report needs at least one run", code="E_NO_RUN", hint="edgekit results list")
    for level in LEVELS:
        if level is not LEVELS[-1] and _expected_bytes(entries, level) > 1.2 * MAX_BYTES:
            continue  # drawing takes a third of a second for each run
        page = _page(entries[: level.detailed] if level is LEVELS[-1] else entries, level, len(entries))
        if len(page.encode("utf-8")) <= MAX_BYTES:
            return page
    raise InputError(
        f"a report of {len(entries)} runs does not fit into 1 MB",
        code="E_REPORT_SIZE",
        hint="name fewer runs",
    )


def _expected_bytes(entries: Sequence[Entry], level: Level) -> int:
    """The size of a page if all runs were like the first one."""
    if len(entries) < 3:
        return 0
    drawn = min(len(entries), level.drawn)
    plain = min(len(entries), level.detailed) - drawn
    first = entries[0]
    return drawn * len(_run(*first, "A", "r0", level.detail)) + plain * len(_run(*first, "A", "r0", None))


def _page(entries: Sequence[Entry], level: Level, total: int) -> str:
    records = [record for record, _ in entries]
    several = len(entries) > 1
    heading = f"{total} runs side by side" if several else title_of(records[0])
    body: list[Child] = []
    names = run_names(len(entries))
    if several:
        body.append(_overview(records, names, heading, level))
    for i, (record, samples) in enumerate(entries[: level.detailed]):
        name = names[i] if several else None
        body.append(_run(record, samples, name, f"r{i}", level.detail if i < level.drawn else None))
    body.append(_footer(records, level, total))
    head = [
        Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html(
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        ),
        Html('<meta name="referrer" content="no-referrer">'),
        el("title", f"{heading} · edgekit"),
        el("style", Html(files("edgekit.results").joinpath("report.css").read_text(encoding="utf-8"))),
    ]
    document = el("html", el("head", head), "\n", el("body", el("main", body)), lang="en")
    return f"<!DOCTYPE html>\n{document}\n"


def run_names(count: int) -> list[str]:
    """A, B, ... Z, then numbers: short names that fit on an axis."""
    return list(string.ascii_uppercase[:count]) if count <= 26 else [str(i + 1) for i in range(count)]


def _overview(records: Sequence[Record], names: Sequence[str], heading: str, level: Level) -> Html:
    plot = plots_device.comparison(records, names, "cmp", level.detail)
    warning = (
        "These runs were made one after another, at different times and perhaps on different devices, so a"
        " difference between them has more causes than the model."
    )
    return join(
        [
            el(
                "header",
                el("p", "edgekit report", class_="eyebrow"),
                el("h1", heading),
                el("p", warning, class_="lead"),
            ),
            el("h2", "Comparison"),
            _figure("Median latency", plot) if plot else None,
            sections.comparison(records, names),
        ]
    )


def _run(record: Record, samples: Samples, name: str | None, prefix: str, detail: Detail | None) -> Html:
    """Everything about one run; without figures where `detail` is None."""
    children: list[Child] = [
        _header(record, name),
        sections.tiles(record),
        el("h2", "Can these numbers be trusted?"),
        sections.verdict(record),
        el("h2", "Latency"),
        _latency_figures(record, samples, prefix, detail) if detail else None,
        sections_latency.latency_facts(record),
        sections.throughput(record),
        el("h2", "Launches"),
        _launch_figures(record, samples, prefix) if detail else None,
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
    return el("article" if name else "div", children)


def _header(record: Record, name: str | None) -> Html:
    words = [
        record.started_at[:16].replace("T", " ") + " UTC"
        if record.started_at.endswith("Z")
        else record.started_at
    ]
    words += [" ".join(filter(None, [record.runtime.name, record.runtime.version]))]
    words += [f"profile {record.profile.name}"] if record.profile else []
    title = title_of(record)
    heading = el("h1", f"{name}: {title}") if name else el("h1", title)
    text = el("div", el("p", "edgekit report", class_="eyebrow") if not name else None, heading)
    return el(
        "header",
        el("div", text, badge(record.verdict.state), class_="top"),
        el("p", " · ".join(words), class_="lead"),
    )


def _latency_figures(record: Record, samples: Samples, prefix: str, detail: Detail) -> Html | None:
    launches = [launch for launch in samples.launches if launch.size]
    if not launches:
        why = "The tool that measured keeps its samples." if record.latency.source == "summaries" else ""
        return el("p", "No samples were kept with this run. ", why, class_="fine")
    scale = time_scale(record.latency.median)
    two = [
        _figure("How often", plots.histogram(launches, scale, f"{prefix}h")),
        _figure("How many at or below", plots.cumulative(launches, scale, f"{prefix}e")),
    ]
    return join(
        [
            el("div", two, class_="grid"),
            _figure("In order", plots.over_time(launches, scale, f"{prefix}t", detail)),
        ]
    )


def _launch_figures(record: Record, samples: Samples, prefix: str) -> Html | None:
    launches = [launch for launch in samples.launches if launch.size]
    two: list[Child] = []
    if launches:
        numbers = [i + 1 for i, launch in enumerate(samples.launches) if launch.size]
        box = plots.per_launch(launches, numbers, time_scale(record.latency.median), f"{prefix}b")
        two.append(_figure("Launch by launch", box))
    if start := plots_device.start_up(record, f"{prefix}s"):
        two.append(_with_legend("Until the first result", start))
    return el("div", two, class_="grid") if two else None


TITLES = {
    "mC": "Temperature",
    "kHz": "Clock frequency",
    "bytes": "Memory",
    "mW": "Power",
    "uJ": "Energy counters",
}


def _device_figures(record: Record, samples: Samples, prefix: str, detail: Detail) -> Html | None:
    units = list(dict.fromkeys(one.unit for one in samples.telemetry))
    units.sort(key=lambda unit: list(TITLES).index(unit) if unit in TITLES else len(TITLES))
    found: list[Child] = []
    for i, unit in enumerate(units[:6]):
        plot = plots_device.telemetry(record, samples.telemetry, unit, f"{prefix}d{i}", detail)
        if plot is not None:
            found.append(_with_legend(f"{TITLES.get(unit, 'Readings')} over time", plot))
    return join(found) if found else None


def _figure(title: str, plot: Plot, legend: Child = None) -> Html:
    caption = el("figcaption", plot.caption) if plot.caption else None
    return el("figure", el("h3", title), legend, plot.svg, caption, class_="card")


def _with_legend(title: str, found: LegendPlot) -> Html:
    entries = [
        el("li", el("i", class_=css_class(one.color)), one.words) for one in found.legend
    ]
    return _figure(title, found.plot, el("ul", entries, class_="legend"))


def _footer(records: Sequence[Record], level: Level, total: int) -> Html:
    words = ["Written by edgekit. This page needs no network and loads nothing."]
    if level.detailed < total or level.drawn < total:
        words.append(
            f"To stay below 1 MB, of {total} runs {min(total, level.detailed)} have a chapter"
            f" and {min(total, level.drawn)} have figures."
        )
    return el("footer", " ".join(words))
