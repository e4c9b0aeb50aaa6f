"""`edgekit watch`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgekit.cli.common import Session, command, device_option, one_device, profile_option
from edgekit.cli.options import Seconds

if TYPE_CHECKING:
    from rich.table import Table

    from edgekit.api.watching import Moment


@click.command()
@device_option()
@profile_option
@click.option(
    "--period", type=Seconds(0.1, 3600), default=1.0, show_default=True, metavar="S", help="Look so often."
)
@click.option("--count", type=click.IntRange(1), metavar="N", help="So many looks (default: until Ctrl-C).")
@click.option("--meter", metavar="M", help="What tells power, or none (default: as bench).")
@click.option("--jsonl", is_flag=True, help="A JSON document a line, for each look.")
@command
def watch(session: Session, period: float, count: int | None, meter: str | None, jsonl: bool) -> None:
    """Show a device's heat, frequencies and power, live. Holds no lease: it may watch while something else measures
    there.

    With --json all looks come as one document at the end, so it takes --count.
    """
    from edgekit.api.devices import connect, profile_for
    from edgekit.api.watching import watch as looks
    from edgekit.meters.taking import meter_for
    from edgekit.stats.traces import Refused

    if session.json and (jsonl or count is None):
        raise click.UsageError("--json takes --count, and no --jsonl")
    with connect(one_device(session), config=session.config, sink=session.sink) as device:
        profile = profile_for(device, session.profile, config=session.config, sink=session.sink)
        found = meter_for(
            device, profile.power if profile is not None else None, meter, session.config.meters
        )
        moments = looks(device, meter=found, period_s=period, count=count)
        if session.json:
            session.emit({"device": device.address, "moments": list(moments)})
            return
        if not jsonl and (isinstance(found, Refused) or not found.live):
            why = (
                found.reason if isinstance(found, Refused) else f"{found.meter} tells nothing there meanwhile"
            )
            session.console.print(f"power: {why}", markup=False)
        for moment in moments if jsonl or not session.console.is_terminal else ():
            click.echo(as_line(moment) if jsonl else in_words(moment))
        if session.console.is_terminal and not jsonl:
            from rich.live import Live

            with Live(console=session.console, auto_refresh=False) as live:
                for moment in moments:
                    live.update(as_table(moment), refresh=True)


def as_line(moment: Moment) -> str:
    import msgspec

    return msgspec.json.encode(moment).decode()


def rows(moment: Moment) -> list[tuple[str, str]]:
    """What was seen and how much of it, as text for people."""
    from edgekit.units import format_frequency, format_power, format_temperature

    found = [(zone, format_temperature(value)) for zone, value in moment.temperatures_mc.items()]
    found += [(name, format_frequency(value)) for name, value in moment.frequencies_khz.items()]
    found += [
        (name, "unknown" if state is None else f"slowed down ({state})")
        for name, state in moment.cooling.items()
        if state is None or state > 0
    ]
    if len(moment.rails_mw) > 1:
        found += [(rail, format_power(value)) for rail, value in moment.rails_mw.items()]
    if moment.rails_mw:
        found.append(("power", format_power(moment.power_mw)))
    return found


def in_words(moment: Moment) -> str:
    from edgekit.cli.commands.releases import shown

    seen = ", ".join(f"{shown(name)} {value}" for name, value in rows(moment))
    return f"{moment.t_us / 1e6:.1f} s  {seen}"


def as_table(moment: Moment) -> Table:
    from rich.table import Table

    from edgekit.cli.commands.releases import shown

    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in rows(moment):
        table.add_row(shown(name), value)
    return table
