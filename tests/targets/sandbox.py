"""A set of Linux namespaces that holds one target, and ends with everything in it.

Its first process reads from a pipe that only this process holds. When the pipe closes (the target is stopped,
the tests end, or pytest is killed), that process ends, and the kernel kills all others of the PID namespace
with it: nothing outlives the tests, not even what a device's programs left in the background.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

# `wait` also collects orphans, so that a process that ended is not taken for one that lives (a zombie).
_FIRST_PROCESS = "exec 3<&0; {setup}; echo ready; exec >/dev/null 2>&1; cat <&3 & wait $!"


_PROGRAM_FOLDERS = ("/usr/sbin", "/sbin", "/usr/bin", "/bin")


def why_not(*tools: str, root: bool = False) -> str | None:
    """Why something that needs these programs (and root) cannot be had here; None where it can.
    scripts/lib/debian-packages.txt lists the packages that bring the programs."""
    if root and os.geteuid() != 0:
        return "needs root (namespaces, chroot)"
    missing = [name for name in tools if not any(Path(folder, name).exists() for folder in _PROGRAM_FOLDERS)]
    return f"not installed: {', '.join(missing)} (see scripts/lib/debian-packages.txt)" if missing else None


def need_root() -> None:
    """Namespaces, chroot and TUN devices need root."""
    if reason := why_not(root=True):
        pytest.skip(reason)


def need_tools(*names: str) -> None:
    """Skip where a program is missing."""
    if reason := why_not(*names):
        pytest.skip(reason)


def children_of(pid: int) -> list[int]:
    """Direct children of a process, by host PID; none where it is gone."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(word) for word in text.split()]


def descendants_of(pid: int) -> list[int]:
    """Children, their children, and so on."""
    found: list[int] = []
    for child in children_of(pid):
        found += [child, *descendants_of(child)]
    return found


def kill_pid(pid: int, number: int = signal.SIGKILL) -> None:
    """Signal one process; one that has gone already is fine."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def wait_gone(pids: Sequence[int], timeout: float = 30.0) -> None:
    """Wait until none of these processes runs. Raises TimeoutError."""
    end = time.monotonic() + timeout
    while any(_runs(pid) for pid in pids):
        if time.monotonic() > end:
            raise TimeoutError(f"still running after {timeout} s: {[pid for pid in pids if _runs(pid)]}")
        time.sleep(0.002)


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


class Sandbox:
    """Own mount, PID and host name space; own network if asked, or that of the process `network_of`.

    `setup` are commands run inside first. Raises RuntimeError with what the one that failed said."""

    def __init__(
        self,
        setup: Sequence[Sequence[str]] = (),
        *,
        network: bool = False,
        network_of: int | None = None,
        hostname: str = "board",
    ) -> None:
        need_root()
        need_tools("unshare", "nsenter")
        lines = ["mount --make-rprivate /", f"hostname {shlex.quote(hostname)}"]
        lines += ["ip link set lo up"] if network else []
        lines += [shlex.join(command) for command in setup]
        script = _FIRST_PROCESS.format(setup=" && ".join(f"{line} || exit 99" for line in lines))
        flags = ["-m", "-p", "-u", "-f", "--mount-proc", *(["-n"] if network else [])]
        enter = [] if network_of is None else ["nsenter", "-t", str(network_of), "-n"]
        self._network = network or network_of is not None
        self._holder = subprocess.Popen(
            [*enter, "unshare", *flags, "/bin/sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stderr is not None
        if self._holder.stdout.readline() != b"ready\n":
            said = self._holder.stderr.read().decode(errors="replace")
            self._holder.wait(timeout=10)
            raise RuntimeError(f"the namespaces could not be set up: {said.strip() or lines}")
        self.pid = children_of(self._holder.pid)[0]

    def command(self, argv: Sequence[str]) -> list[str]:
        """`argv` as run inside."""
        spaces = ["-m", "-p", "-u", *(["-n"] if self._network else [])]
        return ["nsenter", "-t", str(self.pid), *spaces, *argv]

    def run(self, argv: Sequence[str], *, timeout: float = 20.0, stdin: bytes = b"") -> bytes:
        """Run one command inside; its stdout. Raises RuntimeError with its stderr when it fails."""
        done = subprocess.run(
            self.command(argv), input=stdin, capture_output=True, timeout=timeout, check=False
        )
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()
            raise RuntimeError(f"{shlex.join(argv)}: exit {done.returncode}: {said}")
        return done.stdout

    def popen(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a server inside; what it prints is added to `log`, stdout only where not given. The process given
        back is nsenter: `server_pid` tells the server's own.

        setsid stands between: nsenter would stop with a server that is stopped, and then not collect it when it
        is killed; the kernel does not end a PID namespace before that.
        """
        with open(log, "ab") as file:
            return subprocess.Popen(
                self.command(["setsid", "--fork", "--wait", *argv]),
                stdin=stdin,
                stdout=file if stdout is None else stdout,
                stderr=file,
                env=None if env is None else dict(env),
                start_new_session=True,
            )

    @staticmethod
    def server_pid(started: subprocess.Popen[bytes] | None) -> int | None:
        """Host PID of a server that `popen` started; None where it has ended."""
        if started is None or started.poll() is not None:
            return None
        waiting = children_of(started.pid)
        return next(iter(children_of(waiting[0])), None) if waiting else None

    def close(self) -> None:
        """End everything inside."""
        for pipe in (self._holder.stdin, self._holder.stdout, self._holder.stderr):
            if pipe is not None:
                pipe.close()
        try:
            self._holder.wait(timeout=5)
        except subprocess.TimeoutExpired:
            kill_pid(self.pid)
            self._holder.wait(timeout=30)
