"""Damaged outputs: cut anywhere, with CRLF, or garbage, they give an error or unknowns, never a wrong number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.parse import ParseError
from edgekit.parse.batterystats import parse_batterystats
from edgekit.parse.cpuinfo import parse_cpuinfo
from edgekit.parse.device_tree import parse_compatible, parse_model
from edgekit.parse.dumpsys_battery import parse_dumpsys_battery
from edgekit.parse.dumpsys_meminfo import parse_dumpsys_meminfo
from edgekit.parse.dumpsys_power import parse_dumpsys_power
from edgekit.parse.dumpsys_thermalservice import parse_dumpsys_thermalservice
from edgekit.parse.getprop import parse_getprop
from edgekit.parse.jetson_clocks import parse_jetson_clocks
from edgekit.parse.meminfo import parse_meminfo
from edgekit.parse.nvpmodel import parse_nvpmodel
from edgekit.parse.odpm import parse_odpm
from edgekit.parse.os_release import parse_os_release
from edgekit.parse.pmic import parse_pmic
from edgekit.parse.power_stats import parse_power_stats
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
from edgekit.parse.sysfs_power import parse_battery_status, parse_reading
from edgekit.parse.sysfs_thermal import parse_temp
from edgekit.parse.tegrastats import parse_tegrastats
from edgekit.parse.uname import parse_uname
from edgekit.parse.vcgencmd import (
    parse_get_throttled,
    parse_measure_clock,
    parse_measure_temp,
    parse_measure_volts,
)
from tests.parse.outputs import output

pytestmark = pytest.mark.base

Parser = Callable[[str], Any]
SAMPLES: list[tuple[Parser, str]] = [
    (parse_getprop, output("getprop_galaxy_old")),
    (parse_cpuinfo, output("cpuinfo_pi5")),
    (parse_cpuinfo, output("cpuinfo_armv7_old")),
    (parse_meminfo, output("meminfo_x86")),
    (parse_os_release, output("os_release_debian12")),
    (parse_uname, output("uname_pi5")),
    (parse_uname, output("uname_short")),
    (parse_proc_status, output("proc_status")),
    (parse_dumpsys_battery, output("dumpsys_battery_phone")),
    (parse_dumpsys_power, output("dumpsys_power_awake")),
    (parse_dumpsys_power, output("dumpsys_power_dozing")),
    (parse_dumpsys_thermalservice, output("dumpsys_thermalservice_13t")),
    (parse_get_throttled, output("vcgencmd_get_throttled")),
    (parse_measure_temp, output("vcgencmd_measure_temp")),
    (parse_measure_clock, output("vcgencmd_measure_clock")),
    (parse_frequencies, output("cpufreq_available_frequencies")),
    (parse_time_in_state, output("cpufreq_time_in_state")),
    (parse_khz, "2400000\n"),
    (parse_number, "1024\n"),
    (parse_cpu_list, "0-3,6\n"),
    (parse_temp, "48312\n"),
    (parse_model, output("device_tree_model")),
    (parse_compatible, output("device_tree_compatible")),
    (parse_odpm, output("odpm_pixel")),
    (parse_power_stats, output("power_stats_delta")),
    (parse_power_stats, output("power_stats_total")),
    (parse_power_stats, output("power_stats_hal1_delta")),
    (parse_power_stats, output("power_stats_hal1_first")),
    (parse_power_stats, output("power_stats_early2_delta")),
    (parse_jetson_clocks, output("jetson_clocks_nano")),
    (parse_jetson_clocks, output("jetson_clocks_orin_nano")),
    (parse_dumpsys_thermalservice, output("dumpsys_thermalservice_hal1")),
    (parse_pmic, output("pmic_pi5")),
    (parse_measure_volts, output("vcgencmd_measure_volts")),
    (parse_dumpsys_meminfo, output("meminfo_app")),
    (parse_dumpsys_meminfo, output("meminfo_app_old")),
    (parse_batterystats, output("batterystats_16")),
    (parse_batterystats, output("batterystats_older")),
    (parse_nvpmodel, output("nvpmodel_orin")),
    (parse_nvpmodel, output("nvpmodel_fan")),
    (parse_tegrastats, output("tegrastats_xavier")),
    (parse_tegrastats, output("tegrastats_orin_nano_jp6")),
    (parse_tegrastats, output("tegrastats_orin_jp7")),
    (parse_reading, "-352000\n"),
    (parse_battery_status, "Discharging\n"),
]
IDS = [f"{parser.__name__}-{number}" for number, (parser, _) in enumerate(SAMPLES)]
PARSERS = [*{parser: None for parser, _ in SAMPLES}, parse_word, parse_words]


def leaves(value: Any) -> Iterator[Any]:
    """Every number and text in a parsed value, empty and unknown ones left out."""
    if isinstance(value, msgspec.Struct):
        value = [getattr(value, name) for name in value.__struct_fields__]
    if isinstance(value, dict):
        value = list(value.items())
    if isinstance(value, list | tuple):
        for one in value:
            yield from leaves(one)
    elif value not in (None, ""):
        yield value


@pytest.mark.parametrize(("parser", "text"), SAMPLES, ids=IDS)
def test_cut_anywhere_gives_an_error_or_a_part_of_the_truth(parser: Parser, text: str) -> None:
    whole = list(leaves(parser(text)))
    step = max(1, len(text) // 400)
    cuts = sorted({*range(0, len(text), step), *range(max(0, len(text) - 60), len(text))})
    for cut in cuts:
        try:
            part = parser(text[:cut])
        except ParseError:
            continue
        for value in leaves(part):
            # a flag that says nothing was seen is no claim about the device
            assert value is False or value in whole, f"cut at {cut}: {value!r}"


@pytest.mark.parametrize(("parser", "text"), SAMPLES, ids=IDS)
def test_crlf_changes_nothing(parser: Parser, text: str) -> None:
    assert parser(text.replace("\n", "\r\n")) == parser(text)


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.__name__)
@pytest.mark.parametrize(
    "text", ["", "\n", "\0", "Permission denied\n", "cat: /x: No such file or directory\n"]
)
def test_refusals_are_no_values(parser: Parser, text: str) -> None:
    try:
        value = parser(text)
    except ParseError:
        return
    # words are what the file says; nothing else may come out of a refusal
    assert parser is parse_words or not list(leaves(value))


@settings(max_examples=60)
@given(parser=st.sampled_from(PARSERS), text=st.text(max_size=300))
def test_garbage_is_a_parse_error_or_a_value(parser: Parser, text: str) -> None:
    try:
        parser(text)
    except ParseError as error:
        assert error.code == "E_PARSE"  # noqa: PT017


@settings(max_examples=200, deadline=None)
@given(sample=st.sampled_from(SAMPLES), data=st.data())
def test_flipped_characters_never_raise_anything_else(
    sample: tuple[Parser, str], data: st.DataObject
) -> None:
    parser, text = sample
    letters = list(text)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(letters) - 1))
        letters[place] = data.draw(st.sampled_from("0\0\n\r:[]{}=,xX9-é "))
    try:
        parser("".join(letters))
    except ParseError as error:
        assert error.tool  # noqa: PT017
