"""The options of a simulated device's runner: those of docs/runner.md."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import cache
from typing import Any, NoReturn

from edgekit.transports.sim.device import SimDevice
from edgekit.transports.sim.tensors import Refused

MAX_STREAMS = 64
_MANY = 100_000_000


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refused("E_RUNNER_USAGE", message)


def _between(convert: Callable[[str], Any], low: int, high: int) -> Callable[[str], Any]:
    def checked(text: str) -> Any:
        value = convert(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"takes {low} to {high}, not '{text}'")
        return value

    return checked


@cache
def parser() -> _Parser:
    """Its errors are Refused E_RUNNER_USAGE."""
    options = _Parser(allow_abbrev=False, add_help=False)
    for name in ("library", "model", "inputs", "outputs", "cpus", "barrier", "op-profile"):
        options.add_argument(f"--{name}")
    options.add_argument("--samples", required=True)
    options.add_argument("--threads", type=_between(int, 1, 256), default=1)
    options.add_argument("--warmup-iterations", type=_between(int, 0, _MANY), default=1)
    options.add_argument("--iterations", type=_between(int, 1, _MANY), default=1)
    options.add_argument("--min-seconds", type=_between(float, 0, 1_000_000), default=0.0)
    options.add_argument("--max-seconds", type=_between(float, 0, 1_000_000), default=600.0)
    options.add_argument("--seed", type=_between(int, 0, (1 << 64) - 1), default=0)
    options.add_argument("--streams", type=_between(int, 1, MAX_STREAMS), default=1)
    options.add_argument("--empty-body", action="store_true")
    return options


def check_cpus(device: SimDevice, text: str | None) -> None:
    """Raises Refused E_RUNNER_CPUS."""
    if text is None:
        return
    there = {cpu for policy in device.machine.policies for cpu in policy.cpus}
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or int(last or first) < int(first):
            raise Refused("E_RUNNER_CPUS", f"'{text}' is not a list of processors such as 0-3,6")
        if not {int(first), int(last or first)} <= there:
            raise Refused("E_RUNNER_CPUS", f"not every processor of {text} is there for this process")


def cpu_count(text: str) -> int:
    """Of a list that `check_cpus` has let pass."""
    spans = [part.partition("-") for part in text.split(",")]
    return len({cpu for first, _, last in spans for cpu in range(int(first), int(last or first) + 1)})
