"""A measurement that the device runs alone, its link cut, fetched afterwards (D2.2), over the real agent."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekit.agent.client import AgentClient
from edgekit.api.devices import connect
from edgekit.api.unplugged import begin
from edgekit.benchmarking import BenchOptions
from edgekit.benchmarking.plan import make_plan
from edgekit.benchmarking.unplugged import Saved, forget, refuse_options, state_of
from edgekit.benchmarking.unplugged_left import collect, taken_there
from edgekit.benchmarking.unplugged_script import Script, marks_of, meter_script, script_text
from edgekit.config import Config, DeviceEntry
from edgekit.devices import Device
from edgekit.errors import DeviceLost, InputError, RemoteError
from edgekit.meters.base import Offer, Reading
from edgekit.meters.battery import BatteryMeter
from edgekit.profiles.schema import Power
from edgekit.stats.traces import Refused
from tests.cli.running import MODEL, edgekit
from tests.meters import trees
from tests.meters.boards import Board, Pixel, check_energy, loaded, measures
from tests.meters.trees import surveyed

ZONE = {
    "/sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "/sys/class/thermal/thermal_zone0/temp": "50031\n",
}


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def cli(board: Board, *arguments: str, env: Mapping[str, str] | None = None) -> Any:
    return edgekit("unplugged", *arguments, "-d", "it", "--json", cwd=board.folder, env=env)


def ended(board: Board, job: str, env: Mapping[str, str]) -> str:
    """Its state when it has ended, or after three minutes."""
    for _ in range(90):
        (found,) = cli(board, "list", env=env).ok().json()["jobs"]
        assert found["job"] == job
        if found["state"] != "running":
            break
        time.sleep(2)
    return str(found["state"])


@measures
@pytest.mark.android
def test_a_measurement_goes_on_without_a_link(make_adbd: Any, tmp_path: Path) -> None:
    """Over adb, each command a connection of its own: counters of four rails, 250 mW each idle and 1000 mW under load."""
    (tmp_path / "tree" / "sys").mkdir(parents=True)
    device = make_adbd(sysfs=tmp_path / "tree" / "sys")
    board = Board(tmp_path, device.address, f"/data/local/tmp/ek-{uuid.uuid4().hex[:8]}")
    board.shows(trees.PIXEL)
    pixel = Pixel(board.tree / "sys/bus/iio/devices/iio:device0/energy_value", 250, 1000)
    plan = ("--wait", "1", "--launches", "3", "--iterations", "20", "--min-seconds", "4")
    with loaded(board.root, pixel.tell):
        begun = cli(board, "start", str(MODEL), *plan, env=device.env).ok().json()
        assert begun["meter"] == "odpm"
        early = cli(board, "collect", begun["job"], env=device.env)
        assert early.json()["error"]["code"] == "E_DEVICE_BUSY"
        assert ended(board, begun["job"], device.env) == "done"
    record = cli(board, "collect", begun["job"], env=device.env).json()
    assert "error" not in record, record
    check_energy(record, "odpm", 3000.0, 1000.0, costs=False)
    assert len(record["launches"]) == 3
    assert record["conditions"]["before"]["temperatures_mc"]
    assert record["launches"][0]["usage"].get("user_us") is None
    assert record["environment"]["asked"]["how"] == "unplugged"
    assert record["environment"]["argv"][:2] == ["unplugged", "start"]
    assert record["environment"]["asked"]["model"] == str(MODEL)
    assert any("measured on the device alone" in note for note in record["verdict"]["notes"])
    assert cli(board, "list", env=device.env).ok().json()["jobs"] == []
    gone = cli(board, "collect", begun["job"], env=device.env)
    assert gone.json()["error"]["code"] == "E_UNPLUGGED"


def test_a_measurement_that_is_ended_leaves_nothing(board: Board) -> None:
    board.shows(ZONE)
    job = cli(board, "start", str(MODEL), "--wait", "600", "--meter", "none").ok().json()["job"]
    cli(board, "remove", job).ok()
    assert cli(board, "list").ok().json()["jobs"] == []


def test_a_meter_that_the_host_reads_is_refused_with_that_reason(board: Board) -> None:
    board.shows(ZONE)
    settings = board.folder / "edgekit.yaml"
    settings.write_text(settings.read_text() + "meters: {bench-supply: {command: [cat]}}\n")
    error = cli(board, "start", str(MODEL), "--meter", "bench-supply").error()
    assert error["code"] == "E_METER"
    assert "bench-supply is read by the host, which is away" in error["message"]
    assert cli(board, "list").ok().json()["jobs"] == []


def left(board: Board, meter: str, power: Power) -> str:
    """Why there is no energy of a measurement that left no readings."""
    plan = make_plan(None, BenchOptions())
    more = {"release": "m", "version": "1", "started_at": "", "runtime": "litert"}
    saved = Saved(**more, plan=plan, meter=meter, metered=True, power=power)
    entry = DeviceEntry(address="local:", root=board.root, sysroot=str(board.tree))
    with connect("it", config=Config(devices={"it": entry})) as device:
        found = taken_there(device, f"{board.root}/jobs/unplugged-0", saved, {}).found
    assert isinstance(found, Refused)
    return found.reason


def test_a_meter_that_is_gone_when_it_is_fetched_costs_the_energy_only(board: Board) -> None:
    """Statistics that a full charge cleared, rails that only root saw: the launches are measured all the same."""
    board.shows(ZONE)
    assert "the meter hwmon cannot measure there" in left(board, "hwmon", Power())


def test_a_battery_is_read_by_the_profile_that_it_was_begun_with(board: Board) -> None:
    board.shows(trees.battery("-352000", status="Charging", usb="1"))
    assert left(board, "battery", Power(current_unit="uA")) == "the idle times are not whole"
    assert "the profile does not say" in left(board, "battery", Power())


@pytest.mark.base
def test_a_battery_that_is_plugged_in_until_then_is_no_reason() -> None:
    """What counts are the readings: there it is one."""
    plugged = trees.battery("-352000", status="Charging", usb="1")
    offer = BatteryMeter().look(surveyed(plugged, Power(current_unit="uA"), unplugged_later=True))
    assert isinstance(offer, Offer)
    found = offer.read([Reading(n * 1e6, plugged) for n in range(20)])
    assert isinstance(found, Refused)
    assert "charging" in found.reason


@pytest.mark.base
@pytest.mark.parametrize(
    ("options", "wait_s", "words"),
    [
        (BenchOptions(streams=2, sustained_minutes=1), 1, "--streams, --sustained"),
        (BenchOptions(op_profile=True), 1, "--op-profile"),
        (BenchOptions(), 5000, "a wait of 5000 s"),
    ],
)
def test_what_needs_the_host_is_refused(options: BenchOptions, wait_s: float, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        refuse_options(options, wait_s)
    assert caught.value.code == "E_UNPLUGGED"


def test_a_host_that_dies_right_after_the_start_loses_nothing(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `collect` needs is there once the job is: nothing is written behind it."""
    board.shows(ZONE)
    job_start = AgentClient.job_start

    def last(agent: AgentClient, *arguments: Any, **options: Any) -> str:
        folder = job_start(agent, *arguments, **options)
        for name in ("write", "put", "run"):
            monkeypatch.setattr(AgentClient, name, lost)
        return folder

    def lost(*_: Any, **__: Any) -> None:
        raise DeviceLost("the cable is out")

    monkeypatch.setattr(AgentClient, "job_start", last)
    entry = DeviceEntry(address="local:", root=board.root, sysroot=str(board.tree))
    config = Config(devices={"it": entry})
    with connect("it", config=config) as device:
        options = BenchOptions(launches=1, iterations=5, min_seconds=0, meter="none")
        job = begin(MODEL, device, options=options, wait_s=0).job
    monkeypatch.undo()
    with connect("it", config=config) as device:
        finished(device, job)
        record, _ = collect(device, job, profile=None)
    assert len(record.launches) == 1


@measures
def test_a_launch_that_hangs_is_one_launch_that_failed(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even the first: the device ends it after the time that a host would give it, and goes on."""
    board.shows(ZONE)
    monkeypatch.setattr("edgekit.benchmarking.unplugged.START_SECONDS", -55.0)  # of a minute
    config = Config(devices={"it": DeviceEntry(address="local:", root=board.root, sysroot=str(board.tree))})
    with connect("it", config=config) as device:
        # long enough that it is met on a busy machine
        options = BenchOptions(launches=2, iterations=5, min_seconds=1, meter="none")
        job = begin(MODEL, device, options=options, wait_s=1).job
        stop_first_launch(board)
        finished(device, job)
        record, _ = collect(device, job, profile=None)
    assert [launch.ok for launch in record.launches] == [False, True]
    assert "E_RUNNER_TIMEOUT" in (record.launches[0].error or "")


def test_more_launches_than_its_script_can_hold_are_said_to_be_too_many(board: Board) -> None:
    """The script is one argument of a shell, of which Linux takes 128 KiB; 150 launches fit."""
    board.shows(ZONE)
    config = Config(devices={"it": DeviceEntry(address="local:", root=board.root, sysroot=str(board.tree))})
    with connect("it", config=config) as device:
        with pytest.raises(InputError, match="1000 launches are too many") as caught:
            begin(MODEL, device, options=BenchOptions(launches=1000, meter="none"), wait_s=60)
        assert caught.value.code == "E_UNPLUGGED"
        job = begin(MODEL, device, options=BenchOptions(launches=150, meter="none"), wait_s=60).job
        forget(device, job)


def stop_first_launch(board: Board) -> None:
    mark = f"{board.root}/jobs/".encode()
    for _ in range(2000):
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if any(word.startswith(mark) and word.endswith(b"/samples-0") for word in words):
                    os.kill(int(entry.name), signal.SIGSTOP)
                    return
        time.sleep(0.005)
    raise AssertionError("it was not met while it ran")


def test_where_every_launch_fails_the_error_is_the_first_one_s(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    board.shows(ZONE)
    monkeypatch.setattr("edgekit.benchmarking.unplugged.START_SECONDS", -59.0)
    config = Config(devices={"it": DeviceEntry(address="local:", root=board.root, sysroot=str(board.tree))})
    with connect("it", config=config) as device:
        options = BenchOptions(launches=2, iterations=10**6, min_seconds=3, meter="none")
        job = begin(MODEL, device, options=options, wait_s=0).job
        finished(device, job)
        with pytest.raises(RemoteError) as caught:
            collect(device, job, profile=None)
    assert caught.value.code == "E_RUNNER_TIMEOUT"


def finished(device: Device, job: str) -> None:
    for _ in range(600):
        if state_of(device, job) != "running":
            return
        device.wait(0.1)


@pytest.mark.base
def test_marks_of_a_job_that_broke_off() -> None:
    text = "@@edgekit-mark waiting 100.00\nnoise\n@@edgekit-mark end-0 101.50 137\n@@edgekit-mark done 1"
    found = marks_of(text)
    assert [(name, mark.t_us, mark.exit_code) for name, mark in found.items()] == [
        ("waiting", 100e6, None),
        ("end-0", 101.5e6, 137),
    ]


@pytest.mark.base
def test_names_with_spaces_and_quotes_reach_the_shell_whole() -> None:
    script = Script(
        folder="/tmp/it's here",
        wait_s=0,
        idle_s=0,
        commands=[(["echo", "a b"], {"X": "it's"})],
        limit_s=60,
        plan="{it's the plan}",
        meter=None,
        sensors=(),
        look_files=(),
        look_commands={},
    )
    text = script_text(script)
    assert "cd '/tmp/it'\"'\"'s here'" in text
    assert "env 'X=it'\"'\"'s' echo 'a b'" in text


@pytest.mark.base
def test_a_launch_is_not_killed_where_its_time_cannot_be_slept(tmp_path: Path) -> None:
    """busybox may be built without fractions of a second; what cannot wait must not go on to kill."""
    script = Script(
        folder=str(tmp_path),
        wait_s=0,
        idle_s=0,
        commands=[(["/bin/sleep", "0.5"], {})],
        limit_s=2.25,
        plan="{}",
        meter=None,
        sensors=(),
        look_files=(),
        look_commands={},
    )
    whole = "sleep() { case $1 in *[!0-9]*) return 1;; *) /bin/sleep $1;; esac; }\n"
    nothing = "sleep() { return 1; }\n"
    for shell, late in ((whole, "sleep 3 "), (nothing, "")):
        text = script_text(script)
        assert late in text
        done = subprocess.run(["sh", "-c", shell + text], capture_output=True, text=True, timeout=30)
        assert marks_of(done.stdout)["end-0"].exit_code == 0, done.stderr


@pytest.mark.base
def test_a_launch_has_its_time_and_the_plan_is_there_first(tmp_path: Path) -> None:
    script = Script(
        folder=str(tmp_path),
        wait_s=0,
        idle_s=0,
        commands=[(["sleep", "60"], {}), (["echo", "a  b"], {"X": "it's"}), (["sh", "-c", "exit 3"], {})],
        limit_s=5,
        plan="{it's the plan}",
        meter=None,
        sensors=(),
        look_files=(),
        look_commands={},
    )
    began = time.monotonic()
    asked = script_text(script)
    # in the other order, the shell that waits for the launch may end the watch before it has told
    assert asked.index("mark late-") < asked.index("kill -9")
    text = subprocess.check_output(["sh", "-c", asked], text=True, timeout=55)
    assert time.monotonic() - began < 45
    assert (tmp_path / "plan.json").read_text() == "{it's the plan}"
    marks = marks_of(text)
    assert [marks[f"end-{number}"].exit_code for number in range(3)] == [137, 0, 3]
    assert [name for name in marks if name.startswith("late-")] == ["late-0"]
    assert (tmp_path / "stdout-1").read_text() == "a  b\n"


@pytest.mark.base
@pytest.mark.parametrize(
    ("argv", "printed"),
    [(("printf", "%s ", "it's", "so"), "it's so "), (("sh", "-c", "echo $((6*7))"), "42\n")],
)
def test_a_meter_s_command_is_any_program_with_its_arguments(argv: tuple[str, ...], printed: str) -> None:
    """A plug-in's needs no shell."""
    offer = BatteryMeter().look(surveyed(trees.battery("-352000"), Power(current_unit="uA")))
    assert isinstance(offer, Offer)
    script = f"( {meter_script(replace(offer, argv=argv))} )"
    assert subprocess.check_output(["sh", "-c", script], text=True, timeout=20) == printed
