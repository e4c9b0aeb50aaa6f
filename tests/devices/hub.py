"""A stand-in for uhubctl and a hub, and it says so: a program that keeps the state of one port in a file. `says`: what it claims."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PROGRAM = """#!{python}
# a stand-in: no hub
import pathlib, sys
state = pathlib.Path({state!r})
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
if (arguments["-l"], arguments["-p"]) != ("1-1", "2"):
    sys.exit("No compatible devices detected at location " + arguments["-l"] + "!")
with state.open("a") as file:
    file.write(arguments["-a"] + "\\n")
off = arguments["-a"] == "off" and not {stuck}
print("Current status for hub 1-1 [0000:0000 stand-in]")
print("  Port 2: 0503 power highspeed enable connect [0000:0000]")
print("Sent power", arguments["-a"], "request")
print("New status for hub 1-1 [0000:0000 stand-in]")
print("  Port 2: 0000 off" if off else "  Port 2: 0100 power")
"""


class Hub:
    """Port 2 of hub 1-1."""

    def __init__(self, folder: Path, *, stuck: bool = False) -> None:
        self.state = folder / "port"
        self.state.touch()
        program = folder / "hub-bin" / "uhubctl"
        program.parent.mkdir()
        program.write_text(PROGRAM.format(python=sys.executable, state=str(self.state), stuck=stuck))
        program.chmod(0o755)
        self.path = f"{program.parent}:{os.environ['PATH']}"

    @property
    def actions(self) -> list[str]:
        return self.state.read_text().split()
