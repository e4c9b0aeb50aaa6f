"""Changing which release is active, and taking releases away: nothing is sent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from edgekit.agent import requests
from edgekit.agent.requests import Request
from edgekit.deployment.deleting import deletion
from edgekit.deployment.listing import (
    ReleaseInfo,
    checked_release,
    looked,
    no_release,
    rows_of,
)
from edgekit.devices import Device, journal
from edgekit.errors import DeviceError, InputError, VerificationError
from edgekit.names import checked_name

LEASE_WAIT_SECONDS = 60.0


class Switched(msgspec.Struct, frozen=True, kw_only=True):
    """What `edgekit rollback --json` prints."""

    device: str
    name: str
    version: str
    previous: str | None


def rollback(device: Device, name: str, to: str | None = None) -> Switched:
    """Make `to` active, or the release pushed last before the active one. Its bytes are checked there first.

    Only one whose smoke run passed is made active again. Raises InputError E_NO_RELEASE, VerificationError
    E_UNCHECKED, E_HASH. Three round trips, the lease's included: take turns and look, hash, switch.
    """
    checked_name(name, "release name")
    if to is not None:
        checked_name(to, "version")
    with looked(device, f"rollback {name}", name, LEASE_WAIT_SECONDS) as found:
        active = found.active(name)
        wanted = to if to is not None else _previous(device, name, rows_of(found, device.address), active)
        release = checked_release(device, found, name, wanted)
        if release.manifest.smoke != "passed" and wanted != active:
            raise VerificationError(
                f"{name}@{wanted} never ran on this device",
                code="E_UNCHECKED",
                device=device.address,
                hint="push its model: that tries it; or activate it untried: edgekit push --no-smoke",
            )
        current = journal.naming(device.layout, name, wanted, in_the_way=name in found.blocked)
        device.agent.batch([requests.lease_renew(), *current])
    return Switched(device=device.address, name=name, version=wanted, previous=active)


def before(rows: Sequence[ReleaseInfo], active: str | None) -> str | None:
    """Of one name's rows, in their order: the one pushed last before the active one; one that is damaged, failed, or
    was never tried is passed over. Pure."""
    whole = [row for row in rows if row.state in ("active", "complete")]
    at = next((i for i, row in enumerate(whole) if row.version == active), len(whole))
    usable = [row.version for row in whole[:at] if row.smoke == "passed"]
    return usable[-1] if usable else None


def _previous(device: Device, name: str, rows: Sequence[ReleaseInfo], active: str | None) -> str:
    version = before(rows, active)
    if version is None:
        raise InputError(
            f"there is no release of {name} before {active or 'now'} that ran on this device",
            code="E_NO_RELEASE",
            device=device.address,
            hint="edgekit releases shows what there is; --to VERSION picks one",
        )
    return version


def remove(device: Device, name: str, version: str | None = None, *, force: bool = False) -> dict[str, Any]:
    """Delete one version, or all of `name`; those that failed and are kept aside too. The active one only with
    `force`, or with all of the name.

    Raises InputError E_NO_RELEASE, E_RELEASE_ACTIVE.
    """
    checked_name(name, "release name")
    with looked(device, f"remove {name}", name, LEASE_WAIT_SECONDS) as found:
        rows = rows_of(found, device.address)
        chosen = [row for row in rows if version is None or row.version == version]
        if not chosen:
            raise no_release(device, name, version)
        if version is not None and any(row.active for row in chosen) and not force:
            raise InputError(
                f"{name}@{version} is the active version",
                code="E_RELEASE_ACTIVE",
                device=device.address,
                hint="roll back first, or --force",
            )
        device.agent.batch([requests.lease_renew(), *_removal(device, name, version, chosen)])
    names = dict.fromkeys(f"{row.name}@{row.version}" for row in chosen)
    return {"device": device.address, "removed": list(names)}


def _removal(
    device: Device, name: str, version: str | None, chosen: Sequence[ReleaseInfo]
) -> list[Request[Any]]:
    """`current` first: whatever cuts this off, it never names half a release."""
    layout = device.layout
    steps: list[Request[Any]] = []
    if version is None or any(row.active for row in chosen):
        steps.append(requests.remove(layout.current(name), recursive=True, sync=True))
    if version is not None:
        for row in chosen:
            failed = row.state == "failed"
            steps += deletion(
                layout.failed_release(name, version) if failed else layout.release(name, version)
            )
        return steps
    if any(row.state != "failed" for row in chosen):
        steps += deletion(layout.model(name))
    if any(row.state == "failed" for row in chosen):
        steps += deletion(f"{layout.failed()}/{name}")
    return steps


OWN_UNDER_LEASE = ("journal", "run", "runtimes", "failed", "models", "jobs", "layout", "knobs.journal")
OWN_AFTER_LEASE = ("lease", "lease.lock", "knobs.lock")
"""All that edgekit keeps below its root, but for the agent; anything else there is not edgekit's, and stays."""
_AGENT_FILE = re.compile(r"[0-9a-f]{64}|\.[0-9a-f]+\.[0-9a-f]+\.ek-tmp|\.[0-9a-f]{64}\.ek-gone")


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
    agents = device.layout.agents()
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
