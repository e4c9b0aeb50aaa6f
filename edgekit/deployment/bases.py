"""Model files that this host pushed, kept by their hash: a patch needs the old bytes on both sides.

Bounded: the least recently used go first. Everything here can be lost; then the whole file is sent.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from edgekit.cache import cache_dir, sha256_file
from edgekit.deployment.travel import PATCH_MAX_BYTES, SMALL_BYTES
from edgekit.errors import HostError

CACHE_PART = "pushed"
MAX_BYTES = 2 << 30


def kept_here(sha256s: Iterable[str]) -> frozenset[str]:
    """Those whose bytes are kept. Whether they are still right is found where they are used."""
    try:
        folder = cache_dir(CACHE_PART)
    except HostError:
        return frozenset()
    return frozenset(each for each in sha256s if (folder / each).is_file())


def base_file(sha256: str) -> Path | None:
    """The kept file, its bytes checked; None where they are not what they were (it is then deleted)."""
    path = cache_dir(CACHE_PART) / sha256
    try:
        if sha256_file(path) != sha256:
            path.unlink(missing_ok=True)
            return None
        os.utime(path)
    except OSError:
        return None
    return path


def keep(source: Path, sha256: str, size_bytes: int) -> None:
    """Keep a copy of what was just pushed. A cache that cannot be written costs the next push its patch, nothing else."""
    if not SMALL_BYTES <= size_bytes <= PATCH_MAX_BYTES:
        return
    try:
        folder = cache_dir(CACHE_PART)
        target = folder / sha256
        if target.is_file():
            os.utime(target)
            return
        _make_room(folder, size_bytes)
        handle, name = tempfile.mkstemp(prefix=".new-", dir=folder)
        os.close(handle)
    except (OSError, HostError):
        return
    try:
        shutil.copyfile(source, name)
        Path(name).replace(target)
    except OSError:
        Path(name).unlink(missing_ok=True)


def _make_room(folder: Path, size_bytes: int) -> None:
    files = sorted((p.stat().st_mtime, p.stat().st_size, p) for p in folder.iterdir() if p.is_file())
    total = sum(size for _, size, _ in files)
    for _, size, path in files:
        if total + size_bytes <= MAX_BYTES:
            return
        path.unlink(missing_ok=True)
        total -= size
