"""The record's part about this host and about what was asked for. Reads this host, and nothing of the device."""

from __future__ import annotations

import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgekit.agent.binaries import find_binary
from edgekit.benchmarking.plan import BenchOptions
from edgekit.devices import Device
from edgekit.errors import DeviceError, HostError
from edgekit.parse import ParseError
from edgekit.parse.cpuinfo import parse_cpuinfo
from edgekit.records.environment import Asked, Environment, Host, How

PACKAGES = ("numpy", "msgspec", "adbutils", "paramiko", "ai-edge-litert", "onnxruntime", "executorch")
"""What works out the numbers, what carries them, and what runtimes come from."""


def environment_part(
    options: BenchOptions, device: Device, how: How, source: str | None = None
) -> Environment:
    """`source`: the file or folder on this host that the model came from."""
    return Environment(
        argv=options.argv,
        rerun_of=options.rerun_of,
        host=this_host(),
        versions=versions_here(),
        agent_sha256=None if device.simulated else _agent_sha256(device),
        asked=Asked(
            how=how,
            device=device.target.label,
            model=_absolute(source),
            meter=options.meter,
            inputs=_absolute(options.inputs),
            evaluation=_absolute(options.evaluation),
            require_accelerator=options.require_accelerator,
            runtime_flags=options.runtime_flags,
            op_profile=options.op_profile,
            gates=options.gates,
            baseline=options.baseline,
        ),
    )


def this_host() -> Host:
    """What is not known is None."""
    return Host(
        os=_os() or None,
        kernel=platform.release() or None,
        machine=platform.machine() or None,
        cpu=_cpu(),
    )


def versions_here() -> dict[str, str]:
    """Of Python, and of those of PACKAGES that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _os() -> str:
    with suppress(OSError):
        release = platform.freedesktop_os_release()
        return release.get("PRETTY_NAME") or release["NAME"]
    return f"{platform.system()} {platform.mac_ver()[0]}".strip()


def _cpu() -> str | None:
    try:
        found = parse_cpuinfo(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    except (OSError, ParseError):
        return platform.processor() or None
    return found.processors[0].model_name or found.model


def _agent_sha256(device: Device) -> str | None:
    """Host and agent are of one build, and it lies on the device under its hash."""
    try:
        return find_binary(device.abi).sha256
    except (DeviceError, HostError):
        return None


def _absolute(path: str | None) -> str | None:
    return None if path is None else str(Path(path).resolve())
