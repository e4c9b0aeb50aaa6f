"""The files of the kernel of a simulated device: /proc and /sys, as they are read and set."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgekit.transports.sim.files import Node
from edgekit.transports.sim.machine import CPU, HWMON, ZONE, Policy

if TYPE_CHECKING:
    from edgekit.transports.sim.device import SimDevice

_USED_SHARE = 0.25
"""Of its memory, by what is always there."""


def add_kernel_files(device: SimDevice) -> None:
    machine = device.machine
    for path, text in machine.texts.items():
        device.files.add(path, constant(text))
    memory_kb = machine.memory_bytes >> 10
    meminfo = f"MemTotal: {memory_kb} kB\nMemAvailable: {round(memory_kb * (1 - _USED_SHARE))} kB\n"
    device.files.add("/proc/meminfo", constant(meminfo))
    device.files.add("/proc/stat", Node(lambda: _ticks(device)))
    device.files.add("/proc/uptime", Node(lambda: f"{device.uptime_s:.2f} 0.00\n".encode()))
    device.files.add("/proc/loadavg", constant("0.10 0.10 0.10 1/100 1000\n"))
    device.files.add("/proc/sys/kernel/random/boot_id", Node(lambda: f"{device.boot_id}\n".encode()))
    device.files.add(f"{CPU}/online", constant(f"0-{machine.cpu_count - 1}\n"))
    for path in machine.knobs:
        device.files.add(path, setting("0"))
    if device.options.sensors:
        _add_sensors(device)


def _add_sensors(device: SimDevice) -> None:
    device.files.add(f"{ZONE}/type", constant("cpu-thermal\n"))
    device.files.add(f"{ZONE}/temp", Node(lambda: b"%d\n" % round(device.heat.temperature_c * 1000)))
    device.files.add(f"{HWMON}/name", constant("simpower\n"))
    device.files.add(f"{HWMON}/power1_input", Node(lambda: b"%d\n" % round(_power_mw(device) * 1000)))
    for policy in device.machine.policies:
        _add_policy(device, policy)


def _add_policy(device: SimDevice, policy: Policy) -> None:
    governors = device.machine.governors
    governor = setting("schedutil", governors)
    lowest, highest = setting(f"{policy.min_khz}"), setting(f"{policy.max_khz}")
    cpus = " ".join(map(str, policy.cpus))
    files = {
        "related_cpus": constant(f"{cpus}\n"),
        "cpuinfo_max_freq": constant(f"{policy.max_khz}\n"),
        "cpuinfo_min_freq": constant(f"{policy.min_khz}\n"),
        "scaling_max_freq": highest,
        "scaling_min_freq": lowest,
        "scaling_available_governors": constant(f"{' '.join(governors)} \n"),
        "scaling_governor": governor,
        "scaling_cur_freq": Node(
            lambda: b"%d\n" % _bounded(_frequency_khz(device, policy, governor.make()), lowest, highest)
        ),
    }
    for name, node in files.items():
        device.files.add(f"{policy.path}/{name}", node)


def constant(text: str) -> Node:
    data = text.encode()
    return Node(lambda: data)


def setting(text: str, choices: tuple[str, ...] = ()) -> Node:
    """Something that can be set, to one of `choices` where there are any."""
    held = [text.encode() + b"\n"]

    def accept(value: bytes) -> bool:
        word = value.decode("utf-8", "replace").strip()
        if choices and word not in choices:
            return False
        held[0] = word.encode() + b"\n"
        return True

    make: Callable[[], bytes] = lambda: held[0]  # noqa: E731
    return Node(make, accept)


def _ticks(device: SimDevice) -> bytes:
    """/proc/stat's first line, in 10 ms: all that was busy was so in user mode."""
    busy = int(device.busy_us / 1e4)
    total = int(device.uptime_s * 100) * device.machine.cpu_count
    return f"cpu  {busy} 0 0 {max(0, total - busy)} 0 0 0 0 0 0\n".encode()


def _frequency_khz(device: SimDevice, policy: Policy, governor: bytes) -> int:
    if device.throttled:
        return round(policy.max_khz / device.options.shape.throttle_factor)
    fast = device.active or governor.strip() == b"performance"
    return policy.max_khz if fast and governor.strip() != b"powersave" else policy.min_khz


def _bounded(khz: int, lowest: Node, highest: Node) -> int:
    """Within what may be chosen; a text that is no number bounds nothing."""
    low, high = (node.make().strip() for node in (lowest, highest))
    khz = min(khz, int(high)) if high.isdigit() else khz
    return max(khz, int(low)) if low.isdigit() else khz


def _power_mw(device: SimDevice) -> float:
    return device.options.power_active_mw if device.active else device.options.power_idle_mw
