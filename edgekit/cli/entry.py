"""The console script: signal handlers first, then everything else."""

from __future__ import annotations

import contextlib
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
        if "--json" in sys.argv[1:] and not signals.answered:
            with contextlib.suppress(OSError):
                print(signals.interrupted_document(error.number), flush=True)
    sys.exit(code)
