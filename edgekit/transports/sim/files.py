"""The files of a simulated device, in memory: folders, files, and nodes that are computed or set (/proc, /sys).

Errors are Linux's, as errno, with what was tried and about what, as the agent tells them. There are no links.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from edgekit.agent.failures import EACCES, EEXIST, EINVAL, EISDIR, ENOENT, ENOSPC, ENOTDIR, ENOTEMPTY, EROFS
from edgekit.transports.sim.blobs import Blob, blob_of

_S_IFDIR, _S_IFREG = 0o040000, 0o100000
_INODES = itertools.count(2)


class FileError(Exception):
    """`op` is what was tried: "write", "put", ...; `extra` goes into the ERROR frame."""

    def __init__(self, errno: int, op: str, text: str, extra: int = 0) -> None:
        super().__init__(f"{op} {text}: errno {errno}")
        self.errno, self.op, self.text, self.extra = errno, op, text, extra


@dataclass
class File:
    blob: Blob
    permissions: int
    mtime_ns: int
    inode: int = field(default_factory=lambda: next(_INODES))

    @property
    def mode(self) -> int:
        return _S_IFREG | self.permissions

    @property
    def size_bytes(self) -> int:
        return len(self.blob.data)

    def read(self) -> bytes:
        return self.blob.data


@dataclass
class Node:
    """A file of the kernel: `make` gives what it says now; `accept`, where there is one, takes a new value and
    says whether that can be."""

    make: Callable[[], bytes]
    accept: Callable[[bytes], bool] | None = None
    mtime_ns: int = 0
    size_bytes: int = 0
    inode: int = field(default_factory=lambda: next(_INODES))

    @property
    def mode(self) -> int:
        return _S_IFREG | (0o644 if self.accept else 0o444)

    def read(self) -> bytes:
        return self.make()


@dataclass
class Folder:
    permissions: int = 0o755
    mtime_ns: int = 0
    children: dict[str, Entry] = field(default_factory=dict)
    size_bytes: int = 4096
    inode: int = field(default_factory=lambda: next(_INODES))

    @property
    def mode(self) -> int:
        return _S_IFDIR | self.permissions


Entry = File | Node | Folder


class Files:
    """A tree. Only what lies below one of `writable` can be changed. `now_ns` gives CLOCK_REALTIME."""

    def __init__(
        self, home: str, writable: tuple[str, ...], total_bytes: int, now_ns: Callable[[], int]
    ) -> None:
        self.top = Folder()
        self.home = home
        self.total_bytes = total_bytes
        self.read_only = False
        self.changes = 0
        """How often something was changed."""
        self._writable = writable
        self._now_ns = now_ns
        for path in (home, *writable):
            self._fixed_folder(self.parts(path))

    def parts(self, path: str) -> list[str]:
        """The names on the way to an absolute path, or to one relative to the login folder."""
        whole = path if path.startswith("/") else f"{self.home}/{path}"
        names: list[str] = []
        for name in whole.split("/"):
            if name == "..":
                del names[-1:]
            elif name not in ("", "."):
                names.append(name)
        return names

    def absolute(self, path: str) -> str:
        return "/" + "/".join(self.parts(path))

    def add(self, path: str, node: Node) -> None:
        """Part of the device from the start."""
        *folders, name = self.parts(path)
        self._fixed_folder(folders).children[name] = node

    def _fixed_folder(self, names: list[str]) -> Folder:
        folder = self.top
        for name in names:
            entry = folder.children.setdefault(name, Folder())
            assert isinstance(entry, Folder)
            folder = entry
        return folder

    def look(self, path: str) -> Entry | None:
        try:
            return self.find(path, "stat")
        except FileError:
            return None

    def find(self, path: str, op: str) -> Entry:
        entry: Entry = self.top
        for name in self.parts(path):
            if not isinstance(entry, Folder):
                raise FileError(ENOTDIR, op, path)
            if name not in entry.children:
                raise FileError(ENOENT, op, path)
            entry = entry.children[name]
        return entry

    def read(self, path: str, op: str = "read") -> bytes:
        entry = self.find(path, op)
        if isinstance(entry, Folder):
            raise FileError(EISDIR, op, path)
        return entry.read()

    def write(self, path: str, data: bytes, permissions: int, op: str = "write") -> None:
        """Whole or not at all."""
        folder, name = self._place(path, op)
        there = folder.children.get(name)
        if isinstance(there, Folder):
            raise FileError(EISDIR, op, path)
        self.reserve(len(data) - (there.size_bytes if there else 0), path, op)
        folder.children[name] = File(blob_of(data), permissions & 0o7777, self._now_ns())
        folder.mtime_ns = self._now_ns()

    def can_hold(self, path: str, op: str) -> None:
        """Raises FileError where no file could be made in the folder of this path."""
        self._place(path, op)

    def part_of(self, path: str) -> str:
        """Where the agent gathers a file."""
        folder, slash, name = path.rpartition("/")
        return f"{folder}{slash}.{name}.ek-tmp"

    def drop_part(self, path: str) -> None:
        if self.look(part := self.part_of(path)) is not None:
            self.remove(part, recursive=False)

    def reserve(self, size_bytes: int, path: str, op: str) -> None:
        if size_bytes > 0 and size_bytes > self.free_bytes():
            raise FileError(ENOSPC, op, path)

    def _place(self, path: str, op: str) -> tuple[Folder, str]:
        """The folder that holds `path`, which may be changed, and the name in it."""
        *_, name = self.parts(path) or [""]
        parent = self.find(self.absolute(path).rpartition("/")[0] or "/", op)
        if not isinstance(parent, Folder):
            raise FileError(ENOTDIR, op, path)
        self._check_writable(path, op)
        return parent, name

    def _check_writable(self, path: str, op: str) -> None:
        """Before every change."""
        whole = self.absolute(path)
        if not any(whole.startswith(f"{top}/") for top in self._writable):
            raise FileError(EACCES, op, path)
        if self.read_only:
            raise FileError(EROFS, op, path)
        self.changes += 1

    def mkdir(self, path: str, permissions: int, *, parents: bool = True) -> None:
        """One that is there is fine."""
        entry: Entry = self.top
        names = self.parts(path)
        for at, name in enumerate(names):
            if not isinstance(entry, Folder):
                raise FileError(ENOTDIR, "mkdir", path)
            if name not in entry.children:
                if not parents and at < len(names) - 1:
                    raise FileError(ENOENT, "mkdir", path)
                self._check_writable("/" + "/".join(names[: at + 1]), "mkdir")
                entry.children[name] = Folder(permissions & 0o7777, self._now_ns())
            entry = entry.children[name]
        if not isinstance(entry, Folder):
            raise FileError(EEXIST, "mkdir", path)

    def rename(self, source: str, target: str, *, exchange: bool = False, replace: bool = True) -> None:
        """Errors in the order in which Linux finds them."""
        if exchange and not replace:
            raise FileError(EINVAL, "rename", target)
        from_folder, from_name = self._place(source, "rename")
        to_folder, to_name = self._place(target, "rename")
        moved, there = from_folder.children.get(from_name), to_folder.children.get(to_name)
        if moved is None or (exchange and there is None):
            raise FileError(ENOENT, "rename", target if moved else source)
        if there is not None and not replace:
            raise FileError(EEXIST, "rename", target)
        if there is moved:
            return
        self._check_apart(self.absolute(source), self.absolute(target), exchange=exchange)
        if there is not None and not exchange:
            _check_replaces(moved, there, target)
        to_folder.children[to_name] = moved
        if exchange and there is not None:
            from_folder.children[from_name] = there
        else:
            del from_folder.children[from_name]

    def _check_apart(self, source: str, target: str, *, exchange: bool) -> None:
        """Neither lies in the other."""
        if target.startswith(f"{source}/"):
            raise FileError(EINVAL, "rename", target)
        if source.startswith(f"{target}/"):
            raise FileError(EINVAL if exchange else ENOTEMPTY, "rename", target)

    def chmod(self, path: str, permissions: int) -> None:
        entry = self.find(path, "chmod")
        self._check_writable(path, "chmod")
        if not isinstance(entry, Node):
            entry.permissions = permissions & 0o7777

    def remove(self, path: str, *, recursive: bool) -> None:
        folder, name = self._place(path, "remove")
        entry = folder.children.get(name)
        if entry is None:
            raise FileError(ENOENT, "remove", path)
        if isinstance(entry, Folder) and entry.children and not recursive:
            raise FileError(ENOTEMPTY, "remove", path)
        del folder.children[name]

    def set(self, path: str, value: bytes) -> None:
        """Give a setting of the kernel a new value. Raises FileError EACCES, or EINVAL where it does not take it."""
        entry = self.find(path, "knob")
        if not isinstance(entry, Node) or entry.accept is None:
            raise FileError(EACCES, "knob", path)
        if not entry.accept(value):
            raise FileError(EINVAL, "knob", path)

    def walk(self, path: str) -> Iterator[tuple[str, Entry]]:
        """All below `path`, folders before what is in them."""
        entry = self.look(path)
        if isinstance(entry, Folder):
            for name, child in list(entry.children.items()):
                inner = f"{path.rstrip('/')}/{name}"
                yield inner, child
                yield from self.walk(inner)

    def free_bytes(self) -> int:
        used = sum(
            entry.size_bytes
            for top in self._writable
            for _, entry in self.walk(top)
            if isinstance(entry, File)
        )
        return max(0, self.total_bytes - used)


def _check_replaces(moved: Entry, there: Entry, target: str) -> None:
    if isinstance(there, Folder) != isinstance(moved, Folder):
        raise FileError(EISDIR if isinstance(there, Folder) else ENOTDIR, "rename", target)
    if isinstance(there, Folder) and there.children:
        raise FileError(ENOTEMPTY, "rename", target)
