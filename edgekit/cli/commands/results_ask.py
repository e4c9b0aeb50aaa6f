"""`edgekit results diff|trend|best|query|gate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.commands.results_render import csv_option, print_csv, runs_table
from edgekit.cli.common import Session, command, db_option
from edgekit.cli.options import MAX_WAIT_SECONDS, Seconds
from edgekit.printable import printable

if TYPE_CHECKING:
    from edgekit.benchmarking.difference import Difference
    from edgekit.results.asking import Trend, Weighed
    from edgekit.results.querying import Answer


@click.command()
@click.argument("a")
@click.argument("b", default="latest")
@csv_option
@db_option
@command
def diff(session: Session, a: str, b: str, as_csv: bool) -> None:
    """Run B (the newest without it) against run A: every metric, and what else differs.

    Better or worse is said where the launches differ beyond doubt: Welch's test, p < 0.01, at least 3 launches a side. The
    runs were not interleaved, so what changed on the device between them is in it; `edgekit compare` measures without that.
    """
    from edgekit.benchmarking.difference import difference
    from edgekit.results.store import Store

    store = Store(session.results)
    found = difference(store.get(a), store.get(b))
    if as_csv:
        columns = ("metric", "unit", "a", "b", "ratio", "ci95_low", "ci95_high", "p_value", "change")
        print_csv(session, columns, ([getattr(one, name) for name in columns] for one in found.metrics))
        return
    session.emit(found, lambda _: show_difference(session, found))


def show_difference(session: Session, found: Difference) -> None:
    from rich.markup import escape
    from rich.table import Table

    from edgekit.records import METRICS
    from edgekit.results.wording import metric_text

    colors = {"better": "green", "worse": "red"}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, side in (("metric", "left"), ("a", "right"), ("b", "right"), ("b/a", "right"), ("", "left")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for one in found.metrics:
        metric = METRICS[one.metric]
        ratio = "" if one.ratio is None else f"{one.ratio:.4f}"
        if one.ci95_low is not None and one.ci95_high is not None:
            ratio += f" [{one.ci95_low:.4f}, {one.ci95_high:.4f}]"
        change = one.change.replace("_", " ")
        text = f"[{colors[one.change]}]{change}[/]" if one.change in colors else change
        table.add_row(
            metric.title.lower(),
            metric_text(metric, one.a),
            metric_text(metric, one.b),
            escape(ratio),
            text,
        )
    click.echo(f"a {found.a}\nb {found.b}")
    session.console.print(table)
    for other in found.fields:
        a, b = ("–" if value is None else value for value in (other.a, other.b))
        click.echo(printable(f"{other.path}: {a} -> {b}"))
    for warning in found.warnings:
        click.echo(printable(f"note: {warning}"), err=True)


@click.command()
@click.argument("filters", nargs=-1, metavar="[FILTER]...")
@click.option(
    "--metric", default="median_latency", show_default=True, metavar="M", help="What to show over time."
)
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(1, 100_000),
    default=200,
    show_default=True,
    help="The newest so many runs.",
)
@csv_option
@db_option
@command
def trend(session: Session, filters: tuple[str, ...], metric: str, limit: int, as_csv: bool) -> None:
    """A metric over time, for each model, recipe, profile, device and runtime that the filters name (see `results list`).

    A run is marked where its 95 % interval lies beyond those of all five valid runs before it. Below the runs stand the steps
    and releases that the dashboard's page of trends marks (docs/dashboard.md).
    """
    from edgekit.records.metrics import column_of
    from edgekit.records.metrics import metric as metric_named
    from edgekit.results.marks import marks_of, step_words, told
    from edgekit.results.store import Store
    from edgekit.results.trending import points_of, told_apart

    wanted = metric_named(metric)
    found = [(one, points_of(one.runs, wanted)) for one in Store(session.results).trend(filters, limit=limit)]
    if as_csv:
        columns = (
            "model",
            "recipe",
            "profile",
            "device",
            "runtime",
            "run",
            "started_at",
            "version",
            "verdict",
        )
        rows = (
            (
                one.model,
                one.recipe,
                one.profile,
                one.device,
                one.runtime,
                *point.words,
                point.value,
                point.change,
            )
            for one, points in found
            for point in points
        )
        print_csv(session, (*columns, column_of(wanted), "change"), rows)
        return
    names = ("project", "model", "recipe", "profile", "device", "device_model", "runtime")
    trends = []
    for one, points in found:
        steps, releases = told(one.runs, marks_of(one.runs, wanted))
        words = {name: getattr(one, name) for name in names}
        trends.append({**words, "points": points, "steps": steps, "releases": releases})
    document = {"metric": wanted.name, "unit": wanted.unit, "trends": trends}

    def render(_: Any) -> None:
        from edgekit.results.wording import metric_text

        if not found:
            click.echo("no runs", err=True)
        for (one, points), apart in zip(found, told_apart([one for one, _ in found]), strict=True):
            click.echo(printable(f"{_title(one)} ({apart})" if apart else _title(one)))
            for point in points:
                mark = {"better": "  better", "worse": "  WORSE"}.get(point.change or "", "")
                version = f"  {point.version}" if point.version else ""
                value = metric_text(wanted, point.value)
                line = f"  {point.started_at[:16].replace('T', ' ')}  {value:>12}  {point.verdict}{version}{mark}"
                click.echo(printable(line))
            marks = marks_of(one.runs, wanted)
            lines = [(i, f"release: {changes}") for i, changes in marks.releases.items()]
            for step in marks.steps:
                kind = "regression" if step.worse else "improvement"
                lines.append((step.place, f"{kind}: {step_words(step, wanted)}"))
            for place, text in sorted(lines):
                click.echo(printable(f"  {one.runs[place].started_at[:16].replace('T', ' ')}  {text}"))

    session.emit(document, render)


def _title(one: Trend) -> str:
    what = " ".join(filter(None, (one.model, one.recipe)))
    return f"{what} on {one.device_model or one.device} with {one.runtime}"


@click.command()
@click.argument("filters", nargs=-1, metavar="[FILTER]...")
@click.option(
    "--by",
    default="median_latency,energy_per_inference,accuracy,model_size",
    show_default=True,
    metavar="M,...",
    help="Metrics to weigh.",
)
@csv_option
@db_option
@command
def best(session: Session, filters: tuple[str, ...], by: str, as_csv: bool) -> None:
    """The runs that no other one beats in all of --by at once (the Pareto front).

    Of each model, recipe, profile, device and runtime its newest run counts; invalid runs do not. What a run does not tell
    counts as the worst; one that tells none of the metrics is left out. How many those are is said.
    """
    from edgekit.results.frames import columns_of
    from edgekit.results.store import Store

    names = [name.strip() for name in by.split(",")]
    found = Store(session.results).weighed(filters, metrics=names)
    rows = found.rows

    def tell_unknown() -> None:
        if note := _not_weighed(found):
            click.echo(f"note: {note}", err=True)

    def render(_: Any) -> None:
        if rows:
            session.console.print(runs_table(rows, session.console.width, metrics=names))
        elif not found.candidates:
            click.echo("no runs", err=True)
        tell_unknown()

    if as_csv:
        columns = columns_of(rows)
        print_csv(session, tuple(columns), zip(*columns.values(), strict=True))
        tell_unknown()
        return
    session.emit(
        {
            "by": names,
            "runs": rows,
            "candidates": found.candidates,
            "unknown": found.unknown,
            "left_out": found.left_out,
        },
        render,
    )


def _not_weighed(found: Weighed) -> str:
    """Which metrics are not known of how many; empty where all are."""
    from edgekit.records import METRICS

    lacking = [
        f"{METRICS[name].title.lower()} of {count:,}" for name, count in found.unknown.items() if count
    ]
    if not lacking:
        return ""
    words = f"of {found.candidates:,} runs to choose from is not known: {', '.join(lacking)}; that counts as the worst"
    return words + (f", and the {found.left_out:,} that tell nothing are left out" if found.left_out else "")


@click.command()
@click.argument("sql")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=10_000,
    show_default=True,
    help="At most so many rows.",
)
@click.option(
    "--deadline",
    type=Seconds(0.01, MAX_WAIT_SECONDS),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="End the query after so long.",
)
@csv_option
@db_option
@command
def query(session: Session, sql: str, limit: int, deadline: float, as_csv: bool) -> None:
    """One SQL query, which the database keeps from writing: views are runs (a row a run) and run_labels (run, key, value).

    For instance: "SELECT model, count(*), min(median_latency_us) FROM runs WHERE verdict = 'valid' GROUP BY model"
    """
    from edgekit.results.querying import ask
    from edgekit.results.store import Store

    found = ask(Store(session.results).database, sql, timeout_s=deadline, max_rows=limit)
    if found.cut:
        click.echo(f"only the first {limit} rows are shown (-n)", err=True)
    if as_csv:
        print_csv(session, found.columns, found.rows)
        return
    session.emit(found, lambda _: _show_answer(session, found))


def _show_answer(session: Session, found: Answer) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in found.columns:
        table.add_column(escape(printable(name)), overflow="fold")
    for row in found.rows:
        table.add_row(*("" if cell is None else escape(printable(str(cell))) for cell in row))
    session.console.print(table)


@click.command()
@click.argument("run")
@click.argument("gates", nargs=-1, required=True, metavar="GATE...")
@click.option("--baseline", metavar="RUN", help="What `baseline` stands for (default: the one that is set).")
@db_option
@command
def gate(session: Session, run: str, gates: tuple[str, ...], baseline: str | None) -> int:
    """Hold a kept RUN against gates like median_latency<=12ms or median_latency<=baseline*1.03.

    Exit code 5 where one fails. Nothing is measured: a regression is not confirmed by a second measurement, as `bench --gate`
    does.
    """
    from edgekit.benchmarking.ci_report import gate_text
    from edgekit.benchmarking.gates import check_gate, parse_gate
    from edgekit.errors import GateError, InputError
    from edgekit.results.store import Store

    parsed = [parse_gate(text) for text in gates]
    store = Store(session.results)
    record = store.get(run)
    named = None
    if any(one.baseline for one in parsed):
        profile = record.profile.name if record.profile else None
        named = (
            store.get(baseline)
            if baseline
            else store.baseline(record.model.name, profile, record.runtime.name)
        )
        if named is None:
            raise InputError(
                f"no baseline is set for {record.model.name} (profile {profile or 'none'}, runtime {record.runtime.name})",
                code="E_NO_BASELINE",
                hint="edgekit results baseline RUN, or --baseline RUN",
            )
    found = [check_gate(one, record, named) for one in parsed]

    def render(_: Any) -> None:
        for one in found:
            click.echo(printable(f"{'passed' if one.passed else 'FAILED'}  {gate_text(one)}"))

    session.emit({"run": record.id, "baseline": named.id if named else None, "gates": found}, render)
    return 0 if all(one.passed for one in found) else GateError.exit_code
