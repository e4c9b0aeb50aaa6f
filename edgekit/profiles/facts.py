"""What is known about a device, and what to read there to know it."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

FACT_FILES: Final = (
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/device-tree/model",
    "/proc/device-tree/compatible",
    "/etc/os-release",
    "/sys/devices/system/cpu/cpufreq/policy*/related_cpus",
    "/sys/devices/system/cpu/cpufreq/policy*/scaling_available_governors",
    "/sys/devices/system/cpu/cpufreq/policy*/cpuinfo_max_freq",
    "/sys/devices/system/cpu/cpu[0-9]*/cpu_capacity",
    "/sys/devices/system/cpu/online",
    "/sys/class/thermal/thermal_zone*/type",
)
"""Files to read, globs allowed; each text goes under its own path into `facts_from_texts`."""

FACT_COMMANDS: Final = {
    "uname": ("uname", "-srm"),
    "getprop": ("getprop",),
    "getconf GNU_LIBC_VERSION": ("getconf", "GNU_LIBC_VERSION"),
    "getconf LONG_BIT": ("getconf", "LONG_BIT"),
}
"""Commands whose output is a fact too, by the key for `facts_from_texts`. A missing one costs its facts only;
LONG_BIT tells a 32-bit system on a 64-bit kernel, as Raspberry Pi OS may be."""


class CpuFacts(Struct, frozen=True, kw_only=True):
    """One CPU; None is unknown. `part` and `implementer` as ARM prints them, such as 0xd0b and 0x41."""

    cpu: int
    part: str | None = None
    implementer: str | None = None
    max_frequency_khz: int | None = None
    capacity: int | None = None


class ThermalZone(Struct, frozen=True, kw_only=True):
    """`path` is the zone's folder, `type` what the kernel calls it."""

    type: str
    path: str


class AndroidFacts(Struct, frozen=True, kw_only=True):
    model: str | None = None
    device: str | None = None
    manufacturer: str | None = None
    sdk: int | None = None
    fingerprint: str | None = None


class DeviceFacts(Struct, frozen=True, kw_only=True):
    """Facts about a device. None and empty mean unknown; nothing is guessed."""

    kind: str | None = None
    """local, board or phone."""
    os: str | None = None
    """linux or android."""
    os_name: str | None = None
    os_version: str | None = None
    abi: str | None = None
    """Of its programs: a 64-bit kernel with 32-bit programs is armeabi-v7a."""
    machine: str | None = None
    """As the kernel says: aarch64, armv7l, x86_64."""
    kernel: str | None = None
    model: str | None = None
    soc: str | None = None
    device_tree_model: str | None = None
    device_tree_compatible: tuple[str, ...] = ()
    android: AndroidFacts | None = None
    cpus: tuple[CpuFacts, ...] = ()
    memory_bytes: int | None = None
    glibc_version: str | None = None
    governors: tuple[str, ...] = ()
    thermal_zones: tuple[ThermalZone, ...] = ()
    serial_sha256: str | None = None
    """Of its serial number, which is kept nowhere."""
    unread: tuple[str, ...] = ()
    """What was there but could not be understood, and why; its facts are unknown."""

    @property
    def fingerprint(self) -> str:
        """Hash of what stays the same over reboots, updates of the kernel and another name for the device:
        the hardware and the major part of the system. 16 hex digits."""
        import hashlib

        cpus = [(c.cpu, c.part, c.implementer, c.max_frequency_khz) for c in self.cpus]
        android = self.android and (self.android.manufacturer, self.android.model, self.android.device)
        stays = (
            self.os,
            self.abi,
            self.machine,
            self.model,
            self.soc,
            self.device_tree_model,
            self.device_tree_compatible,
            android,
            cpus,
            self.memory_class_gib,
        )
        return hashlib.sha256(msgspec.json.encode(stays)).hexdigest()[:16]

    @property
    def build_sha256(self) -> str | None:
        """Hash of this one device with the build of its system: its model and serial number, the system's version, Android's
        build, the kernel. None where none of these is known. 64 hex digits."""
        import hashlib

        build = self.android and self.android.fingerprint
        known = (self.model, self.serial_sha256, self.os_name, self.os_version, build, self.kernel)
        return hashlib.sha256(msgspec.json.encode(known)).hexdigest() if any(known) else None

    @property
    def memory_class_gib(self) -> int | None:
        """Memory as sold: MemTotal lacks what firmware and kernel keep, and that changes with updates."""
        if self.memory_bytes is None:
            return None
        gib = 1
        while gib << 30 < self.memory_bytes:
            gib *= 2
        # sizes between powers of two (6, 12, 24 GiB) exist too
        return gib * 3 // 4 if gib >= 8 and self.memory_bytes <= (gib * 3 // 4) << 30 else gib
