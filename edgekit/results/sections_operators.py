"""The part of a report about the operators of the model, where a launch of its own timed them."""

from __future__ import annotations

from edgekit.parse.op_profile import OpRow
from edgekit.records import Record
from edgekit.results import wording as w
from edgekit.results.markup import Child, Html, el
from edgekit.results.parts import card, code, table

MAX_OPERATORS = 60
"""So many are shown, those that take most; all of them are in the record."""


def operators(record: Record) -> Html | None:
    """A row for each operator in the order in which they ran; of many, those that take most."""
    found = record.operators
    if found is None:
        return None
    by_share = sorted(range(len(found.rows)), key=lambda i: -(found.rows[i].share or 0.0))
    rows = [found.rows[i] for i in sorted(by_share[:MAX_OPERATORS])]
    scale = w.time_scale(max((row.avg_us or row.median_us or 0.0 for row in rows), default=0.0))
    head = ["Operator", "Node", "Ran on", "Calls", f"Average, {scale.unit}", f"Median, {scale.unit}", "Share"]
    head += ["MACs", "Bytes"]
    told = [f"{w.count(len(found.rows))} operators"]
    told += [f"{w.time(found.total_us)} in all"] if found.total_us is not None else []
    told += [f"{w.count(found.runs)} inferences profiled"] if found.runs is not None else []
    if len(rows) < len(found.rows):
        told.append(f"the {len(rows)} that take most are shown")
    if found.inner:
        told.append(f"{w.count(len(found.inner))} more inside of these are in the record")
    return card(
        f"Operators, as {found.runtime} tells",
        el(
            "p",
            "Of a launch of its own: timing each operator slows the run, so take shares from here, and latency from ",
            "above. ",
            "; ".join(told),
            ".",
            class_="fine",
        ),
        table(head, [_cells(row, scale) for row in rows]),
    )


def _cells(row: OpRow, scale: w.Scale) -> list[Child]:
    return [
        row.op,
        code(row.node) if row.node is not None else "–",
        row.unit or w.UNKNOWN,
        "–" if row.calls is None else w.significant(row.calls, 3),
        scale.number(row.avg_us),
        scale.number(row.median_us),
        "–" if row.share is None else w.percent(row.share),
        "–" if row.macs is None else w.count(row.macs),
        "–" if row.bytes is None else w.count(row.bytes),
    ]
