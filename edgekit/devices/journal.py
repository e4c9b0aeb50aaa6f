"""The journal: what a push is about to do in several steps, so that the next connect finishes it or undoes it. Pure.

`ROOT/journal` is written before the first step that changes what a reader sees and removed after the last. A release
that is complete and tried is a fact once its folder has its name; what may be missing then is `current`.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from edgekit.agent import requests
from edgekit.agent.requests import Request
from edgekit.devices.layout import Layout, gone_path
from edgekit.names import is_name

SCHEMA = "edgekit.journal/1"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One push at its last steps. `content`: of its staging folder's name; `manifest_sha256`: of the manifest's bytes, which
    tell which of two folders is the new one; `activate`: whether `current` is to name it."""

    schema: str = SCHEMA
    name: str
    version: str
    content: str
    manifest_sha256: str
    activate: bool

    def encode(self) -> bytes:
        return msgspec.json.encode(self) + b"\n"


def decode(data: bytes) -> Entry | None:
    """None for what is no entry of this edgekit: nothing can be finished by it."""
    try:
        entry = msgspec.json.decode(data, type=Entry)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    hexadecimal = all(c in "0123456789abcdef" for c in entry.content)
    known = entry.schema == SCHEMA and is_name(entry.name) and is_name(entry.version) and hexadecimal
    return entry if known else None


def entry_of(name: str, version: str, content: str, manifest: bytes, *, activate: bool) -> Entry:
    digest = hashlib.sha256(manifest).hexdigest()
    return Entry(name=name, version=version, content=content, manifest_sha256=digest, activate=activate)


def steps(
    entry: Entry,
    layout: Layout,
    manifest: bytes,
    *,
    replaces: bool,
    exchange: bool,
    in_the_way: bool = False,
) -> list[Request[Any]]:
    """All steps that make a staged release real: manifest, its name, `current`. `replaces`: a damaged one has that
    name; `exchange`: the device can swap two names in one step; `in_the_way`: as in `naming`."""
    staging = layout.staging(entry.name, entry.version, entry.content)
    return [
        requests.lease_renew(),  # who lost the lease meanwhile stops here
        requests.write(f"{staging}/manifest.json", manifest),
        requests.fsync(staging),
        requests.write(layout.journal(), entry.encode()),
        *_renames(entry, layout, replaces=replaces, exchange=exchange),
        *_ends(entry, layout, in_the_way),
    ]


def naming(layout: Layout, name: str, version: str, *, in_the_way: bool) -> list[Request[Any]]:
    """`current` names that version. `in_the_way`: a folder has its name; no file can be renamed over that, so it goes
    first, as what is deleted does."""
    current = layout.current(name)
    gone = gone_path(current)
    clear = [requests.remove(gone, recursive=True), requests.rename(current, gone)] if in_the_way else []
    after = [requests.remove(gone, recursive=True)] if in_the_way else []
    return [*clear, requests.write(current, f"{version}\n".encode()), *after]


def _renames(entry: Entry, layout: Layout, *, replaces: bool, exchange: bool) -> list[Request[Any]]:
    staging = layout.staging(entry.name, entry.version, entry.content)
    final, gone = layout.release(entry.name, entry.version), layout.gone(entry.name, entry.version)
    if not replaces:
        return [requests.rename(staging, final)]
    clear = requests.remove(gone, recursive=True)
    if exchange:
        return [clear, requests.rename(staging, final, exchange=True), requests.rename(staging, gone)]
    return [clear, requests.rename(final, gone), requests.rename(staging, final)]


def _ends(entry: Entry, layout: Layout, in_the_way: bool) -> list[Request[Any]]:
    current = naming(layout, entry.name, entry.version, in_the_way=in_the_way) if entry.activate else []
    last = requests.remove(layout.journal(), sync=True)
    gone = requests.remove(layout.gone(entry.name, entry.version), recursive=True)
    return [*current, last, gone]


def recovery(
    entry: Entry,
    layout: Layout,
    *,
    staged: bytes | None,
    named: bytes | None,
    named_there: bool,
    in_the_way: bool = False,
) -> list[Request[Any]]:
    """What the next connect does, under the lease: finish it. All was sent, verified and tried before the journal was
    written. `staged`, `named`: the manifests in both folders, None: no such file; `named_there`: whether the release's
    folder is there at all. Where neither manifest is the journal's, there is nothing to finish (the release was removed)."""
    if staged is not None and hashlib.sha256(staged).hexdigest() == entry.manifest_sha256:
        return [
            *_renames(entry, layout, replaces=named_there, exchange=False),
            *_ends(entry, layout, in_the_way),
        ]
    if named is not None and hashlib.sha256(named).hexdigest() == entry.manifest_sha256:
        # after an exchange the staging folder holds what was damaged
        staging = layout.staging(entry.name, entry.version, entry.content)
        return [requests.remove(staging, recursive=True), *_ends(entry, layout, in_the_way)]
    return [requests.remove(layout.journal(), sync=True)]
