"""A simulator of a meter beside a device, and it says so: a program of its own that looks at what runs on this machine for a
device with ROOT, and prints the power that this would take, on a clock that is off by OFFSET and goes wrong by DRIFT, LATE
seconds late. Nothing is measured.

    simulated_meter.py ROOT [--offset S] [--drift SHARE] [--late S] [--period S] [--csv FILE] [--stop FILE] [--unrelated]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import IO

IDLE_MW, MARKER_MW, BUSY_MW = 2500.0, 5000.0, 6000.0


def power_mw(root: bytes) -> float:
    """A runner takes BUSY_MW from its start to its end, a marker's process MARKER_MW while it does not sleep."""
    found = IDLE_MW
    for name in os.listdir("/proc"):  # noqa: PTH208
        if not name.isdigit():
            continue
        try:
            words = Path("/proc", name, "cmdline").read_bytes().split(b"\0")
            if not any(word.startswith(root) for word in words):
                continue
            if any(b"/samples-" in word for word in words):
                return BUSY_MW
            if words[1] == b"load":
                state = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[0]
                found = MARKER_MW if state == "R" else found
        except OSError:
            continue
    return found


def _first_in_line() -> None:
    """What the device computes does not hold up a meter, as this process is none of the device's. Without the right to it, it does."""
    for wish in (
        lambda: os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1)),
        lambda: os.setpriority(os.PRIO_PROCESS, 0, -15),
    ):
        try:
            wish()
        except OSError:
            continue
        return


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root")
    for name, default in (("offset", 0.0), ("drift", 0.0), ("late", 0.0), ("period", 0.02)):
        parser.add_argument(f"--{name}", type=float, default=default)
    parser.add_argument("--csv")
    parser.add_argument("--stop", help="end when this file is there")
    parser.add_argument("--unrelated", action="store_true")
    args = parser.parse_args()
    root = os.fsencode(args.root)
    out: IO[str] = open(args.csv, "w") if args.csv else sys.stdout  # noqa: SIM115
    print("# a simulator: no meter" if not args.csv else "Timestamp(ms),Power(W),D0", file=out, flush=True)
    waiting: list[tuple[float, str]] = []
    start = time.clock_gettime(time.CLOCK_BOOTTIME)
    count = 0
    power, last = IDLE_MW, start
    _first_in_line()
    while not (args.stop and Path(args.stop).exists()):
        before, began = power, time.clock_gettime(time.CLOCK_BOOTTIME)
        power = IDLE_MW if args.unrelated else power_mw(root)
        # an instrument samples by itself: where this process was held up, it gives what it missed
        while (at := start + count * args.period) <= began:
            shown_mw = power if at > (last + began) / 2 else before
            shown = (at - args.offset) / (1 + args.drift)
            noise = count * 37 % 97 - 48
            line = (
                f"{shown * 1000:.3f},{(shown_mw + noise) / 1000:.6f},0"
                if args.csv
                else f'{{"t_s": {shown:.6f}, "power_mw": {shown_mw + noise:.1f}}}'
            )
            waiting.append((at + args.late, line))
            count += 1
        last = began
        due = [line for at, line in waiting if at <= began]
        waiting = waiting[len(due) :]
        if due:
            print("\n".join(due), file=out, flush=True)
        time.sleep(args.period)


if __name__ == "__main__":
    main()
