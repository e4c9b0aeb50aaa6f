"""Energy over the real transports, from a /sys of the test's own (D2-b2): constructed data, no such device was at hand."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.meters import trees
from tests.meters.boards import Board, Pixel, check_energy, in_place, loaded


def test_an_orin_nano_over_ssh(make_sshd: Any, ssh_client: Any, tmp_path: Path) -> None:
    """INA3221 through hwmon: VDD_IN at 5 V, 1.4 A idle and 2.4 A under load."""
    trees.write(
        trees.ina3221(1, {1: ("VDD_IN", 5000, 1400), 2: ("VDD_CPU_GPU_CV", 5000, 104)}), tmp_path / "tree"
    )
    server = make_sshd(sysfs=tmp_path / "tree" / "sys")
    board = Board(tmp_path, server.address)
    board.shows({})
    current = board.tree / "sys/class/hwmon/hwmon1/curr1_input"
    with loaded(board.root, lambda busy, _: in_place(current, "2400\n" if busy else "1400\n")):
        check_energy(board.bench(env=ssh_client.env), "hwmon", 5000.0, 7000.0)


@pytest.fixture
def phone(make_adbd: Any, tmp_path: Path) -> tuple[Board, Any]:
    """An adbd that sees the tree as its /sys."""
    (tmp_path / "tree" / "sys").mkdir(parents=True)
    device = make_adbd(sysfs=tmp_path / "tree" / "sys")
    return Board(tmp_path, device.address, f"/data/local/tmp/ek-{uuid.uuid4().hex[:8]}"), device.env


@pytest.mark.android
def test_a_pixel_over_adb(phone: tuple[Board, Any]) -> None:
    """Counters of four rails: 250 mW each idle, 1000 mW each under load."""
    board, env = phone
    board.shows(trees.PIXEL)
    pixel = Pixel(board.tree / "sys/bus/iio/devices/iio:device0/energy_value", 250, 1000)
    with loaded(board.root, pixel.tell):
        check_energy(board.bench(env=env), "odpm", 3000.0, 1000.0)


@pytest.mark.android
def test_a_galaxy_over_adb_that_tells_ma_with_the_other_sign(phone: tuple[Board, Any]) -> None:
    """On battery: 0352 mA idle and 0952 mA under load, positive while it discharges."""
    board, env = phone
    board.shows(trees.battery("0352"), "power: {meter: battery, current_unit: mA}\n")
    current = board.tree / "sys/class/power_supply/battery/current_now"
    with loaded(board.root, lambda busy, _: in_place(current, "0952\n" if busy else "0352\n")):
        record = board.bench("--min-seconds", "10", env=env)
    check_energy(record, "battery", 600 * 3.906, 352 * 3.906)


@pytest.mark.android
def test_a_galaxy_on_usb_is_an_honest_refusal(phone: tuple[Board, Any]) -> None:
    board, env = phone
    board.shows(
        trees.battery("-352", status="Charging", usb="1"), "power: {meter: battery, current_unit: mA}\n"
    )
    assert "the battery is charging" in board.bench(env=env)["energy"]["unavailable"]
