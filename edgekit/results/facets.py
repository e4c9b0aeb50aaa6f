"""What the runs of a report can be chosen by, without a script: check boxes and the rules of style that follow them.

A run carries one class for each of its facets' values. The classes and ids are numbers of ours; the values, which come from
outside, are only ever text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgekit.records import Record
from edgekit.results.markup import Html, el
from edgekit.results.wording import UNKNOWN

MAX_CHOICES = 24
"""A facet with more values than that gets no boxes: nobody reads them."""


@dataclass(frozen=True)
class Facet:
    """One thing in which runs differ: `values[i]` has the number i; `of_run[k]` is the number of run k's value."""

    key: str
    title: str
    values: tuple[str, ...]
    of_run: tuple[int, ...]


def device_of(record: Record) -> str:
    return record.device.model or record.device.address


def recipe_of(record: Record) -> str:
    """How the model was made small; a float model that nobody converted has no recipe."""
    return record.model.recipe or "no recipe"


_FACETS: tuple[tuple[str, str, Callable[[Record], str]], ...] = (
    ("v", "Verdict", lambda record: record.verdict.state),
    ("m", "Model", lambda record: record.model.name),
    ("d", "Device", device_of),
    ("q", "Recipe", recipe_of),
    ("r", "Runtime", lambda record: record.runtime.name or UNKNOWN),
)


def facets(records: Sequence[Record]) -> list[Facet]:
    """Those in which these runs differ, and that have few enough values to choose from."""
    found = []
    for key, title, read in _FACETS:
        every = [read(record) for record in records]
        values = tuple(dict.fromkeys(every))
        if 2 <= len(values) <= MAX_CHOICES:
            found.append(Facet(key, title, values, tuple(values.index(value) for value in every)))
    return found


def classes(every: Sequence[Facet], run: int) -> str:
    """The classes of one run."""
    return " ".join(f"f{one.key}{one.of_run[run]}" for one in every)


def rules(every: Sequence[Facet]) -> str:
    """Style: what has the class of an unchecked box is not shown."""
    return "\n".join(
        f"body:has(#f-{one.key}{i}:not(:checked)) .f{one.key}{i} {{ display: none; }}"
        for one in every
        for i in range(len(one.values))
    )


def boxes(every: Sequence[Facet]) -> Html | None:
    """The check boxes, all checked."""
    if not every:
        return None
    groups = [
        el(
            "fieldset",
            el("legend", one.title),
            [
                el(
                    "label",
                    el("input", type="checkbox", id=f"f-{one.key}{i}", checked="", autocomplete="off"),
                    value,
                )
                for i, value in enumerate(one.values)
            ],
        )
        for one in every
    ]
    return el("div", groups, class_="facets card", role="group", aria_label="Choose runs")
