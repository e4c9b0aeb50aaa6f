"""`edgekit push`."""

from __future__ import annotations

from typing import Any

import click

from edgekit.cli.common import Session, command, device_option, profile_option
from edgekit.cli.options import convert_options, convert_wishes, release_options


@click.command()
@click.argument("model")
@device_option(multiple=True)
@profile_option
@convert_options
@release_options
@command
def push(
    session: Session,
    model: str,
    name: str | None,
    version: str | None,
    no_activate: bool,
    no_smoke: bool,
    accept_inconclusive: bool,
    **values: Any,
) -> None:
    """Put MODEL (a model file or an artifact of `edgekit convert`) on a device as a release.

    It becomes the active version only after its hash was checked on the device and it ran there. What the
    device has already is not sent again.
    """
    from edgekit.api.devices import connect, profile_for
    from edgekit.api.pipelines import push as work
    from edgekit.cli.many import on_devices

    wishes = convert_wishes(values)

    def one(address: str) -> Any:
        with connect(address, config=session.config, sink=session.sink) as device:
            return work(
                model,
                device,
                profile=profile_for(device, session.profile, config=session.config, sink=session.sink),
                name=name,
                version=version,
                activate=not no_activate,
                smoke=not no_smoke,
                accept_inconclusive=accept_inconclusive,
                sink=session.sink,
                **wishes,
            )

    on_devices(session, one, render_push)


def render_push(result: Any) -> None:
    """One line of what happened, one of what it cost."""
    from edgekit.units import format_size, format_time

    state = "active" if result.activated else "not active"
    sent = "unchanged" if result.method == "unchanged" else "sent"
    click.echo(
        f"{result.device.removesuffix(':')}: {result.name}@{result.version} is {state}"
        f" ({sent}, smoke run {result.smoke})"
    )
    cost = f"sent {format_size(result.bytes_sent)} of {format_size(result.bytes_total)}"
    click.echo(f"  {cost} in {format_time(result.seconds * 1e6, 3)}, {result.round_trips} round trips")
    if result.previous and result.previous != result.version:
        click.echo(f"  before: {result.previous}  (edgekit rollback {result.name} -d {result.named})")
