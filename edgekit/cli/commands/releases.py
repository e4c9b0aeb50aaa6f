"""`edgekit releases`, `rollback`, `remove`, `uninstall`."""

from __future__ import annotations

from typing import Any

import click

from edgekit.cli.common import Session, command, device_option


def _shown(text: str | None) -> str:
    """What a device says, as a terminal may see it: one line, no control characters, no markup."""
    from rich.markup import escape

    return escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text or "-"))


def _open(session: Session, address: str) -> Any:
    from edgekit.api.devices import connect

    return connect(address, config=session.config, sink=session.sink)


@click.command()
@click.argument("name", required=False)
@device_option(multiple=True)
@command
def releases(session: Session, name: str | None) -> None:
    """List the releases on a device, or those of one NAME."""
    from edgekit.cli.many import on_devices
    from edgekit.deployment.listing import releases as listed

    def one(address: str) -> Any:
        with _open(session, address) as device:
            return {"releases": listed(device, name)}

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
                format_size(entry.size_bytes) if entry.sha256 else "damaged",
                _shown(entry.recipe),
                entry.smoke or "-",
                _shown((entry.pushed_at or "-")[:16].replace("T", " ")),
            )
        session.console.print(table)

    on_devices(session, one, render)


@click.command()
@click.argument("name")
@click.option("--to", "version", metavar="V", help="The version to make active (default: the one before).")
@device_option(multiple=True)
@command
def rollback(session: Session, name: str, version: str | None) -> None:
    """Make an earlier version of NAME active again. Its hash is checked on the device first."""
    from edgekit.cli.many import on_devices
    from edgekit.deployment.listing import rollback as work

    def one(address: str) -> Any:
        with _open(session, address) as device:
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
    """Delete a release, NAME@VERSION, or all versions of NAME."""
    from edgekit.cli.many import on_devices
    from edgekit.deployment.listing import remove as work
    from edgekit.devices.layout import split_release

    name, version = split_release(release)

    def one(address: str) -> Any:
        with _open(session, address) as device:
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
    from edgekit.deployment.listing import uninstall as work

    if not yes:
        if session.json:
            raise click.UsageError("with --json, uninstall needs --yes")
        click.confirm("Delete edgekit and every release from the device?", abort=True, err=True)

    def one(address: str) -> Any:
        with _open(session, address) as device:
            return work(device)

    on_devices(
        session, one, lambda done: click.echo(f"{done['device'].removesuffix(':')}: removed {done['root']}")
    )
