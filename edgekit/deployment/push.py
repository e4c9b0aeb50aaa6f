"""Push: what the device lacks is sent, checked there by its hash, tried, and only then made active.

Nothing that is under way has a name that anyone reads: files are put below a staging folder, which is renamed
when all of it is there, and `current` is replaced last, by rename. Whatever cuts a push off leaves at most a
staging folder, which the next push of this name removes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from edgekit._version import __version__
from edgekit.agent import requests
from edgekit.agent.requests import Request
from edgekit.agent.transfer import PutSpec
from edgekit.clock import utc_now
from edgekit.deployment.release import (
    GOLDEN_INPUTS,
    GOLDEN_OUTPUTS,
    MANIFEST,
    Action,
    OnDevice,
    Payload,
    Smoke,
    decide,
    decode_manifest,
    payload_of_artifact,
    payload_of_model,
)
from edgekit.deployment.runtime_there import put_files
from edgekit.deployment.smoke import SmokeResult, smoke_run
from edgekit.devices import Device
from edgekit.devices.files import look
from edgekit.devices.layout import TEMPORARY_SUFFIX, active_version
from edgekit.errors import (
    DeviceError,
    DeviceFull,
    DeviceLost,
    DeviceReadOnly,
    GateError,
    InputError,
    VerificationError,
)
from edgekit.events import Event, Sink, ignore
from edgekit.models import Artifact, ModelInfo

if TYPE_CHECKING:
    from edgekit.profiles import Profile

SPARE_BYTES = 4 << 20
"""Left free on the device beyond what is sent: file systems need room to breathe."""

Method = Literal["unchanged", "raw"]


class PushResult(msgspec.Struct, frozen=True, kw_only=True):
    """What `edgekit push --json` prints. `seconds` and `round_trips` count from the opened connection."""

    device: str
    name: str
    version: str
    sha256: str
    method: Method
    bytes_total: int
    bytes_sent: int
    round_trips: int
    seconds: float
    smoke: Smoke
    activated: bool
    previous: str | None
    notes: tuple[str, ...] = ()
    named: str | None = None
    """The device as the caller named it: an entry of edgekit.yaml may have a root of its own."""


@dataclass(frozen=True)
class _Done:
    smoke: Smoke
    bytes_sent: int
    notes: tuple[str, ...]
    activated: bool = False


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
    sink: Sink = ignore,
) -> PushResult:
    """Make the device hold this model as a release, active where wanted. See the module."""
    started = time.monotonic()
    payload = (
        payload_of_artifact(model, name, version)
        if isinstance(model, Artifact)
        else payload_of_model(model, name, version)
    )
    _check_limit(payload, profile, device)
    there = read_release(device, payload)
    if decide(payload, there, activate=activate, smoke=smoke) == "unchanged" and there.manifest is not None:
        done = _Done(there.manifest.smoke, 0, ())
    else:
        with device.leased(f"push {payload.name}", lease_wait_seconds):
            there = read_release(device, payload)  # another host may have been quicker
            action = decide(payload, there, activate=activate, smoke=smoke)
            done = _act(action, payload, there, device, profile, activate=activate, smoke=smoke, sink=sink)
    return PushResult(
        device=device.address,
        name=payload.name,
        version=payload.version,
        sha256=payload.manifest.model.sha256,
        method="raw" if done.bytes_sent else "unchanged",
        bytes_total=payload.size_bytes,
        bytes_sent=done.bytes_sent,
        round_trips=device.round_trips,
        seconds=time.monotonic() - started,
        smoke=done.smoke,
        activated=done.activated or there.current == payload.version,
        previous=there.current,
        notes=done.notes,
        named=device.target.label,
    )


def _check_limit(payload: Payload, profile: Profile | None, device: Device) -> None:
    limit = profile.limits.model_size_bytes if profile is not None else None
    size = payload.manifest.model.size_bytes
    if limit is not None and profile is not None and size > limit:
        raise GateError(
            f"the model has {size} bytes; the profile {profile.name} allows {limit}",
            code="E_LIMIT",
            device=device.address,
            hint="a smaller recipe (edgekit convert --recipe int8-static), or another limit in the profile",
        )


def read_release(device: Device, payload: Payload) -> OnDevice:
    """What the device has under this name and version, in one round trip; every file is hashed there."""
    layout = device.layout
    folder = layout.release(payload.name, payload.version)
    names = sorted({entry.file for entry in payload.manifest.files} | {GOLDEN_INPUTS, GOLDEN_OUTPUTS})
    current_path, manifest_path = layout.current(payload.name), layout.manifest(payload.name, payload.version)
    contents, stats = look(
        device.agent, [current_path, manifest_path], [f"{folder}/{name}" for name in names]
    )
    current, found = contents[current_path], contents[manifest_path]
    hashes = {name: stat.sha256 if (stat := stats[f"{folder}/{name}"]) else None for name in names}
    manifest, damaged = None, False
    if found is not None:
        try:
            manifest = decode_manifest(found, device.address)
        except DeviceError as error:
            if error.code != "E_RELEASE_DAMAGED":
                raise
            damaged = True
    return OnDevice(
        current=active_version(current.decode("utf-8", "replace")) if current is not None else None,
        manifest=manifest,
        hashes=hashes,
        damaged=damaged,
    )


def _act(
    action: Action,
    payload: Payload,
    there: OnDevice,
    device: Device,
    profile: Profile | None,
    *,
    activate: bool,
    smoke: bool,
    sink: Sink,
) -> _Done:
    """Under the lease: bring the release there, try it where that is due, make it active where that is allowed."""
    if action in ("send", "repair"):
        done = _send(payload, device, profile, smoke=smoke, sink=sink)
    elif action == "check":
        done = _check_in_place(payload, there, device, profile, sink)
    else:
        done = _Done(there.manifest.smoke if there.manifest else "unchecked", 0, ())
    if not activate or action == "unchanged":
        return done
    if smoke and done.smoke != "passed":
        note = (
            "not activated: nothing on the device could run it (push with --no-smoke to activate it anyway)"
        )
        sink(Event("push", message=note, device=device.address, level="warning"))
        return replace(done, notes=(*done.notes, note))
    current = requests.write(device.layout.current(payload.name), f"{payload.version}\n".encode())
    device.agent.batch([requests.lease_renew(), current])
    return replace(done, activated=True)


def _check_in_place(
    payload: Payload, there: OnDevice, device: Device, profile: Profile | None, sink: Sink
) -> _Done:
    """The smoke run of a release that was put there without one; its manifest then says so."""
    assert there.manifest is not None
    folder = device.layout.release(payload.name, payload.version)
    tried = smoke_run(there.manifest, folder, device, profile, sink)
    manifest = msgspec.structs.replace(there.manifest, smoke=tried.state, smoke_reason=tried.reason or None)
    device.agent.write(f"{folder}/{MANIFEST}", manifest.encode())
    return _Done(tried.state, 0, (tried.reason,) if tried.reason else ())


def _send(payload: Payload, device: Device, profile: Profile | None, *, smoke: bool, sink: Sink) -> _Done:
    _make_room(payload, device)
    staging = device.layout.staging(payload.name, payload.version)
    try:
        _put(payload, staging, device, sink)
        tried = (
            smoke_run(payload.manifest, staging, device, profile, sink)
            if smoke
            else SmokeResult("unchecked", "--no-smoke")
        )
        manifest = msgspec.structs.replace(
            payload.manifest,
            smoke=tried.state,
            smoke_reason=tried.reason or None,
            pushed_at=utc_now(),
            edgekit_version=__version__,
        )
        _complete(payload, staging, manifest.encode(), device)
    except DeviceLost:
        raise  # what lies there is removed by the next push of this name
    except (DeviceError, VerificationError, InputError) as error:
        _discard(device, staging, error)
        raise
    return _Done(tried.state, payload.size_bytes, (tried.reason,) if tried.reason else ())


def _make_room(payload: Payload, device: Device) -> None:
    """One round trip: the name's folder, staging folders that cut-off pushes left there (the lease is ours, so
    they are nobody's), and the free space."""
    folder = device.layout.model(payload.name)
    _, entries, space = device.agent.batch(
        [requests.mkdir(folder), requests.list_dir(folder), requests.disk_space(folder)]
    )
    left_over = [e.name for e in entries if e.name.startswith(".") and e.name.endswith(TEMPORARY_SUFFIX)]
    if left_over:
        device.agent.batch([requests.remove(f"{folder}/{name}", recursive=True) for name in left_over])
        space = device.agent.disk_space(folder)
    needed = payload.size_bytes + SPARE_BYTES
    if space.read_only:
        raise DeviceReadOnly(
            f"{folder} is on a read-only file system",
            device=device.address,
            hint="remount it writable, or give another root in edgekit.yaml",
        )
    if space.available_bytes < needed:
        raise DeviceFull(
            f"{needed} bytes are needed on the device, {space.available_bytes} are free",
            device=device.address,
            hint="edgekit remove NAME@VERSION, or free space there",
        )


def _put(payload: Payload, staging: str, device: Device, sink: Sink) -> None:
    """All files, pipelined; each is checked by its hash on the device and fsynced there."""
    entries = payload.manifest.files
    folders = sorted({f"{staging}/{entry.file}".rpartition("/")[0] for entry in entries} | {staging})
    device.agent.batch([requests.mkdir(folder) for folder in folders])
    specs = [
        PutSpec(source=payload.sources[e.file], remote=f"{staging}/{e.file}", mode=0o644, sha256=e.sha256)
        for e in entries
    ]
    put_files(device, specs, f"push {payload.name}", sink)


def _complete(payload: Payload, staging: str, manifest: bytes, device: Device) -> None:
    """Make the staging folder the release, in one batch. Only a damaged release can be in its place (repair):
    that is moved aside first."""
    layout = device.layout
    final = layout.release(payload.name, payload.version)
    aside = f"{layout.model(payload.name)}/.{payload.version}.old{TEMPORARY_SUFFIX}"
    steps: list[Request[Any]] = [
        requests.lease_renew(),  # who lost the lease meanwhile stops here
        requests.write(f"{staging}/{MANIFEST}", manifest),
        requests.fsync(staging),
    ]
    if device.agent.stat(final) is not None:
        steps.append(requests.rename(final, aside))
    steps += [requests.rename(staging, final), requests.remove(aside, recursive=True)]
    device.agent.batch(steps)


def _discard(device: Device, staging: str, reason: Exception) -> None:
    """Take back what was put. A device that is lost meanwhile is cleaned by the next push."""
    try:
        device.agent.remove(staging, recursive=True)
    except DeviceError as error:
        reason.add_note(f"{staging} could not be removed: {error.message}")
