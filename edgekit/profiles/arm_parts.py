"""Names of ARM's own cores by their part number in /proc/cpuinfo.

Source: util-linux sys-utils/lscpu-arm.c (its table for implementer 0x41).
"""

from __future__ import annotations

from typing import Final

ARM_LIMITED: Final = "0x41"
_PARTS: Final = {
    **{"0xc07": "cortex-a7", "0xc08": "cortex-a8", "0xc09": "cortex-a9", "0xc0f": "cortex-a15"},
    **{"0xd03": "cortex-a53", "0xd04": "cortex-a35", "0xd05": "cortex-a55", "0xd07": "cortex-a57"},
    **{"0xd08": "cortex-a72", "0xd09": "cortex-a73", "0xd0a": "cortex-a75", "0xd0b": "cortex-a76"},
    **{"0xd0c": "neoverse-n1", "0xd0d": "cortex-a77", "0xd0e": "cortex-a76ae", "0xd40": "neoverse-v1"},
    **{"0xd41": "cortex-a78", "0xd42": "cortex-a78ae", "0xd44": "cortex-x1", "0xd46": "cortex-a510"},
    **{"0xd47": "cortex-a710", "0xd48": "cortex-x2", "0xd49": "neoverse-n2", "0xd4b": "cortex-a78c"},
    **{"0xd4c": "cortex-x1c", "0xd4d": "cortex-a715", "0xd4e": "cortex-x3", "0xd4f": "neoverse-v2"},
}


def core_name(implementer: str | None, part: str | None) -> str | None:
    """ "cortex-a76" for ("0x41", "0xd0b"); None where the table does not have it."""
    return _PARTS.get(part or "") if implementer == ARM_LIMITED else None


def core_part(name: str | None) -> str | None:
    """The part number of one of ARM's own cores, "0xd0b" for "cortex-a76"; None where the table does not have it."""
    return next((part for part, known in _PARTS.items() if known == name), None)
