"""What to take: two metrics against each other, and the runs that no other one beats."""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.errors import InputError
from edgekit.records import METRICS, Metric
from edgekit.records.metrics import metric
from edgekit.results import wording as w
from edgekit.results.asking import Ranked, RunRow
from edgekit.results.chapter import figure
from edgekit.results.markup import Child, Html, el
from edgekit.results.parts import card
from edgekit.results.store import Store
from edgekit.web.figures import pareto_figure
from edgekit.web.layout import run_url
from edgekit.web.listing import alert, filter_form, newest_run, select
from edgekit.web.queries import filters_of
from edgekit.web.stacked import stacked

MAX_POINTS = 200
_X, _Y = "median_latency", "accuracy"


def best_page(store: Store, parameters: Mapping[str, str]) -> tuple[list[Child], int, str]:
    """The page's parts, its status, and the newest run that it knows of."""
    choices = [(one.name, one.title) for one in METRICS.values()]
    chosen = [parameters.get(name) or default for name, default in (("x", _X), ("y", _Y))]
    boxes = [
        select(title, name, value, choices)
        for title, name, value in zip(("Across", "Upwards"), ("x", "y"), chosen, strict=True)
    ]
    form = filter_form(store, parameters, "/best", ("model", "device", "recipe", "runtime"), *boxes)
    try:
        metrics = metric(chosen[0]), metric(chosen[1])
        found = store.ranked(filters_of(parameters), metrics=[one.name for one in metrics], limit=MAX_POINTS)
    except InputError as error:
        return [alert(error), form], 400, newest_run(store)
    return [form, el("div", _found(found, metrics), id="live")], 200, newest_run(store)


def _found(found: Ranked, metrics: tuple[Metric, Metric]) -> list[Child]:
    if not found.known:
        words = f"No run here tells both {metrics[0].title.lower()} and {metrics[1].title.lower()}."
        return [el("p", words, class_="card")]
    points = [
        (row.value(metrics[0].name) or 0.0, row.value(metrics[1].name) or 0.0, i < found.best)
        for i, row in enumerate(found.rows)
    ]
    plot = pareto_figure(points, metrics, "p")
    body = [_row(i, row, metrics, i < found.best) for i, row in enumerate(found.rows)]
    head = ["Number", "Run", "Device", "Recipe", metrics[0].title, metrics[1].title, "Best"]
    notes = ["The newest run of each model, recipe, profile, device and runtime that is not invalid."]
    if found.known < found.candidates:
        notes.append(f"{found.candidates - found.known} of {found.candidates} do not tell both numbers.")
    if len(found.rows) < found.known:
        notes.append(f"{len(found.rows)} of {found.known} are shown.")
    return [
        figure(f"{metrics[1].title} against {metrics[0].title}", plot) if plot else None,
        card(
            "Runs",
            stacked(head, body, class_="ranked", label="Runs by both metrics"),
            el("p", " ".join(notes), class_="fine"),
        ),
    ]


def _row(number: int, row: RunRow, metrics: tuple[Metric, Metric], best: bool) -> list[Child]:
    name: Html = el("a", row.model_name, href=run_url(row.id))
    return [
        str(number + 1),
        name,
        [row.device_model or row.device_address, el("small", row.runtime)],
        row.recipe or "no recipe",
        *(w.metric_value(one, row.value(one.name)) for one in metrics),
        el("span", "best", class_="better") if best else "–",
    ]
