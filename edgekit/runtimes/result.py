"""What a runner prints (schema edgekit.runner/1), read strictly. None is "cannot be known", never 0."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Annotated

import msgspec

from edgekit.errors import DeviceError, DeviceFull, ModelError, RemoteError
from edgekit.transports.files import errno_of_text

SCHEMA = "edgekit.runner/1"

Count = Annotated[int, msgspec.Meta(ge=0)]
Micros = Annotated[float, msgspec.Meta(ge=0)]

SIGNAL_EXITS = range(128 + 1, 128 + 64 + 1)
"""128 + signal, up to Linux's SIGRTMAX. What is above is a program's own: exit(-1) is 255."""
_SIGNALS = {4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL", 11: "SIGSEGV", 31: "SIGSYS"}
_CODE = Annotated[str, msgspec.Meta(pattern=r"^E_[A-Z0-9_]+$", max_length=60)]


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all parts: a key that is not known here is an error."""


class RuntimeInfo(_Strict, frozen=True, kw_only=True):
    name: str
    version: str | None


class Load(_Strict, frozen=True, kw_only=True):
    """How long each step of loading took."""

    dlopen_us: Micros | None
    environment_us: Micros | None
    model_us: Micros | None
    compile_us: Micros | None


class Memory(_Strict, frozen=True, kw_only=True):
    """Resident memory of the runner's process.

    `model_delta_bytes`: what the model added, from "library loaded, no model" to "all iterations done",
    without the runner's own sample buffer. `pss_bytes`: after the last iteration; `rss_first_bytes`, `pss_*_bytes`: at the
    start, with the model ready, after the first inference.
    """

    rss_start_bytes: Count | None
    rss_runtime_bytes: Count | None
    rss_loaded_bytes: Count | None
    rss_end_bytes: Count | None
    model_delta_bytes: Count | None
    peak_rss_bytes: Count | None
    pss_bytes: Count | None
    rss_first_bytes: Count | None = None
    pss_start_bytes: Count | None = None
    pss_loaded_bytes: Count | None = None
    pss_first_bytes: Count | None = None


class Faults(_Strict, frozen=True, kw_only=True):
    """Page faults: minor ones found their page in memory, major ones had to read it."""

    minor: Count
    major: Count


class PhaseFaults(_Strict, frozen=True, kw_only=True):
    """`load`: from opening the library until the model is ready; `first`: during the first inference; `steady`: during
    the timed iterations. None where there is no model."""

    load: Faults | None
    first: Faults | None
    steady: Faults


class ContextSwitches(_Strict, frozen=True, kw_only=True):
    """During the timed iterations."""

    voluntary: Count
    involuntary: Count


class RunnerTensor(_Strict, frozen=True, kw_only=True):
    """One input or output as the model declares it, open dimensions set to 1."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: Count


class RunnerResult(_Strict, frozen=True, kw_only=True):
    """One launch that went well. `wall_us`, `cpu_us` and switches cover the timed iterations; `begin_boottime_ns` is
    when the first of them began, on the device's CLOCK_BOOTTIME."""

    schema: str
    ok: bool
    runtime: RuntimeInfo
    load: Load
    first_inference_us: Micros | None
    iterations: Annotated[int, msgspec.Meta(ge=1)]
    warmup_iterations: Count
    wall_us: Micros
    cpu_us: Micros
    clock_resolution_ns: Count | None
    memory: Memory
    faults: PhaseFaults
    context_switches: ContextSwitches
    actual_accelerator: str | None
    fully_accelerated: bool | None
    threads: Annotated[int, msgspec.Meta(ge=1)]
    inputs: tuple[RunnerTensor, ...]
    outputs: tuple[RunnerTensor, ...]
    begin_boottime_ns: Count | None = None


class _Failure(_Strict, frozen=True, kw_only=True):
    schema: str
    ok: bool
    code: _CODE
    message: str


class _Head(msgspec.Struct, frozen=True):
    schema: str
    ok: bool


def parse_result(stdout: bytes) -> RunnerResult:
    """Read a runner's only line.

    Raises ModelError where the runner says E_MODEL_*, DeviceFull where it had no room for its samples or outputs,
    RemoteError for its other codes and, with the code E_RUNNER_OUTPUT, where this is not what a runner prints.
    """
    try:
        head = msgspec.json.decode(stdout, type=_Head)
        if head.schema != SCHEMA:
            raise _not_understood(f"schema is {head.schema!r}, not {SCHEMA!r}", stdout)
        if head.ok:
            return msgspec.json.decode(stdout, type=RunnerResult)
        failure = msgspec.json.decode(stdout, type=_Failure)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _not_understood(str(error) if stdout.strip() else "it printed nothing", stdout) from error
    if failure.code.startswith("E_MODEL_"):
        raise ModelError(failure.message, code=failure.code, hint=_MODEL_HINTS.get(failure.code))
    if failure.code == "E_RUNNER_FILE" and errno_of_text(failure.message) in (errno.ENOSPC, errno.EDQUOT):
        raise DeviceFull(failure.message, hint="edgekit remove NAME@VERSION, or free space there")
    raise RemoteError(failure.message, code=failure.code, hint=_RUNNER_HINTS.get(failure.code))


_MODEL_HINTS = {
    "E_MODEL_COMPILE": "the runtime lacks an operator of this model, or the file is damaged: edgekit inspect MODEL",
    "E_MODEL_CRASH": "the file is most likely damaged: export and copy it again",
    "E_MODEL_TRUNCATED": "copy or export the model again",
    "E_MODEL_UNSUPPORTED": "export the model with fixed shapes and numeric inputs and outputs",
}


_RUNNER_HINTS = {
    "E_RUNNER_FILE": "is the disk there writable, and the folder still there? edgekit doctor",
    "E_RUNNER_LIBRARY": "install the runtime there, or name another: --runtime",
    "E_RUNNER_STREAMS": "fewer --streams, or look at what the device does meanwhile",
    "E_RUNNER_VERSION": "another version of the package there; of a native runner: push again, or scripts/build_native",
}


def _not_understood(reason: str, stdout: bytes) -> RemoteError:
    return RemoteError(
        f"the runner's answer cannot be read: {reason}",
        code="E_RUNNER_OUTPUT",
        stdout=stdout[:2000].decode(errors="replace"),
        hint="the agent and the runner on the device must be of this edgekit: push again",
    )


def check_launch(
    exit_code: int, stdout: bytes, stderr: str, *, argv: Sequence[str] = (), device: str | None = None
) -> RunnerResult:
    """Read a finished launch: as `parse_result`, and tells a process that a signal ended from one that refused.

    `exit_code` is one of SIGNAL_EXITS where a signal ended it. Such an end is RemoteError E_RUNNER_CRASH (or
    E_RUNNER_KILLED for SIGKILL, which the kernel sends when memory runs out).
    """
    if exit_code in SIGNAL_EXITS and not stdout.strip():
        raise ended_by_signal("the runner", exit_code, stderr, argv=argv, device=device)
    try:
        result = parse_result(stdout)
        if exit_code != 0:
            raise _not_understood(f"it says that all went well, but ended with {exit_code}", stdout)
    except RemoteError as error:
        error.argv, error.status, error.stderr, error.device = tuple(argv), exit_code, stderr, device
        raise
    except ModelError as error:
        error.device = device
        said = RemoteError(f"the runner ended with {exit_code}", status=exit_code, argv=argv, stderr=stderr)
        raise error from said  # what it wrote to stderr is kept with a release that fails
    except DeviceError as error:
        error.device = device
        raise
    return result


def ended_by_signal(
    what: str, exit_code: int, stderr: str, *, argv: Sequence[str] = (), device: str | None = None
) -> RemoteError:
    """The error for an end with 128 + signal: E_RUNNER_KILLED for SIGKILL, E_RUNNER_CRASH for all others."""
    number = exit_code - 128
    killed = number == 9
    return RemoteError(
        f"{what} was ended by {_SIGNALS.get(number, f'signal {number}')}: {last_line(stderr)}",
        code="E_RUNNER_KILLED" if killed else "E_RUNNER_CRASH",
        hint="the device ran out of memory, or someone ended it"
        if killed
        else "the runtime crashed with this model",
        argv=argv,
        status=exit_code,
        stderr=stderr,
        device=device,
    )


def last_line(text: str) -> str:
    """What a program said last, for a message."""
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it wrote nothing"
