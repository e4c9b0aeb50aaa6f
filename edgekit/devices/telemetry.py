"""What to read on a device while it is measured, and what the readings say. Pure but for no one: texts in, numbers out.

A file that is missing or unreadable is an unknown, never a zero and never an exception.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from edgekit.devices.facts import Description
from edgekit.parse import ParseError
from edgekit.parse.dumpsys_battery import parse_dumpsys_battery
from edgekit.parse.dumpsys_power import parse_dumpsys_power
from edgekit.parse.dumpsys_thermalservice import SEVERITIES, parse_dumpsys_thermalservice
from edgekit.parse.jetson_clocks import JetsonClocks, parse_jetson_clocks
from edgekit.parse.meminfo import parse_meminfo
from edgekit.parse.nvpmodel import parse_nvpmodel
from edgekit.parse.proc_stat import CpuTicks, parse_proc_stat
from edgekit.parse.sysfs_cpufreq import Residency, parse_khz, parse_time_in_state, parse_word
from edgekit.parse.sysfs_power import parse_reading
from edgekit.parse.sysfs_thermal import parse_temp
from edgekit.parse.vcgencmd import parse_get_throttled
from edgekit.parse.vmstat import parse_swapped_pages
from edgekit.records import Conditions
from edgekit.records.schema import Scalar

T = TypeVar("T")

MEMINFO = "/proc/meminfo"
LOADAVG = "/proc/loadavg"
STAT = "/proc/stat"
VMSTAT = "/proc/vmstat"
UPTIME = "/proc/uptime"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
_TOOLS = (
    ("get_throttled", "vcgencmd", "get_throttled"),
    ("nvpmodel", "nvpmodel", "-q"),
    ("jetson_clocks", "jetson_clocks", "--show"),
)
"""The name of an output, the tool and its arguments, where the tool is installed."""
_SLOWS_DOWN = re.compile(r"(thermal-)?(cpufreq|devfreq|idle)-.+|cpu-hotplug.*|Processor|intel_powerclamp")
"""Names of cooling devices that take speed away (drivers/thermal, drivers/acpi); fans and lamps take none."""
MAX_COOLING = 32


@dataclass(frozen=True)
class Sensors:
    """Which files tell what on this device; `zones` and `policies` map a name to a file."""

    zones: Mapping[str, str]
    frequencies: Mapping[str, str]
    governors: Mapping[str, str]
    commands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cooling: Mapping[str, str] = field(default_factory=dict)
    """What the kernel slows down where it gets hot, to the file of how far it is slowed down now."""
    residencies: Mapping[str, str] = field(default_factory=dict)
    """The file of how long each policy was at each frequency since boot."""

    def sampled(self) -> tuple[str, ...]:
        """Files to read again and again during a run: cheap ones."""
        return (*self.zones.values(), *self.frequencies.values(), *self.cooling.values())

    def snapshot(self) -> tuple[str, ...]:
        """Files to read once before and once after."""
        more = (*self.governors.values(), *self.residencies.values())
        return (*self.sampled(), *more, STAT, MEMINFO, LOADAVG, VMSTAT, BOOT_ID, UPTIME)


def sensors_of(description: Description, sysroot: str = "") -> Sensors:
    """From what the device said about itself."""
    root = sysroot.rstrip("/")
    zones: dict[str, str] = {}
    for zone in description.facts.thermal_zones:
        name = zone.type if zone.type not in zones else f"{zone.type} ({zone.path.rpartition('/')[2]})"
        zones[name] = f"{root}{zone.path}/temp"
    policies = {path.rpartition("/")[2]: path for path in description.policies}
    commands: dict[str, tuple[str, ...]] = {}
    if description.facts.os == "android":
        commands["battery"] = ("dumpsys", "battery")
        commands["power"] = ("dumpsys", "power")
        commands["thermalservice"] = ("dumpsys", "thermalservice")
    for name, tool, *arguments in _TOOLS:
        if tool in description.tools:
            commands[name] = (tool, *arguments)
    cooling: dict[str, str] = {}
    for path, kind in sorted(description.cooling.items()):
        if _SLOWS_DOWN.fullmatch(kind) and len(cooling) < MAX_COOLING:
            name = kind if kind not in cooling else f"{kind} ({path.rpartition('/')[2]})"
            cooling[name] = f"{path}/cur_state"
    return Sensors(
        zones=zones,
        frequencies={name: f"{path}/scaling_cur_freq" for name, path in policies.items()},
        governors={name: f"{path}/scaling_governor" for name, path in policies.items()},
        commands=commands,
        cooling=cooling,
        residencies={name: f"{path}/stats/time_in_state" for name, path in policies.items()},
    )


@dataclass(frozen=True)
class Snapshot:
    """The device at one moment: what the record keeps, and what only the verdict needs."""

    conditions: Conditions
    ticks: CpuTicks | None
    thermal_status: int | None
    throttled: bool | None
    """Now; None where the device does not tell."""
    throttled_since_boot: frozenset[str] = frozenset()
    """What held it back at some time since it booted."""
    swapped_pages: int | None = None
    """Read from and written to swap since it booted."""
    boot_id: str | None = None
    uptime_us: float | None = None
    """Since it booted, sleep included."""
    host_us: float | None = None
    """The host's monotonic clock when this was read."""
    status_overridden: bool = False
    """Somebody set Android's thermal status by hand: what it says is not known."""
    power_mode: str | None = None
    """Of a Jetson: name and number."""
    clocks: JetsonClocks | None = None
    residencies: Mapping[str, tuple[Residency, ...]] = field(default_factory=dict)
    """By policy, where the kernel keeps them."""


def read_snapshot(
    sensors: Sensors,
    files: Mapping[str, str | None],
    outputs: Mapping[str, str],
    host_us: float | None = None,
) -> Snapshot:
    """`files`: content by path, None where unreadable; `outputs`: of the commands that ended well; `host_us`: the
    host's monotonic clock when the files were read."""
    temperatures = {
        name: value
        for name, path in sensors.zones.items()
        if (value := temperature_of(files.get(path))) is not None
    }
    frequencies = {
        name: value
        for name, path in sensors.frequencies.items()
        if (value := frequency_of(files.get(path))) is not None
    }
    governors = {
        _quiet(parse_word, text)
        for path in sensors.governors.values()
        if (text := files.get(path)) is not None
    } - {None}
    battery = _quiet(parse_dumpsys_battery, outputs.get("battery"))
    if battery is not None and battery.updates_stopped:
        battery = None  # somebody made up what it says: nothing is known
    power = _quiet(parse_dumpsys_power, outputs.get("power"))
    thermal = _quiet(parse_dumpsys_thermalservice, outputs.get("thermalservice"))
    throttle = _quiet(parse_get_throttled, outputs.get("get_throttled"))
    memory = _quiet(parse_meminfo, files.get(MEMINFO))
    throttled = bool(throttle.now) if throttle is not None else None
    overridden = thermal is not None and thermal.overridden
    status = None
    if thermal is not None and thermal.severity is not None and not overridden:
        status = SEVERITIES.index(thermal.severity)
    if (
        thermal is not None and not temperatures
    ):  # apps and the shell may not read the kernel's zones everywhere
        temperatures = {
            one.name: one.temperature_mc for one in thermal.temperatures if one.temperature_mc is not None
        }
    mode = _quiet(parse_nvpmodel, outputs.get("nvpmodel"))
    clocks = _quiet(parse_jetson_clocks, outputs.get("jetson_clocks"))
    power_mode = clocks.power_mode if clocks is not None else None
    if mode is not None:
        power_mode = f"{mode.name} ({mode.number})"
    conditions = Conditions(
        governor=" ".join(sorted(str(name) for name in governors)) or None,
        frequency_khz=max(frequencies.values(), default=None),
        temperature_mc=max(temperatures.values(), default=None),
        battery_percent=battery.percent if battery is not None else None,
        charging=battery.powered if battery is not None else None,
        screen_on=power.screen_on if power is not None else None,
        throttled=throttled,
        load_1min=_first_number(files.get(LOADAVG)),
        available_bytes=memory.available_bytes if memory is not None else None,
        frequencies_khz=frequencies,
        temperatures_mc=temperatures,
        other=_other(status, power_mode, clocks),
    )
    return Snapshot(
        conditions=conditions,
        ticks=_quiet(parse_proc_stat, files.get(STAT)),
        thermal_status=status,
        throttled=throttled,
        throttled_since_boot=frozenset(throttle.since_boot) if throttle is not None else frozenset(),
        swapped_pages=_quiet(parse_swapped_pages, files.get(VMSTAT)),
        boot_id=(files.get(BOOT_ID) or "").strip() or None,
        uptime_us=_seconds_us(files.get(UPTIME)),
        host_us=host_us,
        status_overridden=overridden,
        power_mode=power_mode,
        clocks=clocks,
        residencies={
            name: found
            for name, path in sensors.residencies.items()
            if (found := _quiet(parse_time_in_state, files.get(path))) is not None
        },
    )


def _other(status: int | None, power_mode: str | None, clocks: JetsonClocks | None) -> dict[str, Scalar]:
    """What only some families of devices tell; what is unknown is left out."""
    found: dict[str, Scalar] = {"thermal_status": status, "power_mode": power_mode}
    if clocks is not None:
        found["cpus_online"] = len(clocks.cpus)
        found["clocks_fixed"] = clocks.fixed
        for name, one in (("gpu", clocks.gpu), ("emc", clocks.emc)):
            if one is not None:
                found[f"{name}_khz"], found[f"{name}_max_khz"] = one.current_khz, one.max_khz
    return {name: value for name, value in found.items() if value is not None}


def cooling_of(text: str | None) -> int | None:
    """How far a cooling device slows something down: 0 is not at all."""
    return _quiet(parse_reading, text)


def temperature_of(text: str | None) -> int | None:
    """Thousandths of a degree Celsius, None for a sensor that is not there."""
    return _quiet(parse_temp, text)


def frequency_of(text: str | None) -> int | None:
    return _quiet(parse_khz, text)


def _quiet(parse: Callable[[str], T], text: str | None) -> T | None:
    """What the parser says, None where there is no text or it does not understand: an unknown is a value."""
    if text is None or not text.strip():
        return None
    try:
        return parse(text)
    except ParseError:
        return None


def _first_number(text: str | None) -> float | None:
    try:
        return float(text.split()[0]) if text else None
    except (ValueError, IndexError):
        return None


def _seconds_us(text: str | None) -> float | None:
    seconds = _first_number(text)
    return None if seconds is None else seconds * 1e6
