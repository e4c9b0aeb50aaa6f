"""/proc/cpuinfo of x86 and ARM kernels.

x86 prints a block a CPU with `model name` and `flags`; ARM one with `CPU implementer`, `CPU part` and `Features`,
and after the blocks `Hardware` and `Model` on some kernels (Linux arch/x86/kernel/cpu/proc.c,
arch/arm64/kernel/cpuinfo.c). Very old ARM kernels print the parts once for all: they are unknown then.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from edgekit.parse import fail, key_values, whole_number

TOOL: Final = "/proc/cpuinfo"
_HEX: Final = re.compile(r"0x[0-9a-f]{1,8}", re.IGNORECASE)


class Processor(Struct, frozen=True, kw_only=True):
    """`implementer` and `part` are lower-case hexadecimal (0x41, 0xd0b); None is unknown."""

    number: int
    implementer: str | None = None
    part: str | None = None
    model_name: str | None = None
    features: tuple[str, ...] = ()


class CpuInfo(Struct, frozen=True, kw_only=True):
    processors: tuple[Processor, ...]
    hardware: str | None = None
    model: str | None = None
    """The board's name, where an ARM kernel prints it here (Raspberry Pi)."""


def parse_cpuinfo(text: str) -> CpuInfo:
    """Raises ParseError where no processor is listed, one is listed twice, or a field has no sense."""
    blocks: list[dict[str, str]] = []
    board: dict[str, str] = {}
    for number, key, value in key_values(TOOL, text):
        if key == "processor":
            blocks.append({"processor": str(whole_number(TOOL, value, number))})
        elif key in ("Hardware", "Model"):
            board[key] = value
        elif key in ("CPU implementer", "CPU part") and not _HEX.fullmatch(value):
            fail(TOOL, f"'{value[:20]}' as {key}", number)
        elif blocks:
            blocks[-1].setdefault(key, value)
    processors = tuple(_processor(block) for block in blocks)
    if not processors:
        fail(TOOL, "it lists no processor")
    if len({one.number for one in processors}) != len(processors):
        fail(TOOL, "it lists a processor twice")
    return CpuInfo(
        processors=processors, hardware=board.get("Hardware") or None, model=board.get("Model") or None
    )


def _processor(block: dict[str, str]) -> Processor:
    implementer, part = block.get("CPU implementer"), block.get("CPU part")
    return Processor(
        number=int(block["processor"]),
        implementer=implementer.lower() if implementer else None,
        part=part.lower() if part else None,
        model_name=block.get("model name") or None,
        features=tuple((block.get("Features") or block.get("flags") or "").split()),
    )
