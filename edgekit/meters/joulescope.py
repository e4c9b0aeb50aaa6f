"""Joulescope JS220 and JS110, between a supply and the device, through their maker's library (`pyjoulescope_driver`).

What the number includes: all that goes through the instrument. Units: J, counted by the instrument itself at its own
sample rate (JS220) or by the library on this host (JS110); told 20 times a second on the instrument's sample clock, which
markers set (edgekit.meters.beside). A look costs the device nothing.

Forms of the values: jetperch/joulescope_driver, pyjoulescope_driver/binding.pyx and entry_points/statistics.py (2.2.12).
Never run with an instrument; that the library finds none is tested.

As a program, which `--meter joulescope` starts, so that a driver that hangs can be ended:

    python -m edgekit.meters.joulescope [DEVICE_PATH]      prints {"t_s": ..., "energy_j": ...} until its input ends
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from edgekit.meters.base import Missing, Offer, Source, Survey
from edgekit.meters.external import SIMULATED, stream_offer

LIBRARY = "pyjoulescope_driver"
NEEDED = "pip install 'edgekit-sdk[joulescope]'"
RATE_HZ = 20
SAMPLES_HZ = {"js220": 1_000_000, "js110": 2_000_000}
EXCLUDED = "what does not go through the instrument (a USB cable to this host, a second supply)"


class JoulescopeMeter:
    name = "joulescope"

    def look(self, seen: Survey) -> Offer | Missing:
        if seen.simulated:
            return Missing(self.name, SIMULATED)
        if find_spec(LIBRARY) is None:
            return Missing(self.name, f"the library {LIBRARY} is not installed on this host", NEEDED)
        source = Source(argv=(sys.executable, "-m", "edgekit.meters.joulescope"), start_seconds=20.0)
        return stream_offer(self.name, source, seen.power.boundary or "board-input", EXCLUDED)


def settings_of(path: str) -> tuple[Sequence[tuple[str, str | int]], str]:
    """What to set so that it tells its statistics `RATE_HZ` times a second, and the topic that it tells them under. Pure.

    Raises ValueError for a model that is not known."""
    model = next((name for name in SAMPLES_HZ if name in path.lower()), None)
    if model is None:
        raise ValueError(f"{path}: only {' and '.join(SAMPLES_HZ)} are known")
    count = SAMPLES_HZ[model] // RATE_HZ
    if model == "js220":
        settings: list[tuple[str, str | int]] = [("s/i/range/mode", "auto")]
        return [*settings, ("s/stats/scnt", count), ("s/stats/ctrl", 1)], "s/stats/value"
    on: list[tuple[str, str | int]] = [(f"s/{signal}/ctrl", "on") for signal in "ivp"]
    first: list[tuple[str, str | int]] = [("s/i/range/select", "auto")]
    return [*first, *on, ("s/stats/scnt", count), ("s/stats/ctrl", "on")], "s/stats/value"


def line_of(value: Mapping[str, Any]) -> str:
    """A line of edgekit's from the statistics of one span: the energy at its end. Raises KeyError."""
    end_s = value["time"]["range"]["value"][1]
    return json.dumps({"t_s": end_s, "energy_j": value["accumulators"]["energy"]["value"]})


def main(arguments: Sequence[str]) -> int:
    """Prints until its input ends; 1 with the reason on stderr where there is no instrument."""
    from pyjoulescope_driver import Driver

    with Driver() as driver:
        found = [path for path in driver.device_paths() if path]
        wanted = [path for path in found if not arguments or path in arguments]
        if len(wanted) != 1:
            print(f"{len(wanted)} Joulescopes: {LIBRARY} finds {', '.join(found) or 'none'}", file=sys.stderr)
            return 1
        path = wanted[0]
        try:
            settings, topic = settings_of(path)
            driver.open(path)
            for name, value in settings:
                driver.publish(f"{path}/{name}", value)
            driver.subscribe(f"{path}/{topic}", "pub", lambda _, value: print(line_of(value), flush=True))
        except (ValueError, OSError, RuntimeError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            return 1
        sys.stdin.read()
        driver.close(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
