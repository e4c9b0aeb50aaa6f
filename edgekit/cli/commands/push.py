"""`edgekit push`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.common import Session, command, device_option, profile_option
from edgekit.cli.options import Quantity, convert_options, convert_wishes, release_options

if TYPE_CHECKING:
    from edgekit.deployment.outcome import PushedFile, PushPlan, PushResult
    from edgekit.models import Artifact, ModelInfo
    from edgekit.profiles import Profile

AT_ONCE = 16
"""Devices that are pushed to together."""


@click.command()
@click.argument("model")
@device_option(multiple=True)
@profile_option
@convert_options
@release_options
@click.option(
    "--bandwidth",
    "bandwidth_bytes_per_s",
    type=Quantity("rate"),
    metavar="RATE",
    help="Send no faster, to each device: 2MB/s, 10Mbit/s.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be sent, how and why; change nothing there.")
@command
def push(
    session: Session,
    model: str,
    name: str | None,
    version: str | None,
    no_activate: bool,
    no_smoke: bool,
    accept_inconclusive: bool,
    bandwidth_bytes_per_s: float | None,
    dry_run: bool,
    **values: Any,
) -> None:
    """Put MODEL (a model file or an artifact of `edgekit convert`) on a device as a release.

    It becomes the active version only after its hash was checked on the device and it ran there. What the
    device has already is not sent again. Several devices (-d A -d B) are pushed to at once.
    """
    from edgekit.api.pushing import plan_push, push_to
    from edgekit.cli.many import on_devices

    prepared = _once(session, model, name, convert_wishes(values))
    activate, smoke = not no_activate, not no_smoke

    def one(address: str) -> Any:
        if not dry_run:
            return push_to(
                address,
                prepared,
                config=session.config,
                profile=session.profile,
                name=name,
                version=version,
                activate=activate,
                smoke=smoke,
                accept_inconclusive=accept_inconclusive,
                bandwidth_bytes_per_s=bandwidth_bytes_per_s,
                sink=session.sink,
            )
        from edgekit.api.devices import connect, profile_for

        with connect(address, config=session.config, sink=session.sink) as device:
            profile = profile_for(device, session.profile, config=session.config, sink=session.sink)
            return plan_push(
                prepared(profile),
                device,
                profile=profile,
                name=name,
                version=version,
                activate=activate,
                smoke=smoke,
            )

    on_devices(session, one, render_plan if dry_run else render_push, at_once=AT_ONCE)


def _once(
    session: Session, model: str, name: str | None, wishes: Any
) -> Callable[[Profile | None], Artifact | ModelInfo]:
    """The model made ready once for each profile, however many devices have it: one conversion, one hash."""
    ready: dict[str | None, Artifact | ModelInfo] = {}
    lock = threading.Lock()

    def prepared(profile: Profile | None) -> Artifact | ModelInfo:
        from edgekit.api.models import prepare

        key = profile.sha256 if profile is not None else None
        with lock:
            if key not in ready:
                ready[key] = prepare(model, profile=profile, name=name, sink=session.sink, **wishes)
            return ready[key]

    return prepared


def render_push(result: PushResult) -> None:
    """One line of what happened, one of what it cost."""
    from edgekit.units import format_size, format_time

    state = "active" if result.activated else "not active"
    sent = "unchanged" if result.method == "unchanged" else f"sent {_HOW[result.method]}"
    click.echo(
        f"{(result.named or result.device).removesuffix(':')}: {result.name}@{result.version} is {state}"
        f" ({sent}, smoke run {result.smoke})"
    )
    cost = f"sent {format_size(result.bytes_sent)} of {format_size(result.bytes_total)}"
    click.echo(f"  {cost} in {format_time(result.seconds * 1e6, 3)}, {result.round_trips} round trips")
    if result.previous and result.previous != result.version:
        back = f"edgekit rollback {result.name} --to {result.previous} -d {result.named or result.device}"
        click.echo(f"  before: {result.previous}  ({back})")


_HOW = {
    "unchanged": "nothing",
    "raw": "whole",
    "zstd": "compressed",
    "patch": "as a patch",
    "shell": "by plain shell",
}


def render_plan(plan: PushPlan) -> None:
    """One line of what would happen, one a file."""
    from edgekit.units import format_size

    device, release = (plan.named or plan.device).removesuffix(":"), f"{plan.name}@{plan.version}"
    what = _ACTIONS[plan.action]
    size = f"{format_size(plan.bytes_to_send)} of {format_size(plan.bytes_total)}"
    click.echo(f"{device}: {release} would {what}" + (f", {size}" if plan.files else ""))
    for each in plan.files:
        click.echo(f"  {each.file}: {_way(each)} ({each.why})")
    if plan.activate and plan.previous:
        click.echo(f"  active now: {plan.previous}")


_ACTIONS = {
    "unchanged": "not be sent: it is there, whole, and as it is wanted",
    "activate": "be made active: it is there and whole",
    "check": "be tried there, and made active: it is there and whole",
    "send": "be sent",
    "repair": "be sent again: what is there is damaged",
}


def _way(each: PushedFile) -> str:
    from edgekit.units import format_size

    if each.encoding in ("copy", "there"):
        return f"nothing of {format_size(each.size_bytes)}"
    return f"{each.encoding}, {format_size(each.wire_bytes)} of {format_size(each.size_bytes)}"
