"""Devices behind ssh and adb, and a prepared folder on them for each cut."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.devices import resolve
from edgekit.devices.opening import open_transport
from edgekit.transports.base import Transport
from tests.faults.cases import Case, Models, opened, prepared
from tests.faults.table import Place

if TYPE_CHECKING:
    from tests.targets.adbd import AdbdDevice
    from tests.targets.sshd import SshServer

CONNECT_SECONDS = 20.0


@dataclass(frozen=True)
class Remote:
    """`folder`: where roots are made, as the device names it; `seen`: the same from this machine."""

    kind: str
    address: str
    folder: str
    seen: Callable[[str], Path]
    owner: int | None = None

    def connect(self) -> Transport:
        return open_transport(resolve(self.address), CONNECT_SECONDS)

    def place(self, base: Path, number: int) -> Place:
        """A copy of a prepared device there."""
        root = f"{self.folder}/device-{number:05}-cut"
        path = self.seen(root)
        shutil.copytree(base, path)
        if self.owner is not None:
            for place, folders, files in os.walk(path):
                for name in (".", *folders, *files):
                    os.chown(Path(place, name), self.owner, self.owner)
        return Place(root, path, self.connect, lambda: opened(root, self.address))


def of_sshd(server: SshServer) -> Remote:
    assert server.sandbox is not None
    pid = server.sandbox.pid
    return Remote("ssh", server.address, server.device_home(), lambda name: Path(f"/proc/{pid}/root{name}"))


def of_adbd(device: AdbdDevice) -> Remote:
    from tests.targets.adbd import SHELL_UID

    return Remote("adb", device.address, "/data/local/tmp", device.path, SHELL_UID)


class Grounds:
    """Prepared devices of all cases, made once on this machine, for one remote."""

    def __init__(self, remote: Remote, folder: Path) -> None:
        self.remote = remote
        self.models = Models(folder / "host")
        self._folder = folder
        self._bases: dict[str, Path] = {}
        self._count = 0

    def place(self, case: Case) -> Place:
        if case.name not in self._bases:
            name = f"base-{len(self._bases)}"
            self._bases[case.name] = prepared(case, self.models, self._folder / name)
        self._count += 1
        return self.remote.place(self._bases[case.name], self._count)
