"""What devices print, read right: every sample of tests/data/outputs has its expected values here."""

from __future__ import annotations

import pytest

from edgekit.errors import DeviceError
from edgekit.parse import ParseError
from edgekit.parse.cpuinfo import parse_cpuinfo
from edgekit.parse.device_tree import parse_compatible, parse_model
from edgekit.parse.dumpsys_battery import parse_dumpsys_battery
from edgekit.parse.dumpsys_power import parse_dumpsys_power
from edgekit.parse.dumpsys_thermalservice import parse_dumpsys_thermalservice
from edgekit.parse.getprop import parse_getprop
from edgekit.parse.meminfo import parse_meminfo
from edgekit.parse.os_release import parse_os_release
from edgekit.parse.proc_status import parse_proc_status
from edgekit.parse.sysfs_cpufreq import (
    parse_cpu_list,
    parse_frequencies,
    parse_khz,
    parse_number,
    parse_time_in_state,
    parse_word,
    parse_words,
)
from edgekit.parse.sysfs_thermal import parse_temp
from edgekit.parse.uname import abi_of, parse_uname
from edgekit.parse.vcgencmd import parse_get_throttled, parse_measure_clock, parse_measure_temp
from edgekit.parse.vmstat import parse_swapped_pages
from tests.parse.outputs import FOLDER, HEADER, output

pytestmark = pytest.mark.base


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_every_sample_says_where_it_is_from(path: object) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()  # type: ignore[attr-defined]
    assert [line[: len(start)] for line, start in zip(lines, HEADER, strict=False)] == list(HEADER)
    assert lines[4] == "---"


def test_getprop() -> None:
    properties = parse_getprop(output("getprop_pixel8pro"))
    assert properties["ro.soc.model"] == "Tensor G3"
    assert properties["ro.build.version.sdk"] == "34"
    assert properties["ro.build.fingerprint"] == ("google/husky/husky:14/AP2A.240505.004/x:user/release-keys")


def test_getprop_with_empty_and_multi_line_values() -> None:
    properties = parse_getprop(output("getprop_galaxy_old"))
    assert properties["persist.sys.locale"] == ""
    assert properties["ro.boot.note"] == "first line\nsecond line"
    assert properties["ro.product.model"] == "SM-G991B"


def test_getprop_with_crlf_of_an_old_adb_is_the_same() -> None:
    text = output("getprop_pixel8pro")
    assert parse_getprop(text.replace("\n", "\r\n")) == parse_getprop(text)


def test_cpuinfo_of_arm() -> None:
    info = parse_cpuinfo(output("cpuinfo_pi5"))
    assert [one.number for one in info.processors] == [0, 1, 2, 3]
    assert {(one.implementer, one.part) for one in info.processors} == {("0x41", "0xd0b")}
    assert "asimddp" in info.processors[0].features
    assert info.model == "Raspberry Pi 5 Model B Rev 1.0"


def test_cpuinfo_of_x86() -> None:
    info = parse_cpuinfo(output("cpuinfo_x86"))
    assert [one.number for one in info.processors] == [0, 1]
    assert all(one.model_name and one.part is None for one in info.processors)
    assert "sse2" in info.processors[1].features


def test_cpuinfo_of_an_old_kernel_counts_and_gives_no_part_to_the_first() -> None:
    info = parse_cpuinfo(output("cpuinfo_armv7_old"))
    assert len(info.processors) == 2
    assert info.processors[0].part is None
    assert info.hardware == "ODROID4X12"


def test_meminfo() -> None:
    text = output("meminfo_x86")
    info = parse_meminfo(text)
    assert f"MemTotal:{info.total_bytes // 1024:>15} kB" in text
    assert info.available_bytes is not None
    assert info.available_bytes < info.total_bytes


def test_proc_status() -> None:
    text = output("proc_status")
    status = parse_proc_status(text)
    assert status.peak_rss_bytes is not None
    assert f"VmHWM:\t{status.peak_rss_bytes // 1024:>8} kB" in text
    assert status.rss_bytes is not None
    assert status.rss_bytes <= status.peak_rss_bytes


def test_proc_status_of_a_kernel_thread_has_no_memory() -> None:
    assert parse_proc_status("Name:\tkthreadd\nUmask:\t0000\nState:\tS (sleeping)\n").rss_bytes is None


def test_os_release() -> None:
    release = parse_os_release(output("os_release_debian12"))
    assert (release.id, release.version_id) == ("debian", "12")
    assert release.pretty_name == "Debian GNU/Linux 12 (bookworm)"
    assert parse_os_release("ID=arch\nNAME='Arch Linux'\n# comment\nbroken line\n").name == "Arch Linux"
    assert parse_os_release('NAME="a \\"b\\""\n').name == 'a "b"'


@pytest.mark.parametrize("name", ["uname_pi5", "uname_short"])
def test_uname(name: str) -> None:
    uname = parse_uname(output(name))
    assert (uname.system, uname.kernel, uname.machine) == ("Linux", "6.12.25+rpt-rpi-2712", "aarch64")


def test_uname_of_toybox_and_ubuntu() -> None:
    toybox = "Linux localhost 5.10.43-android12-9 #1 SMP PREEMPT Tue Nov 2 10:00:00 UTC 2021 aarch64 Toybox\n"
    assert parse_uname(toybox).machine == "aarch64"
    ubuntu = "Linux h 5.15.0-1 #1 SMP Mon Jan 1 00:00:00 UTC 2024 x86_64 x86_64 x86_64 GNU/Linux\n"
    assert parse_uname(ubuntu) == parse_uname("Linux 5.15.0-1 x86_64\n")


@pytest.mark.parametrize(
    ("machine", "bits", "abi"),
    [
        ("aarch64", None, "arm64-v8a"),
        ("aarch64", 64, "arm64-v8a"),
        ("aarch64", 32, "armeabi-v7a"),
        ("armv7l", None, "armeabi-v7a"),
        ("armv8l", None, "armeabi-v7a"),
        ("armv6l", None, None),
        ("x86_64", None, "x86_64"),
        ("i686", None, "x86"),
        ("riscv64", None, "riscv64"),
        ("s390x", None, None),
    ],
)
def test_abi(machine: str, bits: int | None, abi: str | None) -> None:
    assert abi_of(machine, bits=bits) == abi


def test_device_tree() -> None:
    assert parse_model(output("device_tree_model")) == "Raspberry Pi 5 Model B Rev 1.0"
    assert parse_compatible(output("device_tree_compatible")) == ("raspberrypi,5-model-b", "brcm,bcm2712")


def test_battery() -> None:
    battery = parse_dumpsys_battery(output("dumpsys_battery_phone"))
    assert battery.percent == 54.0
    assert battery.status == "discharging"
    assert battery.powered is True
    # 3906 mV, not the 5000000 of "Max charging voltage"
    assert battery.voltage_mv == 3906
    assert battery.temperature_mc == 22_000
    assert battery.charge_counter_uah == 2_848_000
    assert battery.updates_stopped is False


@pytest.mark.parametrize(
    ("wakefulness", "display", "screen_on"),
    [
        ("Awake", None, True),
        ("Awake", "ON", True),
        ("Awake", "OFF", False),
        ("Dreaming", None, True),
        ("Dozing", None, False),
        ("Dozing", "DOZE_SUSPEND", False),
        ("Asleep", "OFF", False),
        ("Awake", "SOMETHING_NEW", True),
    ],
)
def test_the_screen_is_as_the_display_says_else_as_the_wakefulness_does(
    wakefulness: str, display: str | None, screen_on: bool
) -> None:
    """D1.3. Constructed: the keys of AOSP, the values of this table."""
    text = output("dumpsys_power_awake").replace("mWakefulness=Awake", f"mWakefulness={wakefulness}")
    text = text.replace("Display Power: state=ON\n", f"Display Power: state={display}\n" if display else "")
    power = parse_dumpsys_power(text)
    assert (power.wakefulness, power.screen_on) == (wakefulness.lower(), screen_on)


@pytest.mark.parametrize(
    "text", ["Can't find service: power\n", "mWakefulness=Awake\n", "POWER MANAGER\n  mWakefulness=Napping\n"]
)
def test_power_that_is_not_understood_is_unknown(text: str) -> None:
    with pytest.raises(ParseError):
        parse_dumpsys_power(text)


def test_battery_whose_values_somebody_faked() -> None:
    assert parse_dumpsys_battery(output("dumpsys_battery_unplugged")).updates_stopped is True


def test_battery_that_tells_no_voltage() -> None:
    text = output("dumpsys_battery_phone").replace("  voltage: 3906", "  voltage: 0")
    assert parse_dumpsys_battery(text).voltage_mv is None


def test_thermalservice_reads_the_current_block_not_the_cached_one() -> None:
    service = parse_dumpsys_thermalservice(output("dumpsys_thermalservice_13t"))
    assert [(one.name, one.type, one.temperature_mc) for one in service.temperatures] == [
        ("CPU", "cpu", 57_900),
        ("SKIN", "skin", 34_351),
    ]
    assert (service.severity, service.overridden, service.hal_ready) == ("none", False, True)


def test_thermalservice_with_a_status_set_by_hand_and_a_missing_sensor() -> None:
    service = parse_dumpsys_thermalservice(output("dumpsys_thermalservice_override"))
    assert (service.severity, service.overridden) == ("severe", True)
    assert service.temperatures[0].temperature_mc is None


def test_thermalservice_does_not_take_amperes_for_degrees() -> None:
    current = "Temperature{mValue=57.9, mType=7, mName=ibat, mStatus=0}"
    text = output("dumpsys_thermalservice_13t").replace(
        "Temperature{mValue=57.9, mType=0, mName=CPU, mStatus=0}", current
    )
    assert [one.name for one in parse_dumpsys_thermalservice(text).temperatures] == ["SKIN"]


def test_thermalservice_over_a_hal_that_knows_no_severity() -> None:
    """D2.5: the 0 that Android puts there is no "not throttling"."""
    service = parse_dumpsys_thermalservice(output("dumpsys_thermalservice_hal1"))
    assert (service.severity, service.overridden) == (None, False)
    assert [(one.name, one.temperature_mc, one.severity) for one in service.temperatures] == [
        ("CPU0", 56_000, None),
        ("GPU", 55_500, None),
    ]


def test_thermalservice_missing_before_android_10() -> None:
    with pytest.raises(ParseError):
        parse_dumpsys_thermalservice("Can't find service: thermalservice\n")


def test_cpufreq() -> None:
    assert parse_frequencies(output("cpufreq_available_frequencies"))[0] == 144_000
    assert parse_frequencies("2000 1000 \n") == (1000, 2000)
    assert parse_words(output("cpufreq_available_governors"))[-1] == "schedutil"
    assert parse_word("performance\n") == "performance"
    assert parse_word("\n") is None
    assert parse_khz("2400000\n") == 2_400_000
    assert parse_khz("<unsupported>\n") is None
    assert parse_number("1024\n") == 1024
    states = parse_time_in_state(output("cpufreq_time_in_state"))
    assert [(one.frequency_khz, one.time_us) for one in states] == [
        (3_600_000, 20_890_000),
        (3_400_000, 1_360_000),
    ]


@pytest.mark.parametrize(
    ("text", "cpus"), [("0-3\n", (0, 1, 2, 3)), ("0 1 4\n", (0, 1, 4)), ("0-1,6\n", (0, 1, 6)), ("\n", ())]
)
def test_cpu_list(text: str, cpus: tuple[int, ...]) -> None:
    assert parse_cpu_list(text) == cpus


@pytest.mark.parametrize(
    ("text", "milli_celsius"),
    [
        ("48312\n", 48_312),
        ("-5000\n", -5_000),
        ("45\n", 45_000),
        ("-256\n", None),
        ("-256000\n", None),
        ("-40\n", None),
        ("-40000\n", None),
        ("0\n", None),
        ("-274000\n", None),
        ("2147483647\n", None),
        ("48312\r\n", 48_312),
    ],
)
def test_thermal_zone(text: str, milli_celsius: int | None) -> None:
    assert parse_temp(text) == milli_celsius


def test_vcgencmd() -> None:
    throttled = parse_get_throttled(output("vcgencmd_get_throttled"))
    assert throttled.now == ("under_voltage", "throttled")
    assert throttled.since_boot == ("under_voltage", "throttled")
    assert parse_get_throttled("throttled=0x0\n").now == ()
    assert parse_get_throttled("throttled=0x80008\n").now == ("soft_temperature_limit",)
    assert parse_measure_temp(output("vcgencmd_measure_temp")) == 39_500
    assert parse_measure_temp("temp=-0.5'C\n") == -500
    assert parse_measure_clock(output("vcgencmd_measure_clock")) == 1_500_000
    assert parse_measure_clock("frequency(0)=0\n") is None
    for parser in (parse_get_throttled, parse_measure_temp, parse_measure_clock):
        with pytest.raises(ParseError):
            parser(output("vcgencmd_failed"))


def test_error_says_the_tool_and_the_line() -> None:
    with pytest.raises(DeviceError) as caught:
        parse_getprop("[a]: [b]\nnonsense\n")
    error = caught.value
    assert isinstance(error, ParseError)
    assert (error.code, error.tool, error.line) == ("E_PARSE", "getprop", 2)
    assert error.exit_code == 3


def test_vmstat_counts_pages_that_were_swapped() -> None:
    """D1.6: swap. Lines as Linux 6.1 prints them."""
    text = "nr_free_pages 112233\npswpin 1042\npswpout 33\npswpin_zero 9\n"
    assert parse_swapped_pages(text) == 1075
    for damaged in ("nr_free_pages 1\n", "pswpin 1\n", "pswpin x\npswpout 1\n", "pswpin 1\npswpout 2"):
        with pytest.raises(ParseError):
            parse_swapped_pages(damaged)
