"""The power of a device's USB port is given back whatever ends the command (D2.3). The real uhubctl runs where it is installed, and
finds no hub here; what a hub does is a stand-in's."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.cache import data_dir
from edgekit.config import UsbPort, read_config
from edgekit.devices.usb_power import FOLDER, given_back, notes, power_cut, switch, switch_argv
from edgekit.errors import InputError, ToolError
from edgekit.events import Event, ignore
from tests.cli.running import edgekit
from tests.devices.hub import Hub

PORT = UsbPort(location="1-1", port=2)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKIT_DATA_DIR", str(tmp_path / "data"))
    return data_dir(FOLDER)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    made = Hub(tmp_path)
    monkeypatch.setenv("PATH", made.path)
    return made


def test_off_for_the_time_of_the_block(hub: Hub) -> None:
    with power_cut(PORT, ignore, "it"):
        assert hub.actions == ["off"]
        assert len(notes()) == 1
        assert given_back(ignore) == 0, "its owner lives"
    assert hub.actions == ["off", "on"]
    assert not notes()


def test_on_again_after_an_error(hub: Hub) -> None:
    with pytest.raises(KeyboardInterrupt), power_cut(PORT, ignore, "it"):
        raise KeyboardInterrupt
    assert hub.actions == ["off", "on"]
    assert not notes()


CHILD = """
import sys, time
from edgekit.config import UsbPort
from edgekit.devices.usb_power import power_cut
with power_cut(UsbPort(location="1-1", port=2), lambda event: None, "it"):
    print("off", flush=True)
    time.sleep(120)
"""


def test_what_a_kill_left_off_is_switched_on_by_the_next_command(hub: Hub) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "off\n"
    child.send_signal(signal.SIGKILL)
    child.wait(30)
    child.stdout.close()
    assert hub.actions == ["off"]
    found = edgekit("doctor", "--json", env={"PATH": hub.path}).json()
    (check,) = [one for one in found["checks"] if one["what"] == "USB ports left off"]
    assert (check["state"], check["message"]) == ("warning", "1 switched on now")
    assert hub.actions == ["off", "on"]
    assert not notes()


def test_a_port_that_cannot_be_switched_on_again_is_tried_by_the_next_command(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Event] = []
    with power_cut(PORT, told.append, "it"):
        monkeypatch.setenv("PATH", "/nowhere")
    assert [event.message for event in told if event.level == "warning"] == [
        "not given back: uhubctl is not installed"
    ]
    assert len(notes()) == 1
    monkeypatch.setenv("PATH", hub.path)
    assert given_back(ignore) == 1
    assert hub.actions == ["off", "on"]


def test_doctor_says_which_port_to_switch_on_by_hand(data: Path, hub: Hub) -> None:
    """Without -l and -p it would be any port of any hub."""
    (data / "x.json").write_text('{"location": "9-9", "port": 1, "device": "it"}')
    found = edgekit("doctor", "--json", env={"PATH": hub.path}).json()
    (check,) = [one for one in found["checks"] if one["what"] == "USB ports left off"]
    assert check["message"] == "0 switched on now, 1 in use or not to be switched"
    assert str(data) in check["hint"]
    assert "-l LOCATION -p PORT" in check["hint"]


def test_a_hub_that_cuts_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", Hub(tmp_path, stuck=True).path)
    with pytest.raises(ToolError, match="still has power"), power_cut(PORT, ignore, "it"):
        raise AssertionError("the block is not entered")
    assert not notes()


@pytest.mark.parametrize(
    ("said", "words"),
    [("Status now: off", "in its place"), ("  Port 2: 0000 off\n  Port 3: 0100 power", "still has power")],
)
def test_a_port_that_may_be_off_is_switched_on_again(hub: Hub, said: str, words: str) -> None:
    """uhubctl ended well, but what it says is not understood, or is that only one of the sides has lost its power."""
    program = Path(hub.path.partition(":")[0], "uhubctl")
    text = program.read_text().replace(
        'enable connect [0000:0000]")', 'enable")\nprint("  Port 3: 0503 power")'
    )
    both = "  Port 2: 0100 power\n  Port 3: 0100 power"
    program.write_text(f"{text.rpartition('print(')[0]}print({said!r} if off else {both!r})\n")
    with pytest.raises(ToolError, match=words), power_cut(PORT, ignore, "it"):
        raise AssertionError("the block is not entered")
    assert hub.actions == ["off", "on"]
    assert not notes()


def test_a_program_that_hangs_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What became of the port is not known."""
    hub = Hub(tmp_path)
    program = Path(hub.path.partition(":")[0], "uhubctl")
    program.write_text(program.read_text() + "import time\nif off: time.sleep(60)\n")
    monkeypatch.setenv("PATH", hub.path)
    monkeypatch.setattr("edgekit.devices.usb_power.SECONDS", 8.0)
    with pytest.raises(ToolError, match="timed out"), power_cut(PORT, ignore, "it"):
        raise AssertionError("the block is not entered")
    assert hub.actions == ["off", "on"]
    assert not notes()


def test_a_note_that_says_nothing_stays_and_is_told(data: Path) -> None:
    (data / "x.json").write_text("{")
    told: list[Event] = []
    assert given_back(told.append) == 0
    assert [event.level for event in told] == ["warning"]


def test_the_real_uhubctl_finds_no_hub_and_that_is_the_reason() -> None:
    if shutil.which("uhubctl") is None:
        pytest.skip("uhubctl is not installed")
    with pytest.raises(ToolError) as caught:
        switch(UsbPort(location="99-1", port=1), "off")
    assert caught.value.code == "E_USB_POWER"
    assert "No compatible devices detected at location 99-1" in caught.value.message
    assert caught.value.hint


def test_the_real_uhubctl_knows_the_options() -> None:
    program = shutil.which("uhubctl")
    if program is None:
        pytest.skip("uhubctl is not installed")
    done = subprocess.run([program, "-h"], capture_output=True, text=True, timeout=20)
    said = done.stdout + done.stderr
    for option in [word for word in switch_argv(PORT, "off") if word.startswith("-")]:
        assert f"{option} -" in said, option


def test_without_the_program_the_hint_is_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolError) as caught:
        switch(PORT, "off")
    assert caught.value.hint == "apt install uhubctl"


@pytest.mark.parametrize("port", ["{location: '-a', port: 1}", "{location: '1-1', port: 0}", "{port: 1}"])
def test_a_port_that_could_be_an_option_is_refused(tmp_path: Path, port: str) -> None:
    path = tmp_path / "edgekit.yaml"
    path.write_text(f"devices: {{it: {{address: 'local:', usb_port: {port}}}}}\n")
    with pytest.raises(InputError) as caught:
        read_config(path)
    assert caught.value.code == "E_CONFIG"
