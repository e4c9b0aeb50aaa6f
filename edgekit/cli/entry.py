"""The console script: signal handlers first, then everything else."""

from __future__ import annotations

import sys

from edgekit.cli import signals


def main() -> None:
    """Ends the process with edgekit's exit code."""
    try:
        signals.install()
        from edgekit.cli.main import run

        code = run(sys.argv[1:])
    except signals.Signalled as error:
        code = error.exit_code
    sys.exit(code)
