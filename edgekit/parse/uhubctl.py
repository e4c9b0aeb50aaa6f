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
_STATUS: Final = re.compile(r"(Current|New) status for hub (\S+)( .*)?")
_SENT: Final = re.compile(r"Sent power (on|off) request")
_PORT: Final = re.compile(r" +Port ([0-9]{1,3}): [0-9a-f]{4}( .*)?")


def parse_new_status(text: str) -> Mapping[str, bool]:
    """ "HUB:PORT" to whether it has power. Of each hub the current status, the request, and the new status of the same
    ports are told; raises ParseError for anything else, as the one would pass for the other."""
    found: dict[str, bool] = {}
    before: set[str] = set()
    after: dict[str, bool] = {}
    hub, step = "", "New"
    for number, line in enumerate(lines_of(TOOL, text), start=1):
        if (status := _STATUS.fullmatch(line)) is not None and status[1] == "Current" and step == "New":
            if before != set(after):
                fail(TOOL, f"the new status of hub {hub} is not of the same ports", number)
            found |= after
            hub, step, before, after = status[2], "Current", set(), {}
        elif status is not None and status[1] == "New" and step == "Sent" and status[2] == hub:
            step = "New"
        elif _SENT.fullmatch(line) is not None and before and step in ("Current", "Sent"):
            step = "Sent"
        elif (port := _PORT.fullmatch(line)) is not None and hub and step in ("Current", "New"):
            name = f"{hub}:{int(port[1])}"
            if name in (before if step == "Current" else after) or name in found:
                fail(TOOL, f"port {name} comes twice", number)
            before |= {name} if step == "Current" else set()
            # the last word is the name of what is plugged in, in brackets
            after |= {name: "power" in (port[2] or "").partition("[")[0].split()} if step == "New" else {}
        else:
            fail(TOOL, f"'{line.strip()[:40]}' in its place", number)
    if not before or before != set(after):
        fail(TOOL, "it tells no new status")
    return found | after
