"""A real OpenSSH server on loopback (or at the far end of a link).

As root the server runs in namespaces of its own, where its home folder lies over the user's: programs started
through ssh begin in a clean folder, see no settings of the person who runs the tests, and end with the target.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.targets.ports import free_port, wait_for_port
from tests.targets.sandbox import Sandbox, descendants_of, kill_pid, need_tools, wait_gone
from tests.targets.ssh_client import SshClientHome, make_key, public_part

__all__ = ["BOARD_USER", "NOISE", "SshClientHome", "SshServer", "SshdOptions", "make_key", "public_part"]

BOARD_USER = "pi"
"""A user that exists only inside a server's namespaces; needs root."""
NOISE = "Welcome to the board!\nuptime is 3 days"

_CONFIG = """\
ListenAddress {host}:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowUsers {user}
SetEnv HOME={home}
PrintMotd no
LogLevel VERBOSE
MaxStartups 100
MaxSessions 100
Subsystem sftp internal-sftp
"""


@dataclass(frozen=True, kw_only=True)
class SshdOptions:
    """How a server is to be. `noise`: a login script that prints. `user`: BOARD_USER or the tests' user.
    `sysfs`: a folder that the server's programs see as /sys. `network_pid`: a process in whose network it
    listens, at `host`, port 22."""

    noise: bool = False
    user: str | None = None
    sysfs: Path | None = None
    network_pid: int | None = None
    host: str = "127.0.0.1"


class SshServer:
    """One sshd. `stop` ends the server and its sessions, not what they left running; `close` ends all."""

    def __init__(self, folder: Path, client: SshClientHome, options: SshdOptions | None = None) -> None:
        need_tools("sshd", "ssh-keygen", "ssh")
        self.options = options or SshdOptions()
        self.folder = folder
        self.client = client
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "sshd.log"
        self.home = folder / "home"
        self.home.mkdir()
        self.user = self.options.user or pwd.getpwuid(os.geteuid()).pw_name
        self.host = self.options.host
        self.port = free_port() if self.options.network_pid is None else 22
        self.host_key = make_key(folder / "host_key")
        shutil.copy(client.key.with_name(client.key.name + ".pub"), folder / "authorized_keys")
        if self.options.noise:
            (self.home / ".bashrc").write_text(f"echo '{NOISE}'\necho 'a warning' >&2\n", encoding="utf-8")
        self._server: subprocess.Popen[bytes] | None = None
        self.sandbox = self._make_sandbox()
        self._write_config()
        self.start()

    def _make_sandbox(self) -> Sandbox | None:
        if os.geteuid() != 0:
            if self.options.user or self.options.sysfs:
                pytest.skip("another user or another /sys needs root")
            return None
        return Sandbox(self._mounts(), network_of=self.options.network_pid)

    def _mounts(self) -> list[list[str]]:
        boot_id = self.folder / "boot_id"
        boot_id.write_text(f"{uuid.uuid4()}\n", encoding="ascii")
        commands = [
            ["mkdir", "-p", "/run/sshd"],
            ["mount", "--bind", str(boot_id), "/proc/sys/kernel/random/boot_id"],
        ]
        if self.options.sysfs is not None:
            commands.append(["mount", "--bind", str(self.options.sysfs), "/sys"])
        if self.options.user == BOARD_USER:
            commands += self._board_user()
        elif self._covers_home():
            commands.append(["mount", "--bind", str(self.home), _login_folder()])
        return commands

    def _covers_home(self) -> bool:
        """Whether the target's home can lie over the user's: not where the fixture itself is in there."""
        return os.geteuid() == 0 and not self.folder.is_relative_to(_login_folder())

    def _board_user(self) -> list[list[str]]:
        """Commands that make BOARD_USER known inside; its home is on a tmpfs over /home."""
        entries = {
            "passwd": f"{BOARD_USER}:x:4711:4711::/home/{BOARD_USER}:/bin/bash",
            "group": f"{BOARD_USER}:x:4711:",
            "shadow": f"{BOARD_USER}:*:19000:0:99999:7:::",
        }
        commands = [
            ["mount", "-t", "tmpfs", "tmpfs", "/home"],
            ["cp", "-r", str(self.home), f"/home/{BOARD_USER}"],
        ]
        commands.append(["chown", "-R", "4711:4711", f"/home/{BOARD_USER}"])
        for name, line in entries.items():
            copy = self.folder / name
            copy.write_text(Path("/etc", name).read_text("utf-8") + line + "\n", encoding="utf-8")
            copy.chmod(0o600 if name == "shadow" else 0o644)
            commands.append(["mount", "--bind", str(copy), f"/etc/{name}"])
        # The folder of the fixture may be closed to others; keys are read as the user who logs in.
        keys = f"/home/{BOARD_USER}/.ssh-keys"
        return [*commands, ["cp", str(self.folder / "authorized_keys"), keys], ["chown", "4711:4711", keys]]

    def _write_config(self) -> None:
        home = self.device_home()
        text = _CONFIG.format(host=self.host, port=self.port, folder=self.folder, user=self.user, home=home)
        if self.user == BOARD_USER:
            text = text.replace(f"{self.folder}/authorized_keys", f"/home/{BOARD_USER}/.ssh-keys")
        (self.folder / "sshd_config").write_text(text, encoding="utf-8")

    def device_home(self) -> str:
        """The login folder, as programs on the device see it."""
        if self.user == BOARD_USER:
            return f"/home/{BOARD_USER}"
        return _login_folder() if self._covers_home() else str(self.home)

    @property
    def address(self) -> str:
        """What a user would type."""
        return f"ssh://{self.user}@{self.host}:{self.port}"

    def start(self) -> None:
        """Start the server again after `stop`. Raises TimeoutError with its log."""
        argv = ["/usr/sbin/sshd", "-D", "-e", "-f", str(self.folder / "sshd_config")]
        if self.sandbox is not None:
            self._server = self.sandbox.popen(argv, log=self.log)
        else:
            with open(self.log, "ab") as file:
                self._server = subprocess.Popen(
                    argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
                )
        try:
            wait_for_port(self.host, self.port, 30.0, b"SSH-", self._server)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.log_text()}") from error

    def log_text(self) -> str:
        """What the server has logged so far (LogLevel VERBOSE)."""
        return self.log.read_text("utf-8", errors="replace") if self.log.exists() else ""

    def logins(self) -> int:
        """How many logins were accepted so far."""
        return self.log_text().count("Accepted publickey")

    def _listener(self) -> int | None:
        if self.sandbox is not None:
            return Sandbox.server_pid(self._server)
        return None if self._server is None or self._server.poll() is not None else self._server.pid

    def session_pids(self) -> list[int]:
        """The server's processes for connections (not the commands they run)."""
        listener = self._listener()
        everything = descendants_of(listener) if listener else []
        return [pid for pid in everything if _is_sshd(pid)]

    def kill_sessions(self) -> int:
        """SIGKILL every connection, as when the server's machine kills them; commands stay. How many."""
        pids = self.session_pids()
        for pid in pids:
            kill_pid(pid)
        wait_gone(pids)
        return len(pids)

    def stop(self) -> None:
        """Kill the server and its connections; what was left in the background runs on."""
        listener = self._listener()
        pids = [] if listener is None else [listener, *self.session_pids()]
        for pid in pids:
            kill_pid(pid)
        wait_gone(pids)
        if self._server is not None:
            self._server.wait(timeout=30)
            self._server = None

    def small_disk(self, size_bytes: int) -> str:
        """A folder on the device whose file system holds this much. Needs root."""
        return self._mounted("small", ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=0777", "tmpfs"])

    def read_only_folder(self) -> str:
        """A folder on the device on a read-only file system. Needs root."""
        return self._mounted("readonly", ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs"])

    def _mounted(self, name: str, mount: Sequence[str]) -> str:
        if self.sandbox is None:
            pytest.skip("mounting needs root")
        path = f"{self.device_home()}/{name}-{time.monotonic_ns()}"
        self.sandbox.run(["mkdir", "-p", path])
        self.sandbox.run([*mount, path])
        return path

    def close(self) -> None:
        """End the server and everything it started."""
        leftovers = descendants_of(self._server.pid) if self._server is not None else []
        self.stop()
        if self.sandbox is not None:
            self.sandbox.close()
        for pid in leftovers:
            kill_pid(pid)

    def reboot(self) -> None:
        """End everything on the device and start the server again, with another boot id. Needs root."""
        if self.sandbox is None:
            pytest.skip("a reboot needs root")
        self.close()
        self.sandbox = self._make_sandbox()
        self.start()


def _login_folder() -> str:
    return pwd.getpwuid(os.geteuid()).pw_dir


def _is_sshd(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8").strip() == "sshd"
    except OSError:
        return False
