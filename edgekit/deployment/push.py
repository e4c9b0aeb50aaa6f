"""Push: what the device lacks is sent, checked there by its hash, tried, and only then made active.

Nothing that is under way has a name that anyone reads: files are put below a staging folder, which is renamed
when all of it is there, and `current` is replaced last, by rename (docs/on-device-layout.md). Whatever cuts a push off
leaves at most that folder, from which the next push of the same content goes on, or a journal that the next connect
finishes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edgekit.deployment import bases
from edgekit.deployment.fits import check_fits_there
from edgekit.deployment.looking import look, read_staged, staged_requests
from edgekit.deployment.outcome import Method, PushedFile, PushPlan, PushResult
from edgekit.deployment.payload import check_size, payload_of
from edgekit.deployment.release import Payload, decide
from edgekit.deployment.sending import planned
from edgekit.deployment.travel import summary
from edgekit.deployment.under_lease import Clocks, Done, Wish, files_of, under_lease
from edgekit.devices import Device
from edgekit.devices.files import LOOK_SECONDS
from edgekit.events import Sink, ignore
from edgekit.models import Artifact, ModelInfo

if TYPE_CHECKING:
    from edgekit.profiles import Profile


def push_payload(
    model: Artifact | ModelInfo,
    device: Device,
    *,
    profile: Profile | None,
    name: str | None,
    version: str | None,
    activate: bool,
    smoke: bool,
    lease_wait_seconds: float,
    bandwidth_bytes_per_s: float | None = None,
    sink: Sink = ignore,
) -> PushResult:
    """Make the device hold this model as a release, active where wanted. See the module."""
    started = time.monotonic()
    payload = payload_of(model, name, version)
    wish = Wish(payload, profile, activate, smoke, bandwidth_bytes_per_s)
    check_size(payload, profile, device.address)
    check_fits_there(payload.manifest, profile, device, runs=smoke or not activate)
    clocks = Clocks()
    with clocks.timing("transfer"):
        seen = look(device, payload)
    action = decide(payload, seen.there, activate=activate, smoke=smoke)
    if action == "unchanged" and seen.there.manifest is not None and not seen.cut_off:
        done = Done(seen.there.manifest.smoke)
    else:
        done, seen = under_lease(wish, seen, device, clocks, lease_wait_seconds, sink)
    _keep_bases(payload)
    return PushResult(
        device=device.address,
        name=payload.name,
        version=payload.version,
        sha256=payload.manifest.sha256,
        method=done.method,
        bytes_total=payload.size_bytes,
        bytes_sent=done.bytes_sent,
        round_trips=device.round_trips,
        seconds=time.monotonic() - started,
        smoke=done.smoke,
        activated=done.activated or seen.there.current == payload.version,
        previous=seen.there.current,
        notes=done.notes,
        files=done.files,
        bootstrap_seconds=clocks.bootstrap,
        transfer_seconds=clocks.transfer,
        smoke_seconds=clocks.smoke,
        named=device.target.label,
    )


def plan_push(
    model: Artifact | ModelInfo,
    device: Device,
    *,
    profile: Profile | None,
    name: str | None,
    version: str | None,
    activate: bool,
    smoke: bool,
) -> PushPlan:
    """What a push would do and send, and why: two looks at the device, which is not changed. Nothing is held: another
    host may change it before the push comes."""
    payload = payload_of(model, name, version)
    check_size(payload, profile, device.address)
    check_fits_there(payload.manifest, profile, device, runs=smoke or not activate)
    seen = look(device, payload)
    action = decide(payload, seen.there, activate=activate, smoke=smoke)
    files: tuple[PushedFile, ...] = ()
    method: Method = "unchanged"
    if action in ("send", "repair"):
        answers = device.agent.batch(staged_requests(device.layout, payload), timeout=LOOK_SECONDS)
        staged = read_staged(device.layout, payload, answers)
        with planned(payload, seen, staged, device) as plan:
            files, method = files_of(plan), summary(plan.travels)[0]
    return PushPlan(
        device=device.address,
        name=payload.name,
        version=payload.version,
        sha256=payload.manifest.sha256,
        action=action,
        method=method,
        bytes_total=payload.size_bytes,
        bytes_to_send=sum(each.wire_bytes for each in files),
        files=files,
        activate=activate and seen.there.current != payload.version,
        previous=seen.there.current,
        named=device.target.label,
    )


def _keep_bases(payload: Payload) -> None:
    """The next push of another version may be a patch of this one."""
    for entry in payload.manifest.files:
        bases.keep(payload.sources[entry.file], entry.sha256, entry.size_bytes)
