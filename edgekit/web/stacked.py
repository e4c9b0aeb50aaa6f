"""A table whose rows are blocks on a phone, each value under its own title: nothing is beyond the edge of the screen.

`dashboard.css` does it, for `.stack`. Roles are said in full, because a browser may forget that what is laid out as a grid
is a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgekit.results.markup import Child, Html, el


def stacked(
    head: Sequence[str],
    rows: Iterable[Sequence[Child]],
    *,
    class_: str,
    label: str,
    caption: str | None = None,
) -> Html:
    """The first cell of each row is its heading. `label`: what a screen reader calls the part that scrolls."""
    titles = [el("th", title, scope="col", role="columnheader") for title in head]
    body = [
        el(
            "tr",
            el("th", row[0], scope="row", role="rowheader", data_title=head[0]),
            [
                el("td", cell, role="cell", data_title=title)
                for title, cell in zip(head[1:], row[1:], strict=True)
            ],
            role="row",
        )
        for row in rows
    ]
    inner = el(
        "table",
        el("caption", caption, class_="fine") if caption else None,
        el("thead", el("tr", titles, role="row"), role="rowgroup"),
        el("tbody", body, role="rowgroup"),
        class_=f"stack {class_}",
        role="table",
    )
    return el("div", inner, class_="table", tabindex="0", role="group", aria_label=label)
