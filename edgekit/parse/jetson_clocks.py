"""`jetson_clocks --show` of Jetson: how fast CPUs, GPU and memory run now, and between which limits.

CPUs are told in kHz (cpufreq), GPU and EMC (the memory controller) in Hz. `jetson_clocks` without arguments fixes them:
MinFreq is then MaxFreq, and the EMC is overridden. What a module has besides (DLA, PVA, fans, TPCs) is passed over. A
TX1 says "Gonvernor" and neither Online nor IdleStates.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from edgekit.parse import fail, lines_of

TOOL: Final = "jetson_clocks"
_N: Final = r"(\d{1,12})"
_CPU: Final = re.compile(
    rf"cpu(\d{{1,3}}):\s+(?:Online=([01]) )?Gon?vernor=([\w-]{{1,32}}) MinFreq={_N} MaxFreq={_N} CurrentFreq={_N}"
    r"(?: IdleStates: .*)?",
    re.ASCII,
)
_GPU: Final = re.compile(rf"GPU MinFreq={_N} MaxFreq={_N} CurrentFreq={_N}", re.ASCII)
_EMC: Final = re.compile(rf"EMC MinFreq={_N} MaxFreq={_N} CurrentFreq={_N} FreqOverride=([01])", re.ASCII)
_MODE: Final = re.compile(r"NV Power Mode: ?(\w[\w .+-]{0,40})", re.ASCII)


class ClockRange(Struct, frozen=True, kw_only=True):
    min_khz: int
    max_khz: int
    current_khz: int

    @property
    def fixed(self) -> bool:
        return self.min_khz == self.max_khz


class JetsonClocks(Struct, frozen=True, kw_only=True):
    """None is unknown: the tool tells of the GPU and the memory to root only, on some images."""

    cpus: dict[int, ClockRange]
    """Those that are online."""
    cpus_offline: tuple[int, ...]
    gpu: ClockRange | None
    emc: ClockRange | None
    emc_overridden: bool | None
    power_mode: str | None

    @property
    def fixed(self) -> bool:
        """Whether neither a governor nor the load moves CPUs and GPU."""
        return all(one.fixed for one in self.cpus.values()) and (self.gpu is None or self.gpu.fixed)


def parse_jetson_clocks(text: str) -> JetsonClocks:
    """Raises ParseError where a line of CPU, GPU, EMC or mode is not whole, comes twice, or there is no CPU."""
    cpus: dict[int, ClockRange] = {}
    offline: list[int] = []
    found: dict[str, re.Match[str]] = {}
    for number, raw in enumerate(lines_of(TOOL, text), start=1):
        line = raw.strip()
        if re.match(r"cpu\d", line, re.ASCII):
            match = _CPU.fullmatch(line)
            if match is None:
                fail(TOOL, f"'{line[:60]}' is no CPU", number)
            cpu = int(match[1])
            if cpu in cpus or cpu in offline:
                fail(TOOL, f"cpu{cpu} comes twice", number)
            if match[2] == "0":
                offline.append(cpu)
            else:
                cpus[cpu] = _range(match.group(4, 5, 6), 1, number)
            continue
        for name, pattern in (("GPU ", _GPU), ("EMC ", _EMC), ("NV Power Mode", _MODE)):
            if line.startswith(name):
                one = pattern.fullmatch(line)
                if one is None or name in found:
                    fail(TOOL, f"'{line[:60]}' is not whole, or comes twice", number)
                found[name] = one
    if not cpus:
        fail(TOOL, "it tells of no CPU")
    gpu, emc, mode = found.get("GPU "), found.get("EMC "), found.get("NV Power Mode")
    return JetsonClocks(
        cpus=cpus,
        cpus_offline=tuple(offline),
        gpu=_range(gpu.group(1, 2, 3), 1000) if gpu else None,
        emc=_range(emc.group(1, 2, 3), 1000) if emc else None,
        emc_overridden=emc[4] == "1" if emc else None,
        power_mode=mode[1] if mode else None,
    )


def _range(texts: tuple[str | None, ...], per_khz: int, line: int | None = None) -> ClockRange:
    low, high, now = (int(text or 0) // per_khz for text in texts)
    if low > high:
        fail(TOOL, f"a lowest frequency of {low} kHz above the highest, {high}", line)
    return ClockRange(min_khz=low, max_khz=high, current_khz=now)
