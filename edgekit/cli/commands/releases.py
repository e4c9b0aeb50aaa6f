"""`edgekit releases`, `rollback`, `remove`, `uninstall`."""

from __future__ import annotations

from typing import Any

import click

from edgekit.cli.common import Session, command, device_option


def shown(text: str | None) -> str:
    """What a device says, as a terminal may see it: one line, no control characters, no markup."""
    from rich.markup import escape

    return escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text or "-"))


def opened(session: Session, address: str) -> Any:
    from edgekit.api.devices import connect

    return connect(address, config=session.config, sink=session.sink)


@click.command()
@click.argument("name", required=False)
@device_option(multiple=True)
@command
def releases(session: Session, name: str | None) -> None:
    """List the releases on a device, or those of one NAME."""
    from edgekit.api.pushing import releases_at
    from edgekit.cli.many import on_devices

    def one(address: str) -> Any:
        return {"releases": releases_at(address, name, config=session.config, sink=session.sink)}

    def render(document: Any) -> None:
        if not document["releases"]:
            click.echo("no releases")
            return
        from rich.table import Table

        from edgekit.units import format_size

        table = Table("", "release", "size", "recipe", "smoke run", "pushed", box=None, pad_edge=False)
        for entry in document["releases"]:
            table.add_row(
                "*" if entry.active else "",
                f"{entry.name}@{entry.version}",
                format_size(entry.size_bytes) if entry.sha256 else "-",
                shown(entry.recipe),
                entry.state if entry.state in ("damaged", "failed") else entry.smoke or "-",
                shown((entry.pushed_at or "-")[:16].replace("T", " ")),
            )
        session.console.print(table)
        for entry in document["releases"]:
            if entry.failure:
                session.console.print(f"{entry.name}@{entry.version} {entry.state}: {shown(entry.failure)}")

    on_devices(session, one, render)


@click.command()
@click.argument("name")
@click.option("--to", "version", metavar="V", help="The version to make active (default: the one before).")
@device_option(multiple=True)
@command
def rollback(session: Session, name: str, version: str | None) -> None:
    """Make an earlier version of NAME active again. Its hash is checked on the device first."""
    from edgekit.cli.many import on_devices
    from edgekit.deployment.switching import rollback as work

    def one(address: str) -> Any:
        with opened(session, address) as device:
            return work(device, name, version)

    on_devices(
        session,
        one,
        lambda done: click.echo(
            f"{done.device.removesuffix(':')}: {done.name}@{done.version} is active (was {done.previous})"
        ),
    )


@click.command()
@click.argument("release")
@click.option("--force", is_flag=True, help="Also the active version.")
@device_option(multiple=True)
@command
def remove(session: Session, release: str, force: bool) -> None:
    """Delete a release, NAME@VERSION, or all versions of NAME; also one that failed and is kept aside."""
    from edgekit.cli.many import on_devices
    from edgekit.deployment.switching import remove as work
    from edgekit.devices.layout import split_release

    name, version = split_release(release)

    def one(address: str) -> Any:
        with opened(session, address) as device:
            return work(device, name, version, force=force)

    on_devices(
        session,
        one,
        lambda done: click.echo(f"{done['device'].removesuffix(':')}: removed {', '.join(done['removed'])}"),
    )


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@device_option(multiple=True)
@command
def uninstall(session: Session, yes: bool) -> None:
    """Remove edgekit, its runtimes and all releases from a device."""
    from edgekit.cli.many import on_devices
    from edgekit.deployment.switching import uninstall as work

    if not yes:
        if session.json:
            raise click.UsageError("with --json, uninstall needs --yes")
        _confirm("Delete edgekit and every release from the device?")

    def one(address: str) -> Any:
        with opened(session, address) as device:
            return work(device)

    on_devices(
        session, one, lambda done: click.echo(f"{done['device'].removesuffix(':')}: removed {done['root']}")
    )


def _confirm(question: str) -> None:
    """Raises InputError E_NOT_CONFIRMED for a no, and where there is nobody to ask (the end of the input)."""
    try:
        if click.confirm(question, err=True):
            return
    except click.Abort:
        click.echo(err=True)
    from edgekit.errors import InputError

    raise InputError(
        "not confirmed, nothing was deleted", code="E_NOT_CONFIRMED", hint="answer y, or give --yes"
    )
