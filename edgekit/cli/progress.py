"""Progress on stderr: bars on a terminal, plain lines elsewhere (CI, a pipe), everything in the log file.

rich is imported when the first bar is drawn, not before: `--help` and quick commands never pay for it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import IO, TYPE_CHECKING

from edgekit.clock import utc_now
from edgekit.events import Event
from edgekit.printable import printable_lines

if TYPE_CHECKING:
    from rich.progress import Progress, Task, TaskID

PLAIN_EVERY_SECONDS = 5.0
"""How often a long task says where it is when there is no terminal."""


class ProgressSink:
    """An events.Sink that shows what it is told. Use as a context manager; safe from several threads."""

    def __init__(self, verbosity: int = 0, color: bool = True, log_file: str | None = None) -> None:
        self.verbosity = verbosity
        self._color = color and "NO_COLOR" not in os.environ
        self._log_path = log_file
        self._log: IO[str] | None = None
        self._lock = threading.Lock()
        self._bars: Progress | None = None
        self._tasks: dict[tuple[str, str | None], TaskID] = {}
        self._last_plain: dict[tuple[str, str | None], float] = {}
        self._started: dict[tuple[str, str | None], tuple[float, float]] = {}

    def __enter__(self) -> ProgressSink:
        if self._log_path:
            from edgekit.cache import host_errors

            with host_errors(self._log_path):
                self._log = open(
                    self._log_path, "a", encoding="utf-8", errors="backslashreplace", buffering=1
                )
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._end_log()

    def _end_log(self) -> None:
        if self._log is not None:
            with contextlib.suppress(OSError):  # what could not be written before cannot be now
                self._log.close()
            self._log = None

    def _write_log(self, text: str) -> None:
        """A log that cannot be written is given up with one warning; the work goes on."""
        if self._log is None:
            return
        try:
            self._log.write(text)
        except OSError as error:
            self._end_log()
            self._text(Event("log", level="warning", message=f"{self._log_path}: {error.strerror}; given up"))

    def stop(self) -> None:
        """Take the bars off the terminal; later events may draw them again."""
        with self._lock:
            if self._bars is not None:
                self._bars.stop()
                self._bars = None
                self._tasks.clear()

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._write_log(f"{utc_now()} {describe(event)}\n")
            if self.verbosity < 0 and event.level != "warning":
                return
            if event.level == "debug" and self.verbosity < 1:
                return
            if event.done is None:
                self._text(event)
            elif sys.stderr.isatty():
                self._bar(event)
            else:
                self._plain(event)

    def _text(self, event: Event) -> None:
        text = describe(event)
        if self._bars is not None:
            self._bars.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def _bar(self, event: Event) -> None:
        if self._bars is None:
            self._bars = _make_bars(self._color)
            self._bars.start()
        key = (event.task, event.device)
        if key not in self._tasks:
            label = event.task if event.device is None else f"{event.task} {event.device}"
            self._tasks[key] = self._bars.add_task(label, total=event.total, note="", unit=event.unit)
        self._bars.update(self._tasks[key], completed=event.done, total=event.total, note=_note(event))

    def _plain(self, event: Event) -> None:
        key = (event.task, event.device)
        now = time.monotonic()
        finished = event.total is not None and event.done is not None and event.done >= event.total
        first_due = self._last_plain.setdefault(key, now)
        started_at, started_with = self._started.setdefault(key, (now, event.done or 0.0))
        if finished or now - first_due >= PLAIN_EVERY_SECONDS:
            self._last_plain[key] = now
            pace = _pace(event, (event.done or 0.0) - started_with, now - started_at)
            print(f"{describe(event)}{pace}", file=sys.stderr, flush=True)


def _pace(event: Event, done: float, seconds: float) -> str:
    """Rate and time left, once there is something to tell them from."""
    if event.unit != "bytes" or event.total is None or event.done is None or done <= 0 or seconds < 0.5:
        return ""
    rate = done / seconds
    left = f", {(event.total - event.done) / rate:.0f} s left" if event.done < event.total else ""
    return f", {rate / 1e6:.1f} MB/s{left}"


def _make_bars(color: bool) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        """Bytes a second, for what is counted in bytes."""

        def render(self, task: Task) -> Text:
            known = task.fields["unit"] == "bytes" and task.speed
            return Text(f"{(task.speed or 0) / 1e6:.1f} MB/s" if known else "")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        Rate(),
        TimeRemainingColumn(),
        console=Console(stderr=True, no_color=not color),
        transient=True,
    )


def _note(event: Event) -> str:
    if event.unit == "bytes":
        done, total = (event.done or 0) / 1e6, (event.total or 0) / 1e6
        return f"{done:.1f}/{total:.1f} MB"
    total_text = "" if event.total is None else f"/{event.total:g}"
    text = f"{event.done:g}{total_text} {event.unit}".strip()
    return f"{text} {event.message}".strip()


def describe(event: Event) -> str:
    """One event as one line."""
    where = f" [{event.device}]" if event.device else ""
    if event.done is None:
        mark = "warning: " if event.level == "warning" else ""
        return printable_lines(f"{mark}{event.task}{where}: {event.message}")
    return printable_lines(f"{event.task}{where}: {_note(event)}")
