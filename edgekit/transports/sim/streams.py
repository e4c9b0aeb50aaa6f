"""Streams of a simulated device: its agent, and a small command."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from edgekit.errors import DeviceTimeout, EdgekitError, HostError
from edgekit.transports.inbox import Inbox
from edgekit.transports.running import TAIL_BYTES, lost
from edgekit.transports.sim.device import SimDevice
from edgekit.transports.sim.processes import Ended
from edgekit.transports.sim.programs import Vanished
from edgekit.transports.sim.session import EXIT_MALFORMED, Malformed, Session

_NO_LIMIT = 1 << 62
"""What a request answers is put here by the thread that asked: it must never wait for itself to read."""


class AgentStream:
    """The stream of an agent. `changed` is called after requests, and may raise what the host's disk says."""

    def __init__(self, device: SimDevice, root: str, changed: Callable[[], None]) -> None:
        self._device = device
        self._inbox = Inbox(_NO_LIMIT)
        self._session = Session(device, root, self._inbox.put)
        self._changed = changed
        self._code: int | None = None
        self._error: EdgekitError | None = None
        self._said = ""
        with device.lock:
            self._session.start()

    def send(self, data: bytes | memoryview) -> None:
        with self._device.lock:
            if self._error is not None:
                raise self._error
            if self._code is not None:
                raise lost("the agent reads no more input", self._device.address)
            try:
                self._session.feed(bytes(data))
                self._changed()
            except Vanished:
                self._lose("the simulated device has gone")
            except Malformed as error:
                self._said = f"malformed frame: {error}"
                self._end(EXIT_MALFORMED)

    def _lose(self, why: str) -> None:
        if self._error is None and self._code is None:
            self._error = lost(why, self._device.address)
            self._inbox.end(self._error)
            self._finish()

    def _end(self, code: int) -> None:
        if self._error is None and self._code is None:
            self._code = code
            self._inbox.end()
            self._finish()

    def _finish(self) -> None:
        self._session.end()
        with suppress(HostError):  # at most the part of a file that was under way is not kept
            self._changed()

    def recv(self, max_bytes: int, timeout: float) -> bytes | None:
        return self._inbox.get(max_bytes, timeout)

    def close_stdin(self) -> None:
        with self._device.lock:
            self._end(0)

    def wait(self, timeout: float) -> int:
        if self._error is not None:
            raise self._error
        if self._code is None:
            raise DeviceTimeout(f"the agent did not end within {timeout:g} s", device=self._device.address)
        return self._code

    def stderr_tail(self) -> str:
        return self._said

    def abort(self) -> None:
        self._inbox.end(lost("the stream was cut", self._device.address), drop=True)
        with self._device.lock:
            self._lose("the stream was cut")

    def close(self) -> None:
        self.close_stdin()


class CommandStream:
    """A command whose input is gathered until it ends; `cat` gives back what comes as it comes."""

    def __init__(
        self, device: SimDevice, work: Callable[[bytes], Ended], *, echoes: bool, reads: bool
    ) -> None:
        """`reads`: it waits for the end of its input; otherwise it is done at once."""
        self._device = device
        self._work = work
        self._inbox = Inbox()
        self._input = bytearray()
        self._echoes = echoes
        self._ended: Ended | None = None
        self._aborted = False
        if not reads:
            self._run()

    def _run(self) -> None:
        if self._ended is None:
            self._ended = self._work(bytes(self._input))
            self._inbox.put(self._ended.stdout)
            self._inbox.end()

    def send(self, data: bytes | memoryview) -> None:
        if self._aborted or self._ended is not None:
            raise lost("the command reads no more input", self._device.address)
        if not self._echoes:
            self._input += data
            return
        self._inbox.put(bytes(data))

    def recv(self, max_bytes: int, timeout: float) -> bytes | None:
        return self._inbox.get(max_bytes, timeout)

    def close_stdin(self) -> None:
        self._run()

    def wait(self, timeout: float) -> int:
        if self._aborted:
            raise lost("the stream was cut", self._device.address)
        if self._ended is None:
            raise DeviceTimeout(f"the command did not end within {timeout:g} s", device=self._device.address)
        return self._ended.exit_code

    def stderr_tail(self) -> str:
        said = self._ended.stderr if self._ended is not None else b""
        return said[-TAIL_BYTES:].decode("utf-8", "replace")

    def abort(self) -> None:
        self._aborted = True
        self._inbox.end(lost("the stream was cut", self._device.address), drop=True)

    def close(self) -> None:
        if not self._aborted:
            self.close_stdin()
