"""What a device shows of power: three questions to its agent, and the commands that tell power there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edgekit.agent import requests
from edgekit.agent.failures import EACCES, EPERM
from edgekit.devices import Device
from edgekit.errors import DevicePermission, EdgekitError, RemoteError
from edgekit.meters import batterystats, perfetto, pmic, power_stats, tegrastats
from edgekit.meters.base import Survey
from edgekit.meters.battery import SUPPLIES
from edgekit.meters.hwmon import HWMON
from edgekit.meters.iio import IIO
from edgekit.meters.rapl import POWERCAP
from edgekit.profiles.schema import Power

COMMAND_SECONDS = 8.0
KEEP_BYTES = 8 << 20
MAX_FOLDERS = 200
MAX_BYTES = 4096
FILES = {
    HWMON: re.compile(r"name|(in|curr|power)\d{1,2}_(label|input)"),
    IIO: re.compile(r"name|energy_value|rail_name_\d|in_power\d_input"),
    SUPPLIES: re.compile(r"type|status|online|(current|voltage|power|charge|energy)_now|charge_counter"),
    POWERCAP: re.compile(r"name|energy_uj|max_energy_range_uj"),
}


@dataclass(frozen=True)
class Look:
    """A command that tells whether there is power to be told, where `tool` is installed."""

    output: str
    tool: str
    argv: tuple[str, ...]
    only_for: str | None = None
    """Work for the device: only where this meter was asked for,"""
    or_where: Callable[[Mapping[str, str]], bool] | None = None
    """or where none was, and what the looks before it told is so."""
    stdin: bytes = b""
    encoding: str = "utf-8"


LOOKS = (
    Look(pmic.OUTPUT, "vcgencmd", pmic.ARGV),
    Look(tegrastats.OUTPUT, "tegrastats", tegrastats.FIRST_LOOKS),
    Look(power_stats.OUTPUT, "dumpsys", power_stats.ARGV),
    Look(power_stats.OUTPUT_1, "lshal", power_stats.ARGV_1),
    Look(
        perfetto.OUTPUT,
        "perfetto",
        perfetto.ARGV,
        only_for=perfetto.PerfettoMeter.name,
        or_where=perfetto.nothing_quicker,
        stdin=perfetto.PROBE,
        encoding=perfetto.ENCODING,
    ),
    Look(
        batterystats.OUTPUT,
        "dumpsys",
        batterystats.ARGV,
        only_for=batterystats.BatteryStatsMeter.name,
    ),
    Look(batterystats.BATTERY, "dumpsys", batterystats.BATTERY_ARGV),
)
ALL_LOOKS = frozenset(look.output for look in LOOKS)


def looks_for(meter: str | None) -> frozenset[str] | None:
    """What to ask for this meter; None, which is to look for any, stays it."""
    if meter is None:
        return None
    return frozenset(look.output for look in LOOKS if look.only_for in (None, meter))


def survey(
    device: Device,
    power: Power | None = None,
    *,
    asked: frozenset[str] | None = None,
    unplugged_later: bool = False,
) -> Survey:
    """Look for all that a built-in meter could use; what cannot be read is an unknown. `power`: the profile's; `asked`:
    which commands to run (`looks_for`, ALL_LOOKS), by their outputs, instead of those that are worth their time. Raises DeviceLost."""
    root = device.target.sysroot.rstrip("/")
    classes = list(FILES)
    denied: set[str] = set()
    folders = {
        f"{where}/{name}": where
        for where, names in _names(device, root, classes, denied).items()
        for name in names
    }
    wanted = {
        folder: sorted(name for name in names if FILES[folders[folder]].fullmatch(name))
        for folder, names in _names(device, root, sorted(folders)[:MAX_FOLDERS], denied).items()
    }
    paths = [f"{folder}/{name}" for folder, names in wanted.items() for name in names]
    contents = device.agent.read([f"{root}{path}" for path in paths], max_bytes=MAX_BYTES) if paths else ()
    read = dict(zip(paths, contents, strict=True))
    return Survey(
        folders={
            folder: {name: read[f"{folder}/{name}"].text for name in names}
            for folder, names in wanted.items()
            if names
        },
        denied=frozenset(denied | {path for path, one in read.items() if one.errno in (EACCES, EPERM)}),
        outputs=_outputs(device, asked),
        sysroot=root,
        simulated=device.simulated,
        unplugged_later=unplugged_later,
        power=power or Power(),
    )


def _names(device: Device, root: str, folders: Sequence[str], denied: set[str]) -> dict[str, list[str]]:
    """What is in each folder; nothing in one that is not there. Those that may not be listed are added to `denied`."""
    if not folders:
        return {}
    answers = device.agent.pipelined([[requests.list_dir(f"{root}{folder}")] for folder in folders])
    found = {}
    for folder, answer in zip(folders, answers, strict=True):
        if isinstance(answer, DevicePermission):
            denied.add(folder)
        found[folder] = [] if isinstance(answer, EdgekitError) else sorted(entry.name for entry in answer[0])
    return found


def _outputs(device: Device, asked: frozenset[str] | None) -> dict[str, str]:
    """By name, of the commands that ended well; None for `asked`: of those that are worth their time."""
    found: dict[str, str] = {}
    for look in LOOKS:
        unasked = look.only_for is None or (look.or_where is not None and look.or_where(found))
        wanted = unasked if asked is None else look.output in asked
        if look.tool not in device.description.tools or not wanted:
            continue
        try:
            done = device.agent.run(
                list(look.argv), stdin=look.stdin, deadline_s=COMMAND_SECONDS, keep_bytes=KEEP_BYTES
            )
        except RemoteError:
            continue
        if done.ok:
            found[look.output] = done.stdout.decode(look.encoding, "replace")
    return found
