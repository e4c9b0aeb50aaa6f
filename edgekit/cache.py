"""Where edgekit keeps things on this host, and how a file gets there whole.

`EDGEKIT_CACHE_DIR`, else `$XDG_CACHE_HOME/edgekit`, else `~/.cache/edgekit`. Everything in the cache can be
made again; results live in the data folder (`EDGEKIT_DATA_DIR`, `$XDG_DATA_HOME/edgekit`, `~/.local/share/edgekit`).
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.errors import HostDiskFull, HostError

CHUNK_BYTES = 1 << 20


def _folder(own: str, xdg: str, fallback: str) -> Path:
    if value := os.environ.get(own):
        return Path(value).expanduser()
    if value := os.environ.get(xdg):
        return Path(value).expanduser() / "edgekit"
    return Path.home() / fallback / "edgekit"


def cache_dir(*parts: str) -> Path:
    """A folder of the cache, made on demand. Raises HostError where it cannot be made."""
    return _made(_folder("EDGEKIT_CACHE_DIR", "XDG_CACHE_HOME", ".cache").joinpath(*parts))


def data_dir(*parts: str) -> Path:
    """A folder for what must be kept (results), made on demand."""
    return _made(_folder("EDGEKIT_DATA_DIR", "XDG_DATA_HOME", ".local/share").joinpath(*parts))


def _made(path: Path) -> Path:
    with host_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def host_errors(path: Path | str) -> Iterator[None]:
    """Turn an OSError on this host's disk into an error with a code and a next step."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HostDiskFull(
                f"this host's disk is full: {path}", hint="free space there, or set EDGEKIT_CACHE_DIR"
            ) from error
        raise HostError(f"{error.strerror or error}: {path}", code="E_HOST_FILE") from error


def sha256_file(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A temporary path beside `target`; on success it is fsynced and renamed over it, else removed."""
    with host_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".ek-tmp", dir=target.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with host_errors(target):
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write(target: Path, data: bytes) -> None:
    """Write a whole file or nothing."""
    with atomic_path(target) as temporary, host_errors(target):
        temporary.write_bytes(data)
