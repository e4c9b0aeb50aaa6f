"""The pieces that every section of a report is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgekit.records import Record
from edgekit.results import wording as w
from edgekit.results.markup import Child, Html, el


def card(title: str | None, *children: Child) -> Html:
    return el("section", el("h3", title) if title else None, *children, class_="card")


def facts(pairs: Iterable[tuple[str, Child]]) -> Html:
    """Names and values; what is None is left out."""
    return el(
        "dl",
        [[el("dt", name), el("dd", value)] for name, value in pairs if value is not None],
        class_="facts",
    )


def table(head: Sequence[Child], rows: Iterable[Sequence[Child]], label: str = "Table") -> Html:
    """With a heading in every row and column. It scrolls by itself where it is wider than the page, also with the arrow
    keys; `label` is what a screen reader calls it then."""
    body = [el("tr", el("th", row[0], scope="row"), [el("td", cell) for cell in row[1:]]) for row in rows]
    top = el("thead", el("tr", [el("th", cell, scope="col") for cell in head]))
    inner = el("table", top, el("tbody", body))
    return el("div", inner, class_="table", tabindex="0", role="group", aria_label=label)


def code(value: object | None) -> Html | None:
    return None if value is None else el("code", str(value))


def badge(state: str) -> Html:
    return el("span", el("span", w.VERDICTS[state][0], aria_hidden="true"), state, class_=f"badge {state}")


def title_of(record: Record) -> str:
    version = f"@{record.model.version}" if record.model.version else ""
    return f"{record.model.name}{version} on {record.device.model or record.device.address}"


def centre_us(record: Record) -> float | None:
    """What stands for the run: its median; the mean of a tool that tells averages only."""
    return record.latency.median if record.latency.ci95_of == "median" else record.latency.mean
