"""Signals that end a command: an exception that unwinds it, so that the device is left clean.

Imports nothing of weight: the handlers are in force before click and the rest are imported.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

EXIT_BY_SIGNAL = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
AGAIN_SECONDS = 0.02

answered = False
"""Whether the one document of --json went out: a signal after it adds no second one."""

came: int | None = None
"""The signal that came. C code may put an error of its own in the place of Signalled without a trace of it (the
compiler does so where it needs unicodedata): whatever ends the command afterwards, the signal is the reason."""


class Signalled(BaseException):
    """SIGINT, SIGTERM or SIGHUP came. No `except Exception` may swallow it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Expired(BaseException):
    """--timeout is over. No `except Exception`, nor one for device errors, may swallow it."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def interrupted_document(number: int) -> str:
    """What --json prints where a signal ended the command."""
    import json

    body = {
        "code": "E_INTERRUPTED",
        "message": f"ended by {signal.Signals(number).name}",
        "hint": None,
        "device": None,
        "transient": True,
    }
    return json.dumps({"error": body}, indent=2)


def expiry_behind(error: BaseException) -> Expired | None:
    """The deadline during whose unwinding `error` was raised, if that is what happened."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, Expired):
        seen = seen.__context__
    return seen


def _on_signal(number: int, _: Any) -> None:
    for each in EXIT_BY_SIGNAL:  # a second one must not break the cleaning up
        signal.signal(each, signal.SIG_IGN)
    global came
    came = number
    raise Signalled(number)


def install() -> None:
    """What is ignored (nohup) stays ignored."""
    for number in EXIT_BY_SIGNAL:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _on_signal)
    sys.unraisablehook = _send_again


def _send_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Python drops what is raised in a finalizer or in a weak reference's callback (the import system has some): a
    signal or a deadline that came just there comes again, a moment later."""
    lost = unraisable.exc_value
    if not isinstance(lost, Signalled | Expired):
        sys.__unraisablehook__(unraisable)
        return
    import threading

    number = signal.SIGALRM
    if isinstance(lost, Signalled):
        number = signal.Signals(lost.number)
        for each in EXIT_BY_SIGNAL:
            signal.signal(each, _on_signal)
    timer = threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()
