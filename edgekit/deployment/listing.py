"""What releases a device has: the complete ones, those that did not pass, and which one is active. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from edgekit.agent import requests
from edgekit.agent.failures import E2BIG, ENOENT, RemoteFileError
from edgekit.agent.requests import Request
from edgekit.deployment.failure import FAILURE, decode_failure
from edgekit.deployment.release import MANIFEST, ReleaseManifest, decode_manifest
from edgekit.devices import Device
from edgekit.devices.files import LOOK_SECONDS, stat_many
from edgekit.devices.layout import Layout, active_version
from edgekit.errors import DeviceError, EdgekitError, InputError, VerificationError
from edgekit.names import checked_name, is_name

if TYPE_CHECKING:
    from edgekit.agent.answers import GlobEntry

MANIFEST_BYTES = 1 << 20
"""A manifest of a model of thousands of files; what is longer is none."""
ALL_BYTES = 8 << 20
"""Of one answer, which is one frame."""
READ_AT_ONCE = 8
VERSIONS_AT_ONCE = 500

State = Literal["active", "complete", "damaged", "failed"]
"""damaged: its manifest cannot be read. failed: it did not pass, and is kept aside."""


class ReleaseInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `edgekit releases`. A release whose manifest cannot be read has only its names. `failure`: why it
    did not pass, or why its manifest cannot be read."""

    name: str
    version: str
    active: bool
    state: State
    sha256: str | None = None
    size_bytes: int | None = None
    recipe: str | None = None
    smoke: str | None = None
    pushed_at: str | None = None
    failure: str | None = None


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A complete release on a device: its manifest as it lies there, and its folder. `source`: the model file or artifact on
    this host that it was put there from, where the caller had one."""

    manifest: ReleaseManifest
    folder: str
    active: bool
    source: str | None = None


@dataclass(frozen=True)
class Folder:
    """One release's folder, as it was found. `mtime_ns`: the device's clock; `manifest`, `failure`: the files' bytes,
    None where they are missing or unreadable."""

    name: str
    version: str
    path: str
    failed: bool
    mtime_ns: int
    manifest: bytes | None = None
    failure: bytes | None = None


@dataclass(frozen=True)
class Found:
    """What lies in models/ and failed/. `current`: what that file of each name holds."""

    current: Mapping[str, bytes]
    folders: tuple[Folder, ...]
    blocked: frozenset[str] = frozenset()
    """Names in whose place for `current` there is a folder."""

    def active(self, name: str) -> str | None:
        """The version that `current` names, whether it is there or not."""
        return active_version(self.current.get(name, b"").decode("utf-8", "replace"))

    def manifest_of(self, name: str, version: str) -> bytes | None:
        same = (f for f in self.folders if (f.name, f.version, f.failed) == (name, version, False))
        return next((folder.manifest for folder in same), None)


def look_for(layout: Layout, name: str | None, versions: Sequence[str] = ("*",)) -> list[Request[Any]]:
    """What to ask for `found_in`: the folders, the small files that say what they are. One round trip."""
    each = name if name is not None else "*"
    models, failed = f"{layout.models()}/{each}", f"{layout.failed()}/{each}"
    return [
        requests.glob([f"{place}/{version}" for place in (models, failed) for version in versions]),
        requests.glob([f"{models}/current"], max_bytes=1024, max_total_bytes=ALL_BYTES // 2),
        requests.glob(
            [
                f"{place}/{version}/{file}"
                for place, file in ((models, MANIFEST), (failed, MANIFEST), (failed, FAILURE))
                for version in versions
            ],
            max_bytes=MANIFEST_BYTES,
            max_total_bytes=ALL_BYTES,
        ),
    ]


def found_in(layout: Layout, answers: Sequence[Any]) -> tuple[Found, list[str]]:
    """What the answers say, and the files that were cut short as there were too many. Pure. Names that edgekit would
    not give are somebody else's, and passed over; links are not followed."""
    folders, currents, files = answers
    found: dict[tuple[str, ...], Folder] = {}
    for entry in folders:
        place, name, version = parts_of(layout, entry)
        if entry.is_dir and is_name(name) and is_name(version):
            found[place, name, version] = Folder(name, version, entry.path, place == "failed", entry.mtime_ns)
    left_out = []
    for entry in files:
        parts = parts_of(layout, entry)
        if parts[:3] not in found or not entry.is_file or entry.errno:
            continue
        if not entry.truncated:
            found[parts[:3]] = _with_file(found[parts[:3]], parts[3], entry.data)
        elif entry.size_bytes <= MANIFEST_BYTES:
            left_out.append(entry.path)
    current = {
        parts_of(layout, entry)[1]: entry.data for entry in currents if entry.is_file and not entry.errno
    }
    blocked = frozenset(parts_of(layout, entry)[1] for entry in currents if entry.is_dir)
    return Found(current, tuple(found.values()), blocked), left_out


def parts_of(layout: Layout, entry: GlobEntry) -> tuple[str, ...]:
    """Its path below the root."""
    return tuple(entry.path.removeprefix(layout.root).strip("/").split("/"))


def _with_file(folder: Folder, file: str, data: bytes) -> Folder:
    return replace(folder, failure=data) if file == FAILURE else replace(folder, manifest=data)


def look(device: Device, name: str | None = None) -> Found:
    """One round trip; a few more where the answers would not fit one frame each."""
    try:
        answers = device.agent.batch(look_for(device.layout, name), timeout=LOOK_SECONDS)
    except RemoteFileError as error:
        if error.errno != E2BIG:
            raise
        return look_piecemeal(device, name)
    return complete(device, *found_in(device.layout, answers))


@contextmanager
def looked(device: Device, purpose: str, name: str, wait_seconds: float) -> Iterator[Found]:
    """Hold the lease, and what was found once it was held: asked in the same round trip. Thousands of releases do not
    fit that; then they are asked for afterwards."""
    with ExitStack() as stack:
        try:
            answers = stack.enter_context(
                device.leased(purpose, wait_seconds, look=look_for(device.layout, name))
            )
        except RemoteFileError as error:
            if error.errno != E2BIG:
                raise
            stack.enter_context(device.leased(purpose, wait_seconds))
            found = look_piecemeal(device, name)
        else:
            found = complete(device, *found_in(device.layout, answers))
        yield found


def look_piecemeal(device: Device, name: str | None) -> Found:
    """What `look` finds, where it is too much for one answer."""
    return _name_by_name(device) if name is None else _some_by_some(device, name)


def complete(device: Device, found: Found, left_out: Sequence[str]) -> Found:
    """Read what an answer had no room for."""
    texts: dict[str, bytes] = {}
    for start in range(0, len(left_out), READ_AT_ONCE):
        some = device.agent.read(left_out[start : start + READ_AT_ONCE], max_bytes=MANIFEST_BYTES)
        texts |= {item.path: item.data for item in some if not item.errno and not item.truncated}
    if not texts:
        return found
    folders = []
    for folder in found.folders:
        for file in (MANIFEST, FAILURE):
            if (data := texts.get(f"{folder.path}/{file}")) is not None:
                folder = _with_file(folder, file, data)
        folders.append(folder)
    return replace(found, folders=tuple(folders))


def _name_by_name(device: Device) -> Found:
    folders = (device.layout.models(), device.layout.failed())
    entries = device.agent.call(requests.glob([f"{folder}/*" for folder in folders]))
    names = {parts[1] for e in entries if e.is_dir and is_name((parts := parts_of(device.layout, e))[1])}
    return _together([look(device, name) for name in sorted(names)])


def _some_by_some(device: Device, name: str) -> Found:
    """Of one name: its versions by a plain list, which holds many more, then the files of some at once."""
    layout = device.layout
    folders = (layout.model(name), f"{layout.failed()}/{name}")
    versions: set[str] = set()
    for entries in device.agent.pipelined([[requests.list_dir(folder)] for folder in folders]):
        if isinstance(entries, RemoteFileError) and entries.errno == ENOENT:
            continue
        if isinstance(entries, EdgekitError):
            raise entries
        versions |= {entry.name for entry in entries[0] if entry.is_dir and is_name(entry.name)}
    ordered = sorted(versions)
    pieces = [ordered[start : start + VERSIONS_AT_ONCE] for start in range(0, len(ordered), VERSIONS_AT_ONCE)]
    found = []
    for piece in pieces:
        answers = device.agent.batch(look_for(layout, name, piece), timeout=LOOK_SECONDS)
        found.append(complete(device, *found_in(layout, answers)))
    return _together(found)


def _together(each: Sequence[Found]) -> Found:
    return Found(
        {name: text for found in each for name, text in found.current.items()},
        tuple(folder for found in each for folder in found.folders),
        frozenset(name for found in each for name in found.blocked),
    )


def releases(device: Device, name: str | None = None) -> list[ReleaseInfo]:
    """All releases, or those of one name, the failed ones that are kept aside included; sorted by name, then by when
    they were pushed."""
    if name is not None:
        checked_name(name, "release name")
    return rows_of(look(device, name), device.address)


def rows_of(found: Found, device: str) -> list[ReleaseInfo]:
    rows = [_row(folder, folder.version == found.active(folder.name), device) for folder in found.folders]
    return sorted(rows, key=lambda row: (row.name, row.pushed_at or "", row.version, row.state == "failed"))


def _row(folder: Folder, current: bool, device: str) -> ReleaseInfo:
    active = current and not folder.failed
    state: State = "active" if active else "complete"
    failure = decode_failure(folder.failure) if folder.failure is not None else None
    reason = failure.message if failure is not None else None
    try:
        manifest = decode_manifest(folder.manifest or b"", device)
    except DeviceError as error:
        state = "failed" if folder.failed else "damaged"
        reason = reason or error.message
        return ReleaseInfo(
            name=folder.name, version=folder.version, active=active, state=state, failure=reason
        )
    return ReleaseInfo(
        name=folder.name,
        version=folder.version,
        active=active,
        state="failed" if folder.failed else state,
        sha256=manifest.sha256,
        size_bytes=sum(entry.size_bytes for entry in manifest.files),
        recipe=manifest.recipe,
        smoke=manifest.smoke,
        pushed_at=manifest.pushed_at,
        failure=reason if folder.failed else None,
    )


def release_on_device(device: Device, name: str, version: str | None) -> Release:
    """One release, its bytes checked there against the manifest. Two round trips.

    `version` None is the active one. Raises InputError E_NO_RELEASE, DeviceError E_RELEASE_DAMAGED,
    VerificationError E_HASH.
    """
    if version is not None:
        checked_name(version, "version")
    checked_name(name, "release name")
    return checked_release(device, look(device, name), name, version)


def checked_release(device: Device, found: Found, name: str, version: str | None) -> Release:
    """The same for what was read already. One round trip."""
    current = found.active(name)
    wanted = version if version is not None else current
    if wanted is None:
        if name not in found.current:
            raise no_release(device, name, None)
        raise DeviceError(
            f"{device.layout.current(name)} on the device names no version: {found.current[name][:40]!r}",
            code="E_RELEASE_DAMAGED",
            device=device.address,
            hint=f"push the model again, or pick a version: edgekit rollback {name} --to VERSION",
        )
    text = found.manifest_of(name, wanted)
    if text is None:
        raise no_release(device, name, wanted)
    manifest = decode_manifest(text, device.address)
    folder = device.layout.release(name, wanted)
    check_hashes(device, manifest, folder)
    return Release(manifest=manifest, folder=folder, active=wanted == current)


def check_hashes(device: Device, manifest: ReleaseManifest, folder: str) -> None:
    """Hash every file of a release there, now. Raises VerificationError E_HASH."""
    paths = {f"{folder}/{entry.file}": entry for entry in manifest.files}
    there = stat_many(device.agent, list(paths), sha256=True)
    for path, entry in paths.items():
        stat = there[path]
        if stat is None or stat.sha256 != entry.sha256:
            raise VerificationError(
                f"{entry.file} of {manifest.name}@{manifest.version} on the device is "
                f"{'missing' if stat is None else 'damaged'}",
                code="E_HASH",
                device=device.address,
                hint="push it again: that repairs it",
            )


def no_release(device: Device, name: str, version: str | None) -> InputError:
    """The error that says what there is instead."""
    rows = releases(device)
    what = f"{name}@{version}" if version else f"active release of {name}"
    aside = [row for row in rows if (row.name, row.version, row.state) == (name, version, "failed")]
    why = f": it failed there, and is kept aside ({printable(aside[0].failure)})" if aside else ""
    return InputError(
        f"there is no {what} on the device{why}",
        code="E_NO_RELEASE",
        device=device.address,
        hint=f"there are: {names}" if (names := _names(rows)) else _no_releases(device.address),
    )


def _no_releases(address: str) -> str:
    hint = "there is none at all: edgekit push MODEL puts one there, and bench takes a model's file too"
    if address.startswith("sim:") and "state=" not in address:
        hint += "; a simulated device without state=FOLDER forgets its releases with each command"
    return hint


def printable(text: str | None) -> str:
    """What a device says, as it may stand in a message: one line, no control characters."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in (text or "unknown")[:500])


def _names(rows: Iterable[ReleaseInfo]) -> str:
    return ", ".join(f"{row.name}@{row.version}" for row in rows if row.state != "failed")
