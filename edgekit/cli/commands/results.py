"""`edgekit results list|show|baseline|export`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.commands.results_push import push
from edgekit.cli.common import Session, command, device_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgekit.records import Record
    from edgekit.results.asking import RunRow

_AGO = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@click.group()
def results() -> None:
    """List, show and export kept runs; name baselines.

    A RUN is an id, a unique beginning of one, the letters at its end, or "latest".
    """


@results.command("list")
@click.option("--model", metavar="TEXT", help="Only models whose name contains TEXT.")
@device_option()
@click.option("--since", metavar="WHEN", help="Only runs since a date (2026-01-31) or for so long (12h, 7d).")
@click.option(
    "-n", "--limit", type=click.IntRange(1, 1_000_000), default=30, show_default=True, help="At most so many."
)
@command
def list_(session: Session, model: str | None, since: str | None, limit: int) -> None:
    """Kept runs, newest first. -d takes an address or a device's model, as the listing shows it."""
    if len(session.devices) > 1:
        raise click.UsageError("results list takes one device (-d)")
    device = session.devices[0] if session.devices else None
    begin = parse_since(since, datetime.now(UTC).astimezone()) if since else None
    from edgekit.results.store import Store

    rows = Store(session.results).list(model=model, device=device, since=begin, limit=limit)

    def render(_: Any) -> None:
        if rows:
            session.console.print(_table(rows, session.console.width))
        else:
            click.echo("no runs", err=True)

    session.emit({"runs": rows}, render)


@results.command()
@click.argument("run", default="latest")
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
@command
def baseline(session: Session, run: str, force: bool) -> None:
    """Make RUN (the newest without it) the baseline that gates like median_latency<=baseline*1.03 compare with.

    It is the baseline of its model's name, profile and runtime, and takes the place of an earlier one. An invalid run
    is refused; gates against a suspect one say so.
    """
    from edgekit.results.store import Store
    from edgekit.results.wording import time

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
        model = _printable(record.model.name)
        click.echo(f"{record.id} is the baseline of {model} on {record.runtime.name}{profile}:")
        click.echo(
            f"  median {time(record.latency.median)}, measured {record.started_at[:16].replace('T', ' ')}"
        )
        if record.verdict.state != "valid":
            reasons = _printable("; ".join(record.verdict.reasons))
            click.echo(f"note: the run is {record.verdict.state}: {reasons}", err=True)

    session.emit(found, render)


@results.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["jsonl", "csv", "json"]),
    default="jsonl",
    show_default=True,
    help="jsonl: a record a line; csv: a row a run, or a row a sample with --samples.",
)
@click.option("--samples", is_flag=True, help="With every latency and the telemetry.")
@click.option(
    "-o", "--output", metavar="FILE", help="Write there, whole or not at all, instead of to stdout."
)
@command
def export(session: Session, runs: tuple[str, ...], format_: Any, samples: bool, output: str | None) -> None:
    """Write runs for other tools; without RUN all of them, oldest first. With --json and no -o, as --format json."""
    from edgekit.results.store import Store

    if session.json and output is None:
        format_ = "json"
    pieces = Store(session.results).export(runs, format=format_, with_samples=samples)
    if output is None or output == "-":
        session.sink.stop()
        for piece in pieces:
            click.echo(piece, nl=False)
        return
    from pathlib import Path

    from edgekit.cache import atomic_path, host_errors

    with (
        atomic_path(Path(output)) as temporary,
        host_errors(output),
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        file.writelines(pieces)
    session.emit({"path": output, "format": format_}, lambda _: click.echo(f"wrote {output}"))


def parse_since(text: str, now: datetime) -> datetime:
    """A moment: `7d` (so long before `now`; m, h, d, w) or an ISO 8601 date or time, in the zone of `now`
    where it names none. Raises InputError E_SINCE."""
    unit = _AGO.get(text[-1:])
    if unit is not None and text[:-1].isdecimal() and len(text) < 7:
        return now - int(text[:-1]) * unit
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        from edgekit.errors import InputError

        raise InputError(
            f"'{text}' is neither a date nor a span of time", code="E_SINCE", hint="write 2026-01-31 or 7d"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)


WIDE_COLUMNS = 120
"""A terminal of at least so many characters shows runtime and memory too."""
MIDDLE_COLUMNS = 100
"""One of at least so many shows the interval."""


def _table(rows: Sequence[RunRow], width: int) -> Any:
    from rich.markup import escape
    from rich.table import Table

    from edgekit.results.wording import size, time

    wide, middle = width >= WIDE_COLUMNS, width >= MIDDLE_COLUMNS
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("run", "started", "model", "device", *(["runtime"] if wide else []), "verdict"):
        # a narrow terminal breaks names into lines; the id, which one wants to copy, stays whole
        table.add_column(name, overflow="fold", no_wrap=name not in ("model", "device"))
    for name in ("median", *(["95 % interval"] if middle else []), *(["peak memory"] if wide else [])):
        table.add_column(name, justify="right", no_wrap=True)
    for row, run in zip(rows, _short_ids(rows), strict=True):
        model = row.model_name + (f"@{row.model_version}" if row.model_version else "")
        texts = [run, row.started_at[:16].replace("T", " "), model, row.device_model or row.device_address]
        texts += [row.runtime] if wide else []
        color = {"valid": "green", "suspect": "yellow", "invalid": "red"}[row.verdict]
        table.add_row(
            *(escape(_printable(text)) for text in texts),
            f"[{color}]{row.verdict}[/]",
            time(row.median_us),
            *([_interval(row.ci95_low_us, row.ci95_high_us)] if middle else []),
            *([size(row.peak_rss_bytes)] if wide else []),
        )
    return table


def _short_ids(rows: Sequence[RunRow]) -> list[str]:
    """The letters at the end of each id, which name a run too; whole ids where two end alike."""
    short = [row.id.rpartition("-")[2] for row in rows]
    return short if len(set(short)) == len(short) else [row.id for row in rows]


def _interval(low_us: float | None, high_us: float | None) -> str:
    from edgekit.results.wording import time_scale

    if low_us is None or high_us is None:
        return "unknown"
    scale = time_scale(high_us)
    return f"{scale.number(low_us)} to {scale.show(high_us)}"


def _show(session: Session, record: Record) -> None:
    """The record for people: what a report has, in lines."""
    from rich.markup import escape
    from rich.table import Table

    from edgekit.records import METRICS, value_of
    from edgekit.results.wording import VERDICTS, metric_value, plural

    version = f"@{record.model.version}" if record.model.version else ""
    device = record.device.model or record.device.address
    lines = Table.grid(padding=(0, 2))
    lines.add_row("run", escape(record.id))
    lines.add_row("started", escape(_printable(record.started_at)))
    lines.add_row("model", escape(_printable(record.model.name + version)))
    lines.add_row("device", escape(_printable(device)))
    lines.add_row(
        "runtime", escape(_printable(f"{record.runtime.name} {record.runtime.version or ''}".rstrip()))
    )
    lines.add_row(
        "samples", f"{record.latency.count:,} in {plural(record.latency.launches, 'launch', 'launches')}"
    )
    for metric in METRICS.values():
        if (value := value_of(record, metric)) is not None:
            shown = metric_value(metric, value)
            if metric.name == f"{record.latency.ci95_of}_latency" and record.latency.ci95_low is not None:
                interval = _interval(record.latency.ci95_low, record.latency.ci95_high)
                shown += f"   (95 % interval {interval})"
            lines.add_row(metric.title.lower(), shown)
    missing: dict[str, list[str]] = {}
    for name, why in record.latency.unavailable.items():
        missing.setdefault(why, []).append(name)
    for why, names in missing.items():
        lines.add_row(", ".join(names), escape(_printable(why)))
    lines.add_row("verdict", f"{record.verdict.state}: {VERDICTS[record.verdict.state][1]}")
    for reason in record.verdict.reasons:
        lines.add_row("", escape(_printable(f"- {reason}")))
    for note in (*record.verdict.notes, *record.notes):
        lines.add_row("note", escape(_printable(note)))
    session.console.print(lines)


def _printable(text: str) -> str:
    """Names come from devices and models: what would steer the terminal is shown by its number."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


results.add_command(push)
