"""What to read on a device while it is measured, and what the readings say. Pure but for no one: texts in, numbers out.

A file that is missing or unreadable is an unknown, never a zero and never an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from edgekit.devices.facts import Description
from edgekit.parse import ParseError
from edgekit.parse.dumpsys_battery import parse_dumpsys_battery
from edgekit.parse.dumpsys_power import parse_dumpsys_power
from edgekit.parse.dumpsys_thermalservice import SEVERITIES, parse_dumpsys_thermalservice
from edgekit.parse.meminfo import parse_meminfo
from edgekit.parse.proc_stat import CpuTicks, parse_proc_stat
from edgekit.parse.sysfs_cpufreq import parse_khz, parse_word
from edgekit.parse.sysfs_thermal import parse_temp
from edgekit.parse.vcgencmd import parse_get_throttled
from edgekit.parse.vmstat import parse_swapped_pages
from edgekit.records import Conditions

T = TypeVar("T")

MEMINFO = "/proc/meminfo"
LOADAVG = "/proc/loadavg"
STAT = "/proc/stat"
VMSTAT = "/proc/vmstat"
UPTIME = "/proc/uptime"
BOOT_ID = "/proc/sys/kernel/random/boot_id"


@dataclass(frozen=True)
class Sensors:
    """Which files tell what on this device; `zones` and `policies` map a name to a file."""

    zones: Mapping[str, str]
    frequencies: Mapping[str, str]
    governors: Mapping[str, str]
    commands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def sampled(self) -> tuple[str, ...]:
        """Files to read again and again during a run: cheap ones."""
        return (*self.zones.values(), *self.frequencies.values())

    def snapshot(self) -> tuple[str, ...]:
        """Files to read once before and once after."""
        return (*self.sampled(), *self.governors.values(), STAT, MEMINFO, LOADAVG, VMSTAT, BOOT_ID, UPTIME)


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
    if description.has_vcgencmd:
        commands["get_throttled"] = ("vcgencmd", "get_throttled")
    return Sensors(
        zones=zones,
        frequencies={name: f"{path}/scaling_cur_freq" for name, path in policies.items()},
        governors={name: f"{path}/scaling_governor" for name, path in policies.items()},
        commands=commands,
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
    status = SEVERITIES.index(thermal.severity) if thermal is not None else None
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
        other={"thermal_status": status} if status is not None else {},
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
    )


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
