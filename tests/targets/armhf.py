"""Run a static 32-bit ARM program here, under qemu's user emulation. No fixture: it is only a command line.

It sees this machine's /proc and /sys, not a board's; for a board of its own there is tests/targets/board.py.
"""

from __future__ import annotations

from pathlib import Path

from tests.targets.roots import Recipe, debian
from tests.targets.sandbox import need_tools

EMULATOR = "qemu-arm-static"
_ELF32, _LITTLE, _ARM = 1, 1, 40


def armhf_root() -> Recipe:
    """A tree with /bin/busybox, a static program for armv7, to try this with."""
    return debian("debian-armhf", "bookworm", "armhf", ("busybox-static",))


def armhf_command(program: Path, *arguments: str) -> list[str]:
    """An argument list that runs `program` (static armv7 ELF). Raises ValueError for any other file; skips where
    the emulator is not installed."""
    need_tools(EMULATOR)
    head = program.read_bytes()[:20]
    is_arm = head[:4] == b"\x7fELF" and head[4] == _ELF32 and head[5] == _LITTLE and head[18] == _ARM
    if not is_arm:
        raise ValueError(f"not a 32-bit ARM program: {program}")
    return [EMULATOR, str(program), *arguments]
