"""Releases that did not pass: kept aside on the device with the reason, so that they can be looked into there.

`failed/NAME/VERSION/` holds the files as they were tried, manifest.json and failure.json. No app reads it, nothing
makes it active; at most a few are kept of a name, the oldest goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit._version import __version__
from edgekit.agent import requests
from edgekit.agent.requests import Request
from edgekit.clock import utc_now
from edgekit.deployment.deleting import deletion
from edgekit.deployment.release import MANIFEST, ReleaseManifest
from edgekit.devices import Device
from edgekit.errors import DeviceError, EdgekitError
from edgekit.names import is_name

if TYPE_CHECKING:
    from edgekit.agent.answers import Entry

SCHEMA = "edgekit.failure/1"
FAILURE = "failure.json"
LOG_BYTES = 64 << 10
KEPT_OF_A_NAME = 3


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a release did not pass. `log`: the end of what the runner printed on stderr; `failed_at`: the host's clock."""

    schema: str = SCHEMA
    code: str
    message: str
    log: str = ""
    failed_at: str = ""
    edgekit_version: str = ""

    def encode(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def decode_failure(data: bytes) -> Failure | None:
    """None for what is no such file: a device may hold anything."""
    try:
        failure = msgspec.json.decode(data, type=Failure)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return failure if failure.schema == SCHEMA else None


def failure_of(error: EdgekitError) -> Failure:
    """The log is the error's own, or that of the error it was made of."""
    said = getattr(error, "stderr", "") or getattr(error.__cause__, "stderr", "")
    return Failure(
        code=error.code,
        message=error.message,
        log=said.encode("utf-8", "replace")[-LOG_BYTES:].decode("utf-8", "ignore"),
        failed_at=utc_now(),
        edgekit_version=__version__,
    )


def keep_failed(device: Device, manifest: ReleaseManifest, staging: str, error: EdgekitError) -> str | None:
    """Under the lease: move the staging folder aside with the reason; its new place. Two round trips.

    An older failure of the same version gives way, and the oldest of the name beyond KEPT_OF_A_NAME. None where that
    cannot be done (a full disk, a lost device): `error` then has a note that says why, and the staging folder is left.
    """
    layout = device.layout
    folder = f"{layout.failed()}/{manifest.name}"
    failure = failure_of(error)
    document = msgspec.structs.replace(
        manifest,
        smoke="unchecked",
        smoke_reason=failure.message,
        pushed_at=failure.failed_at,
        edgekit_version=__version__,
    )
    try:
        _, entries = device.agent.batch([requests.mkdir(folder), requests.list_dir(folder)])
        device.agent.batch(
            [
                requests.lease_renew(),
                requests.write(f"{staging}/{MANIFEST}", document.encode()),
                requests.write(f"{staging}/{FAILURE}", failure.encode()),
                requests.fsync(staging),
                *_room(folder, manifest.version, entries),
                requests.rename(staging, layout.failed_release(manifest.name, manifest.version)),
            ]
        )
    except DeviceError as reason:
        error.add_note(f"{staging} could not be kept aside: {reason.message}")
        return None
    return layout.failed_release(manifest.name, manifest.version)


def _room(folder: str, version: str, entries: Sequence[Entry]) -> list[Request[Any]]:
    """Deletes what gives way to one more. All times are the device's own, so the order holds whatever its clock says."""
    others = [e for e in entries if e.is_dir and is_name(e.name) and e.name != version]
    newest_first = sorted(others, key=lambda e: (e.mtime_ns, e.name), reverse=True)
    leaving = [e.name for e in newest_first[KEPT_OF_A_NAME - 1 :]]
    if any(e.name == version for e in entries):
        leaving.append(version)
    return [step for name in leaving for step in deletion(f"{folder}/{name}")]
