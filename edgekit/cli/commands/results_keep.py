"""`edgekit results export|import|prune|backup|restore|migrate`."""

from __future__ import annotations

from typing import Any

import click

from edgekit.cli.common import Session, command, db_option, parse_labels
from edgekit.printable import printable


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option(
    "-f", "--filter", "filters", multiple=True, metavar="FILTER", help="Runs like this (see `results list`)."
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["jsonl", "csv", "json", "parquet", "google-benchmark", "junit"]),
    default="jsonl",
    show_default=True,
    help="jsonl: a record a line, byte for byte; csv: a row a run, or a row a sample with --samples; parquet: whole runs.",
)
@click.option(
    "--samples", is_flag=True, help="With every latency and the telemetry (parquet always has them)."
)
@click.option(
    "--redact", is_flag=True, help="Without serials, hosts, users, paths and exact times: for sharing."
)
@click.option(
    "-o", "--output", metavar="FILE", help="Write there, whole or not at all, instead of to stdout."
)
@db_option
@command
def export(
    session: Session,
    runs: tuple[str, ...],
    filters: tuple[str, ...],
    format_: Any,
    samples: bool,
    redact: bool,
    output: str | None,
) -> None:
    """Write runs for other tools; without RUN all of them, oldest first. With --json and no -o, as --format json.

    jsonl (with --samples) and parquet come back exactly by `results import`, seals and all; redacted runs are other records,
    under other ids.
    """
    from edgekit.results.export import export as text_of
    from edgekit.results.redacting import redacted_entries
    from edgekit.results.store import Store

    if runs and filters:
        raise click.UsageError("name runs, or filter them")
    store = Store(session.results)
    chosen = store.ids(filters) if filters else runs
    entries = (
        store.entries(chosen, with_samples=samples or format_ == "parquet")
        if chosen or not filters
        else iter(())
    )
    entries = redacted_entries(entries) if redact else entries
    if format_ == "parquet":
        from pathlib import Path

        from edgekit.results.frames import write_parquet

        if output is None or output == "-":
            raise click.UsageError("--format parquet needs -o FILE")
        count = write_parquet(entries, Path(output))
        session.emit(
            {"path": output, "format": format_, "runs": count}, lambda _: click.echo(f"wrote {output}")
        )
        return
    if session.json and output is None:
        format_ = "json"
    pieces = text_of(entries, format_)
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


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["jsonl", "json", "parquet", "csv", "junit", "google-benchmark", "litert"]),
    help="What the files are (default: by their ending and content).",
)
@click.option("--model", metavar="NAME", help="Of a LiteRT result, which does not name its model.")
@db_option
@command
def import_(session: Session, files: tuple[str, ...], format_: Any, model: str | None) -> None:
    """Bring in runs: edgekit's own exports, Google Benchmark's JSON, LiteRT's BenchmarkResult (--result_file_path).

    A run that is there already stays as it is; another run under its id is refused. What another tool measured is suspect:
    nothing is known of its conditions.
    """
    from pathlib import Path

    from edgekit.results.importing import read_runs
    from edgekit.results.store import Store

    store = Store(session.results)
    done = []
    for name in files:
        total = 0

        def counted(path: Path) -> Any:
            nonlocal total
            for entry in read_runs(path, format_, model=model):
                total += 1
                yield entry

        done.append({"file": name, "added": store.add_many(counted(Path(name))), "runs": total})

    def render(_: Any) -> None:
        for one in done:
            click.echo(f"{one['file']}: {one['runs']} runs, {one['added']} of them new")

    session.emit({"files": done}, render)


@click.command()
@click.argument("filters", nargs=-1, metavar="[FILTER]...")
@click.option("--older-than", metavar="SPAN", help="Only runs from before this: 90d, 12w, or a date.")
@click.option(
    "--keep",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Spare the newest N of each series, of all its runs.",
)
@click.option("--samples-only", is_flag=True, help="Forget samples and telemetry; records stay.")
@click.option("--yes", is_flag=True, help="Do it; without this it is only said what would go.")
@db_option
@command
def prune(
    session: Session,
    filters: tuple[str, ...],
    older_than: str | None,
    keep: int,
    samples_only: bool,
    yes: bool,
) -> None:
    """Forget runs that meet the filters (see `results list`). Baselines stay.

    A series: runs that have model, recipe, profile, device, runtime and its version, project and verdict in common. The file
    of a SQLite store does not shrink; what is free in it is used again.
    """
    if not filters and older_than is None and not keep:
        raise click.UsageError("say which runs may go: FILTER, --older-than or --keep")
    from edgekit.results.filters import parse_filters
    from edgekit.results.pruning import prune as work
    from edgekit.results.store import Store

    wanted = parse_filters((*filters, *([f"until={older_than}"] if older_than else [])))
    database = Store(session.results).database
    found = work(database, wanted, keep=keep, samples_only=samples_only, dry_run=not yes)

    def render(_: Any) -> None:
        what = "samples of runs" if samples_only else "runs"
        spared = f"; baselines spared: {found.baselines_kept}" if found.baselines_kept else ""
        verb = "forgotten" if yes else "would be forgotten (--yes)"
        click.echo(f"{what} {verb}: {len(found.runs)}{spared}")

    session.emit({**found.__dict__, "done": yes}, render)


@click.command()
@click.argument("run")
@click.argument("labels", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--remove",
    multiple=True,
    metavar="KEY",
    help="Take this label away; where it is not there, that is said.",
)
@db_option
@command
def label(session: Session, run: str, labels: tuple[str, ...], remove: tuple[str, ...]) -> None:
    """Set labels of a kept run, or take them away; without either, show them.

    The record keeps the labels that it was measured with, under its seal; filters and pages go by those of now.
    """
    from edgekit.results.store import Store

    put = parse_labels(labels)
    if both := sorted(set(put) & set(remove)):
        raise click.UsageError(f"'{both[0]}' is both set and removed")
    store = Store(session.results)
    run_id = store.resolve(run)
    before = store.labels(run_id)
    absent = [key for key in dict.fromkeys(remove) if key not in before]
    found = store.change_labels(run_id, put, remove) if put or remove else before

    def render(_: Any) -> None:
        for key in absent:
            click.echo(printable(f"note: there was no label '{key}'"), err=True)
        for key, value in found.items():
            click.echo(printable(f"{key}={value}"))
        if not found:
            click.echo("no labels", err=True)

    session.emit({"run": run_id, "labels": found, "absent": absent}, render)


@click.command()
@click.argument("file")
@db_option
@command
def backup(session: Session, file: str) -> None:
    """Copy the whole store to FILE, as it is at this moment; others may go on writing.

    A SQLite store's copy is a store; a PostgreSQL store is written as lines of JSON with all samples.
    """
    from pathlib import Path

    from edgekit.results.backing_up import backup as work
    from edgekit.results.store import Store

    size_bytes = work(Store(session.results), Path(file))
    session.emit({"path": file, "size_bytes": size_bytes}, lambda _: click.echo(f"wrote {file}"))


@click.command()
@click.argument("file")
@click.option("--replace", is_flag=True, help="Also where there are runs, which then go.")
@db_option
@command
def restore(session: Session, file: str, replace: bool) -> None:
    """Bring back what `results backup` wrote, once it was checked.

    A SQLite backup takes the place of all that is in a SQLite store; into PostgreSQL, and from lines of JSON, runs are added.
    """
    from pathlib import Path

    from edgekit.results.backing_up import restore as work
    from edgekit.results.place import place_of

    found = work(place_of(session.results), Path(file), replace=replace)

    def render(_: Any) -> None:
        click.echo(
            f"the store has {found.total} runs now"
            if found.replaced
            else f"{found.added} of {found.total} runs were new"
        )

    session.emit(found, render)


@click.command()
@db_option
@command
def migrate(session: Session) -> None:
    """Make the store's tables, or bring those of an older edgekit up to date. SQLite stores do so by themselves."""
    from edgekit.results.database import migrate as work
    from edgekit.results.place import place_of

    place = place_of(session.results)
    before, after = work(place)

    def render(_: Any) -> None:
        if before == after:
            text = f"{place.shown} has schema {after} already"
        else:
            text = f"{place.shown}: schema {'none' if before is None else before} -> {after}"
        click.echo(printable(text))

    session.emit({"store": place.shown, "before": before, "after": after}, render)
