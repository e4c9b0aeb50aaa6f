"""stdout and stderr as they really are: closed pipes, full disks, encodings that lack a character."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from edgekit.cli import signals

EXIT_PIPE_CLOSED = 141
"""As a shell says it of a program that SIGPIPE ended."""


class PipeClosed(BaseException):
    """A BrokenPipeError on its way through click, which would make exit code 1 of it."""


@contextlib.contextmanager
def pipes() -> Iterator[None]:
    """Raises PipeClosed for BrokenPipeError."""
    try:
        yield
    except BrokenPipeError as error:
        raise PipeClosed from error


def prepare() -> None:
    """What an encoding cannot say (names of files in an ASCII terminal) is written by its number. A standard stream
    that is closed (`2>&-`) leads nowhere: its number would be the next file's or pipe's, and that get our messages."""
    for number in range(3):
        if not _is_open(number):
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def flush() -> None:
    """Raises OSError where stdout cannot be written: better here than at the interpreter's end."""
    if sys.stdout is not None:
        sys.stdout.flush()


def give_up() -> None:
    """Let go of what cannot be written, so that the interpreter's end does not try again and complain."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except OSError:
            _to_nowhere(stream)


def _to_nowhere(stream: TextIO) -> None:
    with contextlib.suppress(OSError, ValueError):  # a stream without a descriptor
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def unwritable(error: OSError, *, as_json: bool, color: bool) -> int:
    """Say that the output could not be written, where that can be said, and give the exit code."""
    from edgekit.cli.common import fail
    from edgekit.errors import HostDiskFull, HostError

    what = error.filename or "the output"
    text = f"{what} cannot be written: {error.strerror or error}"
    failure: HostError = HostError(text, code="E_OUTPUT", hint="see where the output goes")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        failure = HostDiskFull(text, hint="free space on that disk, or send the output elsewhere")
    give_up()
    try:
        # a document that was begun on stdout is not followed by a second one
        fail(failure, as_json=as_json and not signals.answered, color=color)
    except OSError:
        pass
    give_up()
    return failure.exit_code
