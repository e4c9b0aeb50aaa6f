"""What a benchmark leaves for a CI: a JUnit file, and annotations in its log."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.errors import EdgekitError

if TYPE_CHECKING:
    from edgekit.benchmarking import Outcome


@contextmanager
def ci_told(junit_file: str | None, *, strict: bool) -> Iterator[list[Outcome]]:
    """The block appends its outcomes; they, or the error that ends it, are told at its end, whatever the exit code.

    Annotations go to stderr, where they do not mix with --json. Raises HostError where the file cannot be made.
    """
    outcomes: list[Outcome] = []
    try:
        yield outcomes
    except EdgekitError as error:
        _tell(outcomes, junit_file, strict, error)
        raise
    except click.exceptions.Exit:
        _tell(outcomes, junit_file, strict, None)
        raise
    _tell(outcomes, junit_file, strict, None)


def _tell(outcomes: list[Outcome], junit_file: str | None, strict: bool, error: EdgekitError | None) -> None:
    from edgekit.benchmarking.ci_report import annotation_lines, error_lines, junit
    from edgekit.cache import atomic_write

    lines = [line for outcome in outcomes for line in annotation_lines(outcome, os.environ, strict=strict)]
    if error is not None:
        lines += error_lines(error, os.environ)
    for line in lines:
        click.echo(line, err=True)
    if junit_file is not None:
        atomic_write(Path(junit_file), junit(outcomes, strict=strict, error=error).encode("utf-8"))
