"""Free space on a device: what no app, no rollback and no running process needs (`edgekit gc`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import msgspec

from edgekit.agent import requests
from edgekit.agent.failures import E2BIG, RemoteFileError
from edgekit.agent.requests import Request
from edgekit.deployment.deleting import deletion
from edgekit.deployment.inventory import (
    Inventory,
    inventory_requests,
    take_inventory,
    take_large_inventory,
)
from edgekit.deployment.switching import LEASE_WAIT_SECONDS
from edgekit.deployment.victims import Kind, Rules, Victim, choose_victims
from edgekit.devices import Device
from edgekit.devices.files import LOOK_SECONDS
from edgekit.errors import InputError
from edgekit.names import checked_name
from edgekit.units import format_size

DELETED_AT_ONCE = 32


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was deleted, or would be."""

    kind: Kind
    name: str
    size_bytes: int
    why: str


class GcResult(msgspec.Struct, frozen=True, kw_only=True):
    """What `edgekit gc --json` prints. `kept`: how many of each kind stay; `unknown_processes`: so many could not be
    asked whether they use something."""

    device: str
    dry_run: bool
    removed: tuple[Collected, ...]
    freed_bytes: int
    kept: dict[str, int]
    kept_bytes: int
    unknown_processes: int
    notes: tuple[str, ...] = ()


def gc(
    device: Device,
    name: str | None = None,
    *,
    keep: int = 2,
    older_than_s: float | None = None,
    max_bytes: int | None = None,
    dry_run: bool = False,
) -> GcResult:
    """Delete releases beyond the newest `keep` of each name, failed ones likewise, runtimes and agents that nothing
    uses any more, and what cut-off pushes and deletions left. With a name, only what is of that name.

    `older_than_s`: only what is older. `max_bytes`: then also the oldest releases until all fits. The active release,
    the one a rollback would go to, and what a process uses are never deleted. `dry_run` changes nothing.
    Raises InputError E_GC_RULE.
    """
    rules = _rules(keep, older_than_s, max_bytes)
    if name is not None:
        checked_name(name, "release name")
    with ExitStack() as lease:
        inventory = _inventory(device, name, None if dry_run else lease)
        victims = choose_victims(inventory.items, rules, inventory.now)
        if not dry_run:
            _delete(device, victims)
    return _result(device.address, inventory, victims, rules, dry_run=dry_run)


def _inventory(device: Device, name: str | None, lease: ExitStack | None) -> Inventory:
    """Looked at under the lease, where one is wanted: `lease` then holds it. In the same round trip, unless there are
    too many releases for one answer."""

    def asked(look: Sequence[Request[Any]]) -> Sequence[Any]:
        if lease is None:
            return device.agent.batch(look, timeout=LOOK_SECONDS) if look else ()
        return lease.enter_context(device.leased("gc", LEASE_WAIT_SECONDS, look=look))

    try:
        answers = asked(inventory_requests(device.layout, name))
    except RemoteFileError as error:
        if error.errno != E2BIG:
            raise
        asked(())
        return take_large_inventory(device, name)
    return take_inventory(device, answers)


def _rules(keep: int, older_than_s: float | None, max_bytes: int | None) -> Rules:
    for what, value in (("keep", keep), ("older_than_s", older_than_s), ("max_bytes", max_bytes)):
        if value is not None and not value >= 0:  # not a number is no rule either
            raise InputError(
                f"{what} is {value}", code="E_GC_RULE", hint="give 0 or more, or leave the rule out"
            )
    return Rules(keep=keep, older_than_s=older_than_s, max_bytes=max_bytes)


def _delete(device: Device, victims: Sequence[Victim]) -> None:
    """Who lost the lease meanwhile stops at the next batch."""
    for start in range(0, len(victims), DELETED_AT_ONCE):
        steps: list[Request[Any]] = [requests.lease_renew()]
        for victim in victims[start : start + DELETED_AT_ONCE]:
            item = victim.item
            whole = item.kind in ("release", "failed", "runtime")
            steps += deletion(item.path) if whole else [requests.remove(item.path, recursive=True)]
        device.agent.batch(steps, timeout=LOOK_SECONDS)


def _result(
    device: str, inventory: Inventory, victims: Sequence[Victim], rules: Rules, *, dry_run: bool
) -> GcResult:
    removed = tuple(
        Collected(kind=v.item.kind, name=v.item.label, size_bytes=v.item.size_bytes, why=v.why)
        for v in victims
    )
    gone = {victim.item for victim in victims}
    kept = [item for item in inventory.items if item not in gone]
    kept_bytes = sum(item.size_bytes for item in kept)
    notes = []
    if rules.max_bytes is not None and kept_bytes > rules.max_bytes:
        notes.append(
            f"{format_size(rules.max_bytes)} were asked for and {format_size(kept_bytes)} are left: what is active, "
            "what a rollback would go to and what is in use always stays"
        )
    if inventory.jobs:
        notes.append(
            f"detached jobs run ({', '.join(inventory.jobs)}): releases and runtimes are left to them"
        )
    if inventory.unknown_processes:
        notes.append(
            f"{inventory.unknown_processes} processes of other users could not be asked which files they use; "
            "a file that is deleted while one of them has it open stays readable to it"
        )
    return GcResult(
        device=device,
        dry_run=dry_run,
        removed=removed,
        freed_bytes=sum(each.size_bytes for each in removed),
        kept=dict(sorted(Counter(item.kind for item in kept).items())),
        kept_bytes=kept_bytes,
        unknown_processes=inventory.unknown_processes,
        notes=tuple(notes),
    )
