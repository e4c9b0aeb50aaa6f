"""One launch on a device: a process is started, waited for, and read; a runner and a tool of the user's alike."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.deployment.runtime_there import Installed
from edgekit.devices import Device
from edgekit.devices.files import stat_many
from edgekit.errors import EdgekitError, RemoteError, VerdictError
from edgekit.parse import ParseError
from edgekit.runtimes.accelerator import require_accelerator
from edgekit.runtimes.base import RunnerJob, Runtime
from edgekit.runtimes.result import RunnerResult, check_launch
from edgekit.runtimes.tool import ToolCommand, ToolJob, ToolOutput, ToolResult, ToolRuntime, check_ended

if TYPE_CHECKING:
    from edgekit.agent.answers import RunResult
    from edgekit.parse.op_profile import OpProfile

START_SECONDS = 30.0
"""What a launch may take beyond its own --max-seconds: loading the library and the model on a slow board."""
PREPARE_SECONDS = 3600.0
"""Building a TensorRT engine of a large model on a small board takes this long at worst."""
MAX_FILE_BYTES = 256 << 20


@dataclass(frozen=True)
class Launched:
    """One launch that ended well. A runner's samples are in its job's file on the device; a tool gives them in the
    result, or a summary and nothing else (`samples_us` None)."""

    result: RunnerResult | ToolResult
    process: RunResult
    argv: tuple[str, ...]
    env: dict[str, str]

    @property
    def runtime_version(self) -> str | None:
        """As the runtime itself says; None where it does not."""
        return self.result.version if isinstance(self.result, ToolResult) else self.result.runtime.version


def prepare(device: Device, installed: Installed, job: RunnerJob, *, cwd: str) -> None:
    """What a tool does once for a model, before its launches (nothing, mostly). Raises RemoteError where it fails."""
    if not isinstance(installed.runtime, ToolRuntime):
        return
    command = installed.runtime.command(installed.bundle, installed.folder, tool_job(installed, job, cwd))
    if command.prepare is not None:
        name = installed.runtime.name
        process = _run(device, name, command.prepare, command.env, cwd, PREPARE_SECONDS)
        check_ended(name, _output(process, {}), command.prepare)


def launch(
    device: Device, installed: Installed, job: RunnerJob, *, cwd: str, nice: int | None = None
) -> Launched:
    """Start one process in the folder `cwd`, wait for it and read what it says. `nice`: its priority, -20 to 19.

    Raises ModelError where the runtime refuses the model, RemoteError where the process failed (E_TOOL_MISSING where
    the tool is not there, E_RUNNER_TIMEOUT where it did not end), ParseError where a tool's output is not whole,
    VerdictError E_ACCELERATOR where the accelerator was required and is not proven to have run all.
    """
    runtime = installed.runtime
    deadline_s = job.max_seconds + START_SECONDS
    if isinstance(runtime, ToolRuntime):
        asked = tool_job(installed, job, cwd)
        command = runtime.command(installed.bundle, installed.folder, asked)
        for path in command.files.values():
            device.agent.remove(path)  # or a launch that writes nothing would be read as the one before it
        # a runner binds itself
        cpus = [int(cpu) for cpu in job.cpus.split(",")] if job.cpus else None
        process = _run(device, runtime.name, command.argv, command.env, cwd, deadline_s, cpus, nice)
        return _read_tool(device, installed, runtime, asked, command, process)
    argv, env = runtime.command(installed.bundle, installed.folder, job)
    try:
        process = device.agent.run(argv, env=env, cwd=cwd, nice=nice, deadline_s=deadline_s)
    except RemoteError as error:
        raise no_program(error, argv, device.address) from error
    return read_launched(device, installed, argv, env, process, deadline_s)


def read_launched(
    device: Device,
    installed: Installed,
    argv: Sequence[str],
    env: Mapping[str, str],
    process: RunResult,
    deadline_s: float,
) -> Launched:
    """What a runner's process that has ended says. Raises as `launch`."""
    _require_ended(device, "a launch", argv, process, deadline_s)
    stderr = process.stderr.decode("utf-8", "replace")
    result = check_launch(process.status, process.stdout, stderr, argv=argv, device=device.address)
    return _required(device, installed, Launched(result, process, tuple(argv), dict(env)))


def no_program(error: RemoteError, argv: Sequence[str], device: str) -> RemoteError:
    """What did not start, as the runner itself says it where its runtime is missing: a program of the device's PATH
    (python3) is the device's business, a file of the bundle is not."""
    if error.status != 127 or "/" in argv[0]:
        return error
    return RemoteError(
        f"there is no {argv[0]} on the device",
        code="E_RUNNER_LIBRARY",
        status=127,
        argv=argv,
        device=device,
        hint="install it there, or name another runtime: --runtime",
    )


def read_op_profile(device: Device, installed: Installed, done: Launched, job: RunnerJob) -> OpProfile | None:
    """The operators of a launch that was asked for them; None where it told none. Raises ParseError."""
    if isinstance(done.result, ToolResult):
        return done.result.op_profile
    assert isinstance(installed.runtime, Runtime)  # a runner's answer is of a runner
    assert job.op_profile is not None
    return installed.runtime.read_op_profile(device.agent.get(job.op_profile))


def tool_job(installed: Installed, job: RunnerJob, scratch: str) -> ToolJob:
    """The same launch as a tool is asked for it; inputs and seed cannot be told to any."""
    return ToolJob(
        model=job.model,
        scratch=scratch,
        threads=job.threads,
        warmup_iterations=job.warmup_iterations,
        iterations=job.iterations,
        min_seconds=job.min_seconds,
        max_seconds=job.max_seconds,
        accelerator=installed.accelerator,
        op_profile=job.op_profile is not None,
        flags=installed.flags,
    )


def _read_tool(
    device: Device,
    installed: Installed,
    runtime: ToolRuntime,
    job: ToolJob,
    command: ToolCommand,
    process: RunResult,
) -> Launched:
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
        if isinstance(error, ParseError):
            error.hint = (
                error.hint or f"see what it says when it is started there: {shlex.join(command.argv)}"
            )
        raise
    return _required(device, installed, Launched(result, process, command.argv, dict(command.env)))


def _required(device: Device, installed: Installed, done: Launched) -> Launched:
    """The same launch. Raises VerdictError E_ACCELERATOR where it did not run where it had to."""
    if installed.required:
        told = done.result
        name = installed.runtime.name
        try:
            require_accelerator(name, installed.accelerator, told.actual_accelerator, told.fully_accelerated)
        except VerdictError as error:
            error.device = device.address
            raise
    return done


def _run(
    device: Device,
    tool: str,
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: str,
    deadline_s: float,
    cpus: Sequence[int] | None = None,
    nice: int | None = None,
) -> RunResult:
    try:
        process = device.agent.run(list(argv), env=env, cwd=cwd, cpus=cpus, nice=nice, deadline_s=deadline_s)
    except RemoteError as error:
        if error.status != 127:
            raise
        raise RemoteError(
            f"{tool} is not on the device: {argv[0]}",
            code="E_TOOL_MISSING",
            status=127,
            argv=argv,
            device=device.address,
            hint="install it there, or say where it is: program in edgekit.yaml's runtimes",
        ) from error
    _require_ended(device, tool, argv, process, deadline_s)
    return process


def _require_ended(
    device: Device, what: str, argv: Sequence[str], process: RunResult, deadline_s: float
) -> None:
    """Raises RemoteError E_RUNNER_TIMEOUT where the process was ended at its deadline."""
    if process.timed_out:
        raise RemoteError(
            f"{what} did not end within {deadline_s:g} s",
            code="E_RUNNER_TIMEOUT",
            argv=argv,
            status=process.status,
            device=device.address,
            stdout=process.stdout[-2000:].decode("utf-8", "replace"),
            stderr=process.stderr[-2000:].decode("utf-8", "replace"),
            hint="lower --min-seconds or --iterations, or look at the device's load",
        )


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
