"""D2.1: what devices print about power, read right: every sample of tests/data/outputs has its values here."""

from __future__ import annotations

import pytest

from edgekit.parse import ParseError
from edgekit.parse.batterystats import parse_batterystats
from edgekit.parse.dumpsys_meminfo import parse_dumpsys_meminfo
from edgekit.parse.jetson_clocks import ClockRange, parse_jetson_clocks
from edgekit.parse.nvpmodel import PowerMode, parse_nvpmodel
from edgekit.parse.odpm import parse_odpm
from edgekit.parse.pmic import parse_pmic
from edgekit.parse.power_stats import RailEnergy, parse_power_stats
from edgekit.parse.sysfs_power import parse_battery_status, parse_name, parse_reading
from edgekit.parse.tegrastats import TegraCore, parse_tegrastats
from edgekit.parse.vcgencmd import parse_measure_volts
from tests.parse.outputs import output

pytestmark = pytest.mark.base


def test_odpm() -> None:
    odpm = parse_odpm(output("odpm_pixel"))
    assert odpm.time_ms == 16_086_645
    assert [(rail.channel, rail.name, rail.energy_uj) for rail in odpm.rails] == [
        (0, "PPVAR_VSYS_PWR_DISP", 611_687_448),
        (3, "S2M_VDD_CPUCL2", 124_265_856),
        (4, "S3M_VDD_CPUCL1", 170_096_352),
        (5, "S4M_VDD_CPUCL0", 289_995_530),
    ]
    assert {rail.time_ms for rail in odpm.rails} == {16_086_645}


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("t=16086645\n", "", 1),
        ("[S2M_VDD_CPUCL2], 124", "[S2M_VDD_CPUCL2], 12,4", 3),
        ("CH4", "CH3", 4),
        ("CH4(T=16086645)", "CH4(T=160", 4),
        ("CH5(T", "t=16086700\nCH5(T", 5),
        ("289995530", "-289995530", 5),
    ],
)
def test_odpm_that_is_damaged_or_interleaved(before: str, after: str, line: int) -> None:
    with pytest.raises(ParseError) as caught:
        parse_odpm(output("odpm_pixel").replace(before, after, 1))
    assert caught.value.line == line


def test_power_stats_with_deltas() -> None:
    stats = parse_power_stats(output("power_stats_delta"))
    assert stats.elapsed_ms == 5012
    assert stats.rails == (
        RailEnergy(rail="S7M_VDD_TPU", subsystem="TPU", cumulative_uj=123_456_780, delta_uj=12_340),
        RailEnergy(
            rail="S2M_VDD_CPUCL2", subsystem="CPU(BIG)", cumulative_uj=987_654_320, delta_uj=1_040_070
        ),
    )
    assert stats.consumers_uj == {"CPUCL0": 31_234_500, "GPU": 2_345_250}


def test_power_stats_without_deltas() -> None:
    stats = parse_power_stats(output("power_stats_total"))
    assert stats.elapsed_ms is None
    assert [(rail.cumulative_uj, rail.delta_uj) for rail in stats.rails] == [
        (123_456_780, None),
        (987_654_320, None),
    ]
    negative = output("power_stats_delta").replace("12.34)", "-0.34)")
    assert parse_power_stats(negative).rails[0].delta_uj == -340


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("========== End of PowerStats HAL 2.0 energy meter ==========\n", ""),
        ("============= PowerStats HAL 2.0 energy meter ==============\n", ""),
        ("Elapsed time: 5012 ms\n", ""),
        ("123456.78 mWs", "123456,78 mWs"),
        ("123456.78 mWs", "123456.7 mWs"),
        ("(         12.34)", "(         12.34"),
        ("S2M_VDD_CPUCL2", "S7M_VDD_TPU"),
        ("GPU  ", "CPUCL0  "),
        ("HAL 2.0", "HAL 1.0"),
    ],
)
def test_power_stats_that_are_damaged(before: str, after: str) -> None:
    with pytest.raises(ParseError):
        parse_power_stats(output("power_stats_delta").replace(before, after))


@pytest.mark.parametrize("name", ["hal1_delta", "early2_delta"])
def test_power_stats_of_older_hals(name: str) -> None:
    """D2.1: HAL 1.0, and the first 2.0, whose elapsed time has the header behind it."""
    stats = parse_power_stats(output(f"power_stats_{name}"))
    assert stats.elapsed_ms == 5012
    assert [(rail.cumulative_uj, rail.delta_uj) for rail in stats.rails] == [
        (123_456_780, 12_340),
        (987_654_320, 1_040_070),
    ]


def test_the_first_delta_since_the_hal_began_is_unknown() -> None:
    first = parse_power_stats(output("power_stats_hal1_first"))
    assert first.elapsed_ms is None
    assert [(rail.rail, rail.subsystem, rail.delta_uj) for rail in first.rails] == [
        ("S1M_VDD_CPU_BIG", "cpu", None),
        ("S8M_VDD_DDR", "ddr", None),
    ]
    text = output("power_stats_delta").replace(" (         12.34)", "").replace(" (       1040.07)", "")
    assert [rail.delta_uj for rail in parse_power_stats(text).rails] == [None, None]
    with pytest.raises(ParseError, match="two HALs"):
        parse_power_stats(output("power_stats_total") + output("power_stats_hal1_first"))


def test_jetson_clocks_of_every_generation() -> None:
    """D2.1. CPUs in kHz, GPU and EMC in Hz."""
    nano = parse_jetson_clocks(output("jetson_clocks_nano"))
    assert nano.cpus[3] == ClockRange(min_khz=102_000, max_khz=1_428_000, current_khz=1_428_000)
    assert nano.gpu == ClockRange(min_khz=76_800, max_khz=921_600, current_khz=153_600)
    assert nano.emc == ClockRange(min_khz=204_000, max_khz=1_600_000, current_khz=1_600_000)
    assert (nano.emc_overridden, nano.power_mode, nano.fixed) == (False, "MAXN", False)
    orin = parse_jetson_clocks(output("jetson_clocks_orin_nano"))
    assert (tuple(orin.cpus), orin.cpus_offline, orin.power_mode) == ((0, 1, 2), (3,), "25W")
    fixed = parse_jetson_clocks(output("jetson_clocks_fixed"))
    assert (fixed.fixed, fixed.emc_overridden) == (True, True)
    tx1 = parse_jetson_clocks(
        "cpu0: Gonvernor=interactive MinFreq=102000 MaxFreq=1734000 CurrentFreq=510000\n"
    )
    assert (tx1.cpus[0].current_khz, tx1.gpu, tx1.emc_overridden, tx1.power_mode) == (
        510_000,
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("cpu2: ", "cpu1: ", 6),
        ("CurrentFreq=153600000", "CurrentFreq=", 8),
        (" FreqOverride=0", "", 9),
        ("GPU MinFreq=76800000", "GPU MinFreq=976800000", None),
        ("NV Power Mode: MAXN", "NV Power Mode:", 11),
        ("Online=1", "Online=?", 4),
    ],
)
def test_jetson_clocks_that_are_damaged(before: str, after: str, line: int | None) -> None:
    with pytest.raises(ParseError) as caught:
        parse_jetson_clocks(output("jetson_clocks_nano").replace(before, after, 1))
    assert caught.value.line == line
    with pytest.raises(ParseError, match="no CPU"):
        parse_jetson_clocks("Error: please run as root\n")


def test_power_stats_of_which_two_ran_into_each_other() -> None:
    one = output("power_stats_total")
    with pytest.raises(ParseError):
        parse_power_stats(one[:200] + "\n" + one)


def test_pmic_pairs_by_name() -> None:
    rails = {rail.name: rail for rail in parse_pmic(output("pmic_pi5"))}
    assert len(rails) == 14
    core = rails["VDD_CORE"]
    assert (core.current_ma, core.voltage_mv) == (pytest.approx(6224.21), pytest.approx(861.733))
    assert core.power_mw == pytest.approx(6.22421 * 861.733)
    # ADC channel 16 is a current, 19 the voltage of the same rail
    assert rails["0V8_AON"].power_mw == pytest.approx(0.0030525 * 800.2922)
    assert (rails["EXT5V"].current_ma, rails["EXT5V"].power_mw) == (None, None)
    assert sum(rail.power_mw or 0 for rail in rails.values()) == pytest.approx(7239.82, abs=0.01)


def test_pmic_nan_is_unknown() -> None:
    text = output("pmic_pi5").replace("volt(23)=5.08664000V", "volt(23)=nanV")
    assert {rail.name: rail for rail in parse_pmic(text)}["HDMI"].power_mw is None


@pytest.mark.parametrize(
    "text",
    [
        "VCHI initialization failed\n",
        'error=1 error_msg="Command not registered"\n',
        "VDD_CORE_A current(7)=6.22421000V\n",
        "VDD_CORE_A volt(7)=6.22421000A\n",
        "VDD_CORE_A current(7)=6,22421000A\n",
        "VDD_CORE_A current(7)=6.2A\nVDD_CORE_A current(7)=6.3A\n",
    ],
)
def test_pmic_refusals(text: str) -> None:
    with pytest.raises(ParseError):
        parse_pmic(text)


def test_measure_volts() -> None:
    assert parse_measure_volts(output("vcgencmd_measure_volts")) == 720_000
    for text in ("volt=0.72V\n", "volt=0,7200V\n", output("vcgencmd_failed")):
        with pytest.raises(ParseError):
            parse_measure_volts(text)


def test_memory_of_an_app() -> None:
    memory = parse_dumpsys_meminfo(output("meminfo_app"))
    assert (memory.pss_bytes, memory.rss_bytes, memory.swap_pss_bytes) == (
        39_321 << 10,
        124_676 << 10,
        545 << 10,
    )
    assert memory.parts_pss_bytes["Native Heap"] == 12_464 << 10
    assert memory.parts_pss_bytes["Private Other"] == 2136 << 10
    old = parse_dumpsys_meminfo(output("meminfo_app_old"))
    assert (old.pss_bytes, old.rss_bytes, old.swap_pss_bytes) == (174_545 << 10, None, 303 << 10)
    with pytest.raises(ParseError):
        parse_dumpsys_meminfo("No process found for: 1234\n")
    with pytest.raises(ParseError):
        parse_dumpsys_meminfo(output("meminfo_app").replace("39321 ", "39.321 "))


def test_batterystats() -> None:
    stats = parse_batterystats(output("batterystats_16"))
    assert (stats.capacity_mah, stats.computed_drain_mah) == (4610.0, 100.0)
    assert (stats.actual_drain_low_mah, stats.actual_drain_high_mah) == (98.0, 98.0)
    assert stats.apps_mah == {"u0a1384": 33.9, "u999a42": 2.5}
    older = parse_batterystats(output("batterystats_older"))
    assert (older.actual_drain_low_mah, older.actual_drain_high_mah) == (510.0, 544.0)
    newer = output("batterystats_16").replace("4610,", "4610, Rated: 4500, Typical: 4610,")
    assert parse_batterystats(newer) == stats
    for damaged in ("actual drain: 98", "Computed drain", "33.9", "Estimated power use (mAh):"):
        with pytest.raises(ParseError):
            parse_batterystats(output("batterystats_16").replace(damaged, "x"))


def test_power_mode() -> None:
    assert parse_nvpmodel(output("nvpmodel_orin")) == PowerMode(name="MAXN", number=0)
    assert parse_nvpmodel(output("nvpmodel_fan")) == PowerMode(name="MODE_15W_6CORE", number=2)
    for text in ("NV Power Mode: MAXN\n", "NV Power Mode: MAXN\n0\nmore\n", "NV Power Mode: MAXN\nx\n"):
        with pytest.raises(ParseError):
            parse_nvpmodel(text)


@pytest.mark.parametrize(
    ("name", "rails"),
    [
        (
            "tx2",
            {
                **{"VDD_IN": 1038, "VDD_CPU": 153, "VDD_GPU": 153},
                **{"VDD_SOC": 384, "VDD_WIFI": 38, "VDD_DDR": 192},
            },
        ),
        ("nano", {"POM_5V_IN": 933, "POM_5V_GPU": 0, "POM_5V_CPU": 84}),
        ("xavier", {"GPU": 1155, "CPU": 385, "SOC": 2504, "CV": 0, "VDDRQ": 192, "SYS5V": 2692}),
        (
            "orin_jp5",
            {"VDD_GPU_SOC": 2390, "VDD_CPU_CV": 796, "VIN_SYS_5V0": 3522, "VDDQ_VDD2_1V8AO": 301},
        ),
        ("orin_nano_jp6", {"VDD_IN": 4824, "VDD_CPU_GPU_CV": 518, "VDD_SOC": 1475}),
        ("orin_jp7", {"VDD_GPU_SOC": 5139, "VDD_CPU_CV": 3268, "VIN_SYS_5V0": 5500}),
    ],
)
def test_tegrastats_of_every_generation(name: str, rails: dict[str, int]) -> None:
    (look,) = parse_tegrastats(output(f"tegrastats_{name}"))
    assert look.rails_mw == rails


def test_tegrastats_temperatures_cores_and_memory() -> None:
    (xavier,) = parse_tegrastats(output("tegrastats_xavier"))
    assert xavier.temperatures_mc == {"GPU": 28_000, "CPU": 28_500, "thermal": 28_300}
    assert xavier.cores[0] == TegraCore(busy_percent=1, frequency_khz=1_420_000)
    assert xavier.cores[2:] == (None, None)
    (jp5,) = parse_tegrastats(output("tegrastats_orin_jp5"))
    assert jp5.temperatures_mc == {"CPU": 41_437, "Tboard": 29_000, "CV0": None}
    assert (jp5.ram_used_bytes, jp5.ram_total_bytes) == (2257 << 20, 30_536 << 20)
    assert jp5.gpu_busy_percent == 5
    (jp7,) = parse_tegrastats(output("tegrastats_orin_jp7"))
    assert jp7.temperatures_mc == {"cpu": 52_968, "soc2": 48_406}
    assert jp7.gpu_busy_percent == 12


@pytest.mark.parametrize("name", ["tx2", "xavier", "orin_jp5", "orin_nano_jp6", "orin_jp7"])
def test_a_truncated_line_of_tegrastats_gives_no_wrong_number(name: str) -> None:
    """Cut anywhere and ended by a newline, as a killed tegrastats leaves it."""
    line = output(f"tegrastats_{name}").rstrip("\n")
    (whole,) = parse_tegrastats(line + "\n")
    for cut in range(len(line)):
        try:
            (part,) = parse_tegrastats(line[:cut] + "\n")
        except ParseError:
            continue
        assert part.rails_mw.items() <= whole.rails_mw.items(), cut
        assert part.temperatures_mc.items() <= whole.temperatures_mc.items(), cut
        assert part.cores == whole.cores
        assert part.gpu_busy_percent in (None, whole.gpu_busy_percent)


def test_tegrastats_says_the_line_that_is_bad() -> None:
    line = output("tegrastats_orin_nano_jp6")
    for bad in (
        line[:60] + line,
        "Exiting\n",
        line.replace("VDD_SOC", "VDD_IN"),
        line.replace("1%@1420", "x"),
    ):
        with pytest.raises(ParseError) as caught:
            parse_tegrastats(line + bad)
        assert caught.value.line == 2


def test_files_of_the_kernel() -> None:
    assert parse_reading("-352000\n") == -352_000
    assert parse_name("VDD_IN\n") == "VDD_IN"
    assert parse_battery_status("Not charging\n") == "not charging"
    for text in ("1 2\n", "0x1f\n", "12.5\n", "1\n2\n", "12"):
        with pytest.raises(ParseError):
            parse_reading(text)
    with pytest.raises(ParseError):
        parse_battery_status("Laden\n")
