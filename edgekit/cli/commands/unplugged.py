"""`edgekit unplugged start|list|collect|remove`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.common import Session, command, device_option, one_device, profile_option
from edgekit.cli.options import Seconds

if TYPE_CHECKING:
    from edgekit.devices import Device


@click.group()
def unplugged() -> None:
    """Measure while the cable is out: the device runs the measurement alone, and the result is fetched afterwards."""


@unplugged.command()
@click.argument("model")
@device_option()
@profile_option
@click.option(
    "--wait",
    type=Seconds(0, 3600),
    default=60.0,
    show_default=True,
    metavar="S",
    help="Time to pull the cable, before it begins.",
)
@click.option("--launches", type=int, metavar="N", help="Processes, one after the other.")
@click.option("--iterations", type=int, metavar="N", help="Inferences of each, at least.")
@click.option("--min-seconds", type=Seconds(0, 3600), metavar="S", help="Timed part of each, at least.")
@click.option("--threads", type=int, metavar="N")
@click.option("--cpus", metavar="SET", help="Such as 4-7.")
@click.option("--runtime", metavar="R", help="What runs the model (default: the profile's first that can).")
@click.option("--meter", metavar="M", help="What measures energy, or none (default: as bench).")
@command
def start(session: Session, model: str, wait: float, **values: Any) -> None:
    """Put the measurement of MODEL on the device and let it begin after --wait.

    MODEL is a file, an artifact, or NAME[@VERSION] on the device. Knobs are not set, and no lease is held meanwhile.
    """
    from edgekit.api.unplugged import begin
    from edgekit.benchmarking import BenchOptions
    from edgekit.cli.argv import command_line

    options = BenchOptions(**values, tools=session.config.runtimes, argv=command_line())
    with _connected(session) as device:
        profile = _profile(session, device)
        found = begin(model, device, profile=profile, options=options, wait_s=wait, sink=session.sink)
        address = device.address

    def render(document: dict[str, Any]) -> None:
        energy = f"energy by {found.meter}" if found.meter else f"no energy: {found.unavailable}"
        click.echo(f"{found.job}: begins in {wait:g} s, done in about {found.seconds:.0f} s; {energy}")
        click.echo(f"pull the cable now; then: edgekit unplugged collect {found.job} -d {address}")

    import msgspec

    session.emit({"device": address, **msgspec.to_builtins(found)}, render)


@unplugged.command("list")
@device_option()
@command
def list_command(session: Session) -> None:
    """Measurements on the device: running, done, or lost (it was restarted)."""
    from edgekit.api.unplugged import jobs_there

    with _connected(session) as device:
        found = jobs_there(device)
        address = device.address

    def render(document: dict[str, Any]) -> None:
        for job, state in found.items():
            click.echo(f"{job}  {state}")
        if not found:
            click.echo("none")

    session.emit(
        {"device": address, "jobs": [{"job": job, "state": state} for job, state in found.items()]}, render
    )


@unplugged.command()
@click.argument("job")
@device_option()
@profile_option
@command
def collect(session: Session, job: str) -> None:
    """Fetch what JOB measured, keep the run, and remove it from the device."""
    from edgekit.api.unplugged import collect as fetch
    from edgekit.benchmarking.outcome import Outcome
    from edgekit.cli.render import render_outcome

    with _connected(session) as device:
        profile = _profile(session, device)
        record = fetch(device, job, profile=profile, store=session.config.results, sink=session.sink)
    outcome = Outcome(record, ())
    session.emit(outcome.document(), lambda _: render_outcome(session, outcome))
    code = outcome.exit_code(strict=False)
    if code:
        raise click.exceptions.Exit(code)


@unplugged.command()
@click.argument("job")
@device_option()
@command
def remove(session: Session, job: str) -> None:
    """End JOB where it runs, and remove what it left."""
    from edgekit.api.unplugged import forget

    with _connected(session) as device:
        forget(device, job)
    session.emit({"removed": job}, lambda _: click.echo(f"removed {job}"))


def _connected(session: Session) -> Device:
    from edgekit.api.devices import connect

    return connect(one_device(session), config=session.config, sink=session.sink)


def _profile(session: Session, device: Device) -> Any:
    from edgekit.api.devices import profile_for

    return profile_for(device, session.profile, config=session.config, sink=session.sink)
