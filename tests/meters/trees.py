"""Device trees of /sys that tell power: constructed data, from the samples in tests/data/outputs and the kernel's own
documentation. No such device was at hand."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from edgekit.meters.base import Survey
from edgekit.profiles.schema import Power
from tests.parse.outputs import output

Tree = dict[str, str]
"""Path on the device to text."""


def ina3221(hwmon: int, rails: Mapping[int, tuple[str, int, int]]) -> Tree:
    """One chip as the mainline driver shows it: channel to label, mV, mA. in4 to in7 are shunt voltages and their
    sum."""
    folder = f"/sys/class/hwmon/hwmon{hwmon}"
    tree = {f"{folder}/name": "ina3221\n", f"{folder}/in7_input": "400\n"}
    tree[f"{folder}/in7_label"] = "sum of shunt voltages\n"
    for channel, (label, millivolts, milliamperes) in rails.items():
        tree[f"{folder}/in{channel}_label"] = f"{label}\n"
        tree[f"{folder}/in{channel}_input"] = f"{millivolts}\n"
        tree[f"{folder}/curr{channel}_input"] = f"{milliamperes}\n"
        tree[f"{folder}/curr{channel}_crit"] = "32760\n"
        tree[f"{folder}/in{channel + 3}_input"] = "200\n"
    return tree


def iio_rails(device: int, rails: Mapping[int, tuple[str, int]]) -> Tree:
    """One chip as NVIDIA's ina3221x of JetPack 4 shows it: channel to name, mW."""
    folder = f"/sys/bus/iio/devices/iio:device{device}"
    tree = {f"{folder}/name": "ina3221x\n"}
    for channel, (name, milliwatts) in rails.items():
        tree[f"{folder}/rail_name_{channel}"] = f"{name}\n"
        tree[f"{folder}/in_power{channel}_input"] = f"{milliwatts}\n"
        tree[f"{folder}/in_voltage{channel}_input"] = "5000\n"
    return tree


def battery(current: str, status: str = "Discharging", usb: str = "0") -> Tree:
    folder = "/sys/class/power_supply"
    return {
        f"{folder}/battery/type": "Battery\n",
        f"{folder}/battery/status": f"{status}\n",
        f"{folder}/battery/current_now": f"{current}\n",
        f"{folder}/battery/voltage_now": "3906000\n",
        f"{folder}/battery/charge_counter": "2848000\n",
        f"{folder}/usb/type": "USB\n",
        f"{folder}/usb/online": f"{usb}\n",
    }


def laptop(power: str | None = "12500000", energy: str = "41230000", *, charge: str | None = None) -> Tree:
    """A laptop on battery: power_now in uW and energy_now in uWh, or charge_now in uAh (ACPI's two kinds)."""
    folder = "/sys/class/power_supply"
    tree = {
        f"{folder}/BAT0/type": "Battery\n",
        f"{folder}/BAT0/status": "Discharging\n",
        f"{folder}/BAT0/voltage_now": "11550000\n",
        f"{folder}/AC/type": "Mains\n",
        f"{folder}/AC/online": "0\n",
    }
    if charge is not None:
        return {**tree, f"{folder}/BAT0/charge_now": f"{charge}\n"}
    if power is not None:
        tree[f"{folder}/BAT0/power_now"] = f"{power}\n"
    return {**tree, f"{folder}/BAT0/energy_now": f"{energy}\n"}


def rapl(energy_uj: int = 1_000_000) -> Tree:
    """Two packages, one with its core and its memory, and the same package again through mmio."""
    tree: Tree = {}
    zones = {
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "core",
        "intel-rapl:0:1": "dram",
        "intel-rapl:1": "package-1",
        "intel-rapl-mmio:0": "package-0",
    }
    for zone, name in zones.items():
        folder = f"/sys/class/powercap/{zone}"
        tree[f"{folder}/name"] = f"{name}\n"
        tree[f"{folder}/energy_uj"] = f"{energy_uj}\n"
        tree[f"{folder}/max_energy_range_uj"] = "262143328850\n"
    return tree


NANO = iio_rails(0, {0: ("POM_5V_IN", 933), 1: ("POM_5V_GPU", 0), 2: ("POM_5V_CPU", 84)})
XAVIER = iio_rails(0, {0: ("GPU", 1155), 1: ("CPU", 385), 2: ("SOC", 2504)}) | iio_rails(
    1, {0: ("CV", 0), 1: ("VDDRQ", 192), 2: ("SYS5V", 2692)}
)
ORIN_NANO = ina3221(
    1, {1: ("VDD_IN", 5000, 965), 2: ("VDD_CPU_GPU_CV", 5000, 104), 3: ("VDD_SOC", 5000, 295)}
)
AGX_ORIN = ina3221(
    2, {1: ("VDD_GPU_SOC", 10_000, 239), 2: ("VDD_CPU_CV", 10_000, 80), 3: ("VIN_SYS_5V0", 5000, 704)}
) | ina3221(3, {1: ("NC", 0, 0), 2: ("VDDQ_VDD2_1V8AO", 5000, 60), 3: ("NC", 0, 0)})
LINKED_HWMON = "sys/devices/platform/bus@0/c240000.i2c/i2c-1/1-0040/hwmon/hwmon1"
LINKED_ORIN_NANO = {
    path.replace("/sys/class/hwmon/hwmon1", f"/{LINKED_HWMON}"): text.replace("965", "0965")
    for path, text in ORIN_NANO.items()
} | {"/sys/class/hwmon/hwmon1": f"-> /{LINKED_HWMON}"}
"""As the kernel has it: the class holds links to the devices."""
PIXEL = {"/sys/bus/iio/devices/iio:device0/energy_value": output("odpm_pixel")}
INA219 = {"/sys/class/hwmon/hwmon0/name": "ina219\n", "/sys/class/hwmon/hwmon0/power1_input": "4660000\n"}
THERMAL_ONLY = {"/sys/class/hwmon/hwmon0/name": "cpu_thermal\n"}
SIM = {"/sys/class/hwmon/hwmon0/name": "simpower\n", "/sys/class/hwmon/hwmon0/power1_input": "2500000\n"}


def surveyed(
    tree: Mapping[str, str | None], power: Power | None = None, denied: tuple[str, ...] = (), **more: object
) -> Survey:
    """As `edgekit.meters.survey` gives it."""
    folders: dict[str, dict[str, str | None]] = {}
    for path, text in tree.items():
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, {})[name] = text
    return Survey(folders=folders, power=power or Power(), denied=frozenset(denied), **more)  # type: ignore[arg-type]


def write(tree: Mapping[str, str], root: Path) -> Path:
    """The tree as files below `root`, as `sysroot:` of edgekit.yaml takes it. "-> PATH" is a link."""
    for path, text in tree.items():
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> /"):
            file.symlink_to(os.path.relpath(root / text[4:], file.parent))
        else:
            file.write_text(text)
    return root
