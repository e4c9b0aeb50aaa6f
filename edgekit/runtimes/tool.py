"""Runtimes that are tools of their own: what one is asked, what it answers, and what of that can be relied on.

A tool has its own loop, clock and statistics. Some give every sample; of the others there is a summary and nothing
else, and no samples are ever made up from it. Each launch is one process, as with the runners (`base.Runtime`);
nothing here talks to a device.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

from msgspec import Struct

from edgekit.config import RuntimeEntry
from edgekit.errors import InputError, RemoteError
from edgekit.parse.benchmark_run import LatencySummary
from edgekit.parse.op_profile import OpProfile
from edgekit.runtimes.base import Bundle, LibcFacts, no_op_profile
from edgekit.runtimes.result import SIGNAL_EXITS, ended_by_signal, last_line

Verified = Literal["real", "replayed"]


class ToolJob(Struct, frozen=True, kw_only=True):
    """One launch; all paths are on the device. What a tool cannot be told is in the notes of its result.

    `scratch` is a folder that exists. `flags` are the user's own, checked against what the tool knows.
    `op_profile`: time each operator; that slows the run, so its latency is not the model's.
    """

    model: str
    scratch: str
    threads: int = 1
    warmup_iterations: int = 1
    iterations: int = 50
    min_seconds: float = 0.0
    max_seconds: float = 600.0
    accelerator: str = "cpu"
    op_profile: bool = False
    flags: tuple[str, ...] = ()


class ToolCommand(Struct, frozen=True, kw_only=True):
    """What to start. `files`: by role, the files that the tool writes and that `read` wants.

    `prepare`: an argument list to run once for a model before the launches (it may take minutes), None mostly.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = {}
    files: Mapping[str, str] = {}
    prepare: tuple[str, ...] | None = None


class ToolOutput(Struct, frozen=True, kw_only=True):
    """How a launch ended. `exit_code` is 128 + signal (129 to 192) where a signal ended it; `files` by role, those there are."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    files: Mapping[str, bytes] = {}


class ToolResult(Struct, frozen=True, kw_only=True):
    """One launch that went well. None is "the tool does not tell".

    `samples_us` are all timed inferences in order, None where the tool keeps them to itself: then `latency` is its own
    summary, which nobody can compute again. `measures` says what one of its latencies covers. `actual_accelerator` is
    None where the output does not prove what ran; `fully_accelerated` whether all of the graph was there.
    """

    runtime: str
    version: str | None
    measures: str
    latency: LatencySummary
    requested_accelerator: str
    samples_us: tuple[float, ...] | None = None
    warmup: LatencySummary | None = None
    init_us: float | None = None
    first_inference_us: float | None = None
    init_footprint_bytes: int | None = None
    overall_footprint_bytes: int | None = None
    peak_rss_bytes: int | None = None
    threads: int | None = None
    actual_accelerator: str | None = None
    fully_accelerated: bool | None = None
    op_profile: OpProfile | None = None
    own_process: bool = True
    """Whether the process that was started ran the model: else what the kernel counted for it is not the model's."""
    notes: tuple[str, ...] = ()


@runtime_checkable
class ToolRuntime(Protocol):
    """A tool that runs a model on a device and measures it itself. Where it takes settings, its class has
    `configured(RuntimeEntry)`."""

    name: str
    version: str | None
    formats: tuple[str, ...]
    accelerators: tuple[str, ...]
    raw_samples: bool
    """Whether results have `samples_us`."""
    op_profile: bool
    outputs: bool
    """Whether inputs can be given and outputs taken: without, golden outputs cannot be checked by what is timed."""
    verified: Verified
    """"real": run by edgekit's own tests. "replayed": only its captured output was read; it was never run."""

    def bundle(self, abi: str, libc: LibcFacts) -> Bundle:
        """Files for the device; an empty bundle where the tool is there already.

        Raises InputError where the user has named no binary or one for another ABI, VerificationError E_HASH where
        it is not the pinned one.
        """

    def command(self, bundle: Bundle, bundle_dir: str, job: ToolJob) -> ToolCommand:
        """Raises InputError for what this tool cannot do: E_TOOL_OPTION; a flag that it does not know: E_TOOL_FLAG."""

    def read(self, job: ToolJob, output: ToolOutput) -> ToolResult:
        """What a finished launch says.

        Raises RemoteError where the tool failed, ParseError where its output is not whole, InputError E_TOOL_FLAG
        where it says that it passed over a flag.
        """


def check_job(runtime: ToolRuntime, job: ToolJob, flags: Mapping[str, bool]) -> None:
    """Refuse what the tool cannot do. `flags`: those that users may add, and whether each has a value. Pure."""
    if job.accelerator not in runtime.accelerators:
        raise InputError(
            f"{runtime.name} has no accelerator '{job.accelerator}' (there are: {', '.join(runtime.accelerators)})",
            code="E_TOOL_OPTION",
            hint="choose one of these",
        )
    if job.op_profile and not runtime.op_profile:
        raise no_op_profile(runtime.name)
    for flag in job.flags:
        name, equals, value = flag.partition("=")
        if name not in flags:
            known = ", ".join(sorted(flags)) or "none"
            raise InputError(
                f"'{flag[:60]}' is not a flag that may be given to {runtime.name} (there are: {known})",
                code="E_TOOL_FLAG",
                hint="options of edgekit set the others",
            )
        if flags[name] is not bool(equals and value):
            form = f"{name}=VALUE" if flags[name] else name
            raise InputError(f"'{flag[:60]}' of {runtime.name} is written {form}", code="E_TOOL_FLAG")


def check_ended(runtime: str, output: ToolOutput, argv: Sequence[str] = ()) -> None:
    """Raises RemoteError where the tool did not end well: by a signal, E_RUNNER_CRASH or E_RUNNER_KILLED."""
    if output.exit_code == 0:
        return
    stderr = output.stderr.decode("utf-8", "replace")
    if output.exit_code in SIGNAL_EXITS:
        raise ended_by_signal(runtime, output.exit_code, stderr, argv=argv)
    if output.exit_code == 127:
        raise RemoteError(
            f"{runtime} is not on the device: {last_line(stderr)}",
            code="E_TOOL_MISSING",
            status=127,
            argv=argv,
            stderr=stderr,
            hint="install it there, or say where it is: program in edgekit.yaml's runtimes",
        )
    raise RemoteError(
        f"{runtime} ended with {output.exit_code}: {_telling_line(stderr)}",
        code="E_TOOL_FAILED",
        status=output.exit_code,
        argv=argv,
        stdout=output.stdout[-2000:].decode("utf-8", "replace"),
        stderr=stderr,
        hint="its own words are in the error's stderr",
    )


def _telling_line(stderr: str) -> str:
    """A Python tool's exception, which others may print after; else what was said last."""
    errors = re.findall(r"^\w*(?:Error|Exception): .*$", stderr, re.MULTILINE)
    return errors[-1] if errors else last_line(stderr)


def useless_setting(runtime: str, given: str, instead: str) -> InputError:
    """The error for an entry of edgekit.yaml's runtimes that says what this tool has no use for."""
    return InputError(
        f"runtimes.{runtime} in edgekit.yaml has no use for {given}",
        code="E_TOOL_OPTION",
        hint=f"it has {instead} instead",
    )


def program_of(runtime: str, entry: RuntimeEntry, default: str) -> str:
    """Name or path on the device of a tool that is there already. Raises InputError E_TOOL_OPTION for a binary."""
    if entry.binary is not None or entry.sha256 is not None:
        raise useless_setting(runtime, "binary", "program")
    return entry.program or default
