"""What `--debug-layers` found: data for JSON, and a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from edgekit.conversion.layers.quantized_report import QuantizedReport

if TYPE_CHECKING:
    from rich.table import Table

State = Literal["agree", "parted", "unknown"]


class OpRef(msgspec.Struct, frozen=True, kw_only=True):
    """An operator of the target. `index`: its number in the model's execution order; -1 is an input."""

    index: int
    op: str
    name: str


class LayerRow(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor of the target beside the one of the source that it should equal, over all samples.

    `source_ops`: the source's operators that became this one, the last one first made the tensor; `where`: the
    place in the user's model. `how`: found by its values, by being the same output, or by kind and order.
    `axes`: the source's axes in the target's order, empty where they are the same. Errors are absolute, in the
    tensor's own units; `relative_error` is `max_abs_error` over the source's largest magnitude. None: cannot be
    told. `lost`: values that are finite in the source and not in the target. `state` "behind": bad, but so was
    something it was computed from.
    """

    index: int
    op: str
    name: str
    shape: tuple[int, ...]
    source_index: int
    source_op: str
    source_name: str
    source_ops: tuple[str, ...]
    where: str
    how: Literal["value", "output", "kind"]
    axes: tuple[int, ...]
    max_abs_error: float | None
    rms_error: float | None
    relative_error: float | None
    snr_db: float | None
    cosine: float | None
    lost: int
    state: Literal["good", "bad", "behind"]
    degenerate: str | None = None


class FirstBad(msgspec.Struct, frozen=True, kw_only=True):
    """The first operator that is bad though everything before it is good.

    `reason` "error": its values are off; "not_finite": it gives NaN or infinity; "axes": its values are right but
    lie in an order that the next operator cannot take; "missing": its values are the source's, but an activation that
    follows there is left out. `between`: operators without a counterpart that lie between
    the last good tensors and this one: the mistake may be in one of them. `source_*` is empty where the operator
    itself has no counterpart. `gradual`: its error is hardly larger than that of what it read.
    """

    index: int
    op: str
    name: str
    source_op: str
    source_name: str
    source_ops: tuple[str, ...]
    where: str
    reason: Literal["error", "not_finite", "axes", "missing"]
    after: tuple[OpRef, ...]
    between: tuple[OpRef, ...]
    gradual: bool


class LayerReport(msgspec.Struct, frozen=True, kw_only=True):
    """`tolerance` is for the outputs, `layer_tolerance` for what is inside, both as a share of a tensor's largest
    magnitude. `rows` are in the target's execution order; `unmatched` are its operators without a counterpart.
    `quantized`: the target beside the float model that it was quantized from, where it was."""

    schema: Literal["edgekit.layers/1"] = "edgekit.layers/1"
    source: str
    target: str
    samples: int
    tolerance: float
    layer_tolerance: float
    state: State
    summary: str
    first_bad: FirstBad | None
    rows: tuple[LayerRow, ...]
    unmatched: tuple[OpRef, ...]
    operators: int
    notes: tuple[str, ...] = ()
    quantized: QuantizedReport | None = None

    def to_json(self) -> bytes:
        """Compact JSON; the same report gives the same bytes."""
        return msgspec.json.encode(self)


def axes_words(axes: tuple[int, ...]) -> str:
    """ "NHWC" where a source in NCHW became that, and the like; else the source's axes by number."""
    known = {(0, 2, 3, 1): "NHWC", (0, 3, 1, 2): "NCHW", (0, 2, 1): "swapped", (1, 0): "swapped"}
    return known.get(axes, f"axes {' '.join(str(axis) for axis in axes)}")


def number(value: float | None, digits: int = 2) -> str:
    """ "1.2e-07", "0", "–" where there is none."""
    if value is None:
        return "–"
    return "0" if value == 0 else f"{value:.{digits - 1}e}"


def mark_of(report: LayerReport, row: LayerRow) -> bool:
    """Whether this row is of the first bad operator."""
    bad = report.first_bad
    return bad is not None and (row.index, row.name) == (bad.index, bad.name)


def render_table(report: LayerReport, *, limit: int | None = None) -> Table:
    """One line per tensor that has a counterpart; the first bad one marked, those behind it dimmed.

    `limit`: of more lines, those around the first bad one (else the last ones) are shown.
    """
    from rich.markup import escape
    from rich.table import Table

    hidden = f"{len(report.unmatched)} of {report.operators} operators have no counterpart and are not shown"
    table = Table(caption=hidden if report.unmatched else None, caption_justify="left", pad_edge=False)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("target")
    table.add_column("source")
    table.add_column("where", overflow="fold")
    for title in ("max error", "relative", "SNR dB"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("")
    for row in window(report, limit):
        style, mark = "", ""
        if mark_of(report, row):
            style, mark = "bold red", "◀ first bad"
        elif row.state == "bad":
            style, mark = "red", "bad"
        elif row.state == "behind":
            style, mark = "dim", "behind"
        axes = f" {axes_words(row.axes)}" if row.axes else ""
        table.add_row(
            str(row.index) if row.index >= 0 else "",
            escape(row.op + axes),
            escape(" + ".join(short_op(op) for op in row.source_ops) or short_op(row.source_op)),
            escape(row.where or row.source_name),
            f"{row.lost} lost" if row.lost else number(row.max_abs_error),
            number(row.relative_error),
            "–" if row.snr_db is None else f"{row.snr_db:.0f}",
            mark,
            style=style,
        )
    return table


def window(report: LayerReport, limit: int | None) -> tuple[LayerRow, ...]:
    """The rows to show where not all fit."""
    rows = report.rows
    if limit is None or len(rows) <= limit:
        return rows
    marked = next((i for i, row in enumerate(rows) if mark_of(report, row)), len(rows) - 1)
    start = max(0, min(len(rows) - limit, marked - (2 * limit) // 3))
    return rows[start : start + limit]


def short_op(op: str) -> str:
    """ "aten.conv2d.default" as "conv2d", "aten._native_batch_norm_legit_no_training" as "batch_norm"; other names as
    they are."""
    if not op.startswith("aten."):
        return op
    plain = op.split(".")[1].strip("_")
    return plain.removeprefix("native_").removesuffix("_legit_no_training").removesuffix("_with_indices")
