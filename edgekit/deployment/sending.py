"""The files of a release to its staging folder, each the way that is soonest there (edgekit/deployment/travel.py)."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgekit.agent import requests
from edgekit.agent.encoding import patch_file, sample_patch_bytes
from edgekit.agent.requests import Request
from edgekit.agent.transfer import PutSpec
from edgekit.cache import host_errors, sha256_file
from edgekit.deployment import bases, rates
from edgekit.deployment.looking import Elsewhere, Seen, Staged
from edgekit.deployment.put_files import link_to, put_files, zstd_ratio
from edgekit.deployment.release import Payload, ReleaseFile
from edgekit.deployment.travel import (
    SMALL_BYTES,
    Base,
    Link,
    Travel,
    best_base,
    patch_may_pay,
    patch_pays,
)
from edgekit.devices import Device
from edgekit.errors import DeviceError, DeviceLost, EdgekitError, HostError, VerificationError
from edgekit.events import Event, Sink

KEEP_PART_BYTES = 256 << 10
"""A file as large as this goes on where a cut left it."""


@dataclass(frozen=True)
class Plan:
    """How all files travel; `patches`: those that are made, in a folder that lives as long as the plan."""

    travels: tuple[Travel, ...]
    patches: dict[str, Path]

    @property
    def wire_bytes(self) -> int:
        return sum(each.wire_bytes for each in self.travels)


@contextlib.contextmanager
def planned(payload: Payload, seen: Seen, staged: Staged, device: Device) -> Iterator[Plan]:
    """Decide for each file; a patch that may pay is made to know its size."""
    link = link_to(device, seen.memory_bytes)
    with tempfile.TemporaryDirectory(prefix="edgekit-patch-") as folder:
        patches: dict[str, Path] = {}
        travels = tuple(
            _travel(entry, payload, seen, staged, link, Path(folder), patches)
            for entry in payload.manifest.files
        )
        yield Plan(travels, patches)


def _travel(
    entry: ReleaseFile,
    payload: Payload,
    seen: Seen,
    staged: Staged,
    link: Link,
    folder: Path,
    patches: dict[str, Path],
) -> Travel:
    if staged.whole.get(entry.file) == entry.sha256:
        return Travel(entry, "there", 0, "a push that was cut off left it whole")
    offset = _offset(entry, staged)
    resumed = f"; {offset} bytes are there from a push that was cut off" if offset else ""
    same = _with_hash(seen.elsewhere, entry.sha256)
    if same is not None:
        return Travel(entry, "copy", 0, f"the device has it in {same.release}", base=same)
    base = best_base(entry, _candidates(entry, payload, seen), _kept(seen))
    if base is not None and patch_may_pay(entry, base, link):
        source = bases.base_file(base.sha256)
        if source is not None:
            made = folder / str(len(patches))
            size = _made_patch(entry, base, payload.sources[entry.file], source, made, link, offset)
            if size is not None and patch_pays(entry, base, size, link, offset):
                patches[entry.file] = made
                return Travel(entry, "patch", size, f"a patch of {base.release}{resumed}", base, offset)
    left = entry.size_bytes - offset
    if (ratio := zstd_ratio(payload.sources[entry.file], entry.size_bytes, link)) is not None:
        why = f"a sample compresses {ratio:.2f} times{resumed}"
        return Travel(entry, "zstd", round(left / ratio), why, offset=offset)
    return Travel(entry, "raw", left, f"{_why_raw(base)}{resumed}", offset=offset)


def _made_patch(
    entry: ReleaseFile, base: Base, source: Path, base_source: Path, target: Path, link: Link, offset: int
) -> int | None:
    """Its size; None where samples say that it will not pay (they tell only where content did not move: a file of another
    size is compared whole), and where this host has no room for it: the file then goes without. What is wrong with
    the source itself is found when it is sent."""
    try:
        if entry.size_bytes == base.size_bytes:
            guess = sample_patch_bytes(source, base_source)
            if not patch_pays(entry, base, guess, link, offset):
                return None
        return patch_file(source, base_source, target, offset=offset)
    except HostError:
        target.unlink(missing_ok=True)
        return None


def _why_raw(base: Base | None) -> str:
    return "no version to start a patch from" if base is None else "a patch would not be there sooner"


def _offset(entry: ReleaseFile, staged: Staged) -> int:
    part = staged.parts.get(entry.file, 0)
    return part if KEEP_PART_BYTES <= part <= entry.size_bytes else 0


def _files(elsewhere: Sequence[Elsewhere]) -> Iterator[tuple[Base, Elsewhere]]:
    for each in elsewhere:
        title = f"{each.manifest.name}@{each.manifest.version}"
        for file in each.manifest.files:
            path = f"{each.folder}/{file.file}"
            yield Base(path, file.sha256, file.size_bytes, title), each


def _with_hash(elsewhere: Sequence[Elsewhere], sha256: str) -> Base | None:
    return next((base for base, _ in _files(elsewhere) if base.sha256 == sha256), None)


def _kept(seen: Seen) -> frozenset[str]:
    return bases.kept_here({base.sha256 for base, _ in _files(seen.elsewhere)})


def _candidates(entry: ReleaseFile, payload: Payload, seen: Seen) -> list[tuple[Base, bool]]:
    """Files of the same kind in releases of the same name."""
    suffix = entry.file.rpartition(".")[2]
    return [
        (base, each.active)
        for base, each in _files(seen.elsewhere)
        if each.manifest.name == payload.name
        and base.path.rpartition(".")[2] == suffix
        and base.size_bytes >= SMALL_BYTES
    ]


def send(
    payload: Payload,
    plan: Plan,
    device: Device,
    *,
    staging: str,
    before: Sequence[Request[Any]],
    bandwidth_bytes_per_s: float | None,
    sink: Sink,
) -> tuple[Plan, tuple[str, ...]]:
    """All files, pipelined, in one round trip; each is checked by its hash on the device and fsynced there. Returns
    the plan as it was carried out, and notes. Where a base or a part there is not what it should be, files go whole."""
    try:
        return _put(payload, plan, device, staging, before, bandwidth_bytes_per_s, sink), ()
    except DeviceLost:
        raise
    except (DeviceError, VerificationError) as error:
        if error.code == "E_TRANSFER_HASH":
            _refuse_changed(payload, error)
        clever = [t for t in plan.travels if t.encoding in ("copy", "patch", "zstd") or t.offset]
        if not clever or not _is_about_content(error):
            raise
        note = f"sent whole, as the device's {clever[0].base.release if clever[0].base else 'part'} did not do: {error.message}"
        sink(Event("push", message=note, device=device.address, level="warning"))
    whole = tuple(
        t if t.encoding == "there" else Travel(t.file, "raw", t.file.size_bytes, "second try")
        for t in plan.travels
    )
    plain = _put(payload, Plan(whole, {}), device, staging, (), bandwidth_bytes_per_s, sink)
    return replace(plain, travels=tuple(_sum(a, b) for a, b in zip(plan.travels, whole, strict=True))), (
        note,
    )


def _refuse_changed(payload: Payload, error: EdgekitError) -> None:
    """Where another hash arrived since a file here is no longer what was hashed before: no second try mends that, and
    the device is not to blame. Raises VerificationError E_SOURCE_CHANGED."""
    for entry in payload.manifest.files:
        source = payload.sources[entry.file]
        with host_errors(source):
            same = sha256_file(source) == entry.sha256
        if not same:
            raise VerificationError(
                f"{source} changed while it was sent",
                code="E_SOURCE_CHANGED",
                device=error.device,
                hint="push it when it is written to no more; on the device nothing changed",
            ) from error


def _sum(first: Travel, second: Travel) -> Travel:
    """Both tries were on the wire."""
    return replace(second, wire_bytes=first.wire_bytes + second.wire_bytes) if first is not second else second


def _is_about_content(error: DeviceError | VerificationError) -> bool:
    """What a damaged or missing base, or a damaged part, ends with: never a full disk or a missing right."""
    return error.code in ("E_TRANSFER_HASH", "E_DECODE", "E_REMOTE_FILE")


def _put(
    payload: Payload,
    plan: Plan,
    device: Device,
    staging: str,
    before: Sequence[Request[Any]],
    bandwidth_bytes_per_s: float | None,
    sink: Sink,
) -> Plan:
    """Returns the plan with what really went over the wire."""
    folders = sorted({f"{staging}/{t.file.file}".rpartition("/")[0] for t in plan.travels} | {staging})
    specs = [
        PutSpec(
            source=payload.sources[t.file.file],
            remote=f"{staging}/{t.file.file}",
            sha256=t.file.sha256,
            resume_from=t.offset,
            keep_partial=t.file.size_bytes >= KEEP_PART_BYTES,
            encoding=t.encoding,
            base=t.base.path if t.base is not None else None,
            wire=plan.patches.get(t.file.file),
            bandwidth_bytes_per_s=bandwidth_bytes_per_s,
        )
        for t in plan.travels
        if t.encoding != "there"
    ]
    folders_first = [*before, *(requests.mkdir(folder) for folder in folders)]
    began, sent_before = time.monotonic(), device.agent.sent_bytes
    put_files(device, specs, f"push {payload.name}", plan.wire_bytes, sink, before=folders_first)
    sent = device.agent.sent_bytes - sent_before
    if bandwidth_bytes_per_s is None:
        worked = any(spec.encoding in ("patch", "copy") for spec in specs)
        rates.remember_rate(device.address, sent, time.monotonic() - began, at_least=worked)
    return _measured(plan, sent)


def _measured(plan: Plan, sent_bytes: int) -> Plan:
    """Only what is compressed on the way had an estimate; several such files share what was sent by theirs."""
    guessed = sum(t.wire_bytes for t in plan.travels if t.encoding == "zstd")
    known = sum(t.wire_bytes for t in plan.travels if t.encoding != "zstd")
    if not guessed:
        return plan
    share = (sent_bytes - known) / guessed
    travels = tuple(
        replace(t, wire_bytes=round(t.wire_bytes * share)) if t.encoding == "zstd" else t
        for t in plan.travels
    )
    return replace(plan, travels=travels)
