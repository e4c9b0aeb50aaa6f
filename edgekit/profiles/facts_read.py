"""Texts read from a device to facts about it. Pure; a text that makes no sense costs its own facts only."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Final, TypeVar

from edgekit.parse import ParseError
from edgekit.parse.cpuinfo import CpuInfo, parse_cpuinfo
from edgekit.parse.device_tree import parse_compatible, parse_model
from edgekit.parse.getprop import parse_getprop
from edgekit.parse.meminfo import parse_meminfo
from edgekit.parse.os_release import OsRelease, parse_os_release
from edgekit.parse.sysfs_cpufreq import parse_cpu_list, parse_khz, parse_number, parse_words
from edgekit.parse.uname import Uname, abi_of, parse_uname
from edgekit.profiles.facts import AndroidFacts, CpuFacts, DeviceFacts, ThermalZone

T = TypeVar("T")
_POLICY: Final = "/sys/devices/system/cpu/cpufreq/policy*"
_SOC_PROPERTIES: Final = ("ro.soc.model", "ro.hardware.chipname", "ro.chipname", "ro.board.platform")
"""In this order: ro.soc.* is missing before Android 12 and on some Exynos phones."""


class _Texts:
    """The texts, and a note of each that was there and made no sense."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts
        self.unread: list[str] = []

    def parse(self, key: str, parser: Callable[[str], T]) -> T | None:
        text = self.texts.get(key)
        if not text:
            return None
        try:
            return parser(text)
        except ParseError as error:
            self.unread.append(f"{key}: {error.problem}")
            return None

    def matching(self, pattern: str) -> list[str]:
        return sorted((key for key in self.texts if fnmatchcase(key, pattern)), key=_natural)


def facts_from_texts(texts: Mapping[str, str], *, kind: str | None = None) -> DeviceFacts:
    """Facts from what FACT_FILES and FACT_COMMANDS gave: path (or command's key) to its text as it came.

    `kind` is known to the caller only ("local" for this machine); without it an Android device is a phone
    and anything else a board. Missing texts are unknown facts; texts that make no sense are too, and named
    in `unread`. Never raises for what a device said.
    """
    source = _Texts(texts)
    uname = source.parse("uname", parse_uname)
    properties = source.parse("getprop", parse_getprop) or {}
    cpuinfo = source.parse("/proc/cpuinfo", parse_cpuinfo)
    release = source.parse("/etc/os-release", parse_os_release)
    tree_model = source.parse("/proc/device-tree/model", parse_model)
    compatible = source.parse("/proc/device-tree/compatible", parse_compatible) or ()
    memory = source.parse("/proc/meminfo", parse_meminfo)
    android = _android(properties)
    system = _system(uname, android)
    return DeviceFacts(
        kind=kind or _kind(system),
        os=system,
        os_name=_os_name(android, release),
        os_version=_version(properties, release) if system else None,
        abi=_abi(source, uname, properties),
        machine=uname.machine if uname else None,
        kernel=uname.kernel if uname else None,
        model=_model(android, tree_model, cpuinfo),
        soc=_soc(properties, compatible),
        device_tree_model=tree_model,
        device_tree_compatible=compatible,
        android=android,
        cpus=_cpus(source, cpuinfo),
        memory_bytes=memory.total_bytes if memory else None,
        glibc_version=source.parse("getconf GNU_LIBC_VERSION", _glibc),
        governors=_governors(source),
        thermal_zones=_zones(source),
        serial_sha256=_serial_sha256(properties, texts.get("/proc/cpuinfo", "")),
        unread=tuple(source.unread),
    )


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text)]


def _system(uname: Uname | None, android: AndroidFacts | None) -> str | None:
    if android is not None:
        return "android"
    return "linux" if uname is not None and uname.system == "Linux" else None


def _kind(system: str | None) -> str | None:
    return {"android": "phone", "linux": "board"}.get(system or "")


def _os_name(android: AndroidFacts | None, release: OsRelease | None) -> str | None:
    if android is not None:
        return "android"
    return (release.id or release.name) if release else None


def _version(properties: Mapping[str, str], release: OsRelease | None) -> str | None:
    return properties.get("ro.build.version.release") or (release.version_id if release else None)


def _abi(source: _Texts, uname: Uname | None, properties: Mapping[str, str]) -> str | None:
    if abi := properties.get("ro.product.cpu.abi"):
        return abi
    return abi_of(uname.machine, bits=source.parse("getconf LONG_BIT", parse_number)) if uname else None


def _android(properties: Mapping[str, str]) -> AndroidFacts | None:
    if "ro.build.version.sdk" not in properties:
        return None
    sdk = properties["ro.build.version.sdk"]
    return AndroidFacts(
        model=properties.get("ro.product.model") or None,
        device=properties.get("ro.product.device") or None,
        manufacturer=properties.get("ro.product.manufacturer") or None,
        sdk=int(sdk) if re.fullmatch(r"\d{1,4}", sdk, re.ASCII) else None,
        fingerprint=properties.get("ro.build.fingerprint") or None,
    )


def _model(android: AndroidFacts | None, tree_model: str | None, cpuinfo: CpuInfo | None) -> str | None:
    if android is not None:
        return android.model
    if tree_model is not None or cpuinfo is None:
        return tree_model
    return cpuinfo.model or cpuinfo.processors[0].model_name


def _soc(properties: Mapping[str, str], compatible: tuple[str, ...]) -> str | None:
    """Android says it; a device tree's last `compatible` is its SoC: "brcm,bcm2712" -> bcm2712."""
    for name in _SOC_PROPERTIES:
        if value := properties.get(name):
            return value
    return compatible[-1].partition(",")[2] or None if compatible else None


def _cpus(source: _Texts, cpuinfo: CpuInfo | None) -> tuple[CpuFacts, ...]:
    frequencies: dict[int, int] = {}
    for key in source.matching(f"{_POLICY}/related_cpus"):
        khz = source.parse(key.replace("/related_cpus", "/cpuinfo_max_freq"), parse_khz)
        for cpu in source.parse(key, parse_cpu_list) or ():
            if khz is not None:
                frequencies[cpu] = khz
    processors = {one.number: one for one in cpuinfo.processors} if cpuinfo else {}
    online = source.parse("/sys/devices/system/cpu/online", parse_cpu_list) or ()
    cpus = []
    for number in sorted({*processors, *online, *frequencies}):
        one = processors.get(number)
        cpus.append(
            CpuFacts(
                cpu=number,
                part=one.part if one else None,
                implementer=one.implementer if one else None,
                max_frequency_khz=frequencies.get(number),
                capacity=source.parse(f"/sys/devices/system/cpu/cpu{number}/cpu_capacity", parse_number),
            )
        )
    return tuple(cpus)


def _serial_sha256(properties: Mapping[str, str], cpuinfo: str) -> str | None:
    """Android says it; of boards the kernel's cpuinfo of some (Raspberry Pi)."""
    line = re.search(r"^Serial\s*:\s*(\S+)\s*$", cpuinfo, re.MULTILINE | re.ASCII)
    serial = properties.get("ro.serialno") or (line[1] if line else "")
    return hashlib.sha256(serial.encode()).hexdigest() if serial.strip("0") else None


def _governors(source: _Texts) -> tuple[str, ...]:
    """What every CPU offers."""
    offered = [
        words
        for key in source.matching(f"{_POLICY}/scaling_available_governors")
        if (words := source.parse(key, parse_words)) is not None
    ]
    return tuple(word for word in offered[0] if all(word in words for words in offered)) if offered else ()


def _zones(source: _Texts) -> tuple[ThermalZone, ...]:
    zones = []
    for key in source.matching("/sys/class/thermal/thermal_zone*/type"):
        words = source.parse(key, parse_words)
        if words:
            zones.append(ThermalZone(type=" ".join(words), path=key.removesuffix("/type")))
    return tuple(zones)


def _glibc(text: str) -> str:
    """`getconf GNU_LIBC_VERSION` prints "glibc 2.36"."""
    match = re.fullmatch(r"glibc (\d+\.\d+)\s*", text, re.ASCII)
    if match is None or not text.endswith("\n"):
        raise ParseError("getconf", "not a glibc version")
    return match.group(1)
