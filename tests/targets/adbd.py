"""A real adbd (Debian's) in an Android-like tree of its own: the Android device of the tests.

Each device has its own processes, host name, /data, properties and boot id; / is read-only, as on a phone.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.targets import android_tree
from tests.targets.adb_host import AdbHost
from tests.targets.ports import free_port, wait_for_port
from tests.targets.roots import folder as root_folder
from tests.targets.sandbox import Sandbox, kill_pid, need_root, need_tools, wait_gone

SHELL_UID = 2000
_GROUPS = "1004,1007,1011,1015,3003"
_NODES = ("null", "zero", "random", "urandom", "full", "tty")
_ENVIRONMENT = (
    "PATH=/system/bin",
    "HOME=/",
    "ANDROID_ROOT=/system",
    "ANDROID_DATA=/data",
    "TMPDIR=/data/local/tmp",
)


@dataclass(frozen=True, kw_only=True)
class AdbdOptions:
    """How a device is to be. `small_tmp_bytes`: size of a file system of its own on /data/local/tmp;
    `read_only_tmp`: one that cannot be written; `sysfs`: a folder seen as /sys; `network_pid`: a process
    in whose network adbd listens, on all its addresses; `host_address`: where the adb server reaches it then."""

    auth: bool = False
    small_tmp_bytes: int | None = None
    read_only_tmp: bool = False
    sysfs: Path | None = None
    network_pid: int | None = None
    host_address: str = "127.0.0.1"


class AdbdDevice:
    """`kill` ends adbd alone, `power_off` the whole device; `restart` brings back either, on the same port with
    the same /data. After `restart` the adb server may need `reconnect`."""

    def __init__(self, folder: Path, host: AdbHost, options: AdbdOptions | None = None) -> None:
        need_root()
        need_tools("chroot", "unshare", "nsenter", "mount")
        self.options = options or AdbdOptions()
        self.host = host
        self.folder = folder
        self.tree = root_folder(android_tree.recipe(android_tree.AMD64))
        self._program = self._adbd_program()
        self.log = folder / "adbd.log"
        self.root = folder / "root"
        self.data = folder / "data"
        self._make_folders()
        self.port = free_port() if self.options.network_pid is None else 6000
        self.set_property("service.adb.tcp.port", str(self.port))
        self._sandbox: Sandbox | None = None
        self._adbd: subprocess.Popen[bytes] | None = None
        self.boot()

    @property
    def serial(self) -> str:
        return f"{self.options.host_address}:{self.port}"

    @property
    def address(self) -> str:
        """What a user would type."""
        return f"adb:{self.serial}"

    @property
    def env(self) -> dict[str, str]:
        """Environment that leads the product to this device's adb server."""
        return self.host.env

    @property
    def sandbox(self) -> Sandbox:
        """The device's namespaces; its pid is where to look from outside (/proc/PID/root)."""
        assert self._sandbox is not None, "the device is off"
        return self._sandbox

    def _adbd_program(self) -> str:
        if not self.options.auth:
            return "/system/bin/adbd"
        missing = self.tree / "root/system/bin/adbd-auth.missing"
        if missing.exists():
            raise RuntimeError(f"authentication cannot be turned on: {missing.read_text('ascii')}")
        return "/system/bin/adbd-auth"

    def _make_folders(self) -> None:
        self.root.mkdir(parents=True)
        for name, mode, uid in (
            ("", 0o771, 1000),
            ("local", 0o751, 0),
            ("local/tmp", 0o771, SHELL_UID),
            ("misc", 0o751, 1000),
            ("misc/adb", 0o750, SHELL_UID),
            ("settings", 0o777, SHELL_UID),
        ):
            path = self.data / name
            path.mkdir(exist_ok=True)
            os.chown(path, uid, uid)
            path.chmod(mode)
        for name in ("props", "canned"):
            shutil.copytree(self.tree / name, self.folder / name)
            (self.folder / name).chmod(0o777)

    def _mounts(self) -> list[list[str]]:
        root = str(self.root)
        boot_id = self.folder / "boot_id"
        boot_id.write_text(f"{uuid.uuid4()}\n", encoding="ascii")
        commands = [
            ["mount", "--bind", str(self.tree / "root"), root],
            ["mount", "-o", "remount,ro,bind", root],
            *(
                ["mount", "--bind", str(self.folder / name), f"{root}/{name}"]
                for name in ("data", "props", "canned")
            ),
            ["mount", "-t", "proc", "proc", f"{root}/proc"],
            ["mount", "--bind", str(boot_id), f"{root}/proc/sys/kernel/random/boot_id"],
            ["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", f"{root}/dev"],
            ["cp", "-a", *(f"/dev/{name}" for name in _NODES), f"{root}/dev"],
            ["mkdir", "-p", f"{root}/dev/pts", f"{root}/dev/socket"],
            [
                "mount",
                "-t",
                "devpts",
                "-o",
                "newinstance,ptmxmode=0666,mode=0600",
                "devpts",
                f"{root}/dev/pts",
            ],
            ["ln", "-s", "pts/ptmx", f"{root}/dev/ptmx"],
            ["ln", "-s", "/proc/self/fd", f"{root}/dev/fd"],
        ]
        return [*commands, self._sys_mount(), *self._tmp_mounts()]

    def _sys_mount(self) -> list[str]:
        if self.options.sysfs is not None:
            return ["mount", "--bind", str(self.options.sysfs), f"{self.root}/sys"]
        return ["mount", "-t", "sysfs", "-o", "ro", "sysfs", f"{self.root}/sys"]

    def _tmp_mounts(self) -> list[list[str]]:
        place = f"{self.root}/data/local/tmp"
        owner = f"mode=0771,uid={SHELL_UID},gid={SHELL_UID}"
        if self.options.small_tmp_bytes is not None:
            return [
                ["mount", "-t", "tmpfs", "-o", f"size={self.options.small_tmp_bytes},{owner}", "tmpfs", place]
            ]
        if self.options.read_only_tmp:
            return [["mount", "-t", "tmpfs", "-o", f"ro,{owner}", "tmpfs", place]]
        return []

    def boot(self) -> None:
        """Power on: new processes, new boot id; then adbd."""
        self._sandbox = Sandbox(self._mounts(), hostname="localhost", network_of=self.options.network_pid)
        self.start_adbd()

    def start_adbd(self) -> None:
        """Start adbd and wait until it listens. Raises TimeoutError with its log."""
        preload = ["LD_PRELOAD=/system/lib64/adbd_shim.so", "PROPDIR=/props"]
        loopback = ["BIND_LOOPBACK=1"] if self.options.network_pid is None else []
        argv = [*self.chroot_command([*preload, *loopback]), self._program]
        self._adbd = self.sandbox.popen(argv, log=self.log)
        try:
            wait_for_port(self.options.host_address, self.port, 30.0, server=self._adbd)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.log.read_text('utf-8', errors='replace')}") from error

    def chroot_command(self, variables: Sequence[str]) -> list[str]:
        """What comes before a program to run it on the device as the user shell."""
        user = [f"--userspec={SHELL_UID}:{SHELL_UID}", f"--groups={_GROUPS}", str(self.root)]
        return ["chroot", *user, "/system/bin/env", "-i", *_ENVIRONMENT, *variables]

    def connect(self, state: str | None = "device") -> None:
        """Make the adb server know this device and wait for its state."""
        self.host.connect(self.serial, state)

    def reconnect(self) -> None:
        """What it takes after a restart: adb 36 keeps a dead connection as "offline"."""
        self.host.disconnect(self.serial)
        self.host.connect_again_until(self.serial)

    def shell(
        self, command: str, *, stdin: bytes = b"", timeout: float = 30.0
    ) -> subprocess.CompletedProcess[bytes]:
        """`adb shell COMMAND` with the real client."""
        return self.host.adb("-s", self.serial, "shell", command, stdin=stdin, timeout=timeout)

    def path(self, name: str) -> Path:
        """A file of the device (absolute name), seen from the test."""
        return Path(f"/proc/{self.sandbox.pid}/root{self.root}{name}")

    def add_program(self, program: Path) -> None:
        """One more in /system/bin, until the device is switched off."""
        folder = self.folder / "system-bin"
        if not folder.exists():
            shutil.copytree(self.tree / "root/system/bin", folder, symlinks=True)
        shutil.copy2(program, folder)
        self.sandbox.run(["mount", "--bind", str(folder), f"{self.root}/system/bin"])

    def set_property(self, name: str, value: str | None) -> None:
        """Set (or with None remove) a property, as getprop and adbd see it."""
        file = self.folder / "props" / name
        if value is None:
            file.unlink(missing_ok=True)
        else:
            file.write_text(value, encoding="utf-8")
            file.chmod(0o666)

    def set_dumpsys(self, service: str, text: str | None) -> None:
        """What `dumpsys SERVICE` prints from now on; None: there is no such service."""
        file = self.folder / "canned/dumpsys" / service
        if text is None:
            file.unlink(missing_ok=True)
        else:
            file.write_text(text, encoding="utf-8")

    def sysfs(self, path: Path) -> None:
        """Put a folder over the device's /sys, now."""
        self.sandbox.run(["mount", "--bind", str(path), f"{self.root}/sys"])

    def authorize(self, key: str) -> None:
        """Add a host's public key, as the dialog on the screen would."""
        file = self.data / "misc/adb/adb_keys"
        with open(file, "a", encoding="ascii") as stream:
            stream.write(key.strip() + "\n")
        file.chmod(0o644)

    def adbd_pid(self) -> int | None:
        """Host PID of adbd, None where it does not run."""
        return Sandbox.server_pid(self._adbd)

    def kill(self) -> None:
        """SIGKILL adbd, as when it crashes; what it started is left to itself."""
        pid = self.adbd_pid()
        if pid is not None:
            kill_pid(pid)
            wait_gone([pid])
        if self._adbd is not None:
            self._adbd.wait(timeout=30)
            self._adbd = None

    def freeze(self, on: bool = True) -> None:
        """SIGSTOP (or SIGCONT) adbd: connected, and silent."""
        pid = self.adbd_pid()
        assert pid is not None, "adbd does not run"
        kill_pid(pid, signal.SIGSTOP if on else signal.SIGCONT)

    def power_off(self) -> None:
        """End everything on the device at once; /data stays."""
        if self._sandbox is not None:
            self._sandbox.close()
            self._sandbox = None
        self.kill()

    def restart(self) -> None:
        """Start adbd again after `kill`, or the device after `power_off`."""
        if self._sandbox is None:
            self.boot()
        else:
            self.kill()
            self.start_adbd()

    def close(self) -> None:
        """End the device and let the adb server forget it."""
        self.power_off()
        self.host.disconnect(self.serial)
