"""A device's description kept on this host, so that a second push does not ask again.

Keyed by address, sysroot, boot and system of the device: after a reboot or an update it is asked anew.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from edgekit.cache import atomic_write, cache_dir
from edgekit.devices.facts import Description
from edgekit.errors import HostError


def path_of(*key: str) -> Path:
    digest = hashlib.sha256("\0".join(key).encode()).hexdigest()[:24]
    return cache_dir("devices") / f"description-{digest}.json"


def load(*key: str) -> Description | None:
    """None where there is none, or it was written by another edgekit: it is only a cache."""
    try:
        return msgspec.json.decode(path_of(*key).read_bytes(), type=Description)
    except (OSError, HostError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def save(description: Description, *key: str) -> None:
    """A full disk is no reason to fail: then it is asked again next time."""
    try:
        atomic_write(path_of(*key), msgspec.json.encode(description))
    except HostError:
        return
