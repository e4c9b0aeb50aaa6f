"""Requests about files, as the agent answers them (docs/agent-protocol.md). Each takes fields and gives a payload."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping

from edgekit.agent.failures import E2BIG, EFBIG, EINVAL, EISDIR, ENOENT, ENOTDIR, EPERM
from edgekit.agent.protocol import FRAME_MAX, Packer, RemoveFlag, RenameFlag, StatFlag, Type, Unpacker
from edgekit.transports.sim.device import SimDevice
from edgekit.transports.sim.files import Entry, File, FileError, Folder

_MAX_ENTRIES = 4096
_EXT4_MAGIC = 0xEF53
_BLOCK_BYTES = 4096
_DEVICE_NUMBER = 2049
_USER = 1000

_WILD = r"[*?\[\\]"

Handler = Callable[[SimDevice, str, Unpacker], bytes]
"""Of (device, edgekit's folder there, the request's fields)."""


def _stat(device: SimDevice, root: str, u: Unpacker) -> bytes:
    path, flags = u.text(), StatFlag(u.u8())
    try:
        entry = device.files.find(path, "stat")
    except FileError as error:
        if error.errno in (ENOENT, ENOTDIR) and flags & StatFlag.MISSING_OK:
            return Packer().u8(0).done()
        raise
    hashed = flags & StatFlag.SHA256 and isinstance(entry, File)
    packer = Packer().u8(1).u32(entry.mode).u64(entry.size_bytes).u64(entry.mtime_ns)
    packer.u64(entry.inode).u64(_DEVICE_NUMBER).u32(_USER).u32(_USER).u32(1)
    return packer.blob(entry.blob.sha256 if hashed and isinstance(entry, File) else b"").done()


def _statvfs(device: SimDevice, root: str, u: Unpacker) -> bytes:
    device.files.find(u.text(), "statvfs")
    total, free = device.files.total_bytes, device.files.free_bytes()
    packer = Packer().u64(total).u64(free).u64(total // _BLOCK_BYTES).u64(free // _BLOCK_BYTES)
    return packer.u8(device.files.read_only).u32(_EXT4_MAGIC).done()


def content_of(device: SimDevice, path: str, max_bytes: int) -> tuple[int, bool, bytes]:
    """(errno, whether there is more, the bytes)."""
    try:
        data = device.files.read(path)
    except FileError as error:
        return error.errno, False, b""
    return 0, len(data) > max_bytes, data[:max_bytes]


def _read(device: SimDevice, root: str, u: Unpacker) -> bytes:
    max_bytes = u.u32()
    if max_bytes > FRAME_MAX - 4096:
        raise FileError(EFBIG, "read", "max_bytes")
    paths = [u.text() for _ in range(u.u32())]
    packer = Packer().u32(len(paths))
    for path in paths:
        errno, more, data = content_of(device, path, max_bytes)
        packer.u32(errno).u8(more).blob(data)
    return packer.done()


def _write(device: SimDevice, root: str, u: Unpacker) -> bytes:
    path, mode, data = u.text(), u.u32(), u.blob()
    device.files.can_hold(path, "write")
    device.files.drop_part(path)  # it is written under the temporary name of a put
    device.files.write(path, data, mode)
    return b""


def _mkdir(device: SimDevice, root: str, u: Unpacker) -> bytes:
    path, mode = u.text(), u.u32()
    device.files.mkdir(path, mode)
    return b""


def _rename(device: SimDevice, root: str, u: Unpacker) -> bytes:
    source, target, flags = u.text(), u.text(), RenameFlag(u.u8())
    device.files.rename(
        source,
        target,
        exchange=bool(flags & RenameFlag.EXCHANGE),
        replace=not flags & RenameFlag.NO_REPLACE,
    )
    return b""


def _chmod(device: SimDevice, root: str, u: Unpacker) -> bytes:
    path, mode = u.text(), u.u32()
    device.files.chmod(path, mode)
    return b""


def _remove(device: SimDevice, root: str, u: Unpacker) -> bytes:
    path, flags = u.text(), RemoveFlag(u.u8())
    if device.files.look(path) is None and flags & RemoveFlag.MISSING_OK:
        return b""
    device.files.find(path, "remove")
    if flags & RemoveFlag.INSIDE_ROOT and not device.files.absolute(path).startswith(f"{root}/"):
        raise FileError(EPERM, "remove", path)
    device.files.remove(path, recursive=bool(flags & RemoveFlag.RECURSIVE))
    return b""


def _list(device: SimDevice, root: str, u: Unpacker) -> bytes:
    path = u.text()
    folder = device.files.find(path, "list")
    if not isinstance(folder, Folder):
        raise FileError(ENOTDIR, "list", path)
    packer = Packer().u32(len(folder.children))
    for name, entry in folder.children.items():
        packer.text(name).u32(entry.mode).u64(entry.size_bytes).u64(entry.mtime_ns)
    return packer.done()


def _fsync(device: SimDevice, root: str, u: Unpacker) -> bytes:
    device.files.find(u.text(), "fsync")
    return b""


def _glob(device: SimDevice, root: str, u: Unpacker) -> bytes:
    patterns = [u.text() for _ in range(u.u32())]
    max_bytes, left = u.u32(), u.u32()
    packer, count = Packer(), 0
    for pattern in patterns:
        for path, entry in _matches(device, root, pattern):
            count += 1
            if count > _MAX_ENTRIES:
                raise FileError(E2BIG, "glob", path)
            data = entry.read() if max_bytes and isinstance(entry, File) else b""
            kept = data[: min(max_bytes, left)]
            left -= len(kept)
            packer.text(path).u32(entry.mode).u64(entry.size_bytes).u64(entry.mtime_ns)
            packer.u32(0).u8(len(kept) < len(data)).blob(kept)
    return Packer().u32(count).raw(packer.done()).done()


def _matches(device: SimDevice, root: str, pattern: str) -> list[tuple[str, Entry]]:
    if not pattern.startswith("/"):
        raise FileError(EINVAL, "glob", pattern)
    start, names = _split(pattern, root)
    folder = device.files.look(start)
    if not names or {".", ".."} & set(names):
        raise FileError(EINVAL, "glob", pattern)
    if folder is None:
        return []
    if not f"{device.files.absolute(start)}/".startswith(f"{root}/"):
        raise FileError(EPERM, "glob", pattern)
    found: list[tuple[str, Entry]] = [(start, folder)]
    for name in names:
        found = [
            (f"{path}/{child}", inner)
            for path, folder in found
            if isinstance(folder, Folder)
            for child, inner in _children(folder, name)
        ]
    return found


def _split(pattern: str, root: str) -> tuple[str, list[str]]:
    """The part before the first name with a wildcard (else before the last), as it is; and the names behind it.
    Edgekit's own folder is taken as it is."""
    before = root if pattern.startswith(f"{root}/") else ""
    names = [name for name in pattern[len(before) :].split("/") if name]
    wild = (at for at, name in enumerate(names) if re.search(_WILD, name))
    first = next(wild, max(0, len(names) - 1))
    return "/".join([before, *names[:first]]) or "/", names[first:]


def _children(folder: Folder, name: str) -> list[tuple[str, Entry]]:
    """Of a folder, those whose name matches; a hidden one only where the pattern has its dot."""
    if not re.search(_WILD, name):
        return [(name, folder.children[name])] if name in folder.children else []
    pattern = re.sub(r"\\(.)", lambda m: f"[{m[1]}]", name)
    hidden = name.startswith(".")
    return [
        (child, entry)
        for child, entry in folder.children.items()
        if fnmatch.fnmatchcase(child, pattern) and child.startswith(".") == hidden
    ]


def _opened(device: SimDevice, root: str, u: Unpacker) -> bytes:
    """Whatever ran has ended: nothing is in use."""
    folders = [u.text() for _ in range(u.u32())]
    return Packer().blob(bytes(len(folders))).u32(0).done()


def read_whole(device: SimDevice, path: str) -> bytes:
    entry = device.files.find(path, "get")
    if isinstance(entry, Folder):
        raise FileError(EISDIR, "get", path)
    return entry.read()


FILE_REQUESTS: Mapping[Type, Handler] = {
    Type.STAT: _stat,
    Type.STATVFS: _statvfs,
    Type.READ: _read,
    Type.WRITE: _write,
    Type.MKDIR: _mkdir,
    Type.RENAME: _rename,
    Type.CHMOD: _chmod,
    Type.REMOVE: _remove,
    Type.LIST: _list,
    Type.FSYNC: _fsync,
    Type.GLOB: _glob,
    Type.OPENED: _opened,
}
