"""`edgekit rerun`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgekit.cli.common import Session, command, db_option, device_option
from edgekit.cli.options import MAX_WAIT_SECONDS, Seconds

if TYPE_CHECKING:
    from edgekit.benchmarking.again import Rerun


@click.command()
@click.argument("run")
@device_option()
@click.option("-p", "--profile", metavar="NAME|FILE", help="Device profile (default: the record's).")
@click.option("--inputs", metavar="FILE", help="Where the run's own inputs are now.")
@click.option("--evaluation", metavar="FILE", help="Where the run's evaluation data are now.")
@click.option("--meter", metavar="M", help="What measures energy, or none (default: as the run).")
@click.option("--strict", is_flag=True, help="A suspect verdict fails (4) too.")
@click.option(
    "--lease-wait",
    type=Seconds(0, MAX_WAIT_SECONDS),
    default=60.0,
    show_default=True,
    metavar="S",
    help="Wait so long for another host's work there to end.",
)
@db_option
@command
def rerun(
    session: Session,
    run: str,
    inputs: str | None,
    evaluation: str | None,
    meter: str | None,
    strict: bool,
    lease_wait: float,
) -> int:
    """Measure once more what the kept RUN measured: same plan, same device (or -d), same bytes, which must be there.

    The new run is kept and held against the first by their launches (Welch's test, as `results diff`); what could not be
    done again is said. Exit code 0 for faster, slower and no difference; 4 where one of the runs is invalid.
    """
    from edgekit.api.rerunning import rerun as work
    from edgekit.cli.argv import command_line
    from edgekit.profiles import load_profile

    if len(session.devices) > 1:
        raise click.UsageError("this command takes one device (-d)")
    found = work(
        run,
        device=session.devices[0] if session.devices else None,
        profile=load_profile(session.profile) if session.profile is not None else None,
        inputs=inputs,
        evaluation=evaluation,
        meter=meter,
        lease_wait_seconds=lease_wait,
        argv=command_line(),
        store=session.results,
        config=session.config,
        sink=session.sink,
    )
    session.emit(found.document(), lambda _: _render(session, found))
    return found.exit_code(strict=strict)


_WORDS = {
    "faster": "faster than the first time",
    "slower": "slower than the first time",
    "no_difference": "no difference was found",
    "untested": "too few launches to tell a difference",
    "invalid": "invalid",
}


def _render(session: Session, found: Rerun) -> None:
    from edgekit.cli.commands.results_ask import show_difference
    from edgekit.cli.commands.results_render import printable

    show_difference(session, found.difference)
    click.echo(printable(f"verdict: {_WORDS[found.verdict]}"))
    for text in found.not_repeated:
        click.echo(printable(f"not repeated: {text}"))
