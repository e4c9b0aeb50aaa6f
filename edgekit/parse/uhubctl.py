"""`uhubctl -a on|off` (2.5): the status of the ports it was asked about, after it acted.

    Current status for hub 1-1 [0424:9514]
      Port 2: 0503 power highspeed enable connect [0424:ec00]
    Sent power off request
    New status for hub 1-1 [0424:9514]
      Port 2: 0000 off

The two sides of a USB 3 hub are told one after the other. What it says is what the hub says: some cut nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from edgekit.parse import fail, lines_of

TOOL: Final = "uhubctl"
_HUB: Final = re.compile(r"New status for hub (\S+)( .*)?")
_PORT: Final = re.compile(r" +Port ([0-9]{1,3}): [0-9a-f]{4}( .*)?")


def parse_new_status(text: str) -> Mapping[tuple[str, int], bool]:
    """(hub, port) to whether it has power. Raises ParseError where no new status is told."""
    hub: str | None = None
    found: dict[tuple[str, int], bool] = {}
    for number, line in enumerate(lines_of(TOOL, text), start=1):
        if not line.startswith(" "):
            match = _HUB.fullmatch(line)
            hub = match[1] if match else None
        elif hub is not None:
            port = _PORT.fullmatch(line)
            if port is None:
                fail(TOOL, f"'{line.strip()[:40]}' as a port", number)
            # the last word is the name of what is plugged in, in brackets
            found[hub, int(port[1])] = "power" in (port[2] or "").partition("[")[0].split()
    if not found:
        fail(TOOL, "it tells no new status")
    return found
