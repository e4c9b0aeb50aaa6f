"""A tool of the user's on a device: put there where it is a binary, made ready, started, and its files fetched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.deployment.runtime_there import START_SECONDS, put_bundle
from edgekit.devices import Device
from edgekit.devices.files import stat_many
from edgekit.errors import EdgekitError, RemoteError
from edgekit.events import Sink, ignore
from edgekit.runtimes.base import Bundle, libc_facts
from edgekit.runtimes.tool import ToolCommand, ToolJob, ToolOutput, ToolResult, ToolRuntime, check_ended

if TYPE_CHECKING:
    from edgekit.agent.answers import RunResult

PREPARE_SECONDS = 3600.0
"""Building a TensorRT engine of a large model on a small board takes this long at worst."""
MAX_FILE_BYTES = 256 << 20


@dataclass(frozen=True)
class InstalledTool:
    """A tool whose files, if it has any, are on the device."""

    runtime: ToolRuntime
    bundle: Bundle
    folder: str


@dataclass(frozen=True)
class ToolLaunch:
    """One launch that ended well."""

    result: ToolResult
    process: RunResult
    argv: tuple[str, ...]
    env: dict[str, str]


def install_tool(device: Device, runtime: ToolRuntime, sink: Sink = ignore) -> InstalledTool:
    """Raises as `ToolRuntime.bundle`."""
    libc = libc_facts(device.description.getconf, device.description.libstdcxx)
    bundle = runtime.bundle(device.abi, libc)
    folder = put_bundle(device, bundle, sink) if bundle.files else device.layout.root
    return InstalledTool(runtime, bundle, folder)


def prepare_tool(device: Device, installed: InstalledTool, job: ToolJob) -> None:
    """What the tool does once for a model, before its launches. Raises RemoteError where it fails."""
    command = installed.runtime.command(installed.bundle, installed.folder, job)
    if command.prepare is not None:
        name = installed.runtime.name
        process = _run(device, name, command.prepare, dict(command.env), job.scratch, PREPARE_SECONDS)
        check_ended(name, _output(process, {}), command.prepare)


def launch_tool(device: Device, installed: InstalledTool, job: ToolJob) -> ToolLaunch:
    """Start one process and read what it says.

    Raises as `ToolRuntime.read`, with the device named; RemoteError E_TOOL_MISSING where it is not there,
    E_RUNNER_TIMEOUT where it did not end, E_RUNNER_OUTPUT where it printed more than is kept.
    """
    runtime = installed.runtime
    command = runtime.command(installed.bundle, installed.folder, job)
    for path in command.files.values():
        device.agent.remove(path)  # or a launch that writes nothing would be read as the one before it
    deadline_s = job.max_seconds + START_SECONDS
    process = _run(device, runtime.name, command.argv, dict(command.env), job.scratch, deadline_s)
    if process.truncated:
        raise RemoteError(
            f"{runtime.name} printed more than is kept",
            code="E_RUNNER_OUTPUT",
            argv=command.argv,
            device=device.address,
            hint="leave out its flags for details",
        )
    try:
        result = runtime.read(job, _output(process, _files(device, command)))
    except EdgekitError as error:
        error.device = error.device or device.address
        if isinstance(error, RemoteError):
            error.argv = error.argv or command.argv
        raise
    return ToolLaunch(result, process, command.argv, dict(command.env))


def _run(
    device: Device, name: str, argv: tuple[str, ...], env: dict[str, str], cwd: str, deadline_s: float
) -> RunResult:
    try:
        process = device.agent.run(list(argv), env=env, cwd=cwd, deadline_s=deadline_s)
    except RemoteError as error:
        if error.status != 127:
            raise
        raise RemoteError(
            f"{name} is not on the device: {argv[0]}",
            code="E_TOOL_MISSING",
            status=127,
            argv=argv,
            device=device.address,
            hint="install it there, or say where it is: program in edgekit.yaml's runtimes",
        ) from error
    if process.timed_out:
        raise RemoteError(
            f"{name} did not end within {deadline_s:g} s",
            code="E_RUNNER_TIMEOUT",
            argv=argv,
            device=device.address,
            stdout=process.stdout[-2000:].decode("utf-8", "replace"),
            stderr=process.stderr[-2000:].decode("utf-8", "replace"),
            hint="lower --min-seconds or --iterations, or look at the device's load",
        )
    return process


def _files(device: Device, command: ToolCommand) -> dict[str, bytes]:
    """By role, those of the tool's files that are there and of a size that can be."""
    stats = stat_many(device.agent, list(command.files.values()))
    return {
        role: device.agent.get(path)
        for role, path in command.files.items()
        if (stat := stats[path]) is not None and stat.size_bytes <= MAX_FILE_BYTES
    }


def _output(process: RunResult, files: dict[str, bytes]) -> ToolOutput:
    return ToolOutput(exit_code=process.status, stdout=process.stdout, stderr=process.stderr, files=files)
