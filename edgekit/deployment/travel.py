"""How each file of a release gets to the device, decided from what is known. Pure.

Times are compared, not sizes: a patch that is a tenth of the file still loses on a link that is faster than the patch
is made and applied. The constants are what slow hosts and boards do (benchmarks/push.py prints the effect).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from edgekit.deployment.release import ReleaseFile

Encoding = Literal["raw", "zstd", "patch", "copy", "there"]
"""copy: the device has these bytes under another name. there: a push that was cut off left the file whole."""

SMALL_BYTES = 64 << 10
"""Below this nothing is worth a decision."""
PATCH_MAX_BYTES = 256 << 20
"""The window of a patch, which the device holds in memory, covers the base and the file."""
MAKE_BYTES_PER_S = 200e6
"""Making a patch at level 1 reads both files; applying one on a board."""
APPLY_BYTES_PER_S = 150e6
LOCAL_BYTES_PER_S = 1e9
"""No wire at all: what is taken where the last transfer is not known."""
SLOW_BYTES_PER_S = 12.5e6
"""A link as slow as this (100 Mbit/s) is taken where its rate is not known."""
ZSTD_LINK_BYTES_PER_S = 20e6
"""On a faster link compressing, decoding and their noise cost what they save: weights hardly compress."""
ZSTD_GAIN = 1.05
"""Weights hardly compress: a sample has to promise this much."""
PATCH_GAIN = 1.1
"""How much sooner a patch has to be there than the plain file."""
MEMORY_SHARE = 4
"""A patch may take one part of so many of the device's free memory."""


@dataclass(frozen=True)
class Link:
    """What is known of the way to the device. `rate_bytes_per_s`: as the last transfer had it, None: unknown."""

    rate_bytes_per_s: float | None = None
    memory_bytes: int | None = None
    """Free on the device; None: unknown."""

    @property
    def rate(self) -> float:
        return self.rate_bytes_per_s if self.rate_bytes_per_s is not None else SLOW_BYTES_PER_S


@dataclass(frozen=True)
class Base:
    """A file on the device that a patch can start from, and whose bytes this host has too."""

    path: str
    sha256: str
    size_bytes: int
    release: str
    """NAME@VERSION, for people."""


@dataclass(frozen=True)
class Travel:
    """One file's way. `wire_bytes`: what will be sent; an estimate for zstd. `offset`: bytes that are there already."""

    file: ReleaseFile
    encoding: Encoding
    wire_bytes: int
    why: str
    base: Base | None = None
    offset: int = 0


def patch_may_pay(file: ReleaseFile, base: Base, link: Link) -> bool:
    """Whether making a patch can be worth its time, whatever its size will be."""
    both = file.size_bytes + base.size_bytes
    if file.size_bytes < SMALL_BYTES or max(file.size_bytes, base.size_bytes) > PATCH_MAX_BYTES:
        return False
    if link.memory_bytes is not None and both > link.memory_bytes / MEMORY_SHARE:
        return False
    return _overhead_seconds(file, base) < file.size_bytes / link.rate / PATCH_GAIN


def patch_pays(file: ReleaseFile, base: Base, patch_bytes: int, link: Link, offset: int = 0) -> bool:
    """The patch is made; what is left is applying it, against sending the file."""
    left = file.size_bytes - offset
    by_patch = patch_bytes / link.rate + left / APPLY_BYTES_PER_S
    return by_patch * PATCH_GAIN < left / link.rate


def zstd_may_pay(size_bytes: int, link: Link) -> bool:
    return size_bytes >= SMALL_BYTES and link.rate < ZSTD_LINK_BYTES_PER_S


def zstd_pays(ratio: float, link: Link) -> bool:
    """`ratio`: size over compressed size of a sample."""
    return ratio >= ZSTD_GAIN and link.rate < ZSTD_LINK_BYTES_PER_S


def _overhead_seconds(file: ReleaseFile, base: Base) -> float:
    return (file.size_bytes + base.size_bytes) / MAKE_BYTES_PER_S + file.size_bytes / APPLY_BYTES_PER_S


def best_base(
    file: ReleaseFile, candidates: Sequence[tuple[Base, bool]], kept_here: frozenset[str]
) -> Base | None:
    """The file to start a patch from: of those whose bytes are kept on this host, one of the same name's active
    version first (`True`), then the one that is nearest in size."""
    usable = [(base, active) for base, active in candidates if base.sha256 in kept_here]
    if not usable:
        return None
    return min(usable, key=lambda each: (not each[1], abs(each[0].size_bytes - file.size_bytes)))[0]


def summary(travels: Sequence[Travel]) -> tuple[Literal["unchanged", "raw", "zstd", "patch"], int]:
    """(method of the whole push, bytes on the wire): the method that carried most bytes."""
    carried: Mapping[str, int] = {
        name: sum(t.file.size_bytes for t in travels if t.encoding == name)
        for name in ("raw", "zstd", "patch")
    }
    wire = sum(t.wire_bytes for t in travels)
    if not any(t.encoding in carried for t in travels):
        return "unchanged", wire
    return max(("raw", "zstd", "patch"), key=lambda name: carried[name]), wire
