"""The lines of a meter beside the device, as they come: of a command that goes on, or of a file that grows."""

from __future__ import annotations

import os
import stat
import threading
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from edgekit.cache import host_errors
from edgekit.clock import Deadline
from edgekit.errors import EdgekitError, HostError
from edgekit.meters.base import Rails, Reading, Source
from edgekit.parse import ParseError
from edgekit.parse.meter_stream import Layout, is_reading, layout_of, read_line
from edgekit.stats.traces import Refused
from edgekit.transports.local import LocalTransport

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.transports import Stream

    Floats = NDArray[np.float64]

LOOK_SECONDS = 0.05
JOIN_SECONDS = 5.0
KEEP_READINGS = 20_000_000
"""An hour of a meter with 5 kHz."""
MAX_LINE_BYTES = 64 << 10
MOST_DAMAGED = 0.01
"""Share of lines that may be no readings: a serial line drops some. More, and it is another format."""
RAIL = "external"


@dataclass
class Readings:
    """All that came so far. Added to by one thread, looked at by another."""

    source: Source
    t_us: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))
    layout: Layout | None = None
    lines: int = 0
    damaged: int = 0
    first_damage: str = ""
    ended: str | None = None
    """Why nothing more comes."""
    _part: bytes = b""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def feed(self, data: bytes) -> None:
        """Bytes as they come. A line counts once its end is there: half a number is a number too."""
        with self._lock:
            *whole, self._part = (self._part + data).split(b"\n")
            for line in whole:
                self._line(line)
            if len(self._part) > MAX_LINE_BYTES or len(self.t_us) > KEEP_READINGS:
                self.ended = "it prints more than is kept"

    def _line(self, raw: bytes) -> None:
        line = raw.decode("utf-8", "replace")
        if not is_reading(line):
            return
        self.lines += 1
        try:
            if self.layout is None:
                self.layout = layout_of(line, self.source.columns, self.source.voltage_mv)
                self.first_damage = ""
                if self.layout.delimiter is not None:
                    return
            t_us, value = read_line(line, self.layout)
        except ParseError as error:
            self.first_damage = self.first_damage or f"line {self.lines}: {error.problem}"
            if self.layout is not None:
                self.damaged += 1
            elif (
                self.lines > 1
            ):  # the first may be the end of one, as a serial line is in the middle of something
                self.ended = self.first_damage
            return
        self.t_us.append(t_us)
        self.values.append(value)

    def count(self) -> int:
        with self._lock:
            return len(self.t_us)

    def rails(self) -> Rails | Refused:
        """All readings, on the meter's own clock."""
        import numpy as np

        with self._lock:
            t_us = np.array(self.t_us, dtype=np.float64)
            values = np.array(self.values, dtype=np.float64)
        if self.layout is None:
            return Refused(f"the meter gave no readings{self._why()}")
        if self.damaged > MOST_DAMAGED * self.lines:
            return Refused(
                f"{self.damaged} of {self.lines} lines of the meter are no readings ({self.first_damage})"
            )
        t_us, values = _one_each(t_us, values, counts=self.layout.unit == "uJ")
        return Rails(t_us, {RAIL: values}, self.layout.unit)

    def wait_for(self, count: int, deadline: Deadline) -> Refused | None:
        """Until so many readings are there. Why they are not, else."""
        pause = threading.Event()
        while self.count() < count:
            if self.ended is not None:
                return Refused(f"the meter gave {self.count()} readings{self._why()}")
            if deadline.expired():
                return Refused(f"the meter gave {self.count()} readings in time{self._why()}")
            pause.wait(LOOK_SECONDS)
        return None

    def _why(self) -> str:
        first = self.first_damage if self.layout is None else ""
        said = dict.fromkeys(text for text in (first, self.ended or self.first_damage) if text)
        return f": {', '.join(said)}" if said else ""


def _one_each(t_us: Floats, values: Floats, *, counts: bool) -> tuple[Floats, Floats]:
    """Readings with their times; those of one time, as of a meter that is faster than the steps of its clock, are one: their
    mean, of a counter the last that was to be had."""
    import numpy as np

    begins = np.flatnonzero(np.diff(t_us, prepend=np.nan) != 0)
    if begins.size == t_us.size:
        return t_us, values
    groups = np.repeat(np.arange(begins.size), np.diff(begins, append=t_us.size))
    known = np.isfinite(values)
    merged = np.full(begins.size, np.nan)
    if counts:
        merged[groups[known]] = values[known]
    else:
        number = np.bincount(groups[known], minlength=begins.size)
        total = np.bincount(groups[known], weights=values[known], minlength=begins.size)
        merged[number > 0] = total[number > 0] / number[number > 0]
    return t_us[begins], merged


def read_lines(source: Source, readings: Sequence[Reading]) -> Sequence[Rails] | Refused:
    """Lines that were kept, each under the rail's name, as rails on the meter's clock. Pure."""
    found = Readings(source)
    found.feed("".join(reading.texts.get(RAIL) or "" for reading in readings).encode())
    rails = found.rails()
    return rails if isinstance(rails, Refused) else (rails,)


@contextmanager
def streaming(source: Source) -> Iterator[Readings]:
    """Read `source` in a thread of its own for the time of the block; a command is ended after it: its input is closed, and
    a second later it is killed, with all that it started. Raises HostError where the file cannot be read."""
    readings = Readings(source)
    with ExitStack() as stack:
        if source.file is not None:
            file = stack.enter_context(_at_its_end(source.file, readings))
            work = partial(_follow, file, source.file, readings)
        else:
            stream = LocalTransport().open(source.argv, timeout=source.start_seconds)
            stack.callback(stream.close)
            work = partial(_listen, stream, source.argv, readings)
        stop = threading.Event()
        thread = threading.Thread(target=work, args=(stop,), name="edgekit-meter", daemon=True)
        thread.start()
        stack.callback(thread.join, JOIN_SECONDS)
        stack.callback(stop.set)
        yield readings


def _listen(stream: Stream, argv: Sequence[str], readings: Readings, stop: threading.Event) -> None:
    try:
        while not stop.is_set() and readings.ended is None:
            data = stream.recv(1 << 16, LOOK_SECONDS)
            if data == b"":
                readings.ended = _ending(argv, stream.wait(JOIN_SECONDS), stream.stderr_tail())
            elif data:
                readings.feed(data)
    except EdgekitError as error:
        readings.ended = error.message


def _ending(argv: Sequence[str], code: int, stderr: str) -> str:
    said = stderr.strip().splitlines()
    return f"{argv[0]} ended with exit code {code}" + (f": {said[-1][-300:]}" if said else "")


@contextmanager
def _at_its_end(path: Path, readings: Readings) -> Iterator[IO[bytes]]:
    """What was in the file before is of no use, but for a CSV's header. Raises HostError for what is no regular file: a pipe or a
    serial line would be waited for without an end."""
    with host_errors(path):
        regular = stat.S_ISREG(path.stat().st_mode)
    if not regular:
        raise HostError(
            f"the meter's file {path} is no regular file",
            code="E_HOST_FILE",
            hint=f"`command: [cat, {path}]` instead of `file:` reads a pipe or a serial line",
        )
    with host_errors(path), open(path, "rb") as file:
        head = file.readline(MAX_LINE_BYTES)
        while head.endswith(b"\n") and not is_reading(head.decode("utf-8", "replace")):
            head = file.readline(MAX_LINE_BYTES)
        if head.endswith(b"\n"):
            if not head.lstrip().startswith(b"{"):
                readings.feed(head)
            start = file.tell()
            file.seek(max(start, file.seek(0, os.SEEK_END) - MAX_LINE_BYTES))
            begun = len(file.read().rpartition(b"\n")[2])
            file.seek(-begun, os.SEEK_CUR)  # at the line that is being written; the end is elsewhere by now
        else:
            file.seek(-len(head), os.SEEK_CUR)
        yield file


def _follow(file: IO[bytes], path: Path, readings: Readings, stop: threading.Event) -> None:
    while not stop.is_set() and readings.ended is None:
        try:
            data = file.read(1 << 20)
            if data:
                readings.feed(data)
            elif path.stat().st_size < file.tell():
                readings.ended = f"{path} became shorter"
            else:
                stop.wait(LOOK_SECONDS)
        except OSError as error:
            readings.ended = f"{path}: {error.strerror}"
