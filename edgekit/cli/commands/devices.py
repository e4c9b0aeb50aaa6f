"""`edgekit devices`."""

from __future__ import annotations

from typing import Any

import click

from edgekit.cli.common import Session, command, device_option


@click.command()
@device_option(multiple=True)
@command
def devices(session: Session) -> None:
    """List this machine, what adb sees and what edgekit.yaml names, each with its state; with -d only these."""
    from edgekit.devices.discovery import discover

    found = discover(session.config, session.devices)

    def render(_: Any) -> None:
        from rich.table import Table

        table = Table("address", "model", "SoC", "ABI", "OS", "profile", "state", box=None, pad_edge=False)
        table.columns[0].overflow = "fold"  # it is there to be copied
        for row in found:
            name = f"{row.name}\n{row.address}" if row.name else row.address
            table.add_row(
                *(value or "-" for value in (name, row.model, row.soc, row.abi, row.os, row.profile)),
                row.state,
            )
        session.console.print(table)
        for row in found:
            if row.hint:
                click.echo(f"{row.address}: {row.hint}")

    session.emit({"devices": found}, render)
