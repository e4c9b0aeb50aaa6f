"""Device families as constructed trees of /sys, whose sensors follow what runs, behind real transports. No such device was
at hand: trees from the samples in tests/data/outputs and the kernel's documentation."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.meters import phone_perfetto, trees
from tests.meters.boards import Pixel, in_place
from tests.meters.phone_perfetto import Hal
from tests.parse.outputs import output

Tell = Callable[[bool, float], None]
"""Whether something runs on the device, and how long ago the last look was, in seconds."""
SHORT = ("--launches", "3", "--min-seconds", "1.5")
GAUGE = ("--launches", "2", "--min-seconds", "9")
"""A fuel gauge is read once a second, and a window needs eight readings."""
NOTHING = ("--launches", "2", "--min-seconds", "0")
MA = "power: {meter: battery, current_unit: mA}\n"
HWMON, POWERCAP, SUPPLY = "sys/class/hwmon", "sys/class/powercap", "sys/class/power_supply/battery"
SCAN_S = 0.02


@dataclass(frozen=True)
class Energy:
    meter: str
    added_mw: float
    idle_mw: float


@dataclass(frozen=True)
class Family:
    """`sensors` makes what is called again and again, of the tree's folder. `expected`: energy, or words of the reason why
    there is none."""

    name: str
    transport: str
    tree: Mapping[str, str]
    sensors: Callable[[Path], Tell]
    expected: Energy | str
    options: Sequence[str] = SHORT
    profile: str = ""
    vcgencmd: bool = False
    perfetto: bool = False

    @property
    def gauge(self) -> bool:
        """Read once a second, so that one more beside the others does not matter."""
        return "{meter: battery" in self.profile or "battery-charge" in self.options


def still(_tree: Path) -> Tell:
    return lambda busy, seconds: None


def file_of(path: str, idle: str, busy: str) -> Callable[[Path], Tell]:
    """One file, of which both texts are equally long."""
    return lambda tree: lambda is_busy, seconds: in_place(tree / path, f"{busy if is_busy else idle}\n")


class Counter:
    """A number that grows by so much a second, idle or busy, in the files of `paths`, each as long as at first."""

    def __init__(
        self, tree: Path, paths: Sequence[str], start: float, idle: float, busy: float, end: float
    ) -> None:
        self.files = [tree / path for path in paths]
        self.value, self.idle, self.busy, self.end = start, idle, busy, end
        self.digits = len(f"{start:.0f}")

    def __call__(self, busy: bool, seconds: float) -> None:
        self.value = (self.value + seconds * (self.busy if busy else self.idle)) % self.end
        for file in self.files:
            in_place(file, f"{self.value:0{self.digits}.0f}\n")


def pixel(tree: Path) -> Tell:
    return Pixel(tree / "sys/bus/iio/devices/iio:device0/energy_value", 250, 1000).tell


def counter(
    paths: Sequence[str], start: float, idle: float, busy: float, end: float = 1e18
) -> Callable[[Path], Tell]:
    return partial(Counter, paths=paths, start=start, idle=idle, busy=busy, end=end)


def hal(tree: Path) -> Tell:
    return Hal(tree / phone_perfetto.HAL.lstrip("/"), 500, 3000).tell


RAPL_END = 262_143_328_850.0
PMIC_MW = 7239.82
"""Of the captured output; its core takes 6.22421 A of that."""

FAMILIES = (
    Family(
        "Pixel with ODPM",
        "adb",
        trees.PIXEL,
        pixel,
        Energy("odpm", 3000, 1000),
    ),
    Family(
        "Pixel whose rails only perfetto tells",
        "adb",
        {phone_perfetto.HAL: f"{'0' * 12} {'0' * 12} {'0' * 12}\n"},
        hal,
        Energy("perfetto", 3000, 1000),
        options=("--launches", "3", "--min-seconds", "3"),
        perfetto=True,
    ),
    Family(
        "Samsung, mA, negative while it discharges",
        "adb",
        trees.battery("-0352"),
        file_of(f"{SUPPLY}/current_now", "-0352", "-0952"),
        Energy("battery", 600 * 3.906, 352 * 3.906),
        options=GAUGE,
        profile=MA,
    ),
    Family(
        "a sign that is not the profile's",
        "adb",
        trees.battery("352000"),
        still,
        "has the sign of charging",
        options=NOTHING,
        profile="power: {meter: battery, current_unit: uA, discharge_sign: -1}\n",
    ),
    Family(
        "battery's charge counter",
        "adb",
        trees.battery("-352000"),
        counter([f"{SUPPLY}/charge_counter"], 2_848_000, -352 / 3.6, -952 / 3.6),
        Energy("battery-charge", 600 * 3.906, 352 * 3.906),
        options=(*GAUGE, "--meter", "battery-charge"),
    ),
    Family(
        "Samsung on USB",
        "adb",
        trees.battery("-352", status="Charging", usb="1"),
        still,
        "the battery is charging",
        options=NOTHING,
        profile=MA,
    ),
    Family(
        "Jetson Nano, JetPack 4",
        "ssh",
        trees.iio_rails(0, {0: ("POM_5V_IN", 1933), 1: ("POM_5V_GPU", 0), 2: ("POM_5V_CPU", 84)}),
        file_of("sys/bus/iio/devices/iio:device0/in_power0_input", "1933", "5933"),
        Energy("ina3221-iio", 4000, 1933),
    ),
    Family(
        "Jetson AGX Xavier, JetPack 4",
        "ssh",
        trees.XAVIER,
        file_of("sys/bus/iio/devices/iio:device0/in_power0_input", "1155", "8155"),
        Energy("ina3221-iio", 7000, 1155 + 385 + 2504 + 192 + 2692),
    ),
    Family(
        "Jetson Orin Nano, JetPack 5",
        "ssh",
        trees.ina3221(1, {1: ("VDD_IN", 5000, 1400), 2: ("VDD_CPU_GPU_CV", 5000, 104)}),
        file_of(f"{HWMON}/hwmon1/curr1_input", "1400", "2400"),
        Energy("hwmon", 5000, 7000),
    ),
    Family(
        "Jetson Orin Nano, JetPack 6",
        "ssh",
        trees.LINKED_ORIN_NANO,
        file_of(f"{trees.LINKED_HWMON}/curr1_input", "0965", "1965"),
        Energy("hwmon", 5000, 4825),
    ),
    Family(
        "Jetson AGX Orin, JetPack 7",
        "ssh",
        trees.ina3221(
            2,
            {1: ("VDD_GPU_SOC", 10_000, 514), 2: ("VDD_CPU_CV", 10_000, 327), 3: ("VIN_SYS_5V0", 5000, 1100)},
        ),
        file_of(f"{HWMON}/hwmon2/curr2_input", "327", "927"),
        Energy("hwmon", 6000, 5140 + 3270 + 5500),
    ),
    Family(
        "Jetson AGX Orin, JetPack 5",
        "ssh",
        trees.AGX_ORIN,
        file_of(f"{HWMON}/hwmon2/curr1_input", "239", "939"),
        Energy("hwmon", 7000, 2390 + 800 + 3520 + 300),
    ),
    Family(
        "Raspberry Pi 4",
        "ssh",
        trees.THERMAL_ONLY,
        still,
        "nothing on the device tells its power",
        options=NOTHING,
    ),
    Family(
        "Raspberry Pi 4 behind an INA219",
        "ssh",
        trees.INA219,
        file_of(f"{HWMON}/hwmon0/power1_input", "2660000", "5660000"),
        Energy("hwmon", 3000, 2660),
    ),
    Family(
        "Raspberry Pi 5",
        "ssh",
        {"/sys/core_current": "1.22421000\n"},
        file_of("sys/core_current", "1.22421000", "6.22421000"),
        Energy("rpi-pmic", 5 * 861.733, PMIC_MW - 5 * 861.733),
        options=("--launches", "3", "--min-seconds", "3"),
        profile="power: {meter: rpi-pmic}\n",
        vcgencmd=True,
    ),
    Family(
        "x86 with RAPL, two packages, over the end of their range",
        "ssh",
        trees.rapl(int(RAPL_END - 50e6)),
        counter(
            [f"{POWERCAP}/{zone}/energy_uj" for zone in ("intel-rapl:0", "intel-rapl:0:1", "intel-rapl:1")],
            RAPL_END - 50e6,
            4e6,
            9e6,
            RAPL_END,
        ),
        Energy("rapl", 15_000, 12_000),
    ),
)


def vcgencmd(folder: Path) -> Path:
    """A folder with a program in the place of the firmware's: the captured output, its core's current from /sys."""
    folder.mkdir()
    text = output("pmic_pi5").replace("6.22421000", "${core}")
    (folder / "vcgencmd").write_text(
        '#!/bin/sh\n[ "$1" = pmic_read_adc ] || exit 1\n'
        f"read core < /sys/core_current\ncat <<END\n{text}END\n"
    )
    (folder / "vcgencmd").chmod(0o755)
    return folder


@contextmanager
def following(tells: Mapping[str, Tell]) -> Iterator[None]:
    """Call each, by the root of its device, with whether a runner is at work there: the other end of the sensors."""
    stop = threading.Event()

    def work() -> None:
        last = time.monotonic()
        while not stop.wait(SCAN_S):
            busy, now = _at_work(tells), time.monotonic()
            for root, tell in tells.items():
                tell(root in busy, now - last)
            last = now

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


def _at_work(roots: Mapping[str, Tell]) -> set[str]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
            except OSError:
                continue
            if "/samples-" in line:
                found |= {root for root in roots if f"\0{root}/" in line}
    return found
