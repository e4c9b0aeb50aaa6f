"""What a benchmark leaves for a CI: a JUnit file, and annotations in its log."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.errors import EdgekitError

if TYPE_CHECKING:
    from edgekit.benchmarking import Outcome

INTERRUPTED = "E_INTERRUPTED"
"""As --json says it of a command that a signal ended; the exit code is the signal's or the deadline's."""


@dataclass
class Told:
    """What the CI is told. `failed`: of several devices or configurations, those that gave no outcome."""

    outcomes: list[Outcome] = field(default_factory=list)
    failed: list[tuple[str, EdgekitError]] = field(default_factory=list)


@contextmanager
def ci_told(junit_file: str | None, *, strict: bool, color: bool) -> Iterator[Told]:
    """The block adds its outcomes and failures; they, or the error that ends it, are told at its end, whatever the exit
    code.

    Annotations go to stderr, where they do not mix with --json. The file is there from the beginning, with an error that
    says that nothing was told yet: one that cannot be written costs no measurement, and a command that is killed leaves
    neither the file of the one before nor an empty one. Raises HostError where the file cannot be made.
    """
    if junit_file is not None:
        _write(Told(), junit_file, strict, _unfinished())
    told = Told()
    try:
        yield told
    except EdgekitError as error:
        _tell(told, junit_file, strict, color, error)
        raise
    except click.exceptions.Exit:
        _tell(told, junit_file, strict, color, None)
        raise
    _tell(told, junit_file, strict, color, None)


def _tell(told: Told, junit_file: str | None, strict: bool, color: bool, error: EdgekitError | None) -> None:
    from edgekit.benchmarking.ci_report import annotation_lines, error_lines

    lines = [
        line for outcome in told.outcomes for line in annotation_lines(outcome, os.environ, strict=strict)
    ]
    for address, failure in told.failed:
        lines += error_lines(failure, os.environ, address, color=color)
    if error is not None:
        lines += error_lines(error, os.environ, color=color)
    for line in lines:
        click.echo(line, err=True)
    if junit_file is not None:
        _write(told, junit_file, strict, error)


def _write(told: Told, junit_file: str, strict: bool, error: EdgekitError | None) -> None:
    from edgekit.benchmarking.ci_report import junit
    from edgekit.cache import atomic_write

    document = junit(told.outcomes, strict=strict, error=error, failed=told.failed)
    atomic_write(Path(junit_file), document.encode("utf-8"))


def _unfinished() -> EdgekitError:
    return EdgekitError(
        "the command did not come to its end",
        code=INTERRUPTED,
        hint="it was ended by a signal or a deadline, or is still running",
    )
