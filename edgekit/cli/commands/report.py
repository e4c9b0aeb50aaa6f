"""`edgekit report [RUN]... -o report.html`."""

from __future__ import annotations

import click

from edgekit.cli.common import Session, command


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option(
    "-o", "--output", metavar="FILE", default="report.html", show_default=True, help="Where to write."
)
@command
def report(session: Session, runs: tuple[str, ...], output: str) -> None:
    """One self-contained HTML page for one run (at most 1 MB) or several (3 MB); without RUN the newest.

    Several runs are put side by side: which are shown, and with which one the others are compared, is chosen in the page.
    A file that ends with .md gets Markdown instead: the numbers, without figures. For a PDF, print the page.
    """
    from pathlib import Path

    from edgekit.results.markdown import write_markdown
    from edgekit.results.report import write_report
    from edgekit.results.store import Store

    store = Store(session.results)
    ids = list(dict.fromkeys(store.resolve(run) for run in runs or ("latest",)))
    if Path(output).suffix.lower() == ".md":
        path = write_markdown([store.get(run) for run in ids], Path(output))
    else:
        path = write_report([(store.get(run), store.samples(run)) for run in ids], Path(output))
    document = {"report": str(path), "runs": ids, "size_bytes": path.stat().st_size}
    session.emit(document, lambda _: click.echo(f"wrote {path}"))
