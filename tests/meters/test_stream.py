"""Lines of a meter beside the device, of a real process and a real file (D2.3)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgekit.clock import Deadline
from edgekit.config import MeterEntry, read_config
from edgekit.errors import HostError, InputError
from edgekit.meters import stream
from edgekit.meters.base import Missing, Offer, Rails, Reading, Source, Survey
from edgekit.meters.choice import choose
from edgekit.meters.external import external_offer, source_of
from edgekit.meters.reading import trace_of
from edgekit.meters.stream import RAIL, Readings, read_lines, streaming
from edgekit.stats.traces import Refused, Trace

pytestmark = pytest.mark.base
HEAD = "t_s,power_mw\n"


def rails(readings: Readings) -> Rails:
    found = readings.rails()
    assert isinstance(found, Rails), found
    return found


def reason(found: object) -> str:
    assert isinstance(found, Refused), found
    return found.reason


def printing(code: str) -> Source:
    return Source(argv=(sys.executable, "-c", code), start_seconds=30.0)


def test_a_command_s_lines_come_as_it_prints_them() -> None:
    code = 'import time\nfor i in range(20): print(\'{"t_ms": %d, "energy_mj": %d}\' % (i, i * i), flush=True)\ntime.sleep(60)'
    with streaming(printing(code)) as readings:
        assert readings.wait_for(20, Deadline.after(60)) is None
        found = rails(readings)
    assert found.unit == "uJ"
    assert found.t_us.tolist() == [1000.0 * i for i in range(20)]
    assert found.values[RAIL].tolist() == [1000.0 * i * i for i in range(20)]


def fed(lines: str) -> Readings:
    readings = Readings(Source())
    readings.feed(lines.encode())
    return readings


def test_readings_of_one_millisecond_are_one_reading() -> None:
    """A meter of some kHz that tells its time in ms: what came within one of them is their mean, of a counter the last."""
    power = rails(fed("t_ms,power_mw\n1,10\n1,20\n1,nan\n2,30\n3,nan\n3,nan\n4,50\n"))
    assert power.t_us.tolist() == [1000.0, 2000.0, 3000.0, 4000.0]
    assert str(power.values[RAIL].tolist()) == "[15.0, 30.0, nan, 50.0]"
    counter = rails(fed("t_ms,energy_uj\n1,10\n1,20\n2,30\n2,nan\n"))
    assert counter.t_us.tolist() == [1000.0, 2000.0]
    assert counter.values[RAIL].tolist() == [20.0, 30.0]
    lines = "".join(f"{number // 5},{1000 + number % 5}\n" for number in range(400))
    trace = trace_of([rails(fed("t_ms,power_mw\n" + lines))])
    assert isinstance(trace, Trace)
    assert trace.energy_uj[-1] == pytest.approx(1002 * 79)
    assert trace.period_us == 1000


def test_a_clock_that_goes_back_is_no_clock_all_the_same() -> None:
    found = trace_of([rails(fed("t_ms,power_mw\n" + "".join(f"{n % 7},5\n" for n in range(20))))])
    assert "go back" in reason(found)


def test_a_command_is_ended_with_all_that_it_started() -> None:
    code = "import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3600)  # %s'])\nprint('x,y\\n1,2', flush=True)\ntime.sleep(3600)"
    mark = f"mark-{time.time_ns()}"
    with streaming(printing(code % mark)) as readings:
        assert readings.wait_for(1, Deadline.after(60)) is not None, "that is no header"
    until = Deadline.after(60)
    while not until.expired() and _running(mark):
        time.sleep(0.05)
    assert not _running(mark)


def _running(mark: str) -> bool:
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark.encode() in (entry / "cmdline").read_bytes():
                return True
        except OSError:
            continue
    return False


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ((sys.executable, "-c", "import sys; sys.exit('no instrument found')"), "no instrument found"),
        (("/no/such/meter",), "exit code 127: /no/such/meter: not found"),
        ((sys.executable, "-c", "print('V, I')"), "no column of time"),
        (
            (sys.executable, "-c", "import time; print('V, I\\n1,2', flush=True); time.sleep(60)"),
            "among: V, I",
        ),
        ((sys.executable, "-c", "import time; time.sleep(60)"), "0 readings in time"),
    ],
)
def test_a_command_that_gives_nothing_says_why(argv: tuple[str, ...], words: str) -> None:
    with streaming(Source(argv=argv)) as readings:
        seconds = 0.3 if "in time" in words else 60.0
        assert words in reason(readings.wait_for(1, Deadline.after(seconds)))


def test_a_file_that_grows_is_read_from_its_end(tmp_path: Path) -> None:
    """What was there before is another measurement's; the header counts."""
    path = tmp_path / "meter.csv"
    path.write_text(f"# a comment\n{HEAD}1,11\n2,12\n3,1")
    with streaming(Source(file=path)) as readings, path.open("a") as file:
        for text in ("3\n", "4,1", "4\n5,", "15\n6,16"):
            file.write(text)
            file.flush()
            time.sleep(0.12)
        assert readings.wait_for(3, Deadline.after(60)) is None
        found = rails(readings)
    assert found.values[RAIL].tolist() == [13.0, 14.0, 15.0], "the last line has no end yet"


def test_a_file_that_grows_while_it_is_opened_begins_with_a_whole_line(tmp_path: Path) -> None:
    """Half a number is a number too: of a line whose beginning is passed over, the time would be another one."""
    path = tmp_path / "log.csv"
    path.write_text("t_ms,power_mw\n")
    code = f"f = open({str(path)!r}, 'ab', 0)\nfor i in range(10**9, 10**9 + 400_000): f.write(b'%d,%d\\n' % (i, i))"
    with subprocess.Popen([sys.executable, "-c", code]) as writer:
        while writer.poll() is None:
            with stream._at_its_end(path, Readings(Source())) as file:
                file.seek(-1, os.SEEK_CUR)
                assert file.read(1) == b"\n"


def test_a_file_without_a_whole_line_yet(tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    path.write_text("t_s,pow")
    with streaming(Source(file=path)) as readings:
        with path.open("a") as file:
            file.write("er_mw\n1,2\n")
        assert readings.wait_for(1, Deadline.after(60)) is None


def test_a_file_that_is_not_there_or_becomes_shorter(tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    with pytest.raises(HostError) as caught, streaming(Source(file=path)):
        pass
    assert caught.value.code == "E_HOST_FILE"
    path.write_text(HEAD + "1,2\n" * 100)
    with streaming(Source(file=path)) as readings:
        path.write_text(HEAD)
        assert "became shorter" in reason(readings.wait_for(1, Deadline.after(60)))


def test_a_pipe_and_a_serial_line_are_no_files(tmp_path: Path) -> None:
    """They would be waited for without an end; `cat` reads them as a command."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(HostError, match="no regular file") as caught, streaming(Source(file=pipe)):
        pass
    assert caught.value.code == "E_HOST_FILE"
    assert f"command: [cat, {pipe}]" in str(caught.value.hint)
    with streaming(Source(argv=("cat", str(pipe)))) as readings:
        pipe.write_text(f"{HEAD}1,2\n")
        assert readings.wait_for(1, Deadline.after(60)) is None


def test_a_few_damaged_lines_are_lost_readings_and_many_are_no_meter() -> None:
    readings = Readings(Source())
    readings.feed((HEAD + "".join(f"{i},5\n" for i in range(200)) + "20\x00,5\n").encode())
    assert rails(readings).t_us.size == 200
    readings.feed(b"x\n" * 5)
    assert "6 of 207 lines" in reason(readings.rails())


def test_the_end_of_a_line_that_comes_first_is_passed_over() -> None:
    """A serial line is in the middle of something when it is opened."""
    readings = Readings(Source())
    readings.feed(b'wer_mw": 5}\n{"t_s": 1, "power_mw": 6}\n')
    assert readings.ended is None
    assert rails(readings).values[RAIL].tolist() == [6.0]
    readings.feed(b"x\n")
    assert "line 3: 'x'" in reason(readings.rails())


def test_more_than_is_kept_ends_it() -> None:
    readings = Readings(Source())
    readings.feed(b"x" * 70_000)
    assert (
        reason(readings.wait_for(1, Deadline.after(1)))
        == "the meter gave 0 readings: it prints more than is kept"
    )


def test_kept_lines_are_read_again() -> None:
    texts = [HEAD, "1,10\n", "2,20\n"]
    (found,) = read_lines(Source(), [Reading(0.0, {RAIL: text}) for text in texts])
    assert found.values[RAIL].tolist() == [10.0, 20.0]
    assert "no readings" in reason(read_lines(Source(), []))


def test_an_entry_of_edgekit_yaml(tmp_path: Path) -> None:
    """Its program is meant from where the file lies; the rest are arguments."""
    path = tmp_path / "edgekit.yaml"
    path.write_text(
        "meters:\n  supply: {command: [./read, a/b], columns: {V: voltage_v, I: current_a}, boundary: wall}\n"
        "  log: {file: out/meter.csv, voltage: 3700mV, late: 1min}\n"
    )
    entries = read_config(path).meters
    supply = external_offer("supply", entries["supply"], Survey())
    assert isinstance(supply, Offer)
    assert supply.source is not None
    assert supply.source.argv == (f"{tmp_path}/read", "a/b")
    assert (supply.boundary, supply.meter) == ("wall", "supply")
    log = source_of("log", entries["log"])
    assert (log.file, log.voltage_mv, log.late_seconds) == (tmp_path / "out/meter.csv", 3700.0, 60.0)
    assert isinstance(external_offer("supply", entries["supply"], Survey(simulated=True)), Missing)


@pytest.mark.parametrize(
    "entry",
    [
        MeterEntry(),
        MeterEntry(command=("a",), file="b"),
        MeterEntry(file="b", boundary="phone"),
        MeterEntry(file="b", columns={"I": "amps"}),
        MeterEntry(file="b", voltage="5"),
        MeterEntry(file="b", late="5"),
    ],
)
def test_an_entry_that_cannot_be_is_said_to_be_one(entry: MeterEntry) -> None:
    with pytest.raises(InputError) as caught:
        external_offer("it", entry, Survey())
    assert caught.value.code == "E_CONFIG"
    assert caught.value.message.startswith("meters: it: ")
    assert caught.value.hint


def test_a_meter_beside_the_device_is_never_taken_unasked() -> None:
    offer = external_offer("supply", MeterEntry(command=("a",)), Survey())
    assert isinstance(choose(None, {"supply": offer}, Survey()), Refused)
    assert choose("supply", {"supply": offer}, Survey()) is offer
