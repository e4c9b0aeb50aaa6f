"""What a simulated device says it is, made from a device profile: the texts of /proc and /sys, and of commands.

Where the profile is silent, something usual is assumed (docs/sim.md lists it). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from edgekit.errors import InputError
from edgekit.profiles import Profile, cpu_numbers
from edgekit.profiles.arm_parts import ARM_LIMITED, core_part
from edgekit.profiles.schema import Core

KERNEL = "6.6.0-edgekit-sim"
GOVERNORS = ("performance", "powersave", "ondemand", "schedutil")
ZONE = "/sys/class/thermal/thermal_zone0"
HWMON = "/sys/class/hwmon/hwmon0"
CPU = "/sys/devices/system/cpu"
_MARK = " (simulated)"
_MACHINES = {"arm64-v8a": "aarch64", "armeabi-v7a": "armv7l", "x86_64": "x86_64"}
_MEMORY_BYTES = 4 << 30
_CPUS, _CPUS_OF_CLUSTER = 4, 2
_MAX_KHZ = 1_800_000


@dataclass(frozen=True)
class Policy:
    """One cluster of CPUs that share a clock."""

    cpus: tuple[int, ...]
    kind: str | None
    max_khz: int

    @property
    def path(self) -> str:
        return f"{CPU}/cpufreq/policy{self.cpus[0]}"

    @property
    def min_khz(self) -> int:
        return self.max_khz // 4


@dataclass(frozen=True)
class Machine:
    """`texts` are files that never change; `outputs` what commands print; `knobs` the profile's own settings."""

    abi: str
    machine: str
    soc: str
    is_android: bool
    home: str
    root: str
    memory_bytes: int
    policies: tuple[Policy, ...]
    governors: tuple[str, ...]
    texts: dict[str, str]
    outputs: dict[tuple[str, ...], str]
    knobs: tuple[str, ...]
    profile_sha256: str

    @property
    def cpu_count(self) -> int:
        return sum(len(policy.cpus) for policy in self.policies)


def machine_of(profile: Profile) -> Machine:
    """Raises InputError E_SIM_PROFILE for a profile of a device that edgekit cannot reach."""
    abi = profile.device.abi or _literal(profile.match.abi) or "arm64-v8a"
    if profile.export_only or abi not in _MACHINES:
        why = "edgekit only converts for it" if profile.export_only else f"edgekit has no agent for {abi}"
        raise InputError(
            f"{profile.name} cannot be simulated: {why}",
            code="E_SIM_PROFILE",
            hint="edgekit profile list shows the others; sim:raspberry-pi-5 for instance",
        )
    android = profile.match.os == "android"
    home = "/data/local/tmp" if android else "/home/sim"
    policies = _policies(profile)
    extra = (profile.bench.governor,) if profile.bench.governor else ()
    return Machine(
        abi=abi,
        machine=_MACHINES[abi],
        soc=_soc(profile),
        is_android=android,
        home=home,
        root=f"{home}/edgekit" if android else f"{home}/.edgekit",
        memory_bytes=profile.device.memory_bytes or _MEMORY_BYTES,
        policies=policies,
        governors=tuple(dict.fromkeys((*GOVERNORS, *extra))),
        texts={**_identity(profile, android), "/proc/cpuinfo": _cpuinfo(policies, abi)},
        outputs=_outputs(profile, abi, android),
        knobs=tuple(profile.bench.knobs),
        profile_sha256=profile.sha256,
    )


def _literal(glob: str | Sequence[str] | None) -> str | None:
    """The plainest text that a glob matches; of several globs, of the first."""
    if glob is None:
        return None
    first = glob if isinstance(glob, str) else glob[0]
    return re.sub(r"\[(.)[^\]]*\]|[*?]", r"\1", first).strip()


def _soc(profile: Profile) -> str:
    return profile.device.soc or _literal(profile.match.soc) or "unknown"


def _marked(text: str, globs: str | Sequence[str] | None) -> str:
    """With the remark that this is no real device, unless the profile would not know it then."""
    wanted = (globs,) if isinstance(globs, str) else tuple(globs or ())
    marked = f"{text}{_MARK}"
    return marked if not wanted or any(fnmatchcase(marked, glob) for glob in wanted) else text


def _identity(profile: Profile, android: bool) -> dict[str, str]:
    texts = {"/etc/os-release": 'ID="simulated linux"\nNAME="simulated Linux"\nVERSION_ID="1"\n'}
    if android:
        return {}
    match, device = profile.match, profile.device
    if device.abi == "x86_64":
        return texts
    model = _literal(match.device_tree_model) or device.model or profile.name
    soc = _soc(profile)
    board = _literal(match.device_tree_compatible) or f"simulated,{profile.name}"
    texts["/proc/device-tree/model"] = _marked(model, match.device_tree_model) + "\0"
    texts["/proc/device-tree/compatible"] = f"{board}\0simulated,{soc}\0"
    return texts


def _outputs(profile: Profile, abi: str, android: bool) -> dict[tuple[str, ...], str]:
    machine = _MACHINES[abi]
    outputs: dict[tuple[str, ...], str] = {
        ("uname", "-m"): machine,
        ("uname", "-srm"): f"Linux {KERNEL} {machine}",
        ("getconf", "LONG_BIT"): "32" if abi == "armeabi-v7a" else "64",
        ("id", "-u"): "1000",
    }
    if not android:
        return {**outputs, ("getconf", "GNU_LIBC_VERSION"): "glibc 2.36"}
    match, device = profile.match, profile.device
    model = _literal(match.android_model) or device.model or profile.name
    properties = {
        "ro.build.version.sdk": "34",
        "ro.build.version.release": f"14{_MARK}",
        "ro.product.cpu.abi": abi,
        "ro.product.model": _marked(model, match.android_model),
        "ro.product.device": _literal(match.android_device) or profile.name,
        "ro.product.manufacturer": _literal(match.android_manufacturer) or device.vendor or "edgekit",
        "ro.soc.model": _soc(profile),
        "ro.build.fingerprint": f"edgekit/{profile.name}/simulated",
    }
    listing = "\n".join(f"[{key}]: [{value}]" for key, value in properties.items())
    outputs[("getprop",)] = listing
    outputs.update({("getprop", key): value for key, value in properties.items()})
    return outputs


def _policies(profile: Profile) -> tuple[Policy, ...]:
    """One a cluster, in the profile's order; what has no numbers gets the lowest that are left."""
    clusters = profile.device.cores or (Core(cluster="all", cpus=_usual_cpus(profile)),)
    given = {cpu for core in clusters if core.cpus for cpu in cpu_numbers(core.cpus)}
    free = (cpu for cpu in range(len(given) + len(clusters) * _CPUS_OF_CLUSTER) if cpu not in given)
    policies = []
    for core in clusters:
        cpus = cpu_numbers(core.cpus) if core.cpus else [next(free) for _ in range(_CPUS_OF_CLUSTER)]
        policies.append(Policy(tuple(sorted(cpus)), core.kind, core.max_frequency_khz or _MAX_KHZ))
    return tuple(policies)


def _usual_cpus(profile: Profile) -> str:
    wanted = max(cpu_numbers(profile.bench.cpus), default=0) + 1 if profile.bench.cpus else 0
    return f"0-{max(wanted, _CPUS) - 1}"


def _cpuinfo(policies: Sequence[Policy], abi: str) -> str:
    blocks = []
    for cpu, policy in sorted(((cpu, one) for one in policies for cpu in one.cpus), key=lambda pair: pair[0]):
        lines = [f"processor\t: {cpu}"]
        part = core_part(policy.kind)
        if abi == "x86_64":
            lines.append("model name\t: simulated x86-64 processor")
        elif part:
            lines += [f"CPU implementer\t: {ARM_LIMITED}", f"CPU part\t: {part}"]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"
