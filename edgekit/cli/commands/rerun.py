"""`edgekit rerun`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgekit.cli.common import Session, command, db_option, device_option
from edgekit.cli.options import MAX_WAIT_SECONDS, Seconds

if TYPE_CHECKING:
    from edgekit.benchmarking.repeated import Rerun


@click.command()
@click.argument("run")
@device_option()
@click.option("-p", "--profile", metavar="NAME|FILE", help="Device profile (default: the record's).")
@click.option(
    "--model",
    metavar="FILE",
    help="The run's model file or artifact, where the device does not have it (default: as then, if its bytes are the same).",
)
@click.option("--inputs", metavar="FILE", help="Where the run's own inputs are now.")
@click.option("--evaluation", metavar="FILE", help="Where the run's evaluation data are now.")
@click.option("--meter", metavar="M", help="What measures energy, or none (default: as the run).")
@click.option(
    "--baseline", metavar="RUN|FILE", help="What its gates with `baseline` compare with (default: as then)."
)
@click.option("--no-gates", is_flag=True, help="Hold the run's gates and the profile's limits not again.")
@click.option(
    "--trust",
    is_flag=True,
    help="The record may be trusted: with root, kernel settings and a tool's flags on the device.",
)
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
    model: str | None,
    inputs: str | None,
    evaluation: str | None,
    meter: str | None,
    baseline: str | None,
    no_gates: bool,
    trust: bool,
    strict: bool,
    lease_wait: float,
) -> int:
    """Measure once more what the kept RUN measured: same plan, same device (or -d), same bytes, same gates.

    The new run is kept and held against the first by their launches (Welch's test, as `results diff`); what cannot be done
    again is said. Exit code 0 for faster, slower and no difference; 4 where one of the runs is invalid, 5 where a gate fails.
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
        model=model,
        inputs=inputs,
        evaluation=evaluation,
        baseline=baseline,
        gates=not no_gates,
        meter=meter,
        trust=trust,
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
    from edgekit.cli.render import render_gates
    from edgekit.printable import printable

    show_difference(session, found.difference)
    click.echo(printable(f"verdict: {_WORDS[found.verdict]}"))
    render_gates(session, found.outcome)
    for text in found.not_repeated:
        click.echo(printable(f"not repeated: {text}"))
