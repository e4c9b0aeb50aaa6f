"""`edgekit results`: list, show and baseline; the other commands are in `results_ask` and `results_keep`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.commands import results_ask, results_keep
from edgekit.cli.commands.results_push import push
from edgekit.cli.commands.results_render import (
    csv_option,
    interval_text,
    print_csv,
    runs_table,
    under_way_table,
)
from edgekit.cli.common import Session, command, db_option, device_option
from edgekit.printable import printable

if TYPE_CHECKING:
    from edgekit.records import Record


@click.group()
def results() -> None:
    """Kept runs: list, compare, choose, ask, export, bring in, back up, forget; name baselines.

    A RUN is an id, a unique beginning of one, the letters at its end, or "latest".
    """


@results.command("list")
@click.argument("filters", nargs=-1, metavar="[FILTER]...")
@click.option("--model", metavar="TEXT", help="Only models whose name contains TEXT.")
@device_option()
@click.option("--since", metavar="WHEN", help="Only runs since a date (2026-01-31) or for so long (12h, 7d).")
@click.option(
    "-n", "--limit", type=click.IntRange(1, 1_000_000), default=30, show_default=True, help="At most so many."
)
@csv_option
@db_option
@command
def list_(
    session: Session,
    filters: tuple[str, ...],
    model: str | None,
    since: str | None,
    limit: int,
    as_csv: bool,
) -> None:
    """Kept runs, newest first. -d takes an address or a device's model, as the listing shows it.

    A FILTER is like model~det, soc=bcm2712, device='Pixel 8', verdict=valid,suspect, since=7d, until=2026-02-01,
    label=board=7, project=vision, version=v2, median_latency<12ms, accuracy>=0.95; = and != compare words (case ignored),
    ~ and !~ look for a part. A run must meet all of them. Measurements that are under way stand above the runs.
    """
    if len(session.devices) > 1:
        raise click.UsageError("results list takes one device (-d)")
    from edgekit.results.filters import Filter, parse_filters
    from edgekit.results.frames import columns_of
    from edgekit.results.store import Store

    asked = parse_filters((*filters, *([f"since={since}"] if since else [])))
    named = [("model", "~", model), ("device", "=", session.devices[0] if session.devices else None)]
    wanted = (*asked, *(Filter(field, op, (word,)) for field, op, word in named if word is not None))  # type: ignore[arg-type]
    store = Store(session.results)
    rows = store.list(wanted, limit=limit)

    def render(_: Any) -> None:
        if under_way:
            session.console.print(under_way_table(under_way))
            click.echo()
        if rows:
            session.console.print(runs_table(rows, session.console.width))
        else:
            click.echo("no runs", err=True)

    if as_csv:
        columns = columns_of(rows)
        print_csv(session, tuple(columns), zip(*columns.values(), strict=True))
        return
    under_way = store.under_way(wanted)
    session.emit({"runs": rows, "under_way": under_way}, render)


@results.command()
@click.argument("run", default="latest")
@db_option
@command
def show(session: Session, run: str) -> None:
    """One run in full; without RUN the newest."""
    from edgekit.records import to_builtins
    from edgekit.results.store import Store

    record = Store(session.results).get(run)
    session.emit(to_builtins(record), lambda _: _show(session, record))


@results.command()
@click.argument("run", default="latest")
@click.option("--force", is_flag=True, help="Also a run whose verdict is invalid.")
@db_option
@command
def baseline(session: Session, run: str, force: bool) -> None:
    """Make RUN (the newest without it) the baseline that gates like median_latency<=baseline*1.03 compare with.

    It is the baseline of its model's name, profile and runtime, and takes the place of an earlier one. An invalid run
    is refused; gates against a suspect one say so.
    """
    from edgekit.results.store import Store
    from edgekit.units import format_time

    record = Store(session.results).set_baseline(run, force=force)
    found = {
        "baseline": record.id,
        "model": record.model.name,
        "profile": record.profile.name if record.profile is not None else None,
        "runtime": record.runtime.name,
        "verdict": record.verdict.state,
        "reasons": record.verdict.reasons,
    }

    def render(_: Any) -> None:
        profile = (
            f" with profile {record.profile.name}" if record.profile is not None else ", without a profile"
        )
        model = printable(record.model.name)
        click.echo(f"{record.id} is the baseline of {model} on {record.runtime.name}{profile}:")
        click.echo(
            f"  median {format_time(record.latency.median)}, measured {record.started_at[:16].replace('T', ' ')}"
        )
        if record.verdict.state != "valid":
            reasons = printable("; ".join(record.verdict.reasons))
            click.echo(f"note: the run is {record.verdict.state}: {reasons}", err=True)

    session.emit(found, render)


def _show(session: Session, record: Record) -> None:
    """The record for people: what a report has, in lines."""
    from rich.markup import escape
    from rich.table import Table

    from edgekit.records import METRICS, value_of
    from edgekit.results.wording import VERDICTS, metric_text, plural

    version = f"@{record.model.version}" if record.model.version else ""
    device = record.device.model or record.device.address
    lines = Table.grid(padding=(0, 2))
    lines.add_row("run", escape(record.id))
    lines.add_row("started", escape(printable(record.started_at)))
    lines.add_row("model", escape(printable(record.model.name + version)))
    lines.add_row("device", escape(printable(device)))
    lines.add_row(
        "runtime", escape(printable(f"{record.runtime.name} {record.runtime.version or ''}".rstrip()))
    )
    lines.add_row(
        "samples", f"{record.latency.count:,} in {plural(record.latency.launches, 'launch', 'launches')}"
    )
    for metric in METRICS.values():
        if (value := value_of(record, metric)) is not None:
            shown = metric_text(metric, value)
            if metric.name == f"{record.latency.ci95_of}_latency" and record.latency.ci95_low is not None:
                interval = interval_text(record.latency.ci95_low, record.latency.ci95_high)
                shown += f"   (95 % interval {interval})"
            lines.add_row(metric.title.lower(), shown)
    missing: dict[str, list[str]] = {}
    for name, why in record.latency.unavailable.items():
        missing.setdefault(why, []).append(name)
    for why, names in missing.items():
        lines.add_row(", ".join(names), escape(printable(why)))
    if record.labels:
        lines.add_row("labels", escape(printable(", ".join(f"{k}={v}" for k, v in record.labels.items()))))
    lines.add_row("verdict", f"{record.verdict.state}: {VERDICTS[record.verdict.state][1]}")
    for reason in record.verdict.reasons:
        lines.add_row("", escape(printable(f"- {reason}")))
    for note in (*record.verdict.notes, *record.notes):
        lines.add_row("note", escape(printable(note)))
    session.console.print(lines)


for _command in (
    *(results_ask.diff, results_ask.trend, results_ask.best, results_ask.query, results_ask.gate),
    *(results_keep.export, results_keep.import_, results_keep.label, results_keep.prune),
    *(results_keep.backup, results_keep.restore, results_keep.migrate),
    push,
):
    results.add_command(_command)
