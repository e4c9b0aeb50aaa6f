"""Meters that are read by commands (D2.2, D2.3): their looks, times and costs, and what no reading of theirs may hide."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from edgekit.meters.base import Missing, Offer, Reading, Survey
from edgekit.meters.batterystats import BATTERY, BatteryStatsMeter, step_mah
from edgekit.meters.batterystats import OUTPUT as STATS
from edgekit.meters.commands import (
    END,
    LOOP,
    Printed,
    Tail,
    command_loop,
    line_stream,
    lines_of_stream,
    look_script,
)
from edgekit.meters.pmic import OUTPUT as PMIC
from edgekit.meters.power_stats import OUTPUT, OUTPUT_1, PowerStatsMeter
from edgekit.meters.reading import trace_of
from edgekit.meters.tegrastats import OUTPUT as TEGRA
from edgekit.meters.tegrastats import TegraStatsMeter
from edgekit.profiles.schema import Power
from edgekit.stats.traces import Refused, Trace
from tests.meters.contract import MeterContract
from tests.parse.outputs import output

pytestmark = pytest.mark.base
Texts = Mapping[str, str | None]


def deltas(elapsed_ms: int, tpu_uj: int, cpu_uj: int) -> str:
    """What the HAL prints of a delta."""
    text = output("power_stats_delta").replace("5012 ms", f"{elapsed_ms} ms")
    for sample, delta_uj in (("(         12.34)", tpu_uj), ("(       1040.07)", cpu_uj)):
        text = text.replace(sample, f"({delta_uj / 1000:14.2f})")
    return text


class TestPowerStats(MeterContract):
    """Two rails, 200 and 600 mW, a delta each 1.1 s."""

    name = "power-stats"
    power_mw = 800.0

    def seen(self) -> Survey:
        return Survey(outputs={OUTPUT: output("power_stats_total")})

    def texts(self, t_us: float) -> Texts:
        return {OUTPUT: deltas(1100, 220_000, 660_000)}

    def silent(self, t_us: float) -> Texts:
        return {OUTPUT: deltas(1100, 0, 0)}


class TestPowerStatsOfHal1(MeterContract):
    """The same through `lshal debug`, the first call of which has no deltas."""

    name = "power-stats"
    power_mw = 800.0

    def seen(self) -> Survey:
        return Survey(outputs={OUTPUT_1: output("power_stats_hal1_first")})

    def texts(self, t_us: float) -> Texts:
        if t_us < 6e6:
            return {OUTPUT_1: output("power_stats_hal1_first")}
        text = output("power_stats_hal1_delta").replace("5012 ms", "1100 ms")
        text = text.replace("(         12.34)", f"({220:14.2f})").replace(
            "(       1040.07)", f"({660:14.2f})"
        )
        return {OUTPUT_1: text}

    def silent(self, t_us: float) -> Texts:
        return {
            OUTPUT_1: (self.texts(t_us)[OUTPUT_1] or "")
            .replace("220.00", "  0.00")
            .replace("660.00", "  0.00")
        }


class TestTegraStatsXavier(MeterContract):
    """Bare names and no unit: JetPack 4."""

    name = "tegrastats"
    power_mw = 1155.0 + 385 + 2504 + 0 + 192 + 2692

    def seen(self) -> Survey:
        return Survey(outputs={TEGRA: output("tegrastats_xavier")})

    def texts(self, t_us: float) -> Texts:
        return {TEGRA: output("tegrastats_xavier")}

    def silent(self, t_us: float) -> Texts:
        text = output("tegrastats_xavier")
        for rail in ("GPU 1155", "CPU 385", "SOC 2504", "VDDRQ 192", "SYS5V 2692"):
            text = text.replace(f" {rail}/", f" {rail.split()[0]} 0/")
        return {TEGRA: text}


class TestBatteryStats(MeterContract):
    """1 mAh each look of 16 s at 3906 mV: 879 mW."""

    name = "batterystats"
    power_mw = 1000 * 3600 * 3.906 / 16 / 1000

    def seen(self) -> Survey:
        return Survey(outputs=self.texts(0))

    def texts(self, t_us: float) -> Texts:
        drain = 100 + round(t_us / 16e6)
        return {
            STATS: output("batterystats_16").replace("drain: 100,", f"drain: {drain},"),
            BATTERY: unplugged(),
        }

    def silent(self, t_us: float) -> Texts:
        return {STATS: output("batterystats_16"), BATTERY: unplugged()}


def unplugged() -> str:
    return output("dumpsys_battery_phone").replace("USB powered: true", "USB powered: false")


def offered(found: Offer | Missing) -> Offer:
    assert isinstance(found, Offer), found
    return found


def hal(looks: list[tuple[float, float, str]]) -> Trace | Refused:
    """The energy that (time, time that the call took, answer) give; times in ms."""
    offer = offered(PowerStatsMeter().look(Survey(outputs={OUTPUT: output("power_stats_total")})))
    rails = offer.read([Reading(t * 1000, {OUTPUT: text}, took_us=took * 1000) for t, took, text in looks])
    return rails if isinstance(rails, Refused) else trace_of(rails)


def test_power_stats_is_sure_where_the_column_is_not() -> None:
    """D2.1, the first trap: at 1.9e11 uWs the column steps by 16 mJ, the deltas by 10 uJ."""
    far = [
        (n * 1100.0, 40.0, deltas(1100, 1000, 2000).replace("123456.78", "190000000.00")) for n in range(12)
    ]
    trace = hal(far)
    assert isinstance(trace, Trace)
    assert trace.step_uj == pytest.approx(10 * 2**0.5)
    assert trace.energy_uj[-1] == pytest.approx(11 * 3000)
    column = output("power_stats_total")
    without = hal([(n * 1100.0, 40.0, column.replace("123456.78", f"19000000{n}.00")) for n in range(10)])
    assert isinstance(without, Trace)
    assert without.step_uj == pytest.approx(16_384 * 2**0.5)


def test_power_stats_of_another_caller_are_refused() -> None:
    """D2.1, the second trap: whoever calls in between takes the energy until then away."""
    ours = [(n * 1100.0, 40.0, deltas(1100, 1000, 2000)) for n in range(12)]
    assert isinstance(hal(ours), Trace)
    robbed = [*ours[:6], (6 * 1100.0, 40.0, deltas(400, 363, 727)), *ours[7:]]
    found = hal(robbed)
    assert isinstance(found, Refused)
    assert "another program" in found.reason


def test_a_caller_that_takes_little_each_time_is_seen_in_the_whole() -> None:
    """Each within what its own command took, all together not."""
    found = hal([(n * 1100.0, 100.0, deltas(1040, 945, 1890)) for n in range(12)])
    assert isinstance(found, Refused)
    assert "took parts" in found.reason


@pytest.mark.parametrize(
    ("late", "words"),
    [
        (output("power_stats_delta")[:300], "not whole"),
        (deltas(1100, 1, 2).replace("S7M_VDD_TPU", "S9M"), "other rails"),
        (deltas(1100, 1, 2).replace(f"({0.001:14.2f})", ""), None),
        (output("power_stats_total"), "gave no delta"),
        (deltas(1100, -5000, 2), "went back"),
    ],
)
def test_power_stats_that_break_off(late: str, words: str | None) -> None:
    looks = [(n * 1100.0, 40.0, deltas(1100, 1000, 2000)) for n in range(12)]
    found = hal([*looks[:5], (5 * 1100.0, 40.0, late), *looks[6:]])
    if words is None:
        assert isinstance(found, Refused)
        return
    assert isinstance(found, Refused)
    assert words in found.reason


def test_power_stats_rails_of_the_profile() -> None:
    seen = Survey(outputs={OUTPUT: output("power_stats_total")}, power=Power(rails=("S7M_VDD_TPU",)))
    offer = offered(PowerStatsMeter().look(seen))
    assert offer.rails == ("S7M_VDD_TPU",)
    rails = offer.read([Reading(n * 1.1e6, {OUTPUT: deltas(1100, 1000, 2000)}) for n in range(9)])
    assert not isinstance(rails, Refused)
    assert list(rails[0].values) == ["S7M_VDD_TPU"]


@pytest.mark.parametrize(
    ("name", "rails", "boundary"),
    [
        ("tx2", ("VDD_IN",), "module-input"),
        ("nano", ("POM_5V_IN",), "module-input"),
        ("xavier", ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"), "soc-rails"),
        ("orin_jp5", ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"), "soc-rails"),
        ("orin_nano_jp6", ("VDD_IN",), "module-input"),
        ("orin_jp7", ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"), "soc-rails"),
    ],
)
def test_tegrastats_of_every_generation(name: str, rails: tuple[str, ...], boundary: str) -> None:
    offer = offered(TegraStatsMeter().look(Survey(outputs={TEGRA: output(f"tegrastats_{name}")})))
    assert (offer.rails, offer.boundary) == (rails, boundary)


def test_tegrastats_that_shows_no_rails_says_who_may_see_them() -> None:
    line = output("tegrastats_nano").partition(" POM_5V_IN")[0] + "\n"
    found = TegraStatsMeter().look(Survey(outputs={TEGRA: line}))
    assert isinstance(found, Missing)
    assert "root" in (found.needed or "")


@pytest.mark.parametrize(
    ("battery", "words"),
    [
        (output("dumpsys_battery_phone"), "plugged in"),
        (unplugged().replace("status: 3", "status: 2"), "not discharging"),
        (output("dumpsys_battery_unplugged"), "made up"),
        (unplugged().replace("voltage: 3906", "voltage: 0"), "no voltage"),
        ("", "says nothing"),
    ],
)
def test_batterystats_counts_on_battery_only(battery: str, words: str) -> None:
    outputs = {STATS: output("batterystats_16"), BATTERY: battery}
    found = BatteryStatsMeter().look(Survey(outputs=outputs))
    assert isinstance(found, Missing)
    assert words in found.reason
    offer = offered(BatteryStatsMeter().look(Survey(outputs={**outputs, BATTERY: unplugged()})))
    rails = offer.read([Reading(n * 16e6, outputs) for n in range(9)])
    assert isinstance(rails, Refused)


def test_steps_of_androids_charges() -> None:
    """AOSP, formatCharge: three digits, whole from 100 mAh on."""
    assert [step_mah(drain) for drain in (1234, 512, 47.1, 5.12, 0.512)] == [1, 1, 0.1, 0.01, 0.001]
    assert step_mah(0) <= 0.001


def run_until(argv: tuple[str, ...], printed: Printed, looks: int) -> str:
    """What the device's shell prints until there are as many looks; here that of this machine. Ended as the agent ends a
    command: with its group."""
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    said = ""
    while len(printed.readings(said)) < looks:
        line = process.stdout.readline()
        assert line, said
        said += line
    os.killpg(process.pid, signal.SIGTERM)
    return said + process.communicate(timeout=60)[0]


def uptime_us() -> float:
    return float(Path("/proc/uptime").read_text().split()[0]) * 1e6


def test_a_loop_of_commands_gives_times_costs_and_whole_texts() -> None:
    """D2.2: by a real shell. An output without a last newline stays one."""
    script = 'import time; time.sleep(0.05); print("a"); print("b", end="")'
    argv = command_loop(
        {"one": (sys.executable, "-c", script), "two": ("printf", "c\\n"), "no": ("false",)}, 10
    )
    began_us = uptime_us()
    looks = LOOP.readings(run_until(argv, LOOP, 2))
    ended_us = uptime_us()
    assert len(looks) >= 2
    for look in looks:
        assert look.texts == {"one": "a\nb", "two": "c\n", "no": None}
        assert began_us - 20_000 <= look.t_us <= ended_us + 20_000
        assert look.took_us is not None
        assert look.took_us >= 40_000
    assert [look.t_us for look in looks] == sorted(look.t_us for look in looks)


def test_files_are_read_by_the_shell_with_and_without_a_last_newline(tmp_path: Path) -> None:
    """Some drivers end none of their lines; a file that is not there or may not be read has no text."""
    paths = [str(tmp_path / name) for name in ("it's whole", "open", "empty", "gone")]
    for path, text in zip(paths, ("1 a\n2 b\n", "1 a\n50031", ""), strict=False):
        Path(path).write_text(text)
    (look,) = LOOP.readings(
        subprocess.check_output(["sh", "-c", look_script(paths, {})], text=True, timeout=20)
    )
    whole, unended, *others = (look.texts[path] for path in paths)
    assert (whole or "").strip() == "1 a\n2 b"
    assert (unended or "").strip() == "1 a\n50031"
    assert not any(others)


def test_a_stream_of_lines_has_the_devices_time_before_each() -> None:
    argv = line_stream(("sh", "-c", r'while :; do echo "RAM a\tb  c"; sleep 0.1; done'))
    stream = lines_of_stream("x")
    looks = stream.readings(run_until(argv, stream, 2))
    assert len(looks) >= 2
    assert (
        looks[0].texts["x"].replace("\\t", "\t") == "RAM a\tb  c\n"
    )  # dash's echo reads \t, bash's does not
    assert looks[-1].t_us > looks[0].t_us


def test_what_is_damaged_is_no_look() -> None:
    whole = f"@@edgekit-look 100.25\n@@edgekit-output x\nhi\n\n{END} 100.35\n"
    (look,) = LOOP.readings(whole)
    assert (look.t_us, look.took_us, look.texts) == (100.30e6, pytest.approx(0.1e6), {"x": "hi\n"})
    assert LOOP.readings(whole.replace("\n", "\r\n")) == [look]
    for bad in (
        "",
        "nonsense\n",
        whole[:-20],
        whole.replace("100.25", "x"),
        whole.replace("100.35", "99.00"),
    ):
        assert LOOP.readings(bad) == []
    assert len(LOOP.readings(whole[:40] + whole)) == 1
    assert lines_of_stream("x").readings("12.34 a\nb\n12.44 c") == [Reading(12.34e6, {"x": "a\n"})]


@pytest.mark.parametrize("size", [1, 7, 64, 4096])
def test_looks_that_come_in_pieces(size: int) -> None:
    looks = "".join(
        f"@@edgekit-look {n}.00\n@@edgekit-output x\n{n}\n\n{END} {n}.50\n" for n in range(10, 20)
    )
    tail = Tail(LOOP)
    found = [look for at in range(0, len(looks), size) for look in tail.feed(looks[at : at + size])]
    assert [look.texts["x"] for look in found] == [f"{n}\n" for n in range(10, 20)]
    lines, tail = "".join(f"{n}.00 line\n" for n in range(10, 20)), Tail(lines_of_stream("x"))
    assert len([one for at in range(0, len(lines), size) for one in tail.feed(lines[at : at + size])]) == 10


def test_an_endless_look_does_not_fill_the_host() -> None:
    tail = Tail(LOOP)
    for _ in range(8):
        assert tail.feed("x" * (1 << 20)) == []
    assert len(tail._kept) <= 4 << 20
    assert len(tail.feed(f"\n@@edgekit-look 1.00\n@@edgekit-output {PMIC}\nhi\n\n{END} 1.10\n")) == 1
