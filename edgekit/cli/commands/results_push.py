"""`edgekit results push URL`."""

from __future__ import annotations

import click

from edgekit.cli.common import Session, command, db_option


@click.command()
@click.argument("url")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option(
    "--filter", "filters", multiple=True, metavar="FILTER", help="Only runs that meet it, like since=7d."
)
@click.option("--token-file", metavar="FILE", help="The token that the server asks for (else EDGEKIT_TOKEN).")
@click.option(
    "--plain-http", is_flag=True, help="Send the token over http:// to another machine all the same."
)
@click.option("--redact", is_flag=True, help="Without serials, hosts, users and times of the day.")
@db_option
@command
def push(
    session: Session,
    url: str,
    runs: tuple[str, ...],
    filters: tuple[str, ...],
    token_file: str | None,
    plain_http: bool,
    redact: bool,
) -> None:
    """Send kept runs to the store of another dashboard (edgekit dashboard), with all samples; without RUN all of them.

    What is there already is not sent, so it may be done again at any time, and goes on where it was cut. With --redact a run
    is another record there, under a name that only this host can tell is this run's.
    """
    from pathlib import Path

    from edgekit.api.sharing import push_key, push_runs, remote
    from edgekit.api.tokens import read_token
    from edgekit.errors import InputError
    from edgekit.results.store import Store

    if runs and filters:
        raise click.UsageError("name runs or filters, not both")
    there = remote(url, read_token(Path(token_file) if token_file else None), plain_http=plain_http)
    store = Store(session.results)
    ids = tuple(store.resolve(run) for run in runs) or store.ids(filters)
    done = push_runs(store, there, ids, redact=push_key(there) if redact else None)
    document = {
        "url": there.url,
        "sent": done.sent,
        "there": done.there,
        "conflicts": done.conflicts,
        "refused": [{"run": run, "reason": reason} for run, reason in done.refused],
        "labels_left": done.labels_left,
    }
    if done.labels_left:
        what = "the labels that they were measured with, not those of now: the edgekit there is older"
        click.echo(f"note: {len(done.labels_left)} went with {what}", err=True)
    if done.conflicts or done.refused:
        wrong = [
            *(f"{run}: another record has this id" for run in done.conflicts),
            *(f"{r}: {why}" for r, why in done.refused),
        ]
        raise InputError(
            f"{len(done.sent)} sent, {done.there} there already, {len(wrong)} not taken: {'; '.join(wrong[:3])}",
            code="E_PUSH_REFUSED",
        )
    session.emit(
        document, lambda _: click.echo(f"{there.url}: {len(done.sent)} sent, {done.there} there already")
    )
