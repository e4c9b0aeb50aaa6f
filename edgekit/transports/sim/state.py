"""A simulated device that outlives the process: its files and counters in a folder of this host.

They are read when the device is first used and written after every request that changed something, so that a host
process may end at any time. One process has the folder at a time.
"""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path
from typing import IO
from urllib.parse import quote, unquote

import msgspec

from edgekit.cache import atomic_write, host_errors
from edgekit.errors import DeviceBusy, HostError
from edgekit.transports.sim.device import SimDevice
from edgekit.transports.sim.files import File, FileError, Folder
from edgekit.transports.sim.programs import strerror

SCHEMA = "edgekit.sim/1"
_FACTS = "device.json"
_FILES = "files"
_LOCK = "lock"


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    schema: str
    profile: str
    boots: int
    launches: int
    rests: int
    operations: int
    permissions: dict[str, int]
    """Of each file and folder of the device, by its path as in a URL: a name need not be text, JSON has to be."""


class State:
    """The folder, held by this process until `close`. Raises DeviceBusy where another has it, HostError."""

    def __init__(self, folder: Path, device: SimDevice) -> None:
        self.folder = folder
        self._device = device
        self._saved: dict[str, bytes] = {}
        self._changes = -1
        with host_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock: IO[bytes] = open(folder / _LOCK, "ab")  # noqa: SIM115 - held as long as the device
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise DeviceBusy(
                f"another process has the simulated device in {folder}",
                hint="wait until it has ended, or give another state=FOLDER",
                device=device.address,
            ) from error
        try:
            self._load()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._lock.close()

    def _load(self) -> None:
        path = self.folder / _FACTS
        if not path.is_file():
            return
        device = self._device
        try:
            with host_errors(path):
                kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise self._foreign(f"{path} is not one ({error})") from error
        if (kept.schema, kept.profile) != (SCHEMA, device.options.profile):
            raise self._foreign(f"it holds a {kept.profile}")
        device.boots, device.launches = kept.boots, kept.launches
        device.rests, device.operations = kept.rests, kept.operations
        for quoted, permissions in kept.permissions.items():
            name = unquote(quoted, errors="surrogateescape")
            try:
                self._load_entry(name, permissions)
            except FileError as error:
                raise self._foreign(f"{name!r} cannot be on it ({strerror(error.errno)})") from error
            self._note(name)

    def _load_entry(self, name: str, permissions: int) -> None:
        """Raises FileError where this device has no place for it: one with a smaller disk, for instance."""
        source = self.folder / _FILES / name.lstrip("/")
        with host_errors(source):
            if source.is_dir():
                self._device.files.mkdir(name, permissions)
            else:
                self._device.files.write(name, source.read_bytes(), permissions)

    def _foreign(self, why: str) -> HostError:
        return HostError(
            f"the folder {self.folder} is not the state of this simulated device: {why}",
            code="E_SIM_STATE",
            hint="give the options that it was made with (disk among them), or another state=FOLDER",
        )

    def _note(self, name: str) -> None:
        entry = self._device.files.look(name)
        if isinstance(entry, File):
            self._saved[name] = entry.blob.sha256

    def save(self) -> None:
        """Raises HostError."""
        device = self._device
        if self._changes == device.files.changes:
            return
        entries = dict(device.files.walk(device.machine.home))
        for name in [name for name in self._saved if not isinstance(entries.get(name), File)]:
            del self._saved[name]
            with host_errors(self.folder):
                (self.folder / _FILES / name.lstrip("/")).unlink(missing_ok=True)
        for name, entry in entries.items():
            target = self.folder / _FILES / name.lstrip("/")
            with host_errors(target):
                if isinstance(entry, Folder):
                    target.mkdir(parents=True, exist_ok=True)
                elif isinstance(entry, File) and self._saved.get(name) != entry.blob.sha256:
                    if target.is_dir():
                        shutil.rmtree(target)  # of a folder that was moved away
                    atomic_write(target, entry.blob.data)
                    self._note(name)
        kept = _Kept(
            schema=SCHEMA,
            profile=device.options.profile,
            boots=device.boots,
            launches=device.launches,
            rests=device.rests,
            operations=device.operations,
            permissions={
                quote(name, errors="surrogateescape"): entry.mode & 0o7777 for name, entry in entries.items()
            },
        )
        atomic_write(self.folder / _FACTS, msgspec.json.encode(kept))
        self._changes = device.files.changes
