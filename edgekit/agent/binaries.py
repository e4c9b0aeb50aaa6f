"""The prebuilt programs, as package data: edgekit/agent/bin/<abi>/."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.cache import host_errors, sha256_file
from edgekit.errors import DeviceError, ToolError

ABIS = ("arm64-v8a", "x86_64", "armeabi-v7a")
AGENT = "edgekit-agent"
RUNNER = "edgekit-runner-litert"
_BIN = Path(__file__).parent / "bin"
_MACHINES = {
    "x86_64": "x86_64",
    "amd64": "x86_64",
    "aarch64": "arm64-v8a",
    "arm64": "arm64-v8a",
    "arm64-v8a": "arm64-v8a",
    "armeabi-v7a": "armeabi-v7a",
    "armv7l": "armeabi-v7a",
    # a 64-bit kernel below a 32-bit world says armv8l to it
    "armv8l": "armeabi-v7a",
}


@dataclass(frozen=True)
class Binary:
    """One built program: where it lies on this host, and the sha256 (hex) of its bytes."""

    path: Path
    abi: str
    sha256: str


def find_binary(abi: str, name: str = AGENT, *, folder: Path | None = None) -> Binary:
    """Raises ToolError where it has not been built."""
    path = (folder or _BIN) / abi / name
    if not path.is_file():
        raise ToolError(
            f"{name} for {abi} has not been built",
            code="E_NATIVE_MISSING",
            hint="run scripts/build_native (a wheel from the package index has it)",
        )
    with host_errors(path):
        return Binary(path, abi, sha256_file(path))


def abi_of_machine(machine: str) -> str:
    """The ABI for what `uname -m` or Android's ro.product.cpu.abi says. Raises DeviceError."""
    abi = _MACHINES.get(machine.strip())
    if abi is None:
        raise DeviceError(
            f"no agent for a device of kind {machine.strip()!r}",
            code="E_ABI",
            hint=f"edgekit has agents for {', '.join(ABIS)}",
        )
    return abi
