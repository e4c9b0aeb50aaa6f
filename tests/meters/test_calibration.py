"""`doctor --calibrate-power` (D2.3): unit and sign of current_now against charge_counter, on constructed batteries whose charge
goes down as the current says, in mA, in uA, and with either sign. No phone was at hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.api.calibrating import calibrate_power
from edgekit.api.devices import connect
from edgekit.config import Config, DeviceEntry
from edgekit.errors import DeviceError, InputError
from edgekit.meters.base import Reading
from edgekit.meters.battery import Gauge
from edgekit.meters.calibration import LEAST_STEPS, Calibration, calibrate
from edgekit.stats.traces import Refused
from tests.cli.running import edgekit
from tests.meters import trees
from tests.meters.boards import in_place, measures

FOLDER = "/sys/class/power_supply/battery"
GAUGE = Gauge(FOLDER, f"{FOLDER}/voltage_now", f"{FOLDER}/status", ())
MA = {"uA": 1000.0, "mA": 1.0}


def readings(
    mean_ma: float,
    *,
    unit: str = "uA",
    sign: int = -1,
    step_uah: int = 1000,
    seconds: float = 60.0,
    noise: float = 0.2,
) -> list[Reading]:
    """Each half second, of a battery that gives `mean_ma`, in steps of its counter."""
    t_s = np.arange(0.0, seconds, 0.5)
    flow_ma = mean_ma * (1 + noise * np.sin(t_s))
    spent_uah = np.concatenate(([0.0], np.cumsum(flow_ma[:-1] * 0.5 / 3.6)))
    charge = 2_848_000 - (spent_uah // step_uah) * step_uah
    return [
        Reading(
            at * 1e6,
            {
                f"{FOLDER}/current_now": f"{round(sign * ma * MA[unit])}\n",
                f"{FOLDER}/charge_counter": f"{int(uah)}\n",
            },
        )
        for at, ma, uah in zip(t_s, flow_ma, charge, strict=True)
    ]


@settings(max_examples=60)
@given(
    st.floats(150, 5000),
    st.sampled_from(["uA", "mA"]),
    st.sampled_from([-1, 1]),
    st.sampled_from([1, 100, 1000]),
    st.floats(0, 0.5),
)
def test_unit_and_sign_are_what_they_are_or_it_is_too_early(
    mean_ma: float, unit: str, sign: int, step_uah: int, noise: float
) -> None:
    found = calibrate(
        GAUGE, readings(mean_ma, unit=unit, sign=sign, step_uah=step_uah, seconds=200.0, noise=noise)
    )
    assert isinstance(found, Calibration), found
    assert (found.current_unit, found.discharge_sign) == (unit, sign)
    assert found.ratio == pytest.approx(1.0, abs=0.1)
    assert found.steps >= LEAST_STEPS
    assert found.mean_ma == pytest.approx(mean_ma, rel=0.35)


def changed(**texts: object) -> list[Reading]:
    """The same, with a file's text made by a function of its old one, or by the number of the reading."""
    return [
        Reading(
            one.t_us,
            {path: str(texts.get(path.rpartition("/")[2], text)) for path, text in one.texts.items()},
        )
        for one in readings(2000)
    ]


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (readings(2000, seconds=5.0), "moved 2 times"),
        (readings(20, seconds=60.0), "moved 0 times"),
        (changed(current_now="0\n"), "was 0"),
        (changed(current_now="-30\n"), "neither uA nor mA"),
        (changed(current_now="-20000000000\n"), "neither uA nor mA"),
        (changed(charge_counter="2848\n"), "not in uAh"),
        (changed(charge_counter=None), "could not be read together"),
        ([], "could not be read together"),
        (readings(-2000), "charging"),
        (readings(400_000, seconds=10), "which no device takes"),
        (
            [
                Reading(one.t_us, {**one.texts, f"{FOLDER}/current_now": f"{(-1) ** index * 2_000_000}\n"})
                for index, one in enumerate(readings(2000))
            ],
            "changed its direction",
        ),
    ],
)
def test_what_cannot_be_told_is_refused(seen: list[Reading], words: str) -> None:
    found = calibrate(GAUGE, seen)
    assert isinstance(found, Refused), found
    assert words in found.reason


@contextmanager
def draining(tree: Path, current: str, ma: float) -> Iterator[None]:
    """The charge counter goes down by what `ma` takes, in steps of 50 uAh."""
    stop, start = threading.Event(), time.monotonic()
    file = tree / "sys/class/power_supply/battery/charge_counter"
    in_place(tree / "sys/class/power_supply/battery/current_now", current)

    def work() -> None:
        while not stop.wait(0.02):
            spent = (time.monotonic() - start) * ma / 3.6
            in_place(file, f"{2_848_000 - int(spent // 50) * 50:07d}\n")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


def phone(folder: Path, **more: str) -> Config:
    tree = trees.write(trees.battery("0003000000", **more), folder / "tree")
    return Config(
        devices={"it": DeviceEntry(address="local:", root=str(folder / "device"), sysroot=str(tree))}
    )


@measures
@pytest.mark.parametrize(
    ("current", "unit", "sign"),
    [("-003000000\n", "uA", -1), ("-000003000\n", "mA", -1), ("0003000000\n", "uA", 1)],
)
def test_a_device_under_a_real_load(tmp_path: Path, current: str, unit: str, sign: int) -> None:
    config = phone(tmp_path)
    with draining(tmp_path / "tree", current, 3000.0), connect("it", config=config) as device:
        found = calibrate_power(device, seconds=120)
    assert found.power == {"current_unit": unit, "discharge_sign": sign}
    assert found.ratio == pytest.approx(1.0, abs=0.2)
    assert found.moved_uah > 0


def test_a_counter_that_stands_still_and_a_charger_are_errors(tmp_path: Path) -> None:
    with connect("it", config=phone(tmp_path)) as device:
        with pytest.raises(DeviceError, match="moved 0 times") as caught:
            calibrate_power(device, seconds=5)
        assert caught.value.code == "E_CALIBRATE_POWER"
        in_place(tmp_path / "tree/sys/class/power_supply/usb/online", "1\n")
        with pytest.raises(DeviceError, match="usb is plugged in") as caught:
            calibrate_power(device, seconds=5)
        assert caught.value.hint
        with pytest.raises(InputError):
            calibrate_power(device, seconds=1)


@measures
def test_the_command_prints_what_to_put_into_the_profile(tmp_path: Path) -> None:
    phone(tmp_path)
    (tmp_path / "edgekit.yaml").write_text(
        f'devices: {{it: {{address: "local:", root: "{tmp_path}/device", sysroot: "{tmp_path}/tree"}}}}\n'
    )
    with draining(tmp_path / "tree", "0000003000\n", 3000.0):
        done = edgekit("doctor", "--calibrate-power", "-d", "it", cwd=tmp_path).ok()
    assert "power: {meter: battery, boundary: battery, current_unit: mA, discharge_sign: 1}" in done.stdout


def test_a_time_for_nothing_is_a_mistake(tmp_path: Path) -> None:
    """`--seconds` is of --calibrate-power: ignored in silence, it would look as if it had been calibrated."""
    done = edgekit("doctor", "--seconds", "60", "--json", cwd=tmp_path)
    assert done.code == 2
    error = done.error()
    assert "--calibrate-power" in error["message"]
