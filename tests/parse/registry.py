"""Every parser with every sample that it reads, for tests that hold for all of them, and for scripts/fuzz_parsers."""

from __future__ import annotations

import importlib
import json
import math
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

import edgekit.parse
from tests.parse.outputs import output
from tests.parse.perfetto_trace import sample as perfetto_sample
from tests.parse.results import result_file

BINARY = ("parse_benchmark_result", "parse_power_rails")
"""Their input is no text: there is no CRLF, no line and no comma in it."""
AS_THEY_ARE = frozenset({"parse_block", "parse_stat_line"})
"""Parts of other parsers, which get lines."""


@dataclass(frozen=True)
class Sample:
    """One whole output, and the parser that reads it."""

    parser: str
    """Its module below edgekit.parse and its name: "odpm.parse_odpm"."""
    name: str
    data: bytes

    @property
    def text(self) -> bool:
        return self.parser.rpartition(".")[2] not in BINARY

    def read(self, data: bytes) -> Any:
        """What the parser says of `data`; a text that is no UTF-8 is what the product makes of it."""
        parse = parser_of(self.parser)
        return parse(data if takes_bytes(parse) else data.decode("utf-8", "replace"))


def parser_of(name: str) -> Callable[[Any], Any]:
    module, _, function = name.partition(".")
    found: Callable[[Any], Any] = getattr(importlib.import_module(f"edgekit.parse.{module}"), function)
    return found


def takes_bytes(parse: Callable[[Any], Any]) -> bool:
    return parse.__annotations__.get("data") == "bytes"


def all_parsers() -> set[str]:
    """As the modules of edgekit.parse define them."""
    found = set()
    for module in pkgutil.iter_modules(edgekit.parse.__path__):
        names = vars(importlib.import_module(f"edgekit.parse.{module.name}"))
        found |= {
            f"{module.name}.{name}"
            for name, value in names.items()
            if name.startswith("parse_")
            and name not in AS_THEY_ARE
            and value.__module__ == f"edgekit.parse.{module.name}"
        }
    return found


def within(part: Any, whole: Any, *, words: bool = True, share: float = 0.0) -> bool:
    """Whether all that `part` says is said by `whole` of the same thing, numbers to `share` of them. What is unknown,
    empty, or a flag that says that nothing was seen, is no claim; with words=False texts are none either."""
    if part in (None, "", False) or (isinstance(part, str) and not words):
        return True
    if isinstance(part, msgspec.Struct):
        return type(part) is type(whole) and all(
            within(getattr(part, name), getattr(whole, name), words=words, share=share)
            for name in part.__struct_fields__
        )
    if isinstance(part, dict):
        return all(
            key in whole and within(value, whole[key], words=words, share=share)
            for key, value in part.items()
        )
    if isinstance(part, list | tuple):
        return all(any(within(one, other, words=words, share=share) for other in whole) for one in part)
    if isinstance(part, float) and isinstance(whole, float):
        return math.isclose(part, whole, rel_tol=share)
    return bool(part == whole)


def leaves(value: Any) -> list[Any]:
    """Every number and text in a parsed value; empty and unknown ones left out."""
    if isinstance(value, msgspec.Struct):
        value = [getattr(value, name) for name in value.__struct_fields__]
    if isinstance(value, dict):
        value = [part for pair in value.items() for part in pair]
    if isinstance(value, list | tuple):
        return [leaf for one in value for leaf in leaves(one)]
    return [] if value in (None, "") else [value]


def _of(parser: str, *names: str) -> list[Sample]:
    return [Sample(parser, name, output(name).encode()) for name in names]


SAMPLES: tuple[Sample, ...] = (
    *_of("batterystats.parse_batterystats", "batterystats_16", "batterystats_older"),
    *_of("benchmark_logcat.parse_benchmark_logcat", "benchmark_logcat"),
    *_of(
        "benchmark_model.parse_benchmark_model",
        "benchmark_model_2019",
        "benchmark_model_2020",
        "benchmark_model_2024",
        "benchmark_model_percentiles",
        "benchmark_model_nnapi",
        "benchmark_model_gpu_peak",
        "benchmark_model_litert",
        "benchmark_model_litert_readme",
    ),
    *_of("benchmark_ops.parse_op_profile", "op_profile_2018", "op_profile_litert", "op_profile_csv"),
    Sample("benchmark_result.parse_benchmark_result", "benchmark_result", result_file()),
    *_of("cpuinfo.parse_cpuinfo", "cpuinfo_pi5", "cpuinfo_armv7_old", "cpuinfo_x86"),
    *_of("device_tree.parse_model", "device_tree_model"),
    *_of("device_tree.parse_compatible", "device_tree_compatible"),
    *_of("dumpsys_battery.parse_dumpsys_battery", "dumpsys_battery_phone", "dumpsys_battery_unplugged"),
    *_of("dumpsys_meminfo.parse_dumpsys_meminfo", "meminfo_app", "meminfo_app_old"),
    *_of("dumpsys_power.parse_dumpsys_power", "dumpsys_power_awake", "dumpsys_power_dozing"),
    *_of(
        "dumpsys_thermalservice.parse_dumpsys_thermalservice",
        "dumpsys_thermalservice_13t",
        "dumpsys_thermalservice_override",
        "dumpsys_thermalservice_hal1",
    ),
    *_of("getprop.parse_getprop", "getprop_pixel8pro", "getprop_galaxy_old"),
    *_of(
        "jetson_clocks.parse_jetson_clocks",
        "jetson_clocks_fixed",
        "jetson_clocks_nano",
        "jetson_clocks_orin_nano",
    ),
    *_of("litert_benchmark.parse_litert_benchmark", "litert_benchmark", "litert_benchmark_small"),
    *_of("litert_benchmark.parse_litert_benchmark_json", "litert_benchmark_json"),
    *_of("litert_profile.parse_litert_profile", "litert_profile"),
    *_of("meminfo.parse_meminfo", "meminfo_x86"),
    *_of("nvpmodel.parse_nvpmodel", "nvpmodel_orin", "nvpmodel_fan"),
    *_of("odpm.parse_odpm", "odpm_pixel"),
    *_of("onnxruntime_profile.parse_onnxruntime_profile", "onnxruntime_profile"),
    *_of("os_release.parse_os_release", "os_release_debian12"),
    Sample("perfetto.parse_power_rails", "perfetto_rails", perfetto_sample()),
    *_of("pmic.parse_pmic", "pmic_pi5"),
    *_of(
        "power_stats.parse_power_stats",
        "power_stats_delta",
        "power_stats_total",
        "power_stats_early2_delta",
        "power_stats_hal1_delta",
        "power_stats_hal1_first",
    ),
    *_of("proc_stat.parse_proc_stat", "proc_stat"),
    *_of("proc_status.parse_proc_status", "proc_status"),
    *_of("sysfs_cpufreq.parse_frequencies", "cpufreq_available_frequencies"),
    *_of("sysfs_cpufreq.parse_words", "cpufreq_available_governors"),
    *_of("sysfs_cpufreq.parse_time_in_state", "cpufreq_time_in_state"),
    Sample("sysfs_cpufreq.parse_word", "governor", b"performance\n"),
    Sample("sysfs_cpufreq.parse_khz", "frequency", b"2400000\n"),
    Sample("sysfs_cpufreq.parse_number", "capacity", b"1024\n"),
    Sample("sysfs_cpufreq.parse_cpu_list", "online", b"0-3,6\n"),
    Sample("sysfs_power.parse_reading", "current", b"-352000\n"),
    Sample("sysfs_power.parse_name", "rail", b"VDD_IN\n"),
    Sample("sysfs_power.parse_battery_status", "status", b"Discharging\n"),
    Sample("sysfs_thermal.parse_temp", "temperature", b"48312\n"),
    *_of(
        "tegrastats.parse_tegrastats",
        *(
            f"tegrastats_{name}"
            for name in ("tx2", "nano", "xavier", "orin_jp5", "orin_nano_jp6", "orin_jp7")
        ),
        "tegrastats_thor",
    ),
    *_of("trtexec.parse_trtexec", "trtexec_84", "trtexec_10"),
    *_of("trtexec_json.parse_trtexec_times", "trtexec_times"),
    *_of("trtexec_json.parse_trtexec_profile", "trtexec_profile", "trtexec_profile_old"),
    *_of("uhubctl.parse_new_status", "uhubctl_off", "uhubctl_usb3"),
    *_of("uname.parse_uname", "uname_pi5", "uname_short"),
    *_of("vcgencmd.parse_get_throttled", "vcgencmd_get_throttled"),
    *_of("vcgencmd.parse_measure_temp", "vcgencmd_measure_temp"),
    *_of("vcgencmd.parse_measure_clock", "vcgencmd_measure_clock"),
    *_of("vcgencmd.parse_measure_volts", "vcgencmd_measure_volts"),
    *_of("vmstat.parse_swapped_pages", "vmstat"),
)
IDS = tuple(f"{sample.parser.rpartition('.')[2]}-{sample.name}" for sample in SAMPLES)


def written() -> str:
    """What the parsers say of every sample, a line each: tests/data/parsed.json, which a reader has checked."""
    lines = [
        f"{json.dumps(name)}: {msgspec.json.encode(sample.read(sample.data)).decode()}"
        for name, sample in zip(IDS, SAMPLES, strict=True)
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    print(written(), end="")
