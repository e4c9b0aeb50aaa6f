"""What long work tells whoever watches it: progress and messages, without knowing who that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Event:
    """One step of progress, or one message.

    A `task` with `done` and `total` is progress (in `unit`: "bytes", "launches", "samples");
    without them it is a line of text. `level` is for text only.
    """

    task: str
    message: str = ""
    done: float | None = None
    total: float | None = None
    unit: str = ""
    device: str | None = None
    level: Literal["debug", "info", "warning"] = "info"


@dataclass(frozen=True)
class LaunchesDone(Event):
    """So many launches of a measurement have ended; no launch runs while a sink has this.

    `runtime`: what runs the model, `median_us`: of the launch that ended last; None where there is not one to tell.
    """

    runtime: str | None = None
    median_us: float | None = None


Sink = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A sink for callers that do not watch."""
