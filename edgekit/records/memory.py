"""What a launch took of memory, by phase; part of a record. Sizes are bytes, of the process and not of the system."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class FaultCount(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Page faults: minor ones found their page in memory, major ones had to read it from the disk."""

    minor: int | None = None
    major: int | None = None


class PhaseFaults(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`load`: from opening the runtime until the model is ready; `first`: during the first inference; `steady`: during
    all timed inferences."""

    load: FaultCount = FaultCount()
    first: FaultCount = FaultCount()
    steady: FaultCount = FaultCount()


class LaunchMemory(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At the start of the process, with the model loaded, after the first inference, and after the last (`rss_end_bytes`,
    `pss_bytes`, `peak_rss_bytes`)."""

    rss_start_bytes: int | None = None
    rss_loaded_bytes: int | None = None
    rss_first_bytes: int | None = None
    rss_end_bytes: int | None = None
    model_delta_bytes: int | None = None
    peak_rss_bytes: int | None = None
    pss_start_bytes: int | None = None
    pss_loaded_bytes: int | None = None
    pss_first_bytes: int | None = None
    pss_bytes: int | None = None
    faults: PhaseFaults = PhaseFaults()


class Memory(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Over all launches: the largest of the peaks, the median of all else.

    `arena`: what the runtime tells of the memory for its tensors. `unavailable`: by field name, why it is null.
    `excludes`: what these numbers do not contain, in words.
    """

    unit: Literal["bytes"] = "bytes"
    model_delta: int | None = None
    arena: int | None = None
    peak_rss: int | None = None
    peak_pss: int | None = None
    rss_start: int | None = None
    rss_loaded: int | None = None
    rss_first: int | None = None
    rss_steady: int | None = None
    pss_start: int | None = None
    pss_loaded: int | None = None
    pss_first: int | None = None
    faults: PhaseFaults = PhaseFaults()
    unavailable: dict[str, str] = {}
    excludes: tuple[str, ...] = ()
