"""`edgekit meters`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgekit.cli.common import Session, command, device_option, profile_option

if TYPE_CHECKING:
    from edgekit.api.metering import PowerMeters


@click.command()
@device_option(multiple=True)
@profile_option
@command
def meters(session: Session) -> None:
    """Say what a device can tell of its power: each meter, what its number includes, and what would be needed for more.

    Changes nothing on the device. What bench takes where nothing else is asked for is marked with *.
    """
    from edgekit.api.devices import connect, profile_for
    from edgekit.api.metering import power_meters
    from edgekit.cli.many import on_devices

    def one(address: str) -> PowerMeters:
        with connect(address, config=session.config, sink=session.sink) as device:
            profile = profile_for(device, session.profile, config=session.config, sink=session.sink)
            return power_meters(device, profile=profile, entries=session.config.meters)

    on_devices(session, one, lambda found: render(session, found))


def render(session: Session, found: PowerMeters) -> None:
    from rich.table import Table

    from edgekit.cli.commands.releases import shown
    from edgekit.meters.choice import SAYS_MORE
    from edgekit.units import format_time

    table = Table("", "meter", "measures", "of it, not", "reading", "launches of", box=None, pad_edge=False)
    there = [row for row in found.meters if row.available]
    for row in there:
        table.add_row(
            "*" if row.name == found.chosen else "",
            row.name,
            f"{row.boundary}: {', '.join(map(shown, row.rails))}",
            shown(row.excluded),
            f"each {format_time(row.period_us)}; {row.resolution}"
            if row.period_us
            else shown(row.resolution),
            f"{format_time(row.min_launch_us, 2)} or more" if row.min_launch_us else "8 readings or more",
        )
    if there:
        session.console.print(table)
    if found.unavailable:
        session.console.print(shown(found.unavailable.removesuffix(SAYS_MORE)))
    for row in found.meters:
        if not row.available:
            needed = f" It would need: {shown(row.needed)}." if row.needed else ""
            session.console.print(f"{row.name}: {shown(row.reason)}.{needed}")
