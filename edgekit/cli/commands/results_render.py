"""Runs for people, and tables for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from edgekit.printable import printable

if TYPE_CHECKING:
    from edgekit.cli.common import Session
    from edgekit.results.asking import RunRow
    from edgekit.results.under_way import UnderWay

WIDE_COLUMNS = 120
"""A terminal of at least so many characters shows runtime and memory too."""
MIDDLE_COLUMNS = 100
"""One of at least so many shows the interval."""
WHOLE_MODEL = 24
"""A model's name and version of so many characters stay on one line, in a terminal of 80 and more,
where the columns are the usual ones."""


def runs_table(rows: Sequence[RunRow], width: int, metrics: Sequence[str] = ()) -> Any:
    """`metrics`: columns instead of the median and its interval."""
    from rich.markup import escape
    from rich.table import Table

    from edgekit.records import METRICS
    from edgekit.results.wording import metric_text
    from edgekit.units import format_size, format_time

    wide, middle = width >= WIDE_COLUMNS, width >= MIDDLE_COLUMNS
    models = [row.model_name + (f"@{row.model_version}" if row.model_version else "") for row in rows]
    # a narrow terminal breaks names into lines; the id, which one wants to copy, stays whole
    whole = width >= 80 and not metrics and max(map(len, models), default=0) <= WHOLE_MODEL
    broken = ("device",) if whole else ("model", "device")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("run", "started", "model", "device", *(["runtime"] if wide else []), "verdict"):
        table.add_column(name, overflow="fold", no_wrap=name not in broken)
    figures = ["median", *(["95 % interval"] if middle else []), *(["peak memory"] if wide else [])]
    for name in [METRICS[name].title.lower() for name in metrics] or figures:
        table.add_column(name, justify="right", no_wrap=not metrics)
    for row, run, model in zip(rows, _short_ids(rows), models, strict=True):
        texts = [run, row.started_at[:16].replace("T", " "), model, row.device_model or row.device_address]
        texts += [row.runtime] if wide else []
        color = {"valid": "green", "suspect": "yellow", "invalid": "red"}[row.verdict]
        values = [metric_text(METRICS[name], row.metrics[name]) for name in metrics] or [
            format_time(row.median_us),
            *([_median_interval(row)] if middle else []),
            *([format_size(row.peak_rss_bytes)] if wide else []),
        ]
        table.add_row(*(escape(printable(text)) for text in texts), f"[{color}]{row.verdict}[/]", *values)
    return table


def under_way_table(rows: Sequence[UnderWay]) -> Any:
    """What is being measured now."""
    from rich.markup import escape
    from rich.table import Table

    from edgekit.units import format_time

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("under way", "since", "model", "device", "median so far"):
        table.add_column(name, overflow="fold", no_wrap=name in ("under way", "since"))
    for row in rows:
        model = row.model + (f"@{row.version}" if row.version else "")
        since = row.started_at[:16].replace("T", " ")
        texts = (row.stage, since, model, row.device_model or row.device, format_time(row.median_us))
        table.add_row(*(escape(printable(text)) for text in texts))
    return table


def _short_ids(rows: Sequence[RunRow]) -> list[str]:
    """The letters at the end of each id, which name a run too; whole ids where two end alike."""
    short = [row.id.rpartition("-")[2] for row in rows]
    return short if len(set(short)) == len(short) else [row.id for row in rows]


def _median_interval(row: RunRow) -> str:
    """Of a run without a median the interval is the mean's."""
    known = row.median_us is not None
    return interval_text(row.ci95_low_us if known else None, row.ci95_high_us if known else None)


def interval_text(low_us: float | None, high_us: float | None) -> str:
    from edgekit.units import UNKNOWN, format_time

    if low_us is None or high_us is None:
        return UNKNOWN
    return f"{format_time(low_us)} to {format_time(high_us)}"


def csv_option(function: Any) -> Any:
    return click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values instead of a table.")(
        function
    )


def print_csv(session: Session, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A header and a line a row; an unknown value is an empty cell. With --json there is no room for it."""
    if session.json:
        raise click.UsageError("--json and --csv exclude each other")
    from edgekit.results.export import spreadsheet_safe

    session.sink.stop()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(
        [spreadsheet_safe(cell) if isinstance(cell, str) else cell for cell in row] for row in rows
    )
    click.echo(text.getvalue(), nl=False)
