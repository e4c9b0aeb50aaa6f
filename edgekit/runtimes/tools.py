"""The tools that users bring, by name, made ready from what edgekit.yaml says of them."""

from __future__ import annotations

from pathlib import Path

from edgekit.config import RuntimeEntry
from edgekit.errors import InputError
from edgekit.runtimes.benchmark_model import NAME as BENCHMARK_MODEL
from edgekit.runtimes.benchmark_model import BenchmarkModelRuntime
from edgekit.runtimes.litert_benchmark import PROGRAM as LITERT_BENCHMARK
from edgekit.runtimes.litert_benchmark import LitertBenchmarkRuntime
from edgekit.runtimes.tool import ToolRuntime
from edgekit.runtimes.trtexec import PROGRAM as TRTEXEC
from edgekit.runtimes.trtexec import TrtexecRuntime
from edgekit.runtimes.user_binary import UserBinary

TOOLS = (BENCHMARK_MODEL, LITERT_BENCHMARK, TRTEXEC)


def tool_runtime(name: str, entry: RuntimeEntry | None = None) -> ToolRuntime:
    """The tool of that name. Raises InputError E_NO_PLUGIN where there is none, E_TOOL_OPTION where the entry says what
    this tool has no use for."""
    entry = entry or RuntimeEntry()
    if name not in TOOLS:
        raise InputError(
            f"no tool called '{name}' (there are: {', '.join(TOOLS)})",
            code="E_NO_PLUGIN",
            hint="choose one of these",
        )
    if name == BENCHMARK_MODEL:
        if entry.program is not None:
            raise _useless(name, "program", "binary")
        return BenchmarkModelRuntime(_binary(entry), entry.generation, result_file=entry.result_file)
    if entry.binary is not None or entry.sha256 is not None:
        raise _useless(name, "binary", "program")
    program = entry.program or name
    if name == LITERT_BENCHMARK:
        return LitertBenchmarkRuntime(program, entry.version)
    return TrtexecRuntime(program, entry.version)


def _binary(entry: RuntimeEntry) -> UserBinary | None:
    if entry.binary is None:
        return None
    return UserBinary(path=Path(entry.binary), sha256=entry.sha256, version=entry.version)


def _useless(name: str, given: str, instead: str) -> InputError:
    return InputError(
        f"runtimes.{name} in edgekit.yaml has no use for {given}",
        code="E_TOOL_OPTION",
        hint=f"it has {instead} instead",
    )
