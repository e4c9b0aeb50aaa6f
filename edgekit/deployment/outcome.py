"""What a push tells: what was done, or would be, and what it cost."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgekit.deployment.release import Action, Smoke
from edgekit.deployment.travel import Encoding

Method = Literal["unchanged", "raw", "zstd", "patch", "shell"]


class PushedFile(msgspec.Struct, frozen=True, kw_only=True):
    """How one file went, or would go. `wire_bytes` of "zstd" is an estimate before it is sent."""

    file: str
    encoding: Encoding
    size_bytes: int
    wire_bytes: int
    why: str


class PushPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What `edgekit push --dry-run --json` prints: nothing was changed on the device."""

    device: str
    name: str
    version: str
    sha256: str
    action: Action
    method: Method
    bytes_total: int
    bytes_to_send: int
    files: tuple[PushedFile, ...]
    activate: bool
    previous: str | None
    named: str | None = None


class PushResult(msgspec.Struct, frozen=True, kw_only=True):
    """What `edgekit push --json` prints. `seconds` and `round_trips` count from the opened connection.

    Of `seconds`: `transfer_seconds` until every file is verified and fsynced there, `bootstrap_seconds` for the runtime
    to be put, `smoke_seconds` for the smoke run."""

    device: str
    name: str
    version: str
    sha256: str
    method: Method
    bytes_total: int
    bytes_sent: int
    round_trips: int
    seconds: float
    smoke: Smoke
    activated: bool
    previous: str | None
    notes: tuple[str, ...] = ()
    files: tuple[PushedFile, ...] = ()
    bootstrap_seconds: float = 0.0
    transfer_seconds: float = 0.0
    smoke_seconds: float = 0.0
    named: str | None = None
    """The device as the caller named it: an entry of edgekit.yaml may have a root of its own."""
