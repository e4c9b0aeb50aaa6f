"""Holding the CPUs at one frequency: which files of cpufreq to write, in which order. Pure.

`scaling_min_freq` and `scaling_max_freq` of a policy bound what its governor may choose (the kernel's
admin-guide/pm/cpufreq); both at one value leave no choice, whatever the governor. The kernel refuses a minimum above the
maximum, so what moves apart is written first; undone the other way round (the knobs' journal is), each step is allowed too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edgekit.parse import ParseError
from edgekit.parse.sysfs_cpufreq import parse_khz
from edgekit.units import parse_frequency_khz

FILES = ("cpuinfo_min_freq", "cpuinfo_max_freq", "scaling_min_freq", "scaling_max_freq")


def frequency_files(policies: Iterable[str]) -> list[str]:
    """What has to be read; `policies`: folders of cpufreq."""
    return [f"{policy}/{name}" for policy in policies for name in FILES]


def frequency_settings(
    wanted: str, policies: Iterable[str], texts: Mapping[str, str | None]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """(file to value, in the order of writing; what cannot be set, in words). `wanted`: `max`, `min`, or a frequency with its
    unit; `texts`: of `frequency_files`. A policy that cannot run at it is left alone."""
    settings: dict[str, str] = {}
    refused = []
    for policy in policies:
        name = policy.rpartition("/")[2]
        lowest, highest, _, allowed = (_khz(texts.get(f"{policy}/{file}")) for file in FILES)
        if lowest is None or highest is None or allowed is None:
            refused.append(f"frequency {wanted} was not set: {name} does not tell its range")
            continue
        khz = {"max": highest, "min": lowest}.get(wanted)
        if khz is None:
            khz = parse_frequency_khz(wanted)
        if not lowest <= khz <= highest:
            refused.append(f"frequency {wanted} was not set: {name} runs at {lowest} to {highest} kHz")
            continue
        order = (
            ("scaling_max_freq", "scaling_min_freq")
            if khz > allowed
            else ("scaling_min_freq", "scaling_max_freq")
        )
        settings.update({f"{policy}/{file}": str(khz) for file in order})
    return settings, tuple(refused)


def _khz(text: str | None) -> int | None:
    try:
        return parse_khz(text) if text else None
    except ParseError:
        return None
