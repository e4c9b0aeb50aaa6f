"""Texts as devices of several kinds give them, for facts and matching."""

from __future__ import annotations

from collections.abc import Mapping

from tests.parse.outputs import output

POLICY = "/sys/devices/system/cpu/cpufreq/policy"


def pi5() -> dict[str, str]:
    return {
        "uname": output("uname_short"),
        "getconf GNU_LIBC_VERSION": "glibc 2.36\n",
        "getconf LONG_BIT": "64\n",
        "/proc/cpuinfo": output("cpuinfo_pi5"),
        "/proc/meminfo": "MemTotal:        8245568 kB\nMemFree:         5245568 kB\n",
        "/proc/device-tree/model": output("device_tree_model"),
        "/proc/device-tree/compatible": output("device_tree_compatible"),
        "/etc/os-release": output("os_release_debian12"),
        f"{POLICY}0/related_cpus": "0 1 2 3\n",
        f"{POLICY}0/cpuinfo_max_freq": "2400000\n",
        f"{POLICY}0/scaling_available_governors": "conservative ondemand userspace powersave performance schedutil \n",
        "/sys/devices/system/cpu/online": "0-3\n",
        "/sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    }


def board(model: str, compatible: str, machine: str = "aarch64", bits: str = "64") -> dict[str, str]:
    return {
        "uname": f"Linux 6.6.1 {machine}\n",
        "getconf LONG_BIT": f"{bits}\n",
        "/proc/device-tree/model": f"{model}\0",
        "/proc/device-tree/compatible": compatible.replace(" ", "\0") + "\0",
    }


def phone(model: str, device: str, abi: str = "arm64-v8a", **more: str) -> dict[str, str]:
    properties = {
        "ro.build.version.release": "14",
        "ro.build.version.sdk": "34",
        "ro.product.cpu.abi": abi,
        "ro.product.device": device,
        "ro.product.model": model,
        **more,
    }
    return {"uname": "Linux 5.15.1-android14 aarch64\n", "getprop": as_getprop(properties)}


def as_getprop(properties: Mapping[str, str]) -> str:
    return "".join(f"[{key}]: [{value}]\n" for key, value in properties.items())
