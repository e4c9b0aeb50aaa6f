"""The console script: signal handlers first, then everything else."""

from __future__ import annotations

import contextlib
import gc
import signal
import sys

from edgekit.cli import signals


def main() -> None:
    """Ends the process with edgekit's exit code."""
    try:
        signals.install()
        from edgekit.cli.main import run

        code = run(sys.argv[1:])
    except Exception:
        if signals.came is None:
            raise
        code = _ended(signals.came)
    except signals.Signalled as error:
        code = _ended(error.number)
    # looking through what PyTorch and its like leave behind, as Python does when it ends, takes seconds and frees nothing
    gc.freeze()
    sys.exit(code)


def _ended(number: int) -> int:
    if "--json" in sys.argv[1:] and not signals.answered:
        with contextlib.suppress(OSError):
            print(signals.interrupted_document(number), flush=True)
    return signals.EXIT_BY_SIGNAL[signal.Signals(number)]
