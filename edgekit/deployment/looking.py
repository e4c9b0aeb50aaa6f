"""What a device has of a release, and what else is there that a push can use. Each look is one round trip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from msgspec import structs

from edgekit.agent import requests
from edgekit.agent.failures import EISDIR
from edgekit.agent.requests import Request
from edgekit.deployment.release import (
    GOLDEN_INPUTS,
    GOLDEN_OUTPUTS,
    OnDevice,
    Payload,
    ReleaseManifest,
    decode_manifest,
)
from edgekit.devices import Device
from edgekit.devices.files import LOOK_SECONDS
from edgekit.devices.layout import Layout, active_version
from edgekit.errors import DeviceError, EdgekitError
from edgekit.names import TEMPORARY_SUFFIX

if TYPE_CHECKING:
    from edgekit.agent.answers import Content, DiskSpace, FileStat, GlobEntry

MANIFESTS_MAX_BYTES = 4 << 20
MANIFEST_MAX_BYTES = 256 << 10
MEMINFO = "/proc/meminfo"


@dataclass(frozen=True)
class Elsewhere:
    """A release on the device whose files a push may start from; `folder` is where they lie."""

    manifest: ReleaseManifest
    folder: str
    active: bool


@dataclass(frozen=True)
class Staged:
    """What the staging folder of this very content holds, and how much room there is. Read under the lease."""

    current: bytes | None
    manifest: bytes | None
    space: DiskSpace
    whole: dict[str, str]
    """Files that have their name already, with their hash as computed there."""
    parts: dict[str, int]
    """Bytes that are there of files that were cut off."""
    in_the_way: bool
    """A folder is called `current`."""
    others: tuple[str, ...]
    """Staging folders of this name that are not ours: nobody's, as the lease is ours."""


@dataclass(frozen=True)
class Seen:
    """The first look: this release, and others."""

    there: OnDevice
    raw_current: bytes | None
    raw_manifest: bytes | None
    elsewhere: tuple[Elsewhere, ...] = ()
    memory_bytes: int | None = None
    cut_off: bool = False
    """There is a journal: whoever was at work has not finished, or died so lately that its lease still runs."""


def look(device: Device, payload: Payload) -> Seen:
    """Every file of the release is hashed there. That the other manifests cannot be listed costs a patch, no more."""
    layout = device.layout
    mine = _release_requests(layout, payload)
    patterns = [f"{layout.models()}/*/*/manifest.json", f"{layout.models()}/*/current"]
    patterns.append(f"{layout.failed()}/*/*/manifest.json")
    others = requests.glob(patterns, max_bytes=MANIFEST_MAX_BYTES, max_total_bytes=MANIFESTS_MAX_BYTES)
    first, second = device.agent.pipelined([mine, [others]], timeout=LOOK_SECONDS)
    if isinstance(first, EdgekitError):
        raise first
    entries: Sequence[GlobEntry] = () if isinstance(second, EdgekitError) else second[0]
    contents, folder, *stats = first
    current, manifest, meminfo, cut_off = (_data(item) for item in contents)
    return Seen(
        there=_on_device(payload, current, manifest, folder is not None, stats, device.address),
        raw_current=current,
        raw_manifest=manifest,
        elsewhere=_intact(_elsewhere(layout, entries, device.address), payload, layout, stats),
        memory_bytes=available_memory(meminfo),
        cut_off=cut_off is not None,
    )


def _release_requests(layout: Layout, payload: Payload) -> list[Request[Any]]:
    folder = layout.release(payload.name, payload.version)
    paths = [layout.current(payload.name), layout.manifest(payload.name, payload.version), MEMINFO]
    paths.append(layout.journal())
    return [
        requests.read(paths, max_bytes=MANIFEST_MAX_BYTES),
        requests.stat(folder, follow=False),
        *(requests.stat(f"{folder}/{name}", sha256=True) for name in _names(payload)),
    ]


def _names(payload: Payload) -> list[str]:
    return sorted({entry.file for entry in payload.manifest.files} | {GOLDEN_INPUTS, GOLDEN_OUTPUTS})


def _data(item: Content) -> bytes | None:
    return None if item.errno else item.data


def _on_device(
    payload: Payload,
    current: bytes | None,
    found: bytes | None,
    folder_there: bool,
    stats: Sequence[FileStat | None],
    device: str,
) -> OnDevice:
    hashes = {name: stat.sha256 if stat else None for name, stat in zip(_names(payload), stats, strict=True)}
    manifest, damaged = None, folder_there and found is None
    if found is not None:
        try:
            manifest = decode_manifest(found, device)
        except DeviceError as error:
            if error.code != "E_RELEASE_DAMAGED":
                raise
            damaged = True
    if manifest is not None and _misstates(manifest, payload, hashes):
        manifest, damaged = None, True
    return OnDevice(
        current=active_version(current.decode("utf-8", "replace")) if current is not None else None,
        manifest=manifest,
        hashes=hashes,
        damaged=damaged,
    )


def _misstates(manifest: ReleaseManifest, payload: Payload, hashes: Mapping[str, str | None]) -> bool:
    """The bytes there are those that are pushed, and it says that they are others: then it is what is damaged."""
    wanted = payload.manifest
    if any(hashes.get(entry.file) != entry.sha256 for entry in wanted.files):
        return False
    said = (manifest.name, manifest.version, manifest.model, manifest.format, manifest.sha256)
    return said != (wanted.name, wanted.version, wanted.model, wanted.format, wanted.sha256)


def _elsewhere(layout: Layout, entries: Sequence[GlobEntry], device: str) -> tuple[Elsewhere, ...]:
    """Manifests that can be read; what they claim is checked where it is used: by the hash of what comes out."""
    current = {
        entry.path.rpartition("/")[0]: active_version(entry.data.decode("utf-8", "replace"))
        for entry in entries
        if entry.path.endswith("/current") and not entry.errno
    }
    found = []
    for entry in entries:
        folder, _, name = entry.path.rpartition("/")
        if name != "manifest.json" or entry.errno or entry.truncated:
            continue
        try:
            manifest = decode_manifest(entry.data, device)
        except DeviceError:
            continue
        parent, _, version = folder.rpartition("/")
        found.append(Elsewhere(manifest, folder, current.get(parent) == version))
    return tuple(found)


def _intact(
    found: tuple[Elsewhere, ...], payload: Payload, layout: Layout, stats: Sequence[FileStat | None]
) -> tuple[Elsewhere, ...]:
    """The release itself, where it is there but damaged, offers only those of its files that were just found whole."""
    own = layout.release(payload.name, payload.version)
    hashes = {name: stat.sha256 for name, stat in zip(_names(payload), stats, strict=True) if stat}
    return tuple(
        replace(
            each,
            manifest=structs.replace(
                each.manifest,
                files=tuple(e for e in each.manifest.files if hashes.get(e.file) == e.sha256),
            ),
        )
        if each.folder == own
        else each
        for each in found
    )


def available_memory(meminfo: bytes | None) -> int | None:
    """MemAvailable of /proc/meminfo in bytes; None where it does not say (before Linux 3.14)."""
    for line in (meminfo or b"").splitlines():
        key, _, value = line.partition(b":")
        words = value.split()
        if key == b"MemAvailable" and len(words) == 2 and words[0].isdigit() and words[1] == b"kB":
            return int(words[0]) << 10
    return None


def staged_requests(layout: Layout, payload: Payload) -> list[Request[Any]]:
    """The second look, asked together with the lease."""
    staging = layout.staging(payload.name, payload.version, payload.content)
    model = layout.model(payload.name)
    files = [entry.file for entry in payload.manifest.files]
    return [
        requests.read([layout.current(payload.name), layout.manifest(payload.name, payload.version)]),
        requests.disk_space(layout.root),
        requests.glob([f"{model}/.*{TEMPORARY_SUFFIX}"], max_bytes=0),
        *(requests.stat(f"{staging}/{file}", sha256=True) for file in files),
        *(requests.stat(f"{staging}/{part_of(file)}", follow=False) for file in files),
    ]


def part_of(file: str) -> str:
    """Under which name the agent gathers a file, relative to the same folder."""
    folder, slash, name = file.rpartition("/")
    return f"{folder}{slash}.{name}{TEMPORARY_SUFFIX}"


def read_staged(layout: Layout, payload: Payload, answers: Sequence[Any]) -> Staged:
    """The answers to `staged_requests`."""
    contents, space, entries, *stats = answers
    files = [entry.file for entry in payload.manifest.files]
    whole, parts = stats[: len(files)], stats[len(files) :]
    own = layout.staging(payload.name, payload.version, payload.content)
    current, manifest = (_data(item) for item in contents)
    return Staged(
        current=current,
        manifest=manifest,
        space=space,
        whole={f: s.sha256 for f, s in zip(files, whole, strict=True) if s is not None and s.sha256},
        parts={f: s.size_bytes for f, s in zip(files, parts, strict=True) if s is not None and s.is_file},
        in_the_way=contents[0].errno == EISDIR,
        others=tuple(entry.path for entry in entries if entry.path != own),
    )
