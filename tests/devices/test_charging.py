"""`--charging off` (D2.3): by a setting of the charger's driver, else by the power of its USB port; given back. Trees are constructed."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from edgekit.addresses import parse
from edgekit.api.devices import connect
from edgekit.benchmarking import BenchOptions
from edgekit.benchmarking.plan import make_plan
from edgekit.benchmarking.ready import made_ready
from edgekit.clock import Deadline
from edgekit.config import Config, DeviceEntry, UsbPort
from edgekit.devices import Device
from edgekit.devices.charging import hangs_on_usb
from edgekit.profiles import load_profile
from tests.cli.running import MODEL, argv, edgekit, environment
from tests.devices.hub import Hub
from tests.meters import trees

BATTERY = "/sys/class/power_supply/battery"


def phone(folder: Path, *, usb_port: UsbPort | None = None, **files: str) -> Device:
    tree = {f"{BATTERY}/{name}": f"{text}\n" for name, text in files.items()}
    root = trees.write(trees.battery("-352000") | tree, folder / "tree")
    entry = DeviceEntry(address="local:", root=str(folder / "device"), sysroot=str(root), usb_port=usb_port)
    return connect("it", config=Config(devices={"it": entry}))


def text(folder: Path, name: str) -> str:
    return (folder / f"tree{BATTERY}" / name).read_text().strip()


def options(**more: object) -> BenchOptions:
    return BenchOptions(charging="off", ready_timeout_seconds=0.0, **more)  # type: ignore[arg-type]


def test_the_known_setting_is_written_and_given_back(tmp_path: Path) -> None:
    with phone(tmp_path, input_suspend="0", charging_enabled="1") as device:
        with made_ready(device, make_plan(None, options())) as ready:
            assert text(tmp_path, "input_suspend") == "1"
            assert text(tmp_path, "charging_enabled") == "1", "one is enough"
            assert not [note for note in ready.not_set if "switched off" in note]
        assert text(tmp_path, "input_suspend") == "0"


def test_the_profile_s_own_setting_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"schema: edgekit.profile/1\nname: mine\nextends: host-x86-64\nbench: {{charging: off}}\n"
        f'power: {{charging_off: {{{BATTERY}/batt_slate_mode: "1"}}}}\n'
    )
    plan = make_plan(load_profile(str(path)), BenchOptions(ready_timeout_seconds=0.0))
    with phone(tmp_path, input_suspend="0", batt_slate_mode="0") as device:
        with made_ready(device, plan):
            assert (text(tmp_path, "batt_slate_mode"), text(tmp_path, "input_suspend")) == ("1", "0")
        assert text(tmp_path, "batt_slate_mode") == "0"


def test_without_a_setting_the_port_s_power_is_cut_and_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub(tmp_path)
    monkeypatch.setenv("PATH", hub.path)
    monkeypatch.setenv("EDGEKIT_DATA_DIR", str(tmp_path / "data"))
    with phone(tmp_path, usb_port=UsbPort(location="1-1", port=2)) as device:
        with made_ready(device, make_plan(None, options())) as ready:
            assert hub.actions == ["off"]
            assert not [note for note in ready.not_set if "switched off" in note]
        assert hub.actions == ["off", "on"]


def test_a_setting_that_does_not_take_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says something else afterwards, which is a note: the port's power is what is left."""
    hub = Hub(tmp_path)
    monkeypatch.setenv("PATH", hub.path)
    monkeypatch.setenv("EDGEKIT_DATA_DIR", str(tmp_path / "data"))
    with phone(tmp_path, usb_port=UsbPort(location="1-1", port=2)) as device:
        (tmp_path / f"tree{BATTERY}/input_suspend").symlink_to("/proc/self/coredump_filter")
        with made_ready(device, make_plan(None, options())) as ready:
            assert hub.actions == ["off"]
            assert any("was not set to 1" in note for note in ready.not_set), ready.not_set
        assert hub.actions == ["off", "on"]


@pytest.mark.parametrize(
    ("port", "words"),
    [
        (None, "the device shows no setting for it, and edgekit.yaml names no usb_port"),
        (UsbPort(location="9-9", port=1), "No compatible devices detected at location 9-9!"),
    ],
)
def test_what_switches_nothing_off_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: UsbPort | None, words: str
) -> None:
    monkeypatch.setenv("PATH", Hub(tmp_path).path)
    monkeypatch.setenv("EDGEKIT_DATA_DIR", str(tmp_path / "data"))
    with (
        phone(tmp_path, usb_port=port) as device,
        made_ready(device, make_plan(None, options())) as ready,
    ):
        assert any(words in note for note in ready.not_set)


@pytest.mark.parametrize(
    ("address", "usb"),
    [
        ("adb:R3CN20", True),
        ("adb:", True),
        ("adb+ssh://pi@host/R3CN20", True),
        ("adb:192.168.1.7:5555", False),
        ("adb:adb-R3CN20-x1Y2z3._adb-tls-connect._tcp", False),
        ("ssh://pi@host", False),
    ],
)
def test_the_port_of_the_link_itself_is_never_cut(address: str, usb: bool) -> None:
    assert hangs_on_usb(parse(address)) is usb


def test_nothing_is_touched_where_it_was_not_asked_for(tmp_path: Path) -> None:
    with (
        phone(tmp_path, input_suspend="0") as device,
        made_ready(device, make_plan(None, BenchOptions(charging="no", ready_timeout_seconds=0.0))),
    ):
        assert text(tmp_path, "input_suspend") == "0"


def test_the_meter_is_chosen_once_it_does_not_charge_any_more(tmp_path: Path) -> None:
    """A battery tells the device's power only then; here it charges on, so that is the reason, and the setting is given back."""
    phone(tmp_path, input_suspend="0", status="Charging").close()
    (tmp_path / "edgekit.yaml").write_text(
        f'devices: {{it: {{address: "local:", root: "{tmp_path}/device", sysroot: "{tmp_path}/tree"}}}}\n'
    )
    arguments = (
        "--charging",
        "off",
        "--ready-timeout",
        "0",
        "--meter",
        "battery",
        "--launches",
        "1",
        "--json",
        "-v",
    )
    done = edgekit("bench", MODEL, "-d", "it", *arguments, cwd=tmp_path)
    assert done.error()["code"] == "E_METER"
    assert "the battery is charging" in done.error()["message"]
    assert text(tmp_path, "input_suspend") == "0"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_measurement_that_is_ended_gives_the_port_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    """By itself where it can, else by the next command that opens a device."""
    hub = Hub(tmp_path)
    monkeypatch.setenv("EDGEKIT_DATA_DIR", str(tmp_path / "data"))
    phone(tmp_path).close()
    (tmp_path / "edgekit.yaml").write_text(
        f'devices:\n  it: {{address: "local:", root: "{tmp_path}/device", sysroot: "{tmp_path}/tree", '
        'usb_port: {location: "1-1", port: 2}}\n'
    )
    command = argv(
        "bench", MODEL, "-d", "it", "--charging", "off", "--ready-timeout", "0", "--min-seconds", "60"
    )
    running = subprocess.Popen(
        command,
        env=environment({"PATH": hub.path}),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = Deadline.after(120)
    while "off" not in hub.actions and not deadline.expired() and running.poll() is None:
        time.sleep(0.05)
    assert hub.actions == ["off"]
    time.sleep(0.5)
    running.send_signal(how)
    assert running.wait(60) in (143, -signal.SIGKILL)
    if how == signal.SIGKILL:
        assert hub.actions == ["off"]
        edgekit("meters", "-d", "it", cwd=tmp_path, env={"PATH": hub.path}).ok()
    assert hub.actions == ["off", "on"]
