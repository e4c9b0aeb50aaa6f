"""Where edgekit keeps things on this host, and how a file gets there whole.

`EDGEKIT_CACHE_DIR`, else `$XDG_CACHE_HOME/edgekit`, else `~/.cache/edgekit`. Everything in the cache can be
made again; results live in the data folder (`EDGEKIT_DATA_DIR`, `$XDG_DATA_HOME/edgekit`, `~/.local/share/edgekit`).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.errors import HostDiskFull, HostError

CHUNK_BYTES = 1 << 20

_HINT = "check that path on this host"
_HINTS = {
    errno.ENOENT: "check the path: nothing is there",
    errno.EACCES: "it belongs to another user, or a folder above it does; choose another path",
    errno.EPERM: "it belongs to another user, or a folder above it does; choose another path",
    errno.EROFS: "that file system is read-only; choose another path",
    errno.EISDIR: "that is a folder; name a file",
    errno.ENOTDIR: "a part of that path is a file, not a folder; choose another path",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
}


def _folder(own: str, xdg: str, fallback: str) -> Path:
    if value := os.environ.get(own):
        return expanded(value, own)
    if value := os.environ.get(xdg):
        return expanded(value, xdg) / "edgekit"
    return home_dir(own) / fallback / "edgekit"


def home_dir(instead: str | None = None) -> Path:
    """The user's home folder. Raises HostError E_HOME where there is none (a container's user without an entry
    in passwd); `instead` is the variable that makes it needless, for the hint."""
    try:
        return Path.home()
    except RuntimeError as error:
        raise HostError(
            "this user has no home folder: HOME is not set to one",
            code="E_HOME",
            hint="set HOME" + (f" or {instead}" if instead else ""),
        ) from error


def expanded(text: str, name: str) -> Path:
    """A path with its `~` replaced. Raises HostError E_HOME naming what said it (a variable, a key)."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise HostError(
            f"{name} is {text}: '~' there means no home folder", code="E_HOME", hint="write the whole path"
        ) from error


def is_file(path: Path) -> bool:
    """Whether there is a plain file that this user can see; False too where a folder above is closed."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_special(path: Path) -> bool:
    """Whether reading it could wait forever or never end: a pipe, a device, a socket. Raises OSError."""
    return not stat.S_ISREG(path.stat().st_mode)


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
        raise HostError(
            f"{error.strerror or error}: {path}", code="E_HOST_FILE", hint=_HINTS.get(error.errno or 0, _HINT)
        ) from error


def sha256_file(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    import hashlib  # here, like tempfile below: reading a profile comes past this module and needs neither

    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A temporary path beside `target`; on success it is fsynced and renamed over it, else removed."""
    import tempfile

    with host_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".ek-tmp", dir=target.parent)
        # mkstemp keeps it to its owner; what is written here is as open as any file of this user's
        os.fchmod(handle, 0o666 & ~_umask())
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


def check_writable(target: Path) -> None:
    """Raises HostError where a file could not be written there: known before the work whose result it is to hold."""
    import tempfile

    with host_errors(target):
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent) as file:
            file.write(b"x")


def _umask() -> int:
    """The process's umask; reading it means setting it, so it is set back at once."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def atomic_write(target: Path, data: bytes) -> None:
    """Write a whole file or nothing."""
    with atomic_path(target) as temporary, host_errors(target):
        temporary.write_bytes(data)
