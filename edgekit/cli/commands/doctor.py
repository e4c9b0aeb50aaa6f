"""`edgekit doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.common import Session, command, device_option, one_device
from edgekit.cli.options import Seconds

if TYPE_CHECKING:
    from edgekit.api.calibrating import PowerCalibration

CALIBRATE_SECONDS = 600.0
MARKS = {"ok": "[green]ok[/]  ", "warning": "[yellow]look[/]", "error": "[bold red]bad[/] "}


@click.command()
@device_option(multiple=True)
@click.option(
    "--calibrate-power",
    is_flag=True,
    help="Work out unit and sign of the battery's current under load, for the profile; on battery alone.",
)
@click.option(
    "--seconds",
    type=Seconds(5, 3600),
    metavar="S",
    help="Of --calibrate-power: at most so long.  [default: 600]",
)
@command
def doctor(session: Session, calibrate_power: bool, seconds: float | None) -> None:
    """Say what is wrong with this host, or with a device (-d), and what mends each.

    Opening a device also restores the settings that a crash left changed there.
    """
    if calibrate_power:
        _calibrate(session, CALIBRATE_SECONDS if seconds is None else seconds)
        return
    if seconds is not None:
        raise click.UsageError("--seconds is of --calibrate-power")
    from edgekit.api.doctor import check_device, check_host

    checks = check_host(session.config, session.sink)
    for address in session.devices:
        checks += check_device(address, session.config, session.sink)

    def render(_: Any) -> None:
        from rich.markup import escape

        for check in checks:
            session.console.print(f"{MARKS[check.state]} {escape(check.what)}: {escape(check.message)}")
            if check.hint:
                session.console.print(f"       {escape(check.hint)}")

    session.emit({"checks": checks}, render)
    worst = next((check for check in checks if check.state == "error"), None)
    if worst is not None:
        raise click.exceptions.Exit(worst.exit_code)


def _calibrate(session: Session, seconds: float) -> None:
    from edgekit.api.calibrating import calibrate_power
    from edgekit.api.devices import connect

    with connect(one_device(session), config=session.config, sink=session.sink) as device:
        found = calibrate_power(device, seconds=seconds, sink=session.sink)

    def render(told: PowerCalibration) -> None:
        print_ = session.console.print
        print_(
            f"{told.moved_uah / 1000:.3g} mAh left the battery in {told.seconds:.0f} s ({told.mean_ma:.4g} mA, {told.steps} steps of "
            f"its counter); current_now says {told.ratio:.2f} times that. In the profile:",
            markup=False,
        )
        inner = ", ".join(f"{key}: {value}" for key, value in told.power.items())
        print_(f"power: {{meter: battery, boundary: battery, {inner}}}", markup=False)

    session.emit(found, render)
