"""`local:`, this machine as a device: each command is a child process of ours, started by argument list."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from edgekit.addresses import Address
from edgekit.cache import cache_dir, home_dir
from edgekit.clock import Deadline
from edgekit.errors import DeviceLost, DeviceTimeout
from edgekit.transports.base import Completed, Progress
from edgekit.transports.files import chunks, size_of, write_error
from edgekit.transports.running import TAIL_BYTES, Tail, lost, run_to_end

_CLOSE_SECONDS = 1.0
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126  # what a shell answers, so that all transports say the same


class LocalTransport:
    """Commands run in the home folder (as over ssh) with this process's environment."""

    kind = "local"
    simulated = False

    def __init__(self, address: str = "local:") -> None:
        self.address = address
        self.default_root = str(cache_dir("local-device"))
        self._home = str(home_dir())

    @classmethod
    def connect(cls, address: Address, *, timeout: float) -> LocalTransport:
        """Nothing to wait for. Raises HostError where the cache folder cannot be made."""
        return cls(str(address))

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float) -> Completed:
        deadline = Deadline.after(timeout)
        stream = self._start(argv, stderr_limit=None)
        if isinstance(stream, Completed):
            return stream
        return run_to_end(stream, argv, stdin, deadline, self.address)

    def open(self, argv: Sequence[str], *, timeout: float) -> LocalStream | EndedStream:
        stream = self._start(argv, stderr_limit=TAIL_BYTES)
        return EndedStream(stream, self.address) if isinstance(stream, Completed) else stream

    def _start(self, argv: Sequence[str], stderr_limit: int | None) -> LocalStream | Completed:
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self._home,
                bufsize=0,
                start_new_session=True,
            )
        except FileNotFoundError:
            return Completed(_NOT_FOUND, b"", f"{argv[0]}: not found\n".encode())
        except OSError as error:
            return Completed(_NOT_EXECUTABLE, b"", f"{argv[0]}: {error.strerror}\n".encode())
        return LocalStream(process, self.address, stderr_limit)

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
        done = 0
        target = Path(self._home, remote)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            handle = os.open(target, flags, 0o600)
            with open(handle, "wb", buffering=0) as file:
                for piece in chunks(source):
                    done += _write_all(file.fileno(), piece)
                    if progress is not None:
                        progress(done, total)
                    if deadline.expired():
                        raise DeviceTimeout(
                            f"{remote}: {done} of {total} bytes written in time", device=self.address
                        )
                os.fchmod(file.fileno(), mode)
        except OSError as error:
            raise write_error(error.errno, remote, self.address, error.strerror or "") from error

    def close(self) -> None:
        """Nothing is held."""


def _write_all(handle: int, piece: bytes | memoryview) -> int:
    view = memoryview(piece)
    written = 0
    while written < len(view):
        written += os.write(handle, view[written:])
    return written


class LocalStream:
    """One child process in a session of its own. `abort` and `close` end its whole process group."""

    def __init__(self, process: subprocess.Popen[bytes], device: str, stderr_limit: int | None) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._device = device
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._stderr = process.stderr
        self._wake_read, self._wake_write = os.pipe()
        self._lock = threading.Lock()
        self._aborted = False
        self._wake_open = True
        os.set_blocking(self._stdin.fileno(), False)
        os.set_blocking(self._stdout.fileno(), False)
        self._tail = Tail(stderr_limit)
        self._drain = threading.Thread(target=self._drain_stderr, name="edgekit-stderr", daemon=True)
        self._drain.start()

    def _drain_stderr(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(self._stderr.fileno(), 65536):
                self._tail.add(data)

    def _wait_for(self, handle: int, event: int, timeout: float | None) -> bool:
        """Whether `handle` is ready within `timeout`. Raises DeviceLost once aborted."""
        poll = select.poll()
        poll.register(handle, event)
        poll.register(self._wake_read, select.POLLIN)
        ready = poll.poll(None if timeout is None else max(0, timeout) * 1000)
        self._check()
        return bool(ready)

    def _check(self) -> None:
        if self._aborted:
            raise lost("the stream was cut", self._device)

    def send(self, data: bytes | memoryview) -> None:
        view = memoryview(data).cast("B")
        while view:
            self._check()
            try:
                view = view[os.write(self._stdin.fileno(), view) :]
            except BlockingIOError:
                self._wait_for(self._stdin.fileno(), select.POLLOUT, None)
            except (OSError, ValueError) as error:
                raise lost("the command reads no more input", self._device, error) from error

    def recv(self, max_bytes: int, timeout: float) -> bytes | None:
        deadline = Deadline.after(timeout)
        while True:
            self._check()
            try:
                return os.read(self._stdout.fileno(), max_bytes)
            except BlockingIOError:
                if not self._wait_for(self._stdout.fileno(), select.POLLIN, deadline.remaining()):
                    return None
            except (OSError, ValueError) as error:
                raise lost("the stream is closed", self._device, error) from error

    def close_stdin(self) -> None:
        with contextlib.suppress(OSError):
            self._stdin.close()

    def wait(self, timeout: float) -> int:
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise DeviceTimeout(
                f"the command did not end within {timeout:g} s", device=self._device
            ) from error
        self._check()
        self._drain.join(_CLOSE_SECONDS)  # a grandchild may hold stderr open; do not wait for it forever
        return 128 - code if code < 0 else code

    def stderr_tail(self) -> str:
        return self._tail.text()

    def stderr_bytes(self) -> bytes:
        return self._tail.value()

    def abort(self) -> None:
        with self._lock:
            if not self._aborted and self._wake_open:
                self._aborted = True
                os.write(self._wake_write, b"x")
        self._kill_group()

    def _kill_group(self) -> None:
        """The child leads its session, so its pid names the group, also while only grandchildren live on."""
        if self._process.returncode is None:
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        self.close_stdin()
        try:
            self._process.wait(0 if self._aborted else _CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill_group()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_CLOSE_SECONDS)
        self._drain.join(_CLOSE_SECONDS)
        self._free()

    def _free(self) -> None:
        with self._lock:
            if not self._wake_open:
                return
            self._wake_open = False
            os.close(self._wake_read)
            os.close(self._wake_write)
        for pipe in (self._stdout, self._stderr):
            with contextlib.suppress(OSError):
                pipe.close()


class EndedStream:
    """A command that could not be started, in the shape in which a remote shell tells it."""

    def __init__(self, completed: Completed, device: str) -> None:
        self._completed = completed
        self._device = device

    def send(self, data: bytes | memoryview) -> None:
        raise DeviceLost("the command reads no more input", device=self._device, transient=False)

    def recv(self, max_bytes: int, timeout: float) -> bytes | None:
        return b""

    def close_stdin(self) -> None:
        """There is none."""

    def wait(self, timeout: float) -> int:
        return self._completed.exit_code

    def stderr_tail(self) -> str:
        return self._completed.stderr.decode("utf-8", "replace")

    def stderr_bytes(self) -> bytes:
        return self._completed.stderr

    def abort(self) -> None:
        """Nothing runs."""

    def close(self) -> None:
        """Nothing is held."""
