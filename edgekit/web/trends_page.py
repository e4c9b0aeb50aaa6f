"""How one metric went over time, for each model on each device: steps and releases marked, in the figure and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgekit.errors import InputError
from edgekit.records import METRICS, Metric
from edgekit.records.metrics import metric
from edgekit.results import wording as w
from edgekit.results.asking import RunRow, Trend
from edgekit.results.chapter import figure
from edgekit.results.markup import Child, Html, el
from edgekit.results.parts import badge, table
from edgekit.results.steps import Point, Step, steps
from edgekit.results.store import Store
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
    sections = [_section(one, wanted, i) for i, one in enumerate(found[:MAX_FIGURES])]
    notes: list[Child] = []
    if not found:
        notes.append(el("p", "No run meets these filters.", class_="card"))
    if len(found) > MAX_FIGURES:
        words = (
            f"{len(found)} pairs of model and device are there; the {MAX_FIGURES} with most runs are shown."
        )
        notes.append(el("p", words, " Filter for others.", class_="fine"))
    return [form, el("div", notes, sections, id="live")], 200, newest_run(store)


def _section(trend: Trend, wanted: Metric, number: int) -> Html:
    points = [point_of(row, wanted) for row in trend.runs]
    found = steps(points, lower_is_better=wanted.lower_is_better)
    releases = releases_of(trend.runs)
    where = trend.device_model or trend.device
    plot = trend_figure(trend.runs, points, found, sorted(releases), wanted, f"t{number}")
    title = f"{trend.model} on {where}"
    about = " · ".join(
        [trend.recipe or "no recipe", trend.runtime, *([trend.profile] if trend.profile else [])]
    )
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


def point_of(row: RunRow, wanted: Metric) -> Point:
    """A run's value, with its interval where the metric has one."""
    low = high = None
    if wanted.name == "median_latency":
        low, high = row.ci95_low_us, row.ci95_high_us
    return Point(row.value(wanted.name), low, high, counts=row.verdict != "invalid")


def releases_of(rows: Sequence[RunRow]) -> dict[int, str]:
    """Where the model's or the runtime's version is not the run's before: its place, and what changed."""
    found: dict[int, str] = {}
    for i in range(1, len(rows)):
        before, now = rows[i - 1], rows[i]
        changes = []
        if (before.model_version, before.model_sha256) != (now.model_version, now.model_sha256):
            old, new = before.model_version or "?", now.model_version or "?"
            changes.append(f"model {old} → {new}" if old != new else f"model file changed ({new})")
        if before.runtime_version != now.runtime_version:
            changes.append(f"{now.runtime} {before.runtime_version or '?'} → {now.runtime_version or '?'}")
        if changes:
            found[i] = ", ".join(changes)
    return found


def _marks(
    rows: Sequence[RunRow], found: Sequence[Step], releases: Mapping[int, str], wanted: Metric
) -> Html | None:
    """What the figure's marks say, in words."""
    lines: list[tuple[int, Child]] = []
    for one in found:
        kind = "Regression" if one.worse else "Improvement"
        sure = "" if one.confirmed else ", by one run so far"
        lines.append(
            (
                one.place,
                el(
                    "li",
                    el("span", kind, class_="worse" if one.worse else "better"),
                    f": {wanted.title.lower()} {w.significant(one.ratio, 3)} × what it was{sure}, ",
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
    marked = {one.place: f"{w.significant(one.ratio, 3)} ×" for one in found}
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
