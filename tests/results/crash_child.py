"""Writers that are killed. `python crash_child.py STORE TEMPLATE ID`: adds a run, then forks a writer for each line of stdin, and says what it did.

A line is `PHASE ID`: the writer adds a run under that id, prints the phase when it comes to it, and stands still there until
it is killed. Forks, because a Python of its own for each of two hundred writers takes minutes.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import event

from edgekit.records import Samples, TelemetryPoint, decode
from edgekit.results.store import Store

PHASES = (
    "packed",
    "begun",
    "series",
    "run",
    "record",
    "samples",
    "telemetry",
    "before commit",
    "after commit",
)
_BEFORE = {
    "begun": "INSERT INTO series",
    "series": "INSERT INTO run_rows",
    "run": "INSERT INTO records",
    "record": "INSERT INTO latencies",
    "samples": "INSERT INTO telemetry",
    "before commit": "COMMIT",
}
"""A phase is over when this statement is about to be run."""


def add(store: Any, template: Path, run: str) -> None:
    record = msgspec.structs.replace(decode(template.read_bytes()), id=run)
    points = [TelemetryPoint(float(t), "heat", 1.0, "mC") for t in range(50)]
    store.add(record, Samples.of([np.arange(500.0) for _ in record.launches], points))


def write(store: Any, template: Path, phase: str, run: str, said: int) -> None:
    def stop_here() -> None:
        os.write(said, b"x")
        time.sleep(120)

    def look(_: Any, __: Any, statement: str, *___: Any) -> None:
        if phase == "packed" and statement.startswith("BEGIN"):
            stop_here()
        if phase == "telemetry" and statement == "COMMIT":
            stop_here()
        if phase in _BEFORE and statement.startswith(_BEFORE[phase]):
            stop_here()

    event.listen(store.database.engine, "before_cursor_execute", look)
    add(store, template, run)
    if phase == "after commit":
        stop_here()


def main() -> None:
    path, template = Path(sys.argv[1]), Path(sys.argv[2])
    store = Store(path)
    add(store, template, sys.argv[3])  # what is imported and compiled by now need not be in every fork
    print("ready", flush=True)
    for line in sys.stdin:
        phase, _, run = line.rstrip("\n").rpartition(" ")
        at_s = 0.0
        if phase.startswith("after "):
            _, _, rest = phase.partition("after ")
            at_s = float(rest) if rest.replace(".", "").isdigit() else 0.0
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            write(store, template, phase, run, writing)
            os._exit(0)
        os.close(writing)
        if at_s:
            time.sleep(at_s)
        else:
            os.read(reading, 1)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        os.close(reading)
        print("killed" if os.WIFSIGNALED(status) else "ended", flush=True)


if __name__ == "__main__":
    main()
