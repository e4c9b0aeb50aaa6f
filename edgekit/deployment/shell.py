"""Push where no agent can run: by the device's plain shell, as safely, and without what only an agent can.

The layout on the device, the lease and the rules are the agents' own; the sha256 of every file is computed there before
anything gets a name that is read. What is missing: no smoke run (so nothing is activated but with --no-smoke), no patch
or compression, and a push that was cut off begins anew.
"""

from __future__ import annotations

import posixpath
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from edgekit._version import __version__
from edgekit.clock import utc_now
from edgekit.deployment.fits import check_fits, weights_bytes
from edgekit.deployment.listing import Folder, ReleaseInfo, rows_of
from edgekit.deployment.listing import Found as Listed
from edgekit.deployment.outcome import PushedFile, PushResult
from edgekit.deployment.payload import check_size, payload_of
from edgekit.deployment.release import (
    GOLDEN_INPUTS,
    GOLDEN_OUTPUTS,
    Action,
    OnDevice,
    Payload,
    Smoke,
    decide,
    decode_manifest,
)
from edgekit.deployment.shell_device import Found, ShellDevice
from edgekit.deployment.shell_lease import shell_lease
from edgekit.deployment.shell_script import Section
from edgekit.devices import journal
from edgekit.devices.layout import LAYOUT_VERSION, Layout, active_version, is_layout
from edgekit.errors import (
    DeviceError,
    DeviceFull,
    DeviceLost,
    EdgekitError,
    VerificationError,
)
from edgekit.events import Event, Sink, ignore
from edgekit.models import Artifact, ModelInfo
from edgekit.names import checked_name, is_name

if TYPE_CHECKING:
    from edgekit.profiles import Profile
    from edgekit.transports.base import Progress, Transport

SPARE_BYTES = 4 << 20
"""Left free on the device beyond what is sent: file systems need room to breathe."""

_NO_AGENT = frozenset(
    {
        "E_ABI",  # no agent for this kind of machine, or it does not say what it is
        "E_NATIVE_MISSING",  # this edgekit was built without one for it
        "E_AGENT_NOEXEC",  # mounted noexec, or the system's policy
        "E_AGENT_START",  # it is there, and does not run
        "E_ADB_TOO_OLD",  # commands and files, but no stream
    }
)
_NOT_TRIED = (
    "not activated: without an agent nothing there can be tried (push with --no-smoke to activate it anyway)"
)


@dataclass(frozen=True)
class _Wish:
    payload: Payload
    activate: bool
    smoke: bool
    why: str


@dataclass(frozen=True)
class _Done:
    smoke: Smoke
    notes: tuple[str, ...] = ()
    sent: bool = False
    activated: bool = False
    transfer_seconds: float = 0.0


def no_agent_possible(error: EdgekitError) -> bool:
    """Whether this error of `connect_agent` says that no agent can run there; any other (lost, refused, full, not
    writable, a busy device) stands in the way of a shell's push as well."""
    return error.code in _NO_AGENT


def push_by_shell(
    model: Artifact | ModelInfo,
    transport: Transport,
    *,
    root: str | None,
    profile: Profile | None,
    name: str | None,
    version: str | None,
    activate: bool,
    smoke: bool,
    lease_wait_seconds: float,
    sink: Sink = ignore,
    why: str,
    named: str | None = None,
) -> PushResult:
    """Make the device hold this model as a release, active where wanted and `smoke` is False.

    `root`: edgekit's folder there (None: the transport's); `why`: why there is no agent, for the notes; `named`: the
    device as the caller named it. Raises what `push_payload` raises, and DeviceError E_SHELL_TOOLS where the device's
    shell lacks what a checked push needs.
    """
    started = time.monotonic()
    wish = _Wish(payload_of(model, name, version), activate, smoke, why)
    payload = wish.payload
    check_size(payload, profile, transport.address)
    check_fits(weights_bytes(payload.manifest), profile, transport.address, None)
    device = ShellDevice.open(transport, root, make=True)
    found = _look(device, payload)
    _refuse_foreign(found, device)
    there = _on_device(found, device.address)
    action = decide(payload, there, activate=activate, smoke=smoke)
    if action == "unchanged" and there.manifest is not None and found.journal is None:
        done = _Done(there.manifest.smoke)
    else:
        done, there = _under_lease(wish, device, lease_wait_seconds, sink)
    return PushResult(
        device=device.address,
        name=payload.name,
        version=payload.version,
        sha256=payload.manifest.sha256,
        method="shell" if done.sent else "unchanged",
        bytes_total=payload.size_bytes,
        bytes_sent=payload.size_bytes if done.sent else 0,
        round_trips=device.round_trips,
        seconds=time.monotonic() - started,
        smoke=done.smoke,
        activated=done.activated or there.current == payload.version,
        previous=there.current,
        notes=(f"by plain shell: {why}", *done.notes),
        files=_files(payload) if done.sent else (),
        transfer_seconds=done.transfer_seconds,
        named=named,
    )


def releases_by_shell(
    transport: Transport, *, root: str | None, name: str | None = None
) -> list[ReleaseInfo]:
    """What `releases` tells, read by the device's shell; nothing is changed there."""
    if name is not None:
        checked_name(name, "release name")
    device = ShellDevice.open(transport, root, make=False)
    return rows_of(listed(device.manifests(name), device.layout), device.address)


def _files(payload: Payload) -> tuple[PushedFile, ...]:
    return tuple(
        PushedFile(
            file=entry.file,
            encoding="raw",
            size_bytes=entry.size_bytes,
            wire_bytes=entry.size_bytes,
            why="no agent",
        )
        for entry in payload.manifest.files
    )


def _look(device: ShellDevice, payload: Payload) -> Found:
    names = sorted({entry.file for entry in payload.manifest.files} | {GOLDEN_INPUTS, GOLDEN_OUTPUTS})
    return device.look(payload.name, payload.version, names, payload.size_bytes)


def _refuse_foreign(found: Found, device: ShellDevice) -> None:
    """Before anything is changed there, as with an agent. Raises DeviceError E_NOT_OURS, E_LAYOUT."""
    root, hint = device.root, "give another root for this device in edgekit.yaml"
    if found.layout is None:
        if found.kept:
            holds = ", ".join(f"{root}/{kept}" for kept in found.kept)
            raise DeviceError(
                f"the folder {root} on the device is not edgekit's, and holds {holds}",
                code="E_NOT_OURS",
                device=device.address,
                hint=hint,
            )
        return
    if not is_layout(found.layout):
        raise DeviceError(
            f"the folder {root} on the device is not edgekit's: its file `layout` holds {found.layout[:20]!r}",
            code="E_LAYOUT",
            device=device.address,
            hint=hint,
        )
    if int(found.layout) != LAYOUT_VERSION:
        raise DeviceError(
            f"the device has layout {int(found.layout)}; this edgekit knows {LAYOUT_VERSION}",
            code="E_LAYOUT",
            device=device.address,
            hint="use a newer edgekit",
        )


def _on_device(found: Found, device: str) -> OnDevice:
    manifest, damaged = None, False
    if found.manifest is not None:
        try:
            manifest = decode_manifest(found.manifest, device)
        except DeviceError as error:
            if error.code != "E_RELEASE_DAMAGED":
                raise
            damaged = True
    return OnDevice(active_version(found.current), manifest, found.sums, damaged)


def _under_lease(
    wish: _Wish, device: ShellDevice, lease_wait_seconds: float, sink: Sink
) -> tuple[_Done, OnDevice]:
    payload = wish.payload
    with shell_lease(device, f"push {payload.name}", wait_seconds=lease_wait_seconds, sink=sink) as token:
        found = _look(device, payload)  # another host may have been quicker
        if found.journal is not None:
            device.recover(journal.decode(found.journal), token)
            found = _look(device, payload)
        there = _on_device(found, device.address)
        action = decide(payload, there, activate=wish.activate, smoke=wish.smoke)
        return _act(action, wish, there, device, token, sink), there


def _act(action: Action, wish: _Wish, there: OnDevice, device: ShellDevice, token: str, sink: Sink) -> _Done:
    if action in ("send", "repair"):
        done = _send(wish, device, token, sink)
    else:
        done = _Done(there.manifest.smoke if there.manifest is not None else "unchecked")
    payload = wish.payload
    if not wish.activate or there.current == payload.version:
        return done
    if wish.smoke and done.smoke != "passed":
        sink(Event("push", message=_NOT_TRIED, device=device.address, level="warning"))
        return replace(done, notes=(*done.notes, _NOT_TRIED))
    device.activate(payload.name, payload.version, token)
    return replace(done, activated=True)


def _send(wish: _Wish, device: ShellDevice, token: str, sink: Sink) -> _Done:
    payload = wish.payload
    began = time.monotonic()
    # A name of its own: what a connection that was cut off still writes can never land in this one.
    staging = device.layout.staging(payload.name, payload.version, secrets.token_hex(6))
    try:
        _put(payload, staging, device, token, sink)
        manifest = msgspec.structs.replace(
            payload.manifest,
            smoke="unchecked",
            smoke_reason=f"pushed by plain shell: {wish.why}",
            pushed_at=utc_now(),
            edgekit_version=__version__,
        )
        device.complete(payload.name, payload.version, staging, manifest.encode(), token, payload.size_bytes)
    except DeviceLost:
        raise  # what lies there is removed by the next push of this name
    except EdgekitError as error:
        _discard(device, staging, error)
        raise
    return _Done("unchecked", sent=True, transfer_seconds=time.monotonic() - began)


def _put(payload: Payload, staging: str, device: ShellDevice, token: str, sink: Sink) -> None:
    """All files, each checked there by its hash. Raises DeviceFull, VerificationError E_TRANSFER_HASH."""
    entries = payload.manifest.files
    folders = sorted({posixpath.dirname(entry.file) for entry in entries} - {""})
    free_bytes = device.make_room(payload.name, staging, folders, token)
    needed = payload.size_bytes + SPARE_BYTES
    if free_bytes is not None and free_bytes < needed:
        raise DeviceFull(
            f"{needed} bytes are needed on the device, {free_bytes} are free",
            device=device.address,
            hint="edgekit remove NAME@VERSION, or free space there",
        )
    before = 0
    for entry in entries:
        progress = _progress(payload, before, device.address, sink)
        device.put(payload.sources[entry.file], f"{staging}/{entry.file}", entry.size_bytes, progress)
        before += entry.size_bytes
    sums = device.sums(staging, [entry.file for entry in entries], payload.size_bytes)
    wrong = [entry.file for entry in entries if sums[entry.file] != entry.sha256]
    if wrong:
        raise VerificationError(
            f"{', '.join(wrong)}: what arrived has another sha256 than the source",
            code="E_TRANSFER_HASH",
            device=device.address,
            hint="try again; if it happens again the device's storage or memory is damaged",
            transient=True,
        )


def _progress(payload: Payload, before: int, device: str, sink: Sink) -> Progress:
    def tell(done: int, _: int) -> None:
        sink(Event(f"push {payload.name}", "", before + done, payload.size_bytes, "bytes", device))

    return tell


def _discard(device: ShellDevice, staging: str, reason: Exception) -> None:
    """Take back what was put. A device that is lost meanwhile is cleaned by the next push."""
    try:
        device.discard(staging)
    except EdgekitError as error:
        reason.add_note(f"{staging} could not be removed: {error.message}")


def listed(sections: Sequence[Section], layout: Layout) -> Listed:
    """What LIST printed, as an agent's look has it. Pure; names that edgekit would not give are passed over."""
    current: dict[str, bytes] = {}
    folders: list[Folder] = []
    place, name, version = "", "", ""
    for key, value, body in ((section.key, section.value, section.body) for section in sections):
        if key in ("models", "failed"):
            place, name, version = key, value if is_name(value) else "", ""
        elif key == "current" and place == "models" and name:
            current[name] = value.encode()
        elif key == "version":
            version = value if is_name(value) else ""
            if name and version:
                path = f"{layout.root}/{place}/{name}/{version}"
                folders.append(Folder(name, version, path, place == "failed", mtime_ns=0))
        elif key == "manifest" and name and version:
            folders[-1] = replace(folders[-1], manifest=body)
        elif key == "failure" and name and version:
            folders[-1] = replace(folders[-1], failure=body)
    return Listed(current, tuple(folders))
