"""What is being measured now: a part of the page of runs, which its script gets anew while it is open."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.results import wording as w
from edgekit.results.markup import Child, Html, el
from edgekit.results.parts import card, table
from edgekit.results.under_way import UnderWay, digest

ID = "under-way"


def section(rows: Sequence[UnderWay]) -> Html:
    """Always there, so that the script has a place; empty where nothing is under way. `data-now`: what it knows of."""
    return el("div", _card(rows) if rows else None, id=ID, data_now=digest(rows))


def _card(rows: Sequence[UnderWay]) -> Html:
    head = ["Model", "Device", "Stage", "Median so far", "Since"]
    return card(
        None,
        el("h2", "Under way"),
        table(head, [_row(row) for row in rows], label="Measurements under way"),
        el("p", "Times are UTC. One that is not heard of any more goes from here by itself.", class_="fine"),
    )


def _row(row: UnderWay) -> list[Child]:
    bar = el(
        "progress",
        max=str(max(row.total, 1)),
        value=str(min(row.done or 0, row.total)),
        aria_label=f"Launches of {row.model}",
    )
    return [
        [
            row.model,
            f"@{row.version}" if row.version else None,
            el("small", row.recipe) if row.recipe else None,
        ],
        [row.device_model or row.device, el("small", row.runtime) if row.runtime else None],
        [row.stage, bar],
        w.time(row.median_us),
        [row.started_at[:16].replace("T", " "), el("small", f"heard of at {row.heard_at[11:19]}")],
    ]
