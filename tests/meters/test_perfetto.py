"""Android's power rails by perfetto (D2.3): what its trace says, when it is asked at all, and that nothing of it is left."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.api.devices import connect
from edgekit.config import load_config
from edgekit.meters.base import Missing, Offer, Reading, Survey
from edgekit.meters.choice import choose, look_all
from edgekit.meters.perfetto import (
    ARGV,
    ENCODING,
    MOST_MS,
    OUTPUT,
    PROBE,
    PerfettoMeter,
    config_text,
    nothing_quicker,
    recording,
)
from edgekit.meters.power_stats import OUTPUT as POWER_STATS
from edgekit.meters.reading import trace_of
from edgekit.meters.survey import ALL_LOOKS, looks_for
from edgekit.meters.taking import Taken, meter_for, metered
from edgekit.parse.perfetto import parse_power_rails
from edgekit.profiles.schema import Power
from edgekit.stats.traces import Refused, Trace
from tests.cli.running import edgekit
from tests.meters import phone_perfetto
from tests.meters.boards import Board, loaded, measures
from tests.meters.contract import MeterContract
from tests.parse.outputs import output
from tests.parse.perfetto_trace import cleared, energy, rail, rails_packet, recorded

RAILS = ("S2M_VDD_CPUCL2", "S7M_VDD_TPU")


def text(data: bytes) -> str:
    return data.decode(ENCODING)


def two_rails(t_us: float, cpu_mw: float = 600.0, tpu_mw: float = 200.0, start: int = 0) -> bytes:
    uws = {"S2M_VDD_CPUCL2": start + cpu_mw * t_us / 1000, "S7M_VDD_TPU": start + tpu_mw * t_us / 1000}
    return recorded(RAILS, [(t_us / 1000, uws)])


class TestPerfetto(MeterContract):
    """Two rails with 200 and 600 mW."""

    name = "perfetto"
    power_mw = 800.0

    def seen(self) -> Survey:
        return Survey(outputs={OUTPUT: text(two_rails(5e6))})

    def texts(self, t_us: float) -> dict[str, str | None]:
        return {OUTPUT: text(two_rails(t_us))}

    def silent(self, t_us: float) -> dict[str, str | None]:
        return {OUTPUT: text(two_rails(t_us, 0.0, 0.0))}


def offer_of(seen: Survey) -> Offer:
    offer = PerfettoMeter().look(seen)
    assert isinstance(offer, Offer), offer
    return offer


def read(data: bytes, rails: tuple[str, ...] = ()) -> Trace | Refused:
    """One recording, by a meter that has seen both rails."""
    seen = Survey(outputs={OUTPUT: text(two_rails(5e6))}, power=Power(rails=rails))
    found = offer_of(seen).read(recording(text(data)))
    return found if isinstance(found, Refused) else trace_of(found)


def test_a_counter_after_months_is_as_exact_as_on_the_first_day() -> None:
    """IPowerStats' column would step by a joule there."""
    looks = [(1000.0 + 250 * n, {RAILS[0]: 10**13 + 250 * n, RAILS[1]: 10**13}) for n in range(20)]
    trace = read(recorded(RAILS, looks))
    assert isinstance(trace, Trace), trace
    assert trace.energy_uj.tolist() == [250.0 * n for n in range(20)]


def test_chips_that_are_read_at_their_own_times_are_added_up() -> None:
    """500 mW each, the second 20 to 40 ms later: the sum is 1 W, not a stair."""
    looks = [cleared()]
    for n in range(40):
        first, second = 1000 + 250 * n, 1020 + 250 * n + 20 * (n % 2)
        named = (rail(0, RAILS[0]), rail(1, RAILS[1])) if n == 0 else ()
        energies = (energy(0, first, 500 * first), energy(1, second, 500 * second))
        looks.append(rails_packet(first * 10**6, *named, *energies))
    trace = read(b"".join(looks))
    assert isinstance(trace, Trace), trace
    length = trace.t_us[-1] - trace.t_us[0]
    assert trace.energy_uj[-1] / length * 1000 == pytest.approx(1000, rel=1e-6)


def test_rails_of_the_profile() -> None:
    looks = [(1000.0 + 250 * n, {RAILS[0]: 90_000 * n, RAILS[1]: 250 * n}) for n in range(20)]
    trace = read(recorded(RAILS, looks), (RAILS[1],))
    assert isinstance(trace, Trace), trace
    assert trace.energy_uj[-1] == 250 * 19
    seen = Survey(outputs={OUTPUT: text(two_rails(5e6))}, power=Power(rails=("VDD_NO",)))
    found = PerfettoMeter().look(seen)
    assert isinstance(found, Missing)
    assert "VDD_NO" in found.reason


WHOLE = recorded(RAILS, [(1000.0 + 250 * n, {RAILS[0]: 90 * n, RAILS[1]: 250 * n}) for n in range(20)])
LATE = cleared() + b"".join(
    rails_packet(
        (4_000 + 250 * n) * 10**6,
        *((rail(0, RAILS[0]), rail(1, RAILS[1])) if n == 0 else ()),
        *(energy(at, 1000 + 250 * n, 90 * n) for at in (0, 1)),
    )
    for n in range(20)
)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (WHOLE[:-1], "cannot be read"),
        (WHOLE.replace(cleared(), b"").replace(rail(1, RAILS[1]), b""), "cannot be read"),
        (cleared(), "no power rails"),
        (LATE, "CLOCK_BOOTTIME"),
        (recorded(RAILS[:1], [(1000.0 + n, {RAILS[0]: n}) for n in range(20)]), "S7M_VDD_TPU is gone"),
    ],
)
def test_a_recording_that_is_no_number(data: bytes, words: str) -> None:
    found = read(data)
    assert isinstance(found, Refused)
    assert words in found.reason


def test_a_trace_of_nothing_is_no_reading() -> None:
    assert recording("") == []


def test_it_is_asked_only_where_nothing_quicker_tells() -> None:
    """A recording takes half a second of every bench; `dumpsys` tells of the same rails."""
    assert nothing_quicker({})
    assert nothing_quicker({POWER_STATS: "Can't find service\n"})
    assert not nothing_quicker({POWER_STATS: output("power_stats_total")})
    asked, others = looks_for("perfetto"), looks_for("battery")
    assert asked is not None
    assert others is not None
    assert asked - others == {OUTPUT}
    assert looks_for(None) is None
    assert asked < ALL_LOOKS
    both = Survey(outputs={OUTPUT: text(two_rails(5e6)), POWER_STATS: output("power_stats_total")})
    chosen = choose(None, look_all(both), both)
    assert isinstance(chosen, Offer)
    assert chosen.meter == "power-stats"


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    """This machine with a perfetto whose HAL has two rails of 500 mW."""
    board = Board(tmp_path)
    board.shows({"/sys/hal_rails": f"{'0' * 12} {'0' * 12} {'0' * 12}\n"})
    phone_perfetto.program(tmp_path / "bin" / "perfetto", f"{board.tree}/sys/hal_rails")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return board


def taken_there(board: Board, seconds: float) -> Taken:
    hal = phone_perfetto.Hal(board.tree / "sys/hal_rails", 500.0, 0.0)
    with loaded(board.root, hal.tell), connect("it", config=load_config()) as device:
        offer = meter_for(device, None, None)
        assert isinstance(offer, Offer), offer
        assert (offer.meter, offer.rails) == ("perfetto", phone_perfetto.RAILS)
        with metered(device, replace(offer, idle_s=2.5), lambda _: None) as taken:
            device.wait(seconds)
    return taken


@measures
def test_a_phone_whose_rails_only_perfetto_tells(phone: Board) -> None:
    """1 W over the agent; the trace has ended with the measurement, and what recorded it."""
    taken = taken_there(phone, 0.5)
    assert isinstance(taken.found, Trace), taken.found
    length_us = taken.found.t_us[-1] - taken.found.t_us[0]
    assert taken.found.energy_uj[-1] / length_us * 1000 == pytest.approx(1000, rel=0.02)
    assert taken.found.t_us[0] < taken.before.start_us + 0.5e6
    assert taken.found.t_us[-1] > taken.after.end_us - 0.5e6
    assert taken.sample_cost_us is None
    assert not running(phone)


def running(board: Board) -> list[str]:
    mark = str(board.folder / "bin" / "perfetto").encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if mark in line:
                found.append(entry.name)
    return found


@measures
@pytest.mark.parametrize(
    ("script", "end_s", "words"),
    [
        ("trap '' TERM; cat > /dev/null; sleep 5; sleep 5", 30.0, "gave no readings"),
        ("trap '' TERM; cat > /dev/null; sleep 5; sleep 5", 0.0, "could not be ended"),
        ("cat > /dev/null; head -c 70000000 /dev/zero; sleep 5", 30.0, "more than is kept"),
    ],
)
def test_a_perfetto_that_does_not_end_as_it_should(
    phone: Board, monkeypatch: pytest.MonkeyPatch, script: str, end_s: float, words: str
) -> None:
    """Killed after a second by the agent, not to be ended in time, or one that floods us: reasons, and nothing hangs."""
    monkeypatch.setattr("edgekit.meters.taking.END_SECONDS", end_s)
    offer = offer_of(Survey(outputs={OUTPUT: text(two_rails(5e6))}))
    (phone.folder / "bin" / "perfetto").write_text(f"#!/bin/sh\n{script}\n")
    with (
        connect("it", config=load_config()) as device,
        metered(device, replace(offer, idle_s=0.1), lambda _: None) as taken,
    ):
        device.wait(4.0 if "head" in script else 0.5)  # it has to flood us first
    assert isinstance(taken.found, Refused)
    assert words in taken.found.reason


def test_the_simulator_is_no_kinder_than_perfetto(phone: Board) -> None:
    """It takes what we ask and nothing else, and what it prints is a trace by our reader."""
    program = [str(phone.folder / "bin" / "perfetto"), *ARGV[1:]]
    done = subprocess.run(program, input=PROBE, capture_output=True, timeout=30, check=True)
    assert [one.name for one in parse_power_rails(done.stdout).rails] == list(phone_perfetto.RAILS)
    other = config_text(MOST_MS).replace("android.power", "linux.ftrace").encode()
    assert subprocess.run(program, input=other, capture_output=True, timeout=30, check=False).returncode


def test_watch_says_that_it_tells_nothing_meanwhile(phone: Board) -> None:
    """D2.6: and it shows heat all the same."""
    (phone.tree / "sys/class/thermal/thermal_zone0").mkdir(parents=True)
    (phone.tree / "sys/class/thermal/thermal_zone0/type").write_text("cpu\n")
    (phone.tree / "sys/class/thermal/thermal_zone0/temp").write_text("50000\n")
    done = edgekit("watch", "-d", "it", "--count", "1", cwd=phone.folder)
    assert "power: perfetto tells nothing there meanwhile" in done.stdout + done.stderr


def test_meters_shows_it(phone: Board) -> None:
    (phone.tree / "sys/hal_rails").write_text("000000001000 000000001000 000000001000\n")
    found = edgekit("meters", "-d", "it", "--json", cwd=phone.folder).json()
    offered = {one["name"]: one for one in found["meters"]}
    assert offered["perfetto"]["rails"] == list(phone_perfetto.RAILS)
    assert offered["perfetto"]["boundary"] == "soc-rails"


def test_readings_that_do_not_come_from_it_are_refused() -> None:
    found = offer_of(Survey(outputs={OUTPUT: text(two_rails(5e6))})).read([Reading(0.0, {OUTPUT: None})])
    assert isinstance(found, Refused)
