"""A virtual arm64 board: qemu's `virt` machine with its own kernel, disk and network.

Its times mean nothing (the processor is emulated); its disk is real: what the board flushed is there after a
power cut, what it did not is lost.
"""

from __future__ import annotations

import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.targets.board_image import CLIENT_KEY, DISK, HOST_KEY, INITRD, KERNEL, recipe
from tests.targets.ports import free_port, wait_for_port
from tests.targets.roots import folder as root_folder
from tests.targets.sandbox import Sandbox, kill_pid, need_root, need_tools, wait_gone
from tests.targets.sshd import SshClientHome, public_part

BOOT_TIMEOUT_S = 90.0
"""A boot takes 6 to 8 s on an idle machine."""
RUN_TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class BoardOptions:
    """`cpu`: a model of qemu-system-aarch64 ("cortex-a72", "cortex-a53", "max")."""

    cpu: str = "cortex-a72"
    cpus: int = 2
    memory_mib: int = 1024


class Board:
    """`kill` is a power cut; `boot_again` starts on the same disk. Ports and keys stay the same."""

    def __init__(
        self, folder: Path, client: SshClientHome | None = None, options: BoardOptions | None = None
    ) -> None:
        need_root()
        need_tools("qemu-system-aarch64", "qemu-img", "ssh")
        self.options = options or BoardOptions()
        self.image = root_folder(recipe())
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self.adb_port = free_port(), free_port()
        self.client = client or SshClientHome(folder / "client")
        self.client.use_key(self.image / CLIENT_KEY)
        self.client.trust("127.0.0.1", self.port, public_part(self.image / HOST_KEY))
        self.console = folder / "console.log"
        self.disk = folder / "disk.qcow2"
        backing = ["-F", "raw", "-b", str(self.image / DISK)]
        create = ["qemu-img", "create", "-q", "-f", "qcow2", *backing, str(self.disk)]
        subprocess.run(create, check=True, timeout=30)
        self._sandbox: Sandbox | None = None
        self._qemu: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """What a user would type."""
        return self.address_of("root")

    def address_of(self, user: str) -> str:
        """The address for another user of the board ("pi")."""
        return f"ssh://{user}@127.0.0.1:{self.port}"

    @property
    def adb_serial(self) -> str:
        """The serial of the Android device inside the board, for `adb connect`."""
        return f"127.0.0.1:{self.adb_port}"

    def _command(self) -> list[str]:
        options = self.options
        forward = f"hostfwd=tcp:127.0.0.1:{self.port}-:22,hostfwd=tcp:127.0.0.1:{self.adb_port}-:6000"
        return [
            *("qemu-system-aarch64", "-M", "virt", "-accel", "tcg,thread=multi", "-cpu", options.cpu),
            *("-smp", str(options.cpus), "-m", str(options.memory_mib)),
            *("-kernel", str(self.image / KERNEL), "-initrd", str(self.image / INITRD)),
            *("-append", "console=ttyAMA0 quiet panic=1"),
            # writeback: a flush in the board is a flush here; without one, data may be lost in a power cut.
            *("-drive", f"if=none,id=disk,format=qcow2,cache=writeback,file={self.disk}"),
            *("-device", "virtio-blk-pci,drive=disk"),
            # restrict: no way out of the board. romfile: nothing boots from the network, no package for it needed.
            *("-netdev", f"user,id=net,restrict=on,{forward}"),
            *("-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci"),
            *("-display", "none", "-monitor", "none", "-serial", f"file:{self.console}"),
        ]

    def start(self) -> None:
        """Power on and wait for the ssh banner. Raises TimeoutError with the console's end."""
        self._sandbox = Sandbox(hostname="qemu")
        self._qemu = self._sandbox.popen(self._command(), log=self.folder / "qemu.log")
        try:
            wait_for_port("127.0.0.1", self.port, BOOT_TIMEOUT_S, b"SSH-", self._qemu)
        except TimeoutError as error:
            logs = [
                path.read_text("utf-8", errors="replace")[-2000:] for path in self._logs() if path.exists()
            ]
            self.kill()
            raise TimeoutError("\n".join([str(error), *logs])) from error

    def _logs(self) -> list[Path]:
        return [self.folder / "qemu.log", self.console]

    def kill(self) -> None:
        """Power cut: SIGKILL qemu."""
        if self._qemu is not None:
            pid = Sandbox.server_pid(self._qemu)
            if pid is not None:
                kill_pid(pid)
                wait_gone([pid])
            self._qemu.wait(timeout=30)
            self._qemu = None
        if self._sandbox is not None:
            self._sandbox.close()
            self._sandbox = None

    def boot_again(self) -> None:
        """Power on with the disk as it is (after `kill`, or as a power cut itself)."""
        self.kill()
        self.start()

    def freeze(self, on: bool = True) -> None:
        """Stop (or go on) the whole machine: its connections stay open and silent."""
        pid = Sandbox.server_pid(self._qemu)
        assert pid is not None, "the board is off"
        kill_pid(pid, signal.SIGSTOP if on else signal.SIGCONT)

    def run(self, command: str, *, stdin: bytes = b"", timeout: float = RUN_TIMEOUT_S) -> bytes:
        """Run a shell command as root with the real ssh; its stdout. Raises RuntimeError when it fails."""
        argv = ["ssh", "-p", str(self.port), "root@127.0.0.1", command]
        env = self.client.full_env
        done = subprocess.run(argv, input=stdin, capture_output=True, timeout=timeout, check=False, env=env)
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()
            raise RuntimeError(f"{command}: exit {done.returncode}: {said}")
        return done.stdout

    def close(self) -> None:
        """Power off for good; the disk is removed."""
        self.kill()
        self.disk.unlink(missing_ok=True)
