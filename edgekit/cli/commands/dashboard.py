"""`edgekit dashboard`."""

from __future__ import annotations

import click

from edgekit.cli.common import Session, command, db_option


@click.command()
@db_option
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Where to listen; all but loopback needs a token."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8750, show_default=True, help="0 takes a free one."
)
@click.option(
    "--token-file", metavar="FILE", help="The token that is asked for (else EDGEKIT_TOKEN, else none)."
)
@command
def dashboard(session: Session, host: str, port: int, token_file: str | None) -> None:
    """Show the results store in a browser, and take runs that `edgekit results push` sends. Ctrl-C ends it.

    Runs with filters, trends with regressions and releases marked, the best choices, any two runs compared; pages follow what
    is measured meanwhile. On loopback no token is asked for unless one is given. There is no TLS: put a proxy before it.
    """
    from pathlib import Path

    from edgekit.api.tokens import read_token
    from edgekit.results.store import Store
    from edgekit.web.serving import serve
    from edgekit.web.settings import settings

    chosen = settings(host, port, read_token(Path(token_file) if token_file else None))
    store = Store(session.results)

    def started(address: str) -> None:
        document = {"url": address, "store": store.place.shown, "token": chosen.token is not None}
        session.emit(document, lambda _: click.echo(f"{store.place.shown}: {address} (Ctrl-C ends it)"))
        if not chosen.is_loopback:
            click.echo("note: without TLS, the token and all runs can be read on the way", err=True)

    serve(store, chosen, started)
