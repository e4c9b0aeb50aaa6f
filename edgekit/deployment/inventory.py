"""What lies on a device that `edgekit gc` could delete, what of it is in use, and how large it is."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit.agent import requests
from edgekit.agent.binaries import find_binary
from edgekit.agent.requests import Request
from edgekit.deployment.listing import (
    Found,
    ReleaseInfo,
    complete,
    found_in,
    look_for,
    look_piecemeal,
    parts_of,
    rows_of,
)
from edgekit.deployment.release import SCHEMA
from edgekit.deployment.switching import before
from edgekit.deployment.victims import Item, Kind, Now
from edgekit.devices import Device
from edgekit.devices.files import LOOK_SECONDS
from edgekit.devices.layout import Layout
from edgekit.errors import EdgekitError, ToolError
from edgekit.names import GONE_SUFFIX, TEMPORARY_SUFFIX, is_name

if TYPE_CHECKING:
    from edgekit.agent.answers import GlobEntry

NS_PER_S = 1_000_000_000
DEPTH = 8
"""Of folders below a release whose files are counted; a model package has three."""
MEASURED_AT_ONCE = 128
ASKED_AT_ONCE = 1000
_SHA256 = re.compile(r"[0-9a-f]{64}")


class _Schema(msgspec.Struct, frozen=True):
    schema: str


@dataclass(frozen=True)
class Inventory:
    """`unknown_processes`: so many could not be asked what they hold; `jobs`: detached jobs that run."""

    items: tuple[Item, ...]
    now: Now
    unknown_processes: int
    jobs: tuple[str, ...]


def inventory_requests(layout: Layout, name: str | None) -> list[Request[Any]]:
    """The first look; with a name, only at what is of that name."""
    return [*look_for(layout, name), *_requests_beside(layout, name)]


def _requests_beside(layout: Layout, name: str | None) -> list[Request[Any]]:
    """For all but the releases."""
    models = f"{layout.models()}/{name if name is not None else '*'}"
    strays = [f"{models}/.*{TEMPORARY_SUFFIX}", f"{models}/*/.*{TEMPORARY_SUFFIX}"]
    gone = [f"{models}/.*{GONE_SUFFIX}"]
    shared = []
    if name is None:
        runtimes, agents = f"{layout.runtimes()}/*/*", layout.agents()
        strays += [f"{folder}/.*{TEMPORARY_SUFFIX}" for folder in (layout.root, agents, runtimes)]
        gone = list(layout.gone_patterns())
        shared = [runtimes, f"{agents}/*"]
    return [
        requests.glob(strays),
        requests.glob(gone),
        requests.glob(shared),
        requests.job_list(),
    ]


def take_inventory(device: Device, answers: Sequence[Any]) -> Inventory:
    """From the answers to `inventory_requests`; one round trip more for what is in use and how large all is, and
    another for every MEASURED_AT_ONCE things."""
    *about_releases, strays, gone, shared, jobs = answers
    found = complete(device, *found_in(device.layout, about_releases))
    return _taken(device, found, (strays, gone, shared, jobs))


def take_large_inventory(device: Device, name: str | None) -> Inventory:
    """The same where the releases are too many for one answer."""
    found = look_piecemeal(device, name)
    beside = device.agent.batch(_requests_beside(device.layout, name), timeout=LOOK_SECONDS)
    return _taken(device, found, beside)


def _taken(device: Device, found: Found, beside: Sequence[Any]) -> Inventory:
    strays, gone, shared, jobs = beside
    items = [
        *_releases(found, device.address),
        *(_stray("garbage", entry, device.layout) for entry in gone),
        *(_stray("staging", entry, device.layout) for entry in strays),
        *_shared(device, shared),
    ]
    opened, unknown, running = _in_use(device, items, jobs)
    items = [_kept(item, item.path in opened, bool(running)) for item in items]
    now = Now(time.time(), _device_now_s(device))
    return Inventory(tuple(_measured(device, items)), now, unknown, running)


def _device_now_s(device: Device) -> float:
    hello = device.agent.hello
    return (hello.realtime_ns - hello.boottime_ns) / NS_PER_S + device.clock_us() / 1e6


def _item(kind: Kind, entry: GlobEntry, name: str, version: str) -> Item:
    mtime_s = entry.mtime_ns / NS_PER_S
    size = 0 if entry.is_dir else entry.size_bytes
    return Item(kind, name, version, entry.path, mtime_s, size, rank=_rank(mtime_s))


def _rank(mtime_s: float) -> str:
    return f"{mtime_s:020.6f}"


def _stray(kind: Kind, entry: GlobEntry, layout: Layout) -> Item:
    return _item(kind, entry, "", entry.path.removeprefix(f"{layout.root}/"))


def _releases(found: Found, device: str) -> list[Item]:
    rows = {(row.name, row.version, row.state == "failed"): row for row in rows_of(found, device)}
    by_name: dict[str, list[ReleaseInfo]] = {}
    for row in rows.values():
        by_name.setdefault(row.name, []).append(row)
    previous = {name: before(of_name, found.active(name)) for name, of_name in by_name.items()}
    items = []
    for folder in found.folders:
        row = rows[folder.name, folder.version, folder.failed]
        mtime_s = folder.mtime_ns / NS_PER_S
        kept_as = None
        if row.active:
            kept_as = "active"
        elif not folder.failed and folder.version == previous[folder.name]:
            kept_as = "before the active one"
        elif row.state == "damaged" and _of_another_edgekit(folder.manifest or b""):
            kept_as = "of another edgekit"
        items.append(
            Item(
                "failed" if folder.failed else "release",
                folder.name,
                folder.version,
                folder.path,
                mtime_s,
                row.size_bytes or 0,
                pushed_at_s=_seconds(row.pushed_at),
                # failed ones are ordered by the device's clock, which they all share
                rank=_rank(mtime_s) if folder.failed else row.pushed_at or "",
                damaged=row.state == "damaged",
                kept_as=kept_as,
            )
        )
    return items


def _of_another_edgekit(manifest: bytes) -> bool:
    """Of a manifest that cannot be read: whether that is only because it has another schema."""
    try:
        schema = msgspec.json.decode(manifest, type=_Schema).schema
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return schema != SCHEMA and schema.startswith(SCHEMA.rpartition("/")[0])


def _seconds(pushed_at: str | None) -> float | None:
    try:
        return datetime.fromisoformat(pushed_at or "").timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _shared(device: Device, entries: Sequence[GlobEntry]) -> list[Item]:
    """Runtimes and agents that edgekit put there; anything else in those folders is somebody else's."""
    own = _own_agent(device)
    items = []
    for entry in entries:
        place, name, *rest = parts_of(device.layout, entry)
        if place == "agent" and entry.is_file and _SHA256.fullmatch(name):
            item = _item("agent", entry, "", name)
            items.append(replace(item, kept_as="this agent") if own in (None, name) else item)
        elif rest and entry.is_dir and is_name(name) and _SHA256.fullmatch(rest[0]):
            items.append(_item("runtime", entry, name, rest[0]))
    return items


def _own_agent(device: Device) -> str | None:
    """The hash that the agent which answers was started by; None where that is not known: then all are kept."""
    try:
        return find_binary(device.abi).sha256
    except ToolError:
        return None


def _in_use(
    device: Device, items: Sequence[Item], jobs: Sequence[str]
) -> tuple[frozenset[str], int, tuple[str, ...]]:
    """Paths of those that a process holds, how many processes could not be asked, and the jobs that run."""
    held = [item.path for item in items if item.kind in ("release", "failed", "runtime", "agent")]
    parts = [held[start : start + ASKED_AT_ONCE] for start in range(0, len(held), ASKED_AT_ONCE)] or [[]]
    asks = [requests.opened(part) for part in parts]
    answers = device.agent.batch([*asks, *(requests.job_status(job) for job in jobs)], timeout=LOOK_SECONDS)
    asked, states = answers[: len(asks)], answers[len(asks) :]
    used = [each for answer in asked for each in answer.used]
    opened = frozenset(path for path, in_use in zip(held, used, strict=True) if in_use)
    running = tuple(job for job, state in zip(jobs, states, strict=True) if state.state == "running")
    return opened, max(answer.unknown_processes for answer in asked), running


def _kept(item: Item, opened: bool, job_runs: bool) -> Item:
    """A detached job opens its files when it comes to them: while one runs, all that it could use stays."""
    if item.kept_as is not None:
        return item
    if opened:
        return replace(item, kept_as="in use")
    if job_runs and item.kind in ("release", "runtime") and not item.damaged:
        return replace(item, kept_as="a detached job runs")
    return item


def _measured(device: Device, items: Sequence[Item]) -> list[Item]:
    """With the bytes of all files below, and, of a push that was cut off, when the last of them changed."""
    sized: list[Item] = []
    for start in range(0, len(items), MEASURED_AT_ONCE):
        some = items[start : start + MEASURED_AT_ONCE]
        answers = device.agent.pipelined(
            [[requests.glob(_files_below(device.layout.pattern(item.path)))] for item in some]
        )
        for item, answer in zip(some, answers, strict=True):
            sized.append(item if isinstance(answer, EdgekitError) else _with_files(item, answer[0]))
    return sized


def _files_below(folder: str) -> list[str]:
    folders = [folder + "/*" * depth for depth in range(DEPTH)]
    return [f"{each}/{file}" for each in folders for file in ("*", f".*{TEMPORARY_SUFFIX}")]


def _with_files(item: Item, entries: Sequence[GlobEntry]) -> Item:
    files = [entry for entry in entries if entry.is_file]
    if not files:
        return item
    newest_s = max(entry.mtime_ns for entry in files) / NS_PER_S
    return replace(
        item,
        size_bytes=sum(entry.size_bytes for entry in files),
        mtime_s=max(item.mtime_s, newest_s) if item.kind == "staging" else item.mtime_s,
    )
