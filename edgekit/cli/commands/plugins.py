"""`edgekit plugins`."""

from __future__ import annotations

from typing import Any

import click

from edgekit.cli.common import Session, command


@click.command()
@command
def plugins(session: Session) -> None:
    """List what is registered, built in or by other packages."""
    from edgekit.registry import GROUPS
    from edgekit.registry import plugins as registered

    rows = [
        {
            "group": group,
            "name": name,
            "object": point.value,
            "package": point.dist.name if point.dist else None,
            "version": point.dist.version if point.dist else None,
        }
        for group in GROUPS
        for name, point in sorted(registered(group).items())
    ]

    def render(document: dict[str, Any]) -> None:
        from rich.table import Table

        table = Table("group", "name", "package", "object", box=None, pad_edge=False)
        for row in document["plugins"]:
            table.add_row(row["group"], row["name"], f"{row['package']} {row['version']}", row["object"])
        session.console.print(table)

    session.emit({"plugins": rows}, render)
