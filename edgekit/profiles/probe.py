"""A profile written from what a device said about itself. Pure: facts in, YAML text out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from edgekit.profiles.arm_parts import core_name
from edgekit.profiles.facts import CpuFacts, DeviceFacts
from edgekit.profiles.schema import SCHEMA
from edgekit.units import format_frequency

_PARENTS = {
    ("linux", "arm64-v8a"): "generic-linux-arm64",
    ("linux", "armeabi-v7a"): "generic-linux-armv7",
    ("linux", "x86_64"): "host-x86-64",
    ("android", "arm64-v8a"): "generic-android-arm64",
    ("android", "x86_64"): "generic-android-x86-64",
}
_LONGEST = 200
_ABIS = ("arm64-v8a", "armeabi-v7a", "x86_64", "x86", "riscv64")


def probe_profile(facts: DeviceFacts, *, name: str | None = None) -> str:
    """The text of a profile for this device; it loads without findings.

    Every value has a comment that says where on the device it was read; what is unknown is left out.
    """
    parent = _PARENTS.get((facts.os or "", facts.abi or ""))
    lines = [
        "# Written by `edgekit profile probe` from what the device said; every value says where it was read.",
        f"schema: {SCHEMA}",
        f"name: {_slug(name or facts.model or 'probed-device')}",
    ]
    if parent:
        lines.append(f"extends: {parent}  # by operating system and ABI")
    lines += _match(facts)
    lines += _section("device", _device(facts))
    lines += _section("bench", _bench(facts))
    return "\n".join(lines) + "\n"


def _section(name: str, entries: Iterable[str]) -> list[str]:
    body = [f"  {line}" for line in entries]
    return [f"{name}:", *body] if body else []


def _match(facts: DeviceFacts) -> list[str]:
    """All that tells this model, so that no shipped profile is more specific than one's own."""
    android, tree = facts.android, facts.device_tree_compatible
    told = [
        ("android_device", android and android.device, "getprop ro.product.device"),
        ("android_model", android and android.model, "getprop ro.product.model"),
        ("device_tree_compatible", tree[0] if tree else None, "/proc/device-tree/compatible, first entry"),
        ("device_tree_model", facts.device_tree_model, "/proc/device-tree/model"),
    ]
    entries = [
        f"{key}: {_quoted(_glob_escape(str(value)))}  # {source}"
        for key, value, source in told
        if _fits(value)
    ]
    if not entries:
        return [
            "# Nothing on the device tells it from others of its kind: choose it with -p, or add a match."
        ]
    return _section("match", entries)


def _fits(value: object) -> bool:
    """Only a text that `_quoted` does not change can match later."""
    return isinstance(value, str) and value != "" and _clean(_glob_escape(value)) == _glob_escape(value)


def _device(facts: DeviceFacts) -> Iterator[str]:
    android = facts.android
    if android is not None and _clean(android.manufacturer):
        yield f"vendor: {_quoted(android.manufacturer)}  # getprop ro.product.manufacturer"
    if _clean(facts.model):
        yield f"model: {_quoted(facts.model)}  # {_model_source(facts)}"
    if _clean(facts.soc):
        source = "getprop" if android is not None else "/proc/device-tree/compatible, its last entry"
        yield f"soc: {_quoted(facts.soc)}  # {source}"
    if facts.abi in _ABIS:
        yield f"abi: {facts.abi}  # {'getprop ro.product.cpu.abi' if android else 'uname, getconf LONG_BIT'}"
    if facts.memory_class_gib is not None and facts.memory_class_gib <= 1 << 20:
        yield f"memory: {facts.memory_class_gib}GiB  # /proc/meminfo MemTotal, up to a size that is sold"
    clusters = list(_clusters(facts.cpus))
    if clusters:
        yield "# /proc/cpuinfo and /sys/devices/system/cpu/cpufreq/policy*/{related_cpus,cpuinfo_max_freq}"
        yield "cores:"
        yield from (f"  - {cluster}" for cluster in clusters)


def _model_source(facts: DeviceFacts) -> str:
    if facts.android is not None:
        return "getprop ro.product.model"
    return "/proc/device-tree/model" if facts.device_tree_model else "/proc/cpuinfo"


def _bench(facts: DeviceFacts) -> Iterator[str]:
    if "performance" in facts.governors:
        yield "governor: performance  # among every policy's scaling_available_governors"


def _clusters(cpus: tuple[CpuFacts, ...]) -> Iterator[str]:
    """CPUs of the same kind and speed, in one line each, slowest first."""
    groups: dict[tuple[int, str, str, int], list[int]] = {}
    for cpu in cpus:
        key = (cpu.capacity or 0, cpu.implementer or "", cpu.part or "", cpu.max_frequency_khz or 0)
        groups.setdefault(key, []).append(cpu.cpu)
    for number, (key, members) in enumerate(sorted(groups.items())):
        _, implementer, part, khz = key
        entry = [f"cluster: c{number}", f"cpus: {_cpu_list(members)}"]
        kind = core_name(implementer, part) or (f"{implementer}/{part}" if part else None)
        if kind:
            entry.append(f"kind: {_quoted(kind)}")
        if khz:
            entry.append(f"max_frequency: {format_frequency(khz, digits=9).replace(' ', '')}")
        yield "{" + ", ".join(entry) + "}"


def _cpu_list(numbers: list[int]) -> str:
    """[0, 1, 2, 5] -> "0-2,5"."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    text = ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
    return f'"{text}"'


def _slug(text: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower().encode("ascii", "ignore").decode()).strip("-")
    return slug[:60].rstrip("-") or "probed-device"


def _glob_escape(text: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", text)


def _clean(text: str | None) -> str:
    """What can stand in a profile: printable, without spaces around it, not too long."""
    return "".join(letter for letter in text or "" if letter.isprintable())[:_LONGEST].strip()


def _quoted(text: str | None) -> str:
    return json.dumps(_clean(text), ensure_ascii=False)
