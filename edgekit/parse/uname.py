"""`uname -srm` or `uname -a`: GNU, busybox and toybox order the words alike and end differently."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from edgekit.parse import fail

TOOL: Final = "uname"
_MACHINE: Final = re.compile(
    r"x86_64|i[3-6]86|aarch64|aarch64_be|arm64|armv[4-8][a-z]*[lb]|riscv(?:32|64)|ppc64(?:le)?|s390x|loongarch64"
)


class Uname(Struct, frozen=True, kw_only=True):
    system: str
    kernel: str
    machine: str


def parse_uname(text: str) -> Uname:
    """Raises ParseError where there is not one line with a system, a release and a known machine."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if len(lines) != 1:
        fail(TOOL, f"{len(lines)} lines instead of one")
    words = lines[0]
    if len(words) < 3:
        fail(TOOL, "fewer than three words")
    # `-srm` has three words; `-a` has the host second, and after the machine only the system's name
    kernel = words[1] if len(words) == 3 else words[2]
    machine = next((word for word in reversed(words[2:]) if _MACHINE.fullmatch(word)), None)
    if machine is None:
        fail(TOOL, f"no machine that is known in '{text.strip()[:80]}'")
    if not re.match(r"\d+\.\d+", kernel, re.ASCII):
        fail(TOOL, f"'{kernel[:40]}' is not a kernel release")
    return Uname(system=words[0], kernel=kernel, machine=machine)


def abi_of(machine: str, *, bits: int | None = None) -> str | None:
    """The ABI, in Android's words, of programs on a kernel's machine; None where there is no word for it.

    `bits` (`getconf LONG_BIT`) tells a system of 32-bit programs on a 64-bit kernel.
    """
    if machine in ("aarch64", "arm64"):
        return "armeabi-v7a" if bits == 32 else "arm64-v8a"
    if re.fullmatch(r"armv[78][a-z]*l", machine):
        return "armeabi-v7a"
    if machine == "x86_64":
        return "x86" if bits == 32 else "x86_64"
    if re.fullmatch(r"i[3-6]86", machine):
        return "x86"
    return "riscv64" if machine == "riscv64" else None
