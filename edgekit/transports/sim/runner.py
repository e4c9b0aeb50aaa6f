"""The runner of a simulated device: the options, files and answer of docs/runner.md, with latencies that are drawn.

Loading, inferences and their samples take device time and no host time. What is not drawn is a constant below, made
up and the same on every simulated device.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgekit.agent.failures import ENOSPC, describe
from edgekit.transports.sim.device import JUMP_NS, SimDevice
from edgekit.transports.sim.files import File, FileError
from edgekit.transports.sim.latency import Floats, LaunchDraw
from edgekit.transports.sim.options import Fault
from edgekit.transports.sim.processes import SIGKILL, SIGSEGV, Ended, Launch
from edgekit.transports.sim.runner_options import check_cpus, cpu_count, parser
from edgekit.transports.sim.tensors import (
    Refused,
    Tensors,
    check_is_tflite,
    made_up,
    spoiled,
    tensors_of,
)
from edgekit.transports.sim.tensors import (
    describe as describe_tensor,
)

SCHEMA = "edgekit.runner/1"
START_US, DLOPEN_US, ENVIRONMENT_US, COMPILE_US = 2000.0, 4000.0, 500.0, 3000.0
READ_BYTES_PER_US = 500.0
START_BYTES, RUNTIME_BYTES, ARENA_SHARE = 4 << 20, 10 << 20, 1.25
"""Resident memory at the start, with the library, and what a model adds as a share of its size."""
EMPTY_BODY_US = 0.05
LARGEST_TAKE = 200_000
FAULTS_AT_LOAD, FAULTS_AT_FIRST = 900, 40
"""Minor page faults; there are no major ones, and none in the timed iterations."""
_WORDS = {ENOSPC: "No space left on device"}


@dataclass
class _Run:
    """One launch while it goes on. `spent_us`: since the process began."""

    device: SimDevice
    draw: LaunchDraw
    number: int
    fault: Fault | None
    streams: int = 1
    spent_us: float = 0.0
    cpu_us: float = 0.0

    def spend(self, us: float, threads: int = 1) -> None:
        self.spent_us += us
        self.cpu_us += us * min(threads, self.device.machine.cpu_count / self.streams)


def run_runner(device: SimDevice, runtime: str, options: Sequence[str], launch: Launch) -> Ended:
    """One launch. Device time is not advanced here: `Ended.wall_us` says how much has to be."""
    number = device.launches
    (draw,), fault = device.begin_launch()
    return _one(_Run(device, draw, number, fault), runtime, options, launch)


def run_streams(device: SimDevice, streams: Sequence[tuple[str, Sequence[str], Launch]]) -> list[Ended]:
    """Several at once (runtime, options, what was started): one launch. Where their threads are more than the processors,
    each takes longer by as much. A fault is that of the first."""
    number, count = device.launches, len(streams)
    draws, fault = device.begin_launch(count, _slower(device, streams[0][1], count))
    runs = [_Run(device, draw, number, None if index else fault, count) for index, draw in enumerate(draws)]
    return [_one(run, *stream) for run, stream in zip(runs, streams, strict=True)]


def _slower(device: SimDevice, options: Sequence[str], streams: int) -> float:
    try:
        wanted = parser().parse_args(list(options))
        check_cpus(device, wanted.cpus)
    except Refused:
        return 1.0  # each of them says so itself
    cpus = cpu_count(wanted.cpus) if wanted.cpus is not None else device.machine.cpu_count
    return max(1.0, streams * int(wanted.threads) / cpus)


def _one(run: _Run, runtime: str, options: Sequence[str], launch: Launch) -> Ended:
    try:
        wanted = parser().parse_args(list(options))
        answer = _launched(run, runtime, wanted, launch)
    except Refused as refused:
        said = {"schema": SCHEMA, "ok": False, "code": refused.code, "message": str(refused)}
        return _ended(run, said, 1)
    if run.fault == "clock-jump":
        run.device.clock.jump(JUMP_NS)
    return _ended(run, answer, 0)


def _ended(run: _Run, answer: dict[str, Any], code: int) -> Ended:
    wall_us = run.spent_us + START_US
    rss = answer.get("memory", {}).get("peak_rss_bytes", START_BYTES)
    usual = Ended(
        exit_code=code,
        stdout=json.dumps(answer).encode() + b"\n",
        wall_us=wall_us,
        cpu_us=run.cpu_us + START_US,
        max_rss_bytes=rss,
    )
    half = Ended(wall_us=wall_us / 2, cpu_us=run.cpu_us / 2, max_rss_bytes=rss)
    return _with_fault(run.fault, usual, half)


def _with_fault(fault: Fault | None, usual: Ended, half: Ended) -> Ended:
    match fault:
        case "crash":
            return replace(half, signal=SIGSEGV, stderr=b"simulated: the runtime crashed\n")
        case "killed":
            return replace(half, signal=SIGKILL)
        case "garbage":
            return replace(usual, stdout=b"\x7fELF simulated: this is no answer of a runner\n")
        case "hang":
            return replace(half, hangs=True)
        case "vanish" | "reboot":
            return replace(half, lost=True)
    return usual


def _launched(run: _Run, runtime: str, wanted: argparse.Namespace, launch: Launch) -> dict[str, Any]:
    if wanted.max_seconds < wanted.min_seconds:
        raise Refused("E_RUNNER_USAGE", "--max-seconds is less than --min-seconds")
    if wanted.op_profile is not None:
        raise Refused("E_RUNNER_USAGE", "a simulated device times no operators: nothing runs there")
    if wanted.model is None and not wanted.empty_body:
        raise Refused("E_RUNNER_USAGE", "--model PATH is needed")
    check_cpus(run.device, wanted.cpus)
    tensors, size, load = (
        Tensors(),
        0,
        dict.fromkeys(("dlopen_us", "environment_us", "model_us", "compile_us")),
    )
    first_us = None
    if not wanted.empty_body:
        tensors, size = _load(run, runtime, wanted)
        times = (DLOPEN_US, ENVIRONMENT_US, size / READ_BYTES_PER_US, COMPILE_US)
        load = dict(zip(load, times, strict=True))
        run.spend(sum(times))
        run.draw.now_us += run.spent_us
        first_us = run.draw.first_us()
        run.spend(first_us, wanted.threads)
        _compute(run, wanted, tensors)
    samples, warm = _measure(run, wanted)
    wall_us = float(samples.sum())
    begin_ns = run.device.clock.boottime_ns + round((START_US + run.spent_us - wall_us) * 1000)
    _write(run, wanted.samples, samples.astype("<f8").tobytes())
    version = launch.env.get("EDGEKIT_RUNTIME_VERSION")
    return {
        "schema": SCHEMA,
        "ok": True,
        "runtime": {"name": runtime, "version": version},
        "load": load,
        "first_inference_us": first_us,
        "iterations": int(samples.size),
        "warmup_iterations": warm,
        "wall_us": wall_us,
        "cpu_us": wall_us * min(wanted.threads, run.device.machine.cpu_count),
        "clock_resolution_ns": max(1, round(run.device.options.shape.clock_step_us * 1000)),
        "memory": _memory(size, samples.size),
        "faults": {
            "load": None if wanted.empty_body else {"minor": FAULTS_AT_LOAD, "major": 0},
            "first": None if wanted.empty_body else {"minor": FAULTS_AT_FIRST, "major": 0},
            "steady": {"minor": 0, "major": 0},
        },
        "begin_boottime_ns": begin_ns,
        "context_switches": {"voluntary": 0, "involuntary": 0},
        "actual_accelerator": None if wanted.empty_body else "cpu",
        "fully_accelerated": None if wanted.empty_body else True,
        "threads": wanted.threads,
        "inputs": [describe_tensor(spec) for spec in tensors.inputs],
        "outputs": [describe_tensor(spec) for spec in tensors.outputs],
    }


def _load(run: _Run, runtime: str, wanted: argparse.Namespace) -> tuple[Tensors, int]:
    file = run.device.files.look(wanted.model)
    if not isinstance(file, File):
        raise Refused("E_MODEL_MISSING", f"cannot read the model {wanted.model}: No such file or directory")
    if runtime.startswith("litert"):
        check_is_tflite(file.blob.data, wanted.model)
    return tensors_of(file.blob, wanted.model), file.size_bytes


def _compute(run: _Run, wanted: argparse.Namespace, tensors: Tensors) -> None:
    """The outputs for every sample of the inputs: the golden ones where the inputs are the golden ones."""
    row_bytes = sum(spec.size_bytes() for spec in tensors.inputs)
    inputs = b"random %d" % wanted.seed
    count = 1
    if wanted.inputs is not None:
        try:
            inputs = run.device.files.read(wanted.inputs)
        except FileError as error:
            raise Refused("E_RUNNER_INPUTS", f"cannot read the inputs {wanted.inputs}") from error
        if row_bytes and (not inputs or len(inputs) % row_bytes):
            raise Refused(
                "E_RUNNER_INPUTS",
                f"the inputs have {len(inputs)} bytes, which is no multiple of the {row_bytes} bytes that one sample takes",
            )
        count = len(inputs) // row_bytes if row_bytes else 1
    if wanted.outputs is None:
        return
    rest_us = (count - 1) * run.device.options.shape.median_us
    run.draw.now_us += rest_us
    run.spend(rest_us, wanted.threads)
    outputs = _golden(run.device, wanted.inputs)
    if outputs is None:
        outputs = _made_up(inputs, row_bytes, count, tensors)
    if run.fault == "wrong-outputs":
        outputs = spoiled(outputs, tensors.outputs, run.number)
    _write(run, wanted.outputs, outputs)


def _made_up(inputs: bytes, row_bytes: int, count: int, tensors: Tensors) -> bytes:
    if count == 1:
        return made_up(tensors.outputs, inputs)
    rows = (inputs[at * row_bytes : (at + 1) * row_bytes] for at in range(count))
    return b"".join(made_up(tensors.outputs, row) for row in rows)


def _golden(device: SimDevice, inputs: str | None) -> bytes | None:
    """A release has the outputs that belong to its golden inputs beside them."""
    folder, _, name = (inputs or "").rpartition("/")
    beside = device.files.look(f"{folder}/outputs.bin") if name == "inputs.bin" else None
    return beside.blob.data if isinstance(beside, File) else None


def _measure(run: _Run, wanted: argparse.Namespace) -> tuple[Floats, int]:
    """The timed iterations, and how many came before them untimed."""
    take = _empty_bodies if wanted.empty_body else run.draw.take
    budget_us = wanted.max_seconds * 1e6
    warmed = _until(take, wanted.warmup_iterations, 0.0, budget_us / 2) if wanted.warmup_iterations else None
    warm_us = float(warmed.sum()) if warmed is not None else 0.0
    samples = _until(take, wanted.iterations, wanted.min_seconds * 1e6, max(0.0, budget_us - warm_us))
    run.spend(warm_us + float(samples.sum()), wanted.threads)
    return samples, warmed.size if warmed is not None else 0


def _empty_bodies(count: int) -> Floats:
    return np.full(count, EMPTY_BODY_US)


def _until(take: Callable[[int], Floats], least: int, least_us: float, most_us: float) -> Floats:
    """At least `least` and at least `least_us`, and none begun after `most_us`; one always."""
    parts: list[Floats] = []
    done, done_us, each_us = 0, 0.0, 0.0
    while True:
        by_time = math.ceil((min(least_us, most_us) - done_us) / each_us) + 1 if each_us else 16
        part = take(min(LARGEST_TAKE, max(1, least - done, by_time if least_us else 0)))
        ends_us = done_us + np.cumsum(part)
        counts = done + np.arange(1, part.size + 1)
        over = (ends_us >= most_us) | ((counts >= least) & (ends_us >= least_us))
        if over.any():
            return np.concatenate([*parts, part[: int(over.argmax()) + 1]])
        parts.append(part)
        done, done_us = done + part.size, float(ends_us[-1])
        each_us = done_us / done


def _memory(size: int, samples: int) -> dict[str, int | None]:
    added = round(size * ARENA_SHARE)
    end = RUNTIME_BYTES + added
    return {
        "rss_start_bytes": START_BYTES,
        "rss_runtime_bytes": RUNTIME_BYTES,
        "rss_loaded_bytes": end,
        "rss_end_bytes": end,
        "model_delta_bytes": added,
        "peak_rss_bytes": end + 8 * samples,
        "pss_bytes": end,
        "rss_first_bytes": end if size else None,
        "pss_start_bytes": START_BYTES,
        "pss_loaded_bytes": end if size else None,
        "pss_first_bytes": end if size else None,
    }


def _write(run: _Run, path: str, data: bytes) -> None:
    try:
        run.device.files.write(path, data, 0o644)
    except FileError as error:
        reason = _WORDS.get(error.errno, describe(error.errno))
        raise Refused("E_RUNNER_FILE", f"cannot write {path}: {reason}") from error
