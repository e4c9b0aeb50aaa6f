"""What goes on for a while on the device: a command, a series of samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType

from edgekit.agent import answers
from edgekit.agent.link import Link, Pending
from edgekit.agent.protocol import Frame, Type, Unpacker
from edgekit.clock import Deadline
from edgekit.errors import EdgekitError

OnOutput = Callable[[bytes], None]
STOP_GRACE_S = 5.0


class Running:
    """A command on the device. `wait` must be called; leaving the `with` block before ends the command."""

    def __init__(
        self,
        link: Link,
        pending: Pending,
        argv: tuple[str, ...],
        *,
        deadline: Deadline,
        on_stdout: OnOutput | None,
        on_stderr: OnOutput | None,
        keep_bytes: int,
    ) -> None:
        self.argv = argv
        self.pid: int | None = None
        """The device's; known once `started` or `wait` has returned."""
        self._link = link
        self._pending = pending
        self._deadline = deadline
        self._sinks = {Type.STDOUT: on_stdout, Type.STDERR: on_stderr}
        self._kept = {Type.STDOUT: bytearray(), Type.STDERR: bytearray()}
        self._keep_bytes = keep_bytes
        self._truncated = False

    def started(self, timeout: float) -> int:
        """Wait until the program has been exec'ed; its pid. Raises RemoteError where it cannot be."""
        if self.pid is None:
            self._take(self._pending.next(Deadline.after(timeout)))
        return self.pid or 0

    def wait(self, seconds: float | None = None) -> answers.RunResult:
        """Wait for its end, `seconds` at most. Raises DeviceLost; DeviceTimeout where it did not end in time, or the agent did
        not keep the deadline."""
        deadline = self._deadline if seconds is None else Deadline.after(seconds)
        try:
            while True:
                frame = self._pending.next(deadline)
                if frame.type == Type.RESULT:
                    return self._result(frame)
                self._take(frame)
        finally:
            self.close()

    def poll(self) -> bool:
        """Hand what has come to the callbacks, without waiting. False when it has ended. Raises DeviceLost."""
        while not self._pending.finished and self._pending.has_answer():
            frame = self._pending.next(Deadline.after(0.0))
            if frame.type != Type.RESULT:
                self._take(frame)
        return not self._pending.finished

    def cancel(self) -> None:
        """SIGTERM, a second later SIGKILL, to its process group. `wait` then returns `cancelled`."""
        self._link.cancel(self._pending)

    def close(self) -> None:
        """End it where it has not ended, and forget it. Never raises."""
        if not self._pending.finished:
            self._link.abandon(self._pending)
            self._pending.finished = True
        self._link.forget(self._pending)

    def _take(self, frame: Frame) -> None:
        if frame.type == Type.STARTED:
            self.pid = Unpacker(frame.payload).u32()
            return
        kind = Type(frame.type)
        kept = self._kept[kind]
        room = self._keep_bytes - len(kept)
        self._truncated |= len(frame.payload) > room
        kept += frame.payload[: max(room, 0)]
        if sink := self._sinks[kind]:
            sink(frame.payload)

    def _result(self, frame: Frame) -> answers.RunResult:
        stdout, stderr = bytes(self._kept[Type.STDOUT]), bytes(self._kept[Type.STDERR])
        return answers.read_run(frame.payload, self.argv, stdout, stderr, self._truncated)

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Sampling:
    """A series of samples that is being taken. Iterate over it, or `stop` it and have all that is left."""

    def __init__(self, link: Link, pending: Pending, paths: tuple[str, ...]) -> None:
        self.paths = paths
        self._link = link
        self._pending = pending

    def __iter__(self) -> Iterator[answers.Sample]:
        """Every sample as it comes, until the wanted number is there or the series is stopped."""
        while not self._pending.finished:
            sample = self._next(Deadline.after(None))
            if sample is not None:
                yield sample

    def stop(self) -> list[answers.Sample]:
        """End the series; the samples that nobody has taken yet. Raises DeviceLost."""
        samples: list[answers.Sample] = []
        if not self._pending.finished:
            self._link.cancel(self._pending)
        deadline = Deadline.after(STOP_GRACE_S)
        while not self._pending.finished:
            sample = self._next(deadline)
            if sample is not None:
                samples.append(sample)
        self._link.forget(self._pending)
        return samples

    def _next(self, deadline: Deadline) -> answers.Sample | None:
        frame = self._pending.next(deadline)
        return answers.read_sample(frame.payload, self.paths) if frame.type == Type.READING else None

    def __enter__(self) -> Sampling:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except EdgekitError:
            pass  # the link is gone, and with it the series
