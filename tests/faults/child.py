"""One operation that kills its own process at a cut:

    python -m tests.faults.child CASE MODELS ROOT DIRECTION FRAMES EXTRA_BYTES

Prints, just before, the phase in which it was.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from edgekit.transports.local import LocalTransport
from tests.faults.cases import CASES, Models, opened
from tests.faults.cutting import Cut, Wire
from tests.faults.table import Place, act


def main() -> int:
    case, models, root, direction, frames, extra = sys.argv[1:]
    assert direction in ("to", "from")
    wire = Wire(Cut("to" if direction == "to" else "from", int(frames), "host killed", int(extra)))

    def die() -> None:
        print(json.dumps(wire.fired), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

    wire.at_cut = die
    place = Place(root, Path(root), LocalTransport, lambda: opened(root))
    code = act(CASES[case], Models(Path(models)), place, wire)
    assert code is None, code
    return 0


if __name__ == "__main__":
    sys.exit(main())
