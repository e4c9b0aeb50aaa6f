"""Programs that users bring: pinned by their hash, checked to be for the device's ABI, kept under what they are."""

from __future__ import annotations

import struct
from pathlib import Path

from msgspec import Struct

from edgekit.cache import atomic_path, cache_dir, host_errors, is_special, sha256_file
from edgekit.errors import InputError, VerificationError

MAX_BINARY_BYTES = 1 << 30
_ELF = struct.Struct("<4sBBB9xHH")
_LITTLE_ENDIAN = 1
_MACHINES = {
    "x86": (1, 3),
    "armeabi-v7a": (1, 40),
    "x86_64": (2, 62),
    "arm64-v8a": (2, 183),
    "riscv64": (2, 243),
}
"""ELF class (1: 32 bits) and e_machine of each ABI; https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html"""


class UserBinary(Struct, frozen=True, kw_only=True):
    """A program on this host. `sha256`: what it must be, None where the user has not pinned it."""

    path: Path
    sha256: str | None = None
    version: str | None = None


def adopt(binary: UserBinary, abi: str, name: str) -> Path:
    """A copy in the cache, under name, version, ABI and hash: what is measured stays what it was when it is built anew.

    Raises InputError E_TOOL_BINARY where it is no file, E_ABI where it is a program for another machine; VerificationError
    E_HASH where it is not what is pinned; HostError where it cannot be read or copied.
    """
    path = binary.path
    with host_errors(path):
        if not path.is_file() or is_special(path):
            raise InputError(
                f"there is no {name} at {path}",
                code="E_TOOL_BINARY",
                hint="name it in edgekit.yaml: runtimes: {" + name + ": {binary: PATH, sha256: HASH}}",
            )
        if path.stat().st_size > MAX_BINARY_BYTES:
            raise InputError(f"{path} is larger than any {name}", code="E_TOOL_BINARY")
        with open(path, "rb") as file:
            head = file.read(_ELF.size)
        check_abi(head, abi, str(path))
        actual = sha256_file(path)
    check_pin(binary, actual)
    kept = cache_dir("runtimes", f"{name}-{binary.version or 'unknown'}", abi, actual) / name
    with host_errors(kept):
        if kept.is_file() and sha256_file(kept) == actual:
            return kept
    with atomic_path(kept) as temporary, host_errors(path):
        with open(path, "rb") as source, open(temporary, "wb") as target:
            while chunk := source.read(1 << 20):
                target.write(chunk)
        if sha256_file(temporary) != actual:
            raise VerificationError(
                f"{path} changed while it was copied",
                code="E_HASH",
                hint="wait until it is built, and try again",
            )
    return kept


def check_pin(binary: UserBinary, actual: str) -> None:
    """Raises VerificationError E_HASH where the file is not the pinned one."""
    if binary.sha256 is not None and binary.sha256 != actual:
        raise VerificationError(
            f"{binary.path} has sha256 {actual}, but {binary.sha256} is pinned",
            code="E_HASH",
            hint="if you meant to change it, change sha256 in edgekit.yaml too",
        )


def check_abi(head: bytes, abi: str, path: str) -> None:
    """Raises InputError E_ABI where the file's first bytes are not those of a program for this ABI. Pure."""
    if len(head) < _ELF.size or not head.startswith(b"\x7fELF"):
        raise InputError(
            f"{path} is not a program for Linux or Android",
            code="E_ABI",
            hint="name the program itself, no script",
        )
    _, bits, order, _, _, machine = _ELF.unpack_from(head)
    if abi not in _MACHINES or order != _LITTLE_ENDIAN or (bits, machine) != _MACHINES[abi]:
        names = [name for name, known in _MACHINES.items() if known == (bits, machine)]
        raise InputError(
            f"{path} is for {names[0] if names else f'machine {machine}'}, and the device is {abi}",
            code="E_ABI",
            hint="build or fetch it for the device",
        )
