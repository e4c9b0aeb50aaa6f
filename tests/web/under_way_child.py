"""A real measurement on a simulated device that stops to be looked at: `STORE MODEL AT`.

After AT launches it prints a line and waits for one on stdin; with the end of stdin it goes on.
"""

from __future__ import annotations

import sys

from edgekit.api import showing
from edgekit.api.devices import connect
from edgekit.api.pipelines import bench
from edgekit.benchmarking import BenchOptions
from edgekit.events import Event, LaunchesDone
from tests.sim.devices import RUNTIME, address

showing.PAUSE_FACTOR = 0.0  # its launches last milliseconds
store, model, at = sys.argv[1:]


def stop(event: Event) -> None:
    if isinstance(event, LaunchesDone) and event.done == int(at):
        print("here", flush=True)
        sys.stdin.readline()


with connect(address(median_us=1000)) as device:
    options = BenchOptions(launches=4, iterations=20, min_seconds=0, runtime=RUNTIME, seed=1)
    print(bench(model, device, options=options, store=store, sink=stop).id)
