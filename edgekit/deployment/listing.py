"""What releases a device has, and changing which one is active: no transfer."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from edgekit.agent import requests
from edgekit.deployment.release import MANIFEST, ReleaseManifest, decode_manifest
from edgekit.devices import Device
from edgekit.devices.files import stat_many
from edgekit.devices.layout import active_version, checked_name, is_name
from edgekit.errors import DeviceError, InputError, VerificationError

LEASE_WAIT_SECONDS = 60.0


class ReleaseInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `edgekit releases`. A release whose manifest cannot be read has only its names."""

    name: str
    version: str
    active: bool
    sha256: str | None = None
    size_bytes: int | None = None
    recipe: str | None = None
    smoke: str | None = None
    pushed_at: str | None = None


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A complete release on a device: its manifest as it lies there, and its folder."""

    manifest: ReleaseManifest
    folder: str
    active: bool


class Switched(msgspec.Struct, frozen=True, kw_only=True):
    """What `edgekit rollback --json` prints."""

    device: str
    name: str
    version: str
    previous: str | None


def releases(device: Device, name: str | None = None) -> list[ReleaseInfo]:
    """All releases, or those of one name; sorted by name, then by when they were pushed."""
    names = (
        [checked_name(name, "release name")] if name is not None else _folders(device, device.layout.models())
    )
    found: list[ReleaseInfo] = []
    for each in names:
        found += _of_name(device, each)
    return found


def _folders(device: Device, path: str) -> list[str]:
    """Names of the folders in there that can be a release's, or its version's; none where there is no such folder."""
    if device.agent.stat(path) is None:
        return []
    entries = device.agent.list_dir(path)
    return sorted(e.name for e in entries if e.is_dir and is_name(e.name))


def _of_name(device: Device, name: str) -> list[ReleaseInfo]:
    versions = _folders(device, device.layout.model(name))
    current_path = device.layout.current(name)
    paths = {version: device.layout.manifest(name, version) for version in versions}
    texts = device.read_texts([current_path, *paths.values()])
    current = active_version(texts[current_path])
    rows = [_row(device, name, version, version == current, texts[path]) for version, path in paths.items()]
    return sorted(rows, key=lambda row: (row.pushed_at or "", row.version))


def _row(device: Device, name: str, version: str, active: bool, text: str | None) -> ReleaseInfo:
    try:
        manifest = decode_manifest((text or "").encode(), device.address)
    except DeviceError:
        return ReleaseInfo(name=name, version=version, active=active)
    return ReleaseInfo(
        name=name,
        version=version,
        active=active,
        sha256=manifest.model.sha256,
        size_bytes=sum(entry.size_bytes for entry in manifest.files),
        recipe=manifest.recipe,
        smoke=manifest.smoke,
        pushed_at=manifest.pushed_at,
    )


def release_on_device(device: Device, name: str, version: str | None) -> Release:
    """One release, its model's bytes checked there against the manifest.

    `version` None is the active one. Raises InputError E_NO_RELEASE, DeviceError E_RELEASE_DAMAGED,
    VerificationError E_HASH.
    """
    current_path = device.layout.current(name)
    text = device.read_texts([current_path])[current_path]
    current = active_version(text)
    wanted = checked_name(version, "version") if version is not None else current
    if wanted is None:
        if text is None:
            raise _no_release(device, name, None)
        raise DeviceError(
            f"{current_path} on the device names no version: {text[:40]!r}",
            code="E_RELEASE_DAMAGED",
            device=device.address,
            hint=f"push the model again, or pick a version: edgekit rollback {name} --to VERSION",
        )
    folder = device.layout.release(name, wanted)
    manifest_path = f"{folder}/{MANIFEST}"
    text = device.read_texts([manifest_path])[manifest_path]
    if text is None:
        raise _no_release(device, name, wanted)
    manifest = decode_manifest(text.encode(), device.address)
    paths = {f"{folder}/{entry.file}": entry for entry in manifest.files}
    there = stat_many(device.agent, list(paths), sha256=True)
    for path, entry in paths.items():
        stat = there[path]
        if stat is None or stat.sha256 != entry.sha256:
            raise VerificationError(
                f"{entry.file} of {name}@{wanted} on the device is {'missing' if stat is None else 'damaged'}",
                code="E_HASH",
                device=device.address,
                hint="push it again: that repairs it",
            )
    return Release(manifest=manifest, folder=folder, active=wanted == current)


def _no_release(device: Device, name: str, version: str | None) -> InputError:
    there = ", ".join(f"{row.name}@{row.version}" for row in releases(device)) or "none"
    what = f"{name}@{version}" if version else f"active release of {name}"
    return InputError(
        f"there is no {what} on the device",
        code="E_NO_RELEASE",
        device=device.address,
        hint=f"there are: {there}",
    )


def rollback(device: Device, name: str, to: str | None = None) -> Switched:
    """Make `to` active, or the release pushed last before the active one. Its bytes are checked there first.

    Only one whose smoke run passed is made active again. Raises InputError E_NO_RELEASE, VerificationError
    E_UNCHECKED, E_HASH.
    """
    checked_name(name, "release name")
    with device.leased(f"rollback {name}", LEASE_WAIT_SECONDS):
        rows = releases(device, name)
        active = next((row.version for row in rows if row.active), None)
        wanted = to if to is not None else _before(device, name, rows, active)
        release = release_on_device(device, name, wanted)
        if release.manifest.smoke != "passed" and wanted != active:
            raise VerificationError(
                f"{name}@{wanted} never ran on this device",
                code="E_UNCHECKED",
                device=device.address,
                hint="push its model: that tries it; or activate it untried: edgekit push --no-smoke",
            )
        current = requests.write(device.layout.current(name), f"{wanted}\n".encode())
        device.agent.batch([requests.lease_renew(), current])
    return Switched(device=device.address, name=name, version=wanted, previous=active)


def _before(device: Device, name: str, rows: list[ReleaseInfo], active: str | None) -> str:
    """The one pushed last before the active one; one that is damaged, or was never tried, is passed over."""
    whole = [row for row in rows if row.sha256 is not None]
    at = next((i for i, row in enumerate(whole) if row.version == active), len(whole))
    usable = [row.version for row in whole[:at] if row.smoke == "passed"]
    if not usable:
        raise InputError(
            f"there is no release of {name} before {active or 'now'} that ran on this device",
            code="E_NO_RELEASE",
            device=device.address,
            hint="edgekit releases shows what there is; --to VERSION picks one",
        )
    return usable[-1]


def remove(device: Device, name: str, version: str | None = None, *, force: bool = False) -> dict[str, Any]:
    """Delete one version, or all of `name`. The active one only with `force`, or with all of the name.

    Raises InputError E_NO_RELEASE, E_RELEASE_ACTIVE.
    """
    checked_name(name, "release name")
    with device.leased(f"remove {name}", LEASE_WAIT_SECONDS):
        rows = releases(device, name)
        chosen = [row for row in rows if version is None or row.version == version]
        if not chosen:
            raise _no_release(device, name, version)
        if version is not None and chosen[0].active and not force:
            raise InputError(
                f"{name}@{version} is the active version",
                code="E_RELEASE_ACTIVE",
                device=device.address,
                hint="roll back first, or --force",
            )
        if version is None:
            # `current` first: whatever cuts this off, it never names half a release
            folder = device.layout.model(name)
            device.agent.batch(
                [requests.remove(device.layout.current(name)), requests.remove(folder, recursive=True)]
            )
        else:
            if chosen[0].active:
                device.agent.remove(device.layout.current(name))
            device.agent.remove(device.layout.release(name, version), recursive=True)
    return {"device": device.address, "removed": [f"{row.name}@{row.version}" for row in chosen]}


OWN_UNDER_LEASE = ("run", "runtimes", "models", "jobs", "layout", "knobs.journal")
OWN_AFTER_LEASE = ("lease", "lease.lock", "knobs.lock")
"""All that edgekit keeps below its root, but for the agent; anything else there is not edgekit's, and stays."""
_AGENT_FILE = re.compile(r"[0-9a-f]{64}|\.[0-9a-f]+\.[0-9a-f]+\.ek-tmp")


def own_root(root: str, device: str) -> str:
    """`root`, unless it is `/`: DeviceError E_NOT_OURS, as `run` there is the system's."""
    if root.strip("/"):
        return root
    raise DeviceError(
        "edgekit's folder on this device is /, which is not its to empty",
        code="E_NOT_OURS",
        device=device,
        hint="remove the releases one by one: edgekit remove NAME",
    )


def uninstall(device: Device) -> dict[str, Any]:
    """Remove all that edgekit put on the device, the agent that does it included, and the folder if it is empty.

    Raises DeviceError E_NOT_OURS where the folder is somebody else's.
    """
    root = own_root(device.layout.root, device.address)
    with device.leased("uninstall", LEASE_WAIT_SECONDS, uninstalling=True):
        device.agent.batch([requests.remove(f"{root}/{name}", recursive=True) for name in OWN_UNDER_LEASE])
    agents = f"{root}/agent"
    files = device.agent.list_dir(agents) if device.agent.stat(agents) is not None else ()
    own = [entry.name for entry in files if _AGENT_FILE.fullmatch(entry.name)]
    gone = [f"{root}/{name}" for name in OWN_AFTER_LEASE] + [f"{agents}/{name}" for name in own]
    if len(own) == len(files):
        gone.append(agents)
    device.agent.batch([requests.remove(path) for path in gone])
    left = sorted(entry.name for entry in device.agent.list_dir(root))
    if not left:
        device.agent.remove(root, inside_root=False)
    return {"device": device.address, "root": root, "left": left}
