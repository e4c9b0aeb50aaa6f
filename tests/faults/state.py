"""What a device's disk holds, read from the disk itself and by nothing of edgekit's: the judge of every cut."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.agent.starting import alive, eventually, processes_with
from tests.targets.sandbox import kill_pid

GUARDIAN = "ek-guardian"


@dataclass(frozen=True)
class Store:
    """One name's releases. `releases`: what is wrong with each, "" for a whole one; `hashes`: of each one's model."""

    current: str | None
    releases: Mapping[str, str]
    hashes: Mapping[str, str]
    strays: tuple[str, ...]
    """Staging folders, temporary files, garbage, the journal: anything that is nobody's to read."""

    def problems(self, damaged: frozenset[str] = frozenset()) -> list[str]:
        """What no reader may ever find, whatever was cut off when. `damaged`: versions that were so before."""
        found = [f"{v}: {why}" for v, why in self.releases.items() if why and v not in damaged]
        if self.current is not None and self.current not in self.releases:
            found.append(f"current names {self.current!r}, and there are {sorted(self.releases)}")
        return found


def read_store(root: Path, name: str) -> Store:
    folder = root / "models" / name
    current = folder / "current"
    text = current.read_text() if current.exists() else None  # first, as an app does: a push may go on
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    releases = {p.name: why_not_whole(p) for p in inside if p.is_dir() and not p.name.startswith(".")}
    if text is not None and (not text.endswith("\n") or "\n" in text[:-1]):
        raise AssertionError(f"current holds {text!r}")
    odd = [p.name for p in inside if p.is_file() and p.name != "current" and not p.name.startswith(".")]
    assert not odd, odd
    models = {v: folder / v / "model.tflite" for v in releases}
    hashes = {v: sha256(path) for v, path in models.items() if path.is_file()}
    return Store(text.rstrip("\n") if text is not None else None, releases, hashes, strays(root))


def why_not_whole(folder: Path) -> str:
    """ "" where the folder holds exactly what its manifest says, byte for byte."""
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError) as error:
        return f"no manifest: {error}"
    files = {each["file"]: each["sha256"] for each in manifest["files"]}
    there = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}
    there.pop("manifest.json")
    if set(files) != set(there):
        return f"files {sorted(there)} where the manifest has {sorted(files)}"
    wrong = [name for name, path in there.items() if sha256(path) != files[name]]
    return f"damaged: {wrong}" if wrong else ""


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def strays(root: Path) -> tuple[str, ...]:
    """Below the root, what has no final name. The lease's own temporary file lives for moments only."""
    found = []
    for place, folders, files in os.walk(root):
        for name in (*folders, *files):
            if name.endswith((".ek-tmp", ".ek-gone")) and name != ".lease.ek-tmp":
                found.append(str(Path(place, name).relative_to(root)))
    return tuple(sorted([*found, *(["journal"] if (root / "journal").exists() else [])]))


def agents_of(root: str) -> list[int]:
    """All processes of agents of this root, seen from this machine, the guardians included."""
    return [pid for pid in processes_with(root) if alive(pid) and b"serve" in _cmdline(pid)]


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _is_guardian(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == GUARDIAN
    except OSError:
        return False


def kill_agents(root: str, *, guardians: bool = False) -> int:
    """SIGKILL the agents of this root and their workers; how many processes."""
    pids = [pid for pid in agents_of(root) if guardians or not _is_guardian(pid)]
    if guardians:  # at once: else the one that is left for a moment cleans up
        for pid in pids:
            kill_pid(pid, signal.SIGSTOP)
    for pid in pids:
        kill_pid(pid)
    return len(pids)


def nothing_runs(root: str, seconds: float = 30.0) -> bool:
    return eventually(lambda: not agents_of(root), seconds)
