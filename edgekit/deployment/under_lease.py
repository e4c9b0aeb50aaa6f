"""A push while it has the device's lease: the release brought there, tried, and made active where that is allowed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from edgekit._version import __version__
from edgekit.agent import requests
from edgekit.agent.failures import EINVAL, ENOSYS, RemoteFileError
from edgekit.agent.requests import Request
from edgekit.clock import utc_now
from edgekit.deployment.failure import keep_failed
from edgekit.deployment.looking import Seen, Staged, look, read_staged, staged_requests
from edgekit.deployment.outcome import Method, PushedFile
from edgekit.deployment.release import MANIFEST, Payload, ReleaseManifest, Smoke, decide
from edgekit.deployment.sending import Plan, planned, send
from edgekit.deployment.smoke import SmokeResult, smoke_run
from edgekit.deployment.travel import summary
from edgekit.devices import Device, journal
from edgekit.errors import (
    DeviceFull,
    DeviceLost,
    DeviceReadOnly,
    EdgekitError,
    GateError,
    ModelError,
    RemoteError,
    VerificationError,
)
from edgekit.events import Event, Sink

if TYPE_CHECKING:
    from edgekit.profiles import Profile


SPARE_BYTES = 4 << 20
"""Left free on the device beyond what is sent: file systems need room to breathe."""


@dataclass(frozen=True)
class Wish:
    """What the caller wants of one push."""

    payload: Payload
    profile: Profile | None
    activate: bool
    smoke: bool
    bandwidth_bytes_per_s: float | None = None


@dataclass(frozen=True)
class Done:
    smoke: Smoke
    files: tuple[PushedFile, ...] = ()
    method: Method = "unchanged"
    notes: tuple[str, ...] = ()
    activated: bool = False

    @property
    def bytes_sent(self) -> int:
        return sum(each.wire_bytes for each in self.files)


@dataclass
class Clocks:
    """Seconds of the parts of a push."""

    transfer: float = 0.0
    smoke: float = 0.0
    bootstrap: float = 0.0

    @contextmanager
    def timing(self, part: Literal["transfer", "smoke"]) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            setattr(self, part, getattr(self, part) + time.monotonic() - began)


def files_of(plan: Plan) -> tuple[PushedFile, ...]:
    return tuple(
        PushedFile(
            file=t.file.file,
            encoding=t.encoding,
            size_bytes=t.file.size_bytes,
            wire_bytes=t.wire_bytes,
            why=t.why,
        )
        for t in plan.travels
    )


def under_lease(
    wish: Wish, seen: Seen, device: Device, clocks: Clocks, lease_wait_seconds: float, sink: Sink
) -> tuple[Done, Seen]:
    """Bring the release there, try it where that is due, make it active where that is allowed."""
    payload = wish.payload
    began = time.monotonic()
    with device.leased(
        f"push {payload.name}", lease_wait_seconds, look=staged_requests(device.layout, payload)
    ) as answers:
        clocks.transfer += time.monotonic() - began
        staged = read_staged(device.layout, payload, answers)
        if (staged.current, staged.manifest) != (seen.raw_current, seen.raw_manifest):
            seen = look(device, payload)  # another host was quicker
        action = decide(payload, seen.there, activate=wish.activate, smoke=wish.smoke)
        if action in ("send", "repair"):
            done = _send(wish, seen, staged, device, clocks, replaces=action == "repair", sink=sink)
        elif action == "check":
            done = _check_in_place(wish, seen, device, clocks, sink)
        else:
            done = Done(seen.there.manifest.smoke if seen.there.manifest else "unchecked")
        if not wish.activate or action in ("unchanged", "send", "repair"):
            return done, seen
        return _activate(wish, done, staged, device, sink), seen


def _may_activate(wish: Wish, smoke: Smoke) -> bool:
    return wish.activate and (smoke == "passed" or not wish.smoke)


_NOT_TRIED = "not activated: nothing on the device could run it (push with --no-smoke to activate it anyway)"


def _activate(wish: Wish, done: Done, staged: Staged, device: Device, sink: Sink) -> Done:
    """A release that is there already."""
    if not _may_activate(wish, done.smoke):
        return _not_tried(done, device, sink)
    payload = wish.payload
    current = journal.naming(device.layout, payload.name, payload.version, in_the_way=staged.in_the_way)
    device.agent.batch([requests.lease_renew(), *current])
    return replace(done, activated=True)


def _not_tried(done: Done, device: Device, sink: Sink) -> Done:
    sink(Event("push", message=_NOT_TRIED, device=device.address, level="warning"))
    return replace(done, notes=(*done.notes, _NOT_TRIED))


def _check_in_place(wish: Wish, seen: Seen, device: Device, clocks: Clocks, sink: Sink) -> Done:
    """The smoke run of a release that was put there without one; its manifest then says so."""
    there = seen.there.manifest
    assert there is not None
    folder = device.layout.release(wish.payload.name, wish.payload.version)
    with clocks.timing("smoke"):
        tried = smoke_run(there, folder, device, wish.profile, sink)
    clocks.bootstrap += tried.bootstrap_seconds
    manifest = msgspec.structs.replace(there, smoke=tried.state, smoke_reason=tried.reason or None)
    device.agent.write(f"{folder}/{MANIFEST}", manifest.encode())
    return Done(tried.state, notes=(tried.reason,) if tried.reason else ())


def _send(
    wish: Wish, seen: Seen, staged: Staged, device: Device, clocks: Clocks, *, replaces: bool, sink: Sink
) -> Done:
    payload = wish.payload
    _check_room(payload, staged, device)
    staging = device.layout.staging(payload.name, payload.version, payload.content)
    clear: list[Request[Any]] = [requests.remove(path, recursive=True) for path in staged.others]
    try:
        with clocks.timing("transfer"), planned(payload, seen, staged, device) as plan:
            sent, notes = send(
                payload,
                plan,
                device,
                staging=staging,
                before=clear,
                bandwidth_bytes_per_s=wish.bandwidth_bytes_per_s,
                sink=sink,
            )
    except DeviceLost:
        raise  # what lies there is where the next push of this content goes on
    except EdgekitError as error:
        _discard(device, staging, error)
        raise
    before = _before(wish, seen) if replaces else None
    tried = before if before is not None else _try(wish, staging, device, clocks, sink)
    pushed_at = (
        seen.there.manifest.pushed_at if before is not None and seen.there.manifest is not None else ""
    )
    manifest = msgspec.structs.replace(
        payload.manifest,
        smoke=tried.state,
        smoke_reason=tried.reason or None,
        pushed_at=pushed_at or utc_now(),
        edgekit_version=__version__,
    )
    activates = _may_activate(wish, tried.state)
    _complete(payload, manifest, staged, device, activates=activates, replaces=replaces)
    done = Done(
        tried.state,
        files_of(sent),
        summary(sent.travels)[0],
        (*notes, *((tried.reason,) if tried.reason else ())),
        activates,
    )
    return _not_tried(done, device, sink) if wish.activate and not activates else done


def _before(wish: Wish, seen: Seen) -> SmokeResult | None:
    """A release is replaced by one that says more of the same model, and is not tried: what was seen of it stays true."""
    there = seen.there.manifest
    if wish.smoke or there is None or there.smoke != "passed" or there.sha256 != wish.payload.manifest.sha256:
        return None
    return SmokeResult("passed", there.smoke_reason or "")


def _try(wish: Wish, staging: str, device: Device, clocks: Clocks, sink: Sink) -> SmokeResult:
    """The smoke run in the staging folder. A release that does not pass is kept aside with what went wrong."""
    if not wish.smoke:
        return SmokeResult("unchecked", "--no-smoke")
    began = time.monotonic()
    try:
        tried = smoke_run(wish.payload.manifest, staging, device, wish.profile, sink)
    except DeviceLost:
        raise
    except (VerificationError, ModelError, GateError, RemoteError) as error:
        kept = keep_failed(device, wish.payload.manifest, staging, error)
        if kept is None:
            _discard(device, staging, error)
        else:
            error.add_note(f"kept aside on the device: {kept}")
        raise
    except EdgekitError as error:
        _discard(device, staging, error)
        raise
    clocks.bootstrap += tried.bootstrap_seconds
    clocks.smoke += time.monotonic() - began - tried.bootstrap_seconds
    return tried


def _check_room(payload: Payload, staged: Staged, device: Device) -> None:
    """What is there of a push that was cut off is not needed again; what others left goes before the files come."""
    space, there = staged.space, sum(staged.parts.values())
    there += sum(e.size_bytes for e in payload.manifest.files if staged.whole.get(e.file) == e.sha256)
    needed = payload.size_bytes - there + SPARE_BYTES
    if space.read_only:
        raise DeviceReadOnly(
            f"{device.layout.root} is on a read-only file system",
            device=device.address,
            hint="remount it writable, or give another root in edgekit.yaml",
        )
    if space.available_bytes < needed:
        if staged.others:
            device.agent.batch([requests.remove(path, recursive=True) for path in staged.others])
            space = device.agent.disk_space(device.layout.root)
        if space.available_bytes < needed:
            raise DeviceFull(
                f"{needed} bytes are needed on the device, {space.available_bytes} are free",
                device=device.address,
                hint="edgekit gc, edgekit remove NAME@VERSION, or free space there",
            )


def _complete(
    payload: Payload,
    manifest: ReleaseManifest,
    staged: Staged,
    device: Device,
    *,
    activates: bool,
    replaces: bool,
) -> None:
    """Make the staging folder the release, and active, in one batch. Only a damaged release can be in its place (repair):
    the two are exchanged, in two steps where the device's kernel or file system cannot do it in one."""
    text = manifest.encode()
    entry = journal.entry_of(payload.name, payload.version, payload.content, text, activate=activates)

    def complete(*, exchange: bool) -> None:
        steps = journal.steps(
            entry,
            device.layout,
            text,
            replaces=replaces,
            exchange=exchange,
            in_the_way=staged.in_the_way,
        )
        device.agent.batch(steps)

    try:
        complete(exchange=replaces)
    except RemoteFileError as error:
        if not replaces or error.errno not in (ENOSYS, EINVAL):
            raise
        complete(exchange=False)


def _discard(device: Device, staging: str, reason: Exception) -> None:
    """Take back what was put. A device that is lost meanwhile is cleaned by the next push."""
    try:
        device.agent.remove(staging, recursive=True)
    except EdgekitError as error:
        reason.add_note(f"{staging} could not be removed: {error.message}")
