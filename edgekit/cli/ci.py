"""What a benchmark leaves for a CI: a JUnit file, and annotations in its log."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edgekit.benchmarking import Outcome


def tell_ci(outcomes: Sequence[Outcome], junit_file: str | None, *, strict: bool) -> None:
    """Annotations go to stderr, where --json does not mix with them. Raises HostError where the file cannot be made."""
    from edgekit.benchmarking.ci_report import annotation_lines, junit
    from edgekit.cache import atomic_write

    for outcome in outcomes:
        for line in annotation_lines(outcome, os.environ, strict=strict):
            click.echo(line, err=True)
    if junit_file is not None:
        atomic_write(Path(junit_file), junit(outcomes, strict=strict).encode("utf-8"))
