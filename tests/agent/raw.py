"""A stream to an agent, with frames that nobody checks on our side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgekit.agent.protocol import MAGIC, Frame, FrameDecoder, Type, pack_frame
from edgekit.clock import Deadline
from edgekit.errors import EdgekitError
from edgekit.transports.base import Stream


class Raw:
    """Sends what the test says; reads frames."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.decoder = FrameDecoder()
        self.frames: list[Frame] = []
        self._hello()

    def _hello(self) -> None:
        seen = b""
        while MAGIC not in seen:
            data = self.stream.recv(1 << 16, 30)
            assert data, f"no agent: {self.stream.stderr_tail()}"
            seen += data
        self.frames = self.decoder.feed(seen.split(MAGIC, 1)[1])
        self.until(Type.HELLO, 0)

    def until(self, kind: int, request_id: int) -> Frame | None:
        """The next such frame, those before it dropped; None at the stream's end."""
        deadline = Deadline.after(30)
        while not deadline.expired():
            while self.frames:
                frame = self.frames.pop(0)
                if (frame.type, frame.id) == (kind, request_id):
                    return frame
            data = self.stream.recv(1 << 16, deadline.within(30))
            if data == b"":
                return None
            self.frames = self.decoder.feed(data or b"")
        raise AssertionError("neither an answer nor an end")

    def more(self, seconds: float = 30) -> list[Frame]:
        """Frames that are there or come next. Fails at the stream's end."""
        frames, self.frames = self.frames, []
        if frames:
            return frames
        data = self.stream.recv(1 << 16, seconds)
        assert data, f"no answer: {self.stream.stderr_tail()}"
        return self.decoder.feed(data)

    def lives(self) -> bool:
        """Whether a ping is answered; where not, the agent has ended with exit code 3 and a reason."""
        try:
            self.stream.send(pack_frame(Type.PING, 0xABCD))
        except EdgekitError:
            pass
        if self.until(Type.PONG, 0xABCD) is not None:
            return True
        assert self.stream.wait(30) == 3
        assert "malformed frame" in self.stream.stderr_tail()
        return False


@contextmanager
def raw(stream: Stream) -> Iterator[Raw]:
    try:
        yield Raw(stream)
    finally:
        stream.close()
