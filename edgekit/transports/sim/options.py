"""What an address `sim:PROFILE?key=value&...` asks for, as typed data. Pure; loads NumPy (the latencies do)."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, cast, get_args

from edgekit.addresses import Address
from edgekit.errors import InputError
from edgekit.transports.sim.latency import LatencyShape
from edgekit.units import parse_size_bytes

Fault = Literal[
    "crash",
    "hang",
    "garbage",
    "killed",
    "vanish",
    "full",
    "readonly",
    "wrong-outputs",
    "reboot",
    "clock-jump",
]
Number = TypeVar("Number", int, float)
FAULTS: Final[tuple[str, ...]] = get_args(Fault)
_DISK_BYTES: Final = 16 << 30
_MAX_DISK_BYTES: Final = 1 << 50


@dataclass(frozen=True, kw_only=True)
class SimOptions:
    """A simulated device as it was asked for. Temperatures in degrees Celsius."""

    profile: str
    shape: LatencyShape
    seed: int = 0
    temperature_c: float = 45.0
    """What it cools down to."""
    temperature_start_c: float = 45.0
    """What it has when a lease begins."""
    temperature_rise_c: float = 15.0
    """By how much it heats up under load, in the end."""
    temperature_seconds: float = 60.0
    """Time constant of heating and cooling."""
    power_idle_mw: float = 2500.0
    power_active_mw: float = 6000.0
    disk_bytes: int = _DISK_BYTES
    sensors: bool = True
    """False: no thermal zone, no cpufreq and no power can be read."""
    fault: Fault | None = None
    after: int = 0
    """So many launches of a runner go well before the fault."""
    at: int | None = None
    """For `vanish`: the request, counted from 1 over the device's life, at which it goes; None: inside a launch."""
    state: Path | None = None
    """A folder of this host that keeps the device between processes."""


_PLAIN: Final[Mapping[str, str]] = {
    "temperature": "temperature_c",
    "temperature_start": "temperature_start_c",
    "temperature_rise": "temperature_rise_c",
    "temperature_seconds": "temperature_seconds",
    "power_idle_mw": "power_idle_mw",
    "power_active_mw": "power_active_mw",
}
"""Options that are one number, and the field that each is."""
_FACTOR: Final = (0.01, 100.0)
_BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "median_us": (1.0, 1e9),
    "within_sd": (0.0, 1.0),
    "launch_sd": (0.0, 0.5),
    "outlier_factor": _FACTOR,
    "drift": (-0.99, 99.0),
    "drift_seconds": (0.001, 1e9),
    "throttle_at_s": (0.0, 1e9),
    "throttle_factor": _FACTOR,
    "modes": _FACTOR,
    "mode_shares": (0.0, 1e9),
    "mode_seconds": (0.0, 1e9),
    "launch_modes": _FACTOR,
    "launch_mode_shares": (0.0, 1e9),
    "first_factor": _FACTOR,
    "warmup_iterations": (0, 1e9),
    "warmup_factor": _FACTOR,
    "clock_step_us": (0.0, 1e9),
    "temperature": (-40.0, 200.0),
    "temperature_start": (-40.0, 200.0),
    "temperature_rise": (0.0, 200.0),
    "temperature_seconds": (0.001, 1e9),
    "power_idle_mw": (0.0, 1e7),
    "power_active_mw": (0.0, 1e7),
}
"""From and to, of each number of a list too: past them a bench takes host time or memory without end, or overflows."""
_LEAST_US: Final = 1.0
"""What all factors together may leave of a latency."""
_LEAST_MODE_SECONDS: Final = 0.01
_OTHER: Final = ("seed", "disk", "sensors", "fault", "after", "at", "state")
_SHAPE: Final[Mapping[str, Any]] = {field.name: field.default for field in fields(LatencyShape)}
KNOWN: Final[tuple[str, ...]] = (*_OTHER, *_PLAIN, *_SHAPE)


def sim_options(address: Address) -> SimOptions:
    """Read the options of an address. Raises InputError E_SIM_OPTION for one that is not known, that is given
    twice, or whose value cannot be."""
    given: dict[str, str] = {}
    for key, value in address.options:
        if key not in KNOWN:
            raise _unknown(key)
        if key in given:
            raise _bad(f"'{key}' is given twice", "leave one of them out")
        given[key] = value
    shape = {key: _shape_value(key, text) for key, text in given.items() if key in _SHAPE}
    plain = {_PLAIN[key]: _number(key, text) for key, text in given.items() if key in _PLAIN}
    if "temperature_c" in plain:
        plain.setdefault("temperature_start_c", plain["temperature_c"])
    try:
        latency = LatencyShape(**shape)
    except ValueError as error:
        raise _bad(f"no device has such latencies: {error}", "see docs/sim.md") from error
    options = SimOptions(
        profile=address.name or "",
        shape=latency,
        seed=_whole("seed", given.get("seed", "0")),
        disk_bytes=parse_size_bytes(given["disk"]) if "disk" in given else _DISK_BYTES,
        sensors=_yes(given.get("sensors", "yes")),
        fault=_fault(given.get("fault")),
        after=_whole("after", given.get("after", "0")),
        at=_whole("at", given["at"]) if "at" in given else None,
        state=Path(given["state"]).expanduser() if given.get("state") else None,
        **plain,
    )
    _check(options)
    return options


def _check(options: SimOptions) -> None:
    if options.at is not None and options.fault != "vanish":
        raise _bad("'at' belongs to fault=vanish", "for other faults: after=LAUNCHES")
    if not 0 < options.disk_bytes <= _MAX_DISK_BYTES:
        raise _bad("no device has such a disk", "up to 1PiB, for instance disk=64MiB")
    shape = options.shape
    least_s = max(
        _LEAST_MODE_SECONDS, shape.median_us / 1e8
    )  # else each inference goes through no end of modes
    if 0 < shape.mode_seconds < least_s:
        raise _bad(
            f"mode_seconds={shape.mode_seconds:g}: from {least_s:g} with this median, or 0",
            "0 draws one of the modes for each iteration",
        )
    if (fastest_us := _fastest_us(shape)) < _LEAST_US:
        raise _bad(
            f"the factors make a latency of {fastest_us:g} us; from {_LEAST_US:g} us",
            "give a higher median_us, or factors nearer to 1",
        )
    if shape.clock_step_us and shape.clock_step_us >= fastest_us:
        raise _bad(
            f"clock_step_us={shape.clock_step_us:g} is no less than a latency ({fastest_us:g} us)",
            "a clock that is coarser than what it measures reads 0: give a smaller step",
        )


def _fastest_us(shape: LatencyShape) -> float:
    """The median with all that can make it shorter; without the noise."""
    factors = (1 + shape.drift, shape.throttle_factor, shape.outlier_factor, shape.warmup_factor)
    shorter = (min(1.0, factor) for factor in factors)
    return shape.median_us * math.prod((*shorter, min(shape.modes), min(shape.launch_modes)))


def _shape_value(key: str, text: str) -> Any:
    default = _SHAPE[key]
    if isinstance(default, tuple):
        return tuple(_number(key, part) for part in text.split(","))
    if isinstance(default, int):
        return _bounded(key, text, _whole(key, text))
    return _number(key, text)


def _number(key: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise _bad(f"{key}={text}: not a number", f"for instance {key}=1.5")
    return _bounded(key, text, value)


def _bounded(key: str, text: str, value: Number) -> Number:
    low, high = _BOUNDS.get(key, (-math.inf, math.inf))
    if not low <= value <= high:
        raise _bad(f"{key}={text}: no device has that", f"{key} is from {low:g} to {high:g}")
    return value


def _whole(key: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise _bad(f"{key}={text}: not a whole number from 0", f"for instance {key}=3")
    return int(text)


def _yes(text: str) -> bool:
    if text not in ("yes", "no"):
        raise _bad(f"sensors={text}", "sensors=yes or sensors=no")
    return text == "yes"


def _fault(text: str | None) -> Fault | None:
    if text is not None and text not in FAULTS:
        raise _bad(f"there is no fault '{text}'", f"faults: {', '.join(FAULTS)}")
    return cast("Fault | None", text)


def _unknown(key: str) -> InputError:
    near = difflib.get_close_matches(key, KNOWN, 1)
    meant = f"; did you mean '{near[0]}'?" if near else ""
    return _bad(f"a simulated device has no option '{key}'{meant}", f"options: {', '.join(KNOWN)}")


def _bad(message: str, hint: str) -> InputError:
    return InputError(message, code="E_SIM_OPTION", hint=hint)
