"""One command on an ssh channel."""

from __future__ import annotations

import contextlib
import threading

from edgekit.clock import Deadline
from edgekit.errors import DeviceLost, DeviceTimeout
from edgekit.transports.paramiko_import import paramiko
from edgekit.transports.running import Tail, lost
from edgekit.transports.ssh_connection import SshConnection

_CLOSE_SECONDS = 1.0
PACKET_BYTES = 32768


class SshStream:
    """paramiko ends a channel's data with b"" both at its end and when the connection broke; here these are
    two things."""

    def __init__(
        self, channel: paramiko.Channel, connection: SshConnection, device: str, stderr_limit: int | None
    ) -> None:
        self._channel = channel
        self._connection = connection
        self._device = device
        self._aborted = False
        self._tail = Tail(stderr_limit)
        channel.settimeout(None)
        self._drain = threading.Thread(target=self._drain_stderr, name="edgekit-stderr", daemon=True)
        self._drain.start()

    def _drain_stderr(self) -> None:
        while True:
            try:
                data = self._channel.recv_stderr(1 << 16)
            except TimeoutError:
                continue  # recv of the other output sets the timeout for both
            except (OSError, EOFError):
                return
            if not data:
                return
            self._tail.add(data)

    def send(self, data: bytes | memoryview) -> None:
        view = memoryview(data).cast("B")
        while view:
            self._check()
            try:
                # paramiko sends one packet at a time: more would be copied again for each of them
                sent = self._channel.send(view[:PACKET_BYTES].tobytes())
            except TimeoutError:
                continue  # a timeout of recv in another thread, not ours
            except (OSError, EOFError, paramiko.SSHException) as error:
                raise self._lost("the command reads no more input", error) from error
            if sent == 0:
                raise self._lost("the command reads no more input")
            view = view[sent:]

    def recv(self, max_bytes: int, timeout: float) -> bytes | None:
        self._check()
        channel = self._channel
        if timeout <= 0 and not channel.recv_ready() and not (channel.eof_received or channel.closed):
            return None
        channel.settimeout(max(timeout, 0.001))
        try:
            data = channel.recv(max_bytes)
        except TimeoutError:
            self._check()
            return None
        except (OSError, EOFError, paramiko.SSHException) as error:
            # recv also sends (that there is room again), and that fails on a dead link.
            raise self._lost("the connection broke", error) from error
        self._check()
        if not data and not channel.eof_received and channel.exit_status == -1:
            raise self._lost("the connection broke before the command ended")
        return data

    def close_stdin(self) -> None:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.shutdown_write()

    def ended(self) -> bool:
        """Whether the command has ended and told how; waits a moment for that message."""
        return self._channel.status_event.wait(_CLOSE_SECONDS) and self._channel.exit_status != -1

    def wait(self, timeout: float) -> int:
        deadline = Deadline.after(timeout)
        if not self._channel.status_event.wait(timeout):
            self._check()
            raise DeviceTimeout(f"the command did not end within {timeout:g} s", device=self._device)
        self._check()
        if self._channel.exit_status == -1:
            raise self._lost("the connection ended, and the command's exit code is not known")
        self._drain.join(deadline.within(_CLOSE_SECONDS))
        return self._channel.exit_status

    def _check(self) -> None:
        if self._aborted:
            raise lost("the stream was cut", self._device)

    def _lost(self, message: str, error: BaseException | None = None) -> DeviceLost:
        if self._aborted:
            return lost("the stream was cut", self._device)
        if not self._connection.transport.is_active():
            message = "the connection to the board is lost"
        return lost(message, self._device, self._connection.why() or error)

    def stderr_tail(self) -> str:
        return self._tail.text()

    def stderr_bytes(self) -> bytes:
        return self._tail.value()

    def abort(self) -> None:
        if self._aborted:
            return
        self._aborted = True
        self._channel.in_buffer.close()  # wakes recv at once, also while a dead link holds the locks below
        threading.Thread(target=self._cut, name="edgekit-ssh-cut", daemon=True).start()

    def _cut(self) -> None:
        """End the command and the channel; may wait for a link that is dead until that is noticed."""
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            if not self._channel.closed and self._channel.exit_status == -1:
                self._signal("KILL")
            self._channel.close()

    def _signal(self, name: str) -> None:
        """RFC 4254, 6.9; without it sshd leaves the command running. Servers that do not know it ignore it."""
        message = paramiko.Message()
        message.add_byte(paramiko.common.cMSG_CHANNEL_REQUEST)
        message.add_int(self._channel.remote_chanid)
        message.add_string("signal")
        message.add_boolean(False)
        message.add_string(name)
        self._connection.transport._send_user_message(message)  # type: ignore[attr-defined]

    def close(self) -> None:
        if self._aborted:
            return
        self.close_stdin()
        if not self._channel.status_event.wait(_CLOSE_SECONDS):
            self.abort()
            return
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.close()
