"""`ssh://`, a board: commands and streams over one ssh connection (paramiko), files through `cat`.

`cat` and not SFTP: it is the faster of the two, and small boards have no SFTP server.
"""

from __future__ import annotations

import contextlib
import shlex
import threading
from collections.abc import Sequence
from pathlib import Path

from edgekit.addresses import Address
from edgekit.clock import Deadline
from edgekit.errors import DeviceError, DeviceLost, DeviceTimeout, InputError
from edgekit.transports.base import Completed, Progress
from edgekit.transports.files import chunks, errno_of_text, size_of, write_error
from edgekit.transports.paramiko_import import paramiko
from edgekit.transports.running import TAIL_BYTES, lost, run_to_end
from edgekit.transports.ssh_connection import SshConnection, open_connection
from edgekit.transports.ssh_stream import SshStream

_START_SECONDS = 30.0
_PUT = 'LC_ALL=C; export LC_ALL; umask 077; cat > "$1" && chmod "$2" "$1"'


class SshTransport:
    """Commands go to the login shell as one quoted line, which needs a POSIX-like one (or fish)."""

    kind = "ssh"
    simulated = False
    default_root = ".edgekit"

    def __init__(self, connection: SshConnection, address: str) -> None:
        self.address = address
        self._connection = connection

    @classmethod
    def connect(cls, address: Address, *, timeout: float) -> SshTransport:
        """Raises DeviceNotFound, DeviceOffline, HostKeyUnknown, HostKeyChanged, AuthenticationFailed."""
        return cls(open_connection(address, timeout=timeout), str(address))

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float) -> Completed:
        deadline = Deadline.after(timeout)
        stream = self._start(argv, timeout, stderr_limit=None)
        return run_to_end(stream, argv, stdin, deadline, self.address)

    def open(self, argv: Sequence[str], *, timeout: float) -> SshStream:
        return self._start(argv, timeout, stderr_limit=TAIL_BYTES)

    def _start(self, argv: Sequence[str], timeout: float, stderr_limit: int | None) -> SshStream:
        command = command_line(argv)
        # Both steps wait for an answer; a deadline that passes between them is the second one's.
        deadline = Deadline.after(min(timeout, _START_SECONDS))
        channel = None
        try:
            channel = self._connection.transport.open_session(timeout=max(0.1, deadline.within(timeout)))
            channel.settimeout(max(0.1, deadline.within(timeout)))
            watchdog = threading.Timer(max(0.1, deadline.within(timeout)), channel.close)
            watchdog.daemon = True
            watchdog.start()
            try:
                channel.exec_command(command)
            finally:
                watchdog.cancel()
        except (paramiko.SSHException, EOFError, OSError) as error:
            if channel is not None:
                channel.close()
            raise self._start_error(error, deadline) from error
        return SshStream(channel, self._connection, self.address, stderr_limit)

    def _start_error(self, error: Exception, deadline: Deadline) -> DeviceError:
        if not self._connection.transport.is_active():
            return lost("the connection to the board is lost", self.address, self._connection.why() or error)
        if deadline.expired():
            return DeviceTimeout("the board did not start the command in time", device=self.address)
        return DeviceError(
            f"the board starts no command ({error})",
            code="E_SSH_SESSION",
            device=self.address,
            hint="its sshd may limit sessions (MaxSessions) or commands (ForceCommand)",
        )

    def put(
        self,
        source: Path | bytes,
        remote: str,
        *,
        mode: int,
        timeout: float,
        progress: Progress | None = None,
    ) -> None:
        deadline = Deadline.after(timeout)
        total = size_of(source)
        stream = self._start(["sh", "-c", _PUT, "sh", remote, f"{mode:o}"], timeout, stderr_limit=TAIL_BYTES)
        expired = threading.Timer(timeout, stream.abort)
        expired.daemon = True
        expired.start()
        try:
            self._feed(stream, source, total, progress)
            code = stream.wait(deadline.within(timeout))
        except (DeviceLost, DeviceTimeout) as error:
            if deadline.expired():
                raise DeviceTimeout(
                    f"{remote}: {total} bytes were not written in time", device=self.address
                ) from error
            raise
        finally:
            expired.cancel()
            stream.close()
        if code != 0:
            said = stream.stderr_tail()
            raise write_error(errno_of_text(said), remote, self.address, said)

    def _feed(self, stream: SshStream, source: Path | bytes, total: int, progress: Progress | None) -> None:
        done = 0
        for piece in chunks(source):
            try:
                stream.send(piece)
            except DeviceLost:
                if stream.ended():
                    return  # `cat` has given up: its exit code and message say why
                raise
            done += len(piece)
            if progress is not None:
                progress(done, total)
        stream.close_stdin()

    def close(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            self._connection.close()


def command_line(argv: Sequence[str]) -> str:
    """One line for a login shell. `exec`: the command takes the shell's place, so that signals reach it."""
    if any("\0" in word for word in argv):
        raise InputError("a command's argument holds a NUL character", code="E_ARGUMENT")
    return "exec " + shlex.join(argv)
