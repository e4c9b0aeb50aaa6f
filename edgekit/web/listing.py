"""The page of all runs: filters in its address, pages, two to compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgekit.errors import InputError
from edgekit.results import wording as w
from edgekit.results.asking import RunRow
from edgekit.results.filters import VERDICTS
from edgekit.results.markup import Child, Html, el
from edgekit.results.parts import badge
from edgekit.results.store import Store
from edgekit.web.layout import run_url, url
from edgekit.web.progress import section
from edgekit.web.queries import cursor_of, filters_of, text_of
from edgekit.web.stacked import stacked

PAGE = 50
MAX_CHOICES = 200
"""So many words are offered while one types; of more, none: the list would be the page."""
_TITLES = {
    "model": "Model",
    "device": "Device",
    "recipe": "Recipe",
    "runtime": "Runtime",
    "soc": "SoC",
    "project": "Project",
}


def listing(store: Store, parameters: Mapping[str, str]) -> tuple[list[Child], int, str]:
    """The page's parts, its status, and the newest run that it knows of."""
    form = filter_form(store, parameters, "/")
    try:
        filters = filters_of(parameters)
        rows = store.list(filters, limit=PAGE + 1, before=cursor_of(parameters.get("before")))
    except InputError as error:
        return [alert(error), form], 400, newest_run(store)
    shown = rows[:PAGE]
    newest = newest_run(store)
    pages = _pages(parameters, shown[-1] if len(rows) > PAGE else None)
    live = el("div", _table(shown) if shown else _nothing(parameters), pages, id="live")
    return [form, section(store.under_way(filters)), live], 200, newest


def newest_run(store: Store) -> str:
    """Its id; empty in an empty store."""
    rows = store.list(limit=1)
    return rows[0].id if rows else ""


def alert(error: InputError) -> Html:
    return el("div", error.message, f" ({error.hint})" if error.hint else None, class_="alert", role="alert")


def filter_form(
    store: Store,
    parameters: Mapping[str, str],
    action: str,
    fields: Sequence[str] = tuple(_TITLES),
    *more: Child,
) -> Html:
    """A form whose fields are the address's parameters; `more` stands before its button."""
    children: list[Child] = []
    for name in fields:
        words = store.words(name)
        if name == "project" and not words:
            continue
        children.append(_text(_TITLES[name], name, parameters.get(name, ""), words))
    children.append(
        select(
            "Verdict", "verdict", parameters.get("verdict", ""), [("", "any"), *((v, v) for v in VERDICTS)]
        )
    )
    children.append(
        _text("Since", "since", parameters.get("since", ""), ("24h", "7d", "4w"), "7d or 2026-01-31")
    )
    children.append(_text("Label", "label", parameters.get("label", ""), (), "KEY or KEY=VALUE"))
    children.append(_text("More", "where", parameters.get("where", ""), (), "median_latency<12ms"))
    buttons = el("div", el("button", "Filter"), " ", el("a", "Clear", href=action), class_="actions")
    return el(
        "form", children, more, buttons, class_="filters card", method="get", action=action, role="search",
        aria_label="Filters",
    )  # fmt: skip


def _text(title: str, name: str, value: str, words: Sequence[str], hint: str | None = None) -> Html:
    offered = words if len(words) <= MAX_CHOICES else ()
    options = (
        el("datalist", [el("option", value=word) for word in offered], id=f"all-{name}") if offered else None
    )
    box = el(
        "input", type="text", name=name, value=value, placeholder=hint, maxlength=300, autocomplete="off",
        spellcheck="false", list=f"all-{name}" if offered else None,
    )  # fmt: skip
    return el("label", title, box, options)


def select(title: str, name: str, value: str, options: Sequence[tuple[str, str]]) -> Html:
    """A choice of (value, words)."""
    return el(
        "label",
        title,
        el(
            "select",
            [el("option", words, value=one, selected="" if one == value else None) for one, words in options],
            name=name,
        ),
    )


def _nothing(parameters: Mapping[str, str]) -> Html:
    if any(parameters.values()):
        return el("p", "No run meets these filters.", class_="card")
    hint = "The store is empty. A measurement puts a run into it: "
    return el("p", hint, el("code", "edgekit bench MODEL -d DEVICE"), class_="card")


def _table(rows: Sequence[RunRow]) -> Html:
    scale = w.time_scale(next((row.median_us for row in rows if row.median_us), None))
    head = ["Run", "Model", "Device", "Verdict", "Median", "99th percentile", "Peak memory", "Compare"]
    body = [[_link(row), *_cells(row, scale)] for row in rows]
    table = stacked(head, body, class_="list", label="Runs", caption=f"{len(rows)} runs, newest first")
    button = el("div", el("button", "Compare the two ticked"), class_="actions")
    return el("form", table, button, method="get", action="/compare", class_="card", aria_label="Compare")


def _link(row: RunRow) -> Html:
    return el("a", row.started_at[:16].replace("T", " "), el("small", row.id), href=run_url(row.id))


def _cells(row: RunRow, scale: w.Scale) -> list[Child]:
    version = f"@{row.model_version}" if row.model_version else ""
    interval = None
    # without a median it would be the mean's
    if row.median_us is not None and row.ci95_low_us is not None and row.ci95_high_us is not None:
        interval = el("small", f"{scale.number(row.ci95_low_us)} to {scale.number(row.ci95_high_us)}")
    return [
        [row.model_name, version, el("small", row.recipe or "no recipe")],
        [
            row.device_model or row.device_address,
            el("small", " ".join(filter(None, [row.runtime, row.runtime_version]))),
        ],
        badge(row.verdict),
        [scale.show(row.median_us), interval],
        scale.show(row.p99_us),
        w.size(row.peak_rss_bytes),
        el(
            "input",
            type="checkbox",
            name="run",
            value=row.id,
            aria_label=f"Compare {row.id}",
            autocomplete="off",
        ),
    ]


def _pages(parameters: Mapping[str, str], last: RunRow | None) -> Html | None:
    links: list[Child] = []
    if parameters.get("before"):
        links.append(el("a", "Newest", href=url("/", {**parameters, "before": None})))
    if last is not None:
        links.append(
            el("a", "Older runs", href=url("/", {**parameters, "before": text_of(last.cursor)}), rel="next")
        )
    return el("nav", links, class_="actions", aria_label="Pages of runs") if links else None
