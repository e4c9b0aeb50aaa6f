"""How one metric went over time, for each model on each device: steps and releases marked, in the figure and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgekit.errors import InputError
from edgekit.records import METRICS, Metric
from edgekit.records.metrics import metric
from edgekit.results import wording as w
from edgekit.results.asking import RunRow, Trend
from edgekit.results.chapter import figure
from edgekit.results.marks import marks_of, step_words
from edgekit.results.markup import Child, Html, el
from edgekit.results.parts import badge, table
from edgekit.results.steps import Point, Step
from edgekit.results.store import Store
from edgekit.results.trending import told_apart
from edgekit.web.figures import trend_figure
from edgekit.web.layout import run_url
from edgekit.web.listing import alert, filter_form, newest_run, select
from edgekit.web.queries import filters_of

MAX_RUNS = 1000
"""The newest so many runs that meet the filters."""
MAX_FIGURES = 8
MAX_ROWS = 60
DEFAULT = "median_latency"


def trends_page(store: Store, parameters: Mapping[str, str]) -> tuple[list[Child], int, str]:
    """The page's parts, its status, and the newest run that it knows of."""
    choices = [(one.name, one.title) for one in METRICS.values()]
    choose = select("Metric", "metric", parameters.get("metric", "") or DEFAULT, choices)
    form = filter_form(store, parameters, "/trends", ("model", "device", "recipe", "runtime"), choose)
    try:
        wanted = metric(parameters.get("metric") or DEFAULT)
        found = store.trend(filters_of(parameters), limit=MAX_RUNS)
    except InputError as error:
        return [alert(error), form], 400, newest_run(store)
    apart = told_apart(found)
    sections = [_section(one, wanted, i, apart[i]) for i, one in enumerate(found[:MAX_FIGURES])]
    notes: list[Child] = []
    if not found:
        notes.append(el("p", "No run meets these filters.", class_="card"))
    if len(found) > MAX_FIGURES:
        words = (
            f"{len(found)} pairs of model and device are there; the {MAX_FIGURES} with most runs are shown."
        )
        notes.append(el("p", words, " Filter for others.", class_="fine"))
    return [form, el("div", notes, sections, id="live")], 200, newest_run(store)


def _section(trend: Trend, wanted: Metric, number: int, apart: str) -> Html:
    marks = marks_of(trend.runs, wanted)
    points, found, releases = marks.points, marks.steps, marks.releases
    where = trend.device_model or trend.device
    plot = trend_figure(trend.runs, points, found, sorted(releases), wanted, f"t{number}")
    title = f"{trend.model} on {where}"
    about = " · ".join(filter(None, [trend.recipe or "no recipe", trend.runtime, trend.profile, apart]))
    return el(
        "section",
        el("h2", title),
        el("p", about, f" · {w.plural(len(points), 'run', 'runs')}", class_="fine"),
        figure(wanted.title, plot)
        if plot
        else el("p", f"No run here tells its {wanted.title.lower()}.", class_="card"),
        _marks(trend.runs, found, releases, wanted),
        el(
            "details",
            el("summary", "All numbers"),
            _numbers(trend.runs, points, found, wanted, title),
            class_="card",
        ),
        class_="trend",
    )


def _marks(
    rows: Sequence[RunRow], found: Sequence[Step], releases: Mapping[int, str], wanted: Metric
) -> Html | None:
    """What the figure's marks say, in words."""
    lines: list[tuple[int, Child]] = []
    for one in found:
        kind = "Regression" if one.worse else "Improvement"
        lines.append(
            (
                one.place,
                el(
                    "li",
                    el("span", kind, class_="worse" if one.worse else "better"),
                    f": {step_words(one, wanted)}, ",
                    el(
                        "a",
                        rows[one.place].started_at[:16].replace("T", " "),
                        href=run_url(rows[one.place].id),
                    ),
                ),
            )
        )
    for place, words in releases.items():
        lines.append((place, el("li", f"Release: {words}, {rows[place].started_at[:10]}")))
    lines.sort(key=lambda line: -line[0])
    shown = [line for _, line in lines[:20]]
    more = (
        el("p", f"{len(lines) - 20} earlier ones are not listed.", class_="fine") if len(lines) > 20 else None
    )
    return el("div", el("ul", shown), more, class_="card") if shown else None


def _numbers(
    rows: Sequence[RunRow], points: Sequence[Point], found: Sequence[Step], wanted: Metric, title: str
) -> list[Html]:
    marked = {
        one.place: f"{w.significant(one.ratio, 3)} ×" if one.ratio is not None else "from 0" for one in found
    }
    body = [
        [
            el("a", rows[i].started_at[:16].replace("T", " "), href=run_url(rows[i].id)),
            rows[i].model_version or "–",
            badge(rows[i].verdict),
            w.metric_value(wanted, points[i].value),
            marked.get(i, ""),
        ]
        for i in reversed(range(max(0, len(rows) - MAX_ROWS), len(rows)))
    ]
    note = el("p", f"The newest {MAX_ROWS} of {len(rows)}.", class_="fine") if len(rows) > MAX_ROWS else None
    inner = table(["Run", "Version", "Verdict", wanted.title, "Step"], body, label=f"Numbers of {title}")
    return [inner, *([note] if note else [])]
