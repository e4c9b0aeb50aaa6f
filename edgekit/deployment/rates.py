"""How fast the link to a device was last time, kept on this host: the choice between file and patch needs it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from edgekit.cache import atomic_write, cache_dir
from edgekit.errors import HostError

ENOUGH_BYTES = 512 << 10
"""Less than this is mostly round trips, and tells nothing about the rate."""
MAX_RATE_BYTES_PER_S = 100e9


class _Kept(msgspec.Struct, frozen=True):
    rate_bytes_per_s: float


def _path(address: str) -> Path:
    return cache_dir("devices") / f"rate-{hashlib.sha256(address.encode()).hexdigest()[:24]}.json"


def last_rate(address: str) -> float | None:
    """Bytes a second on the wire; None: not known."""
    try:
        kept = msgspec.json.decode(_path(address).read_bytes(), type=_Kept)
    except (OSError, HostError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return kept.rate_bytes_per_s if 0 < kept.rate_bytes_per_s < MAX_RATE_BYTES_PER_S else None


def remember_rate(address: str, wire_bytes: int, seconds: float, *, at_least: bool = False) -> None:
    """`at_least`: the device did more than receive in that time (it applied a patch, or copied), so the link is as fast
    as this or faster; taken for the rate, it would speak for a patch ever after. A full disk is no reason to fail: then
    the rate is not known next time."""
    if wire_bytes < ENOUGH_BYTES or seconds <= 0:
        return
    rate = wire_bytes / seconds
    if at_least and ((known := last_rate(address)) is None or known >= rate):
        return
    try:
        atomic_write(_path(address), msgspec.json.encode(_Kept(rate)))
    except HostError:
        return
