"""One launch, whatever the runtime: options, outputs, the timed loop, the answer (docs/runner.md).

It lies beside the small script of a runtime on a board and is written for Python 3.7 and later: a board has the Python
it has. Nothing but numpy is needed, and that only once a model is loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from array import array
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:  # on the board the files lie side by side
    from collections.abc import Callable
    from typing import Protocol

    from edgekit.runtimes.board import board_process as process
    from edgekit.runtimes.board.board_process import Refused, micros_since, now_ns, write_file
    from edgekit.runtimes.board.board_tensors import Tensor, arrays_of, random_inputs, read_inputs

    class Session(Protocol):
        """One loaded model: what the script of a runtime makes, and this module runs."""

        version: str | None
        inputs: list[Tensor]
        outputs: list[Tensor]
        """Their shapes may be known after the first inference only."""

        def write_inputs(self, arrays: list[Any]) -> None: ...

        def before_each(self) -> None:
            """What has to be done before an inference without being part of it: it is not timed."""

        def run(self) -> None:
            """One inference. Raises Refused E_MODEL_RUN."""

        def read_outputs(self) -> bytes: ...

else:
    import board_process as process
    from board_process import Refused, micros_since, now_ns, write_file
    from board_tensors import arrays_of, random_inputs, read_inputs

SCHEMA = "edgekit.runner/1"
FIRST_CAPACITY = 16384
MASK = (1 << 64) - 1
MANY = 100_000_000


class Loading:
    """The steps of getting a model ready, as a session reports them."""

    def __init__(self) -> None:
        self.times: dict[str, Any] = dict.fromkeys(("dlopen_us", "environment_us", "model_us", "compile_us"))
        self.memory: dict[str, Any] = dict.fromkeys(
            ("rss_start_bytes", "rss_runtime_bytes", "rss_loaded_bytes")
        )
        self._begin_ns = now_ns()

    def begin(self) -> None:
        self._begin_ns = now_ns()

    def end(self, step: str) -> None:
        """`step` took the time since the last begin or end."""
        self.times[step] = micros_since(self._begin_ns)
        if step == "dlopen_us":
            self.memory["rss_runtime_bytes"] = process.rss_bytes()
        self._begin_ns = now_ns()


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refused("E_RUNNER_USAGE", message)


def between(convert: Callable[[str], Any], low: int, high: int) -> Callable[[str], Any]:
    def checked(text: str) -> Any:
        value = convert(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"takes {low} to {high}, not '{text}'")
        return value

    return checked


def parse_options(arguments: list[str], times_operators: bool) -> argparse.Namespace:
    parser = Parser(allow_abbrev=False, add_help=False)
    for name in ("library", "model", "inputs", "outputs", "samples", "cpus", "barrier", "op-profile"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--threads", type=between(int, 1, 256), default=1)
    parser.add_argument("--warmup-iterations", type=between(int, 0, MANY), default=1)
    parser.add_argument("--iterations", type=between(int, 1, MANY), default=1)
    parser.add_argument("--min-seconds", type=between(float, 0, 1_000_000), default=0.0)
    parser.add_argument("--max-seconds", type=between(float, 0, 1_000_000), default=600.0)
    parser.add_argument("--seed", type=between(int, 0, MASK), default=0)
    parser.add_argument("--streams", type=between(int, 1, 64), default=1)
    parser.add_argument("--empty-body", action="store_true")
    options = parser.parse_args(arguments)
    if options.samples is None:
        raise Refused("E_RUNNER_USAGE", "--samples FILE is needed")
    if options.max_seconds < options.min_seconds:
        raise Refused("E_RUNNER_USAGE", "--max-seconds is less than --min-seconds")
    if options.model is None and not options.empty_body:
        raise Refused("E_RUNNER_USAGE", "--model PATH is needed")
    if options.op_profile is not None and not times_operators:
        raise Refused("E_RUNNER_USAGE", "this runtime cannot time the operators: no --op-profile")
    if options.op_profile is not None and options.empty_body:
        raise Refused("E_RUNNER_USAGE", "--empty-body has no operators to time")
    return options


def compute_outputs(session: Session, options: argparse.Namespace, memory: dict[str, Any]) -> dict[str, Any]:
    """Every sample once; then the first one's inputs are put back. Microseconds and faults of the first inference."""
    if options.inputs:
        samples = read_inputs(options.inputs, sum(tensor.bytes for tensor in session.inputs))
    else:
        samples = [random_inputs(options.seed, session.inputs)]
    first: dict[str, Any] = {}
    outputs = []
    for packed in samples if options.outputs else samples[:1]:
        session.write_inputs(arrays_of(packed, session.inputs))
        session.before_each()
        before, begin = process.usage(), now_ns()
        session.run()
        if not first:
            first = {"us": micros_since(begin), "faults": process.faults_since(before)}
            memory["rss_first_bytes"], memory["pss_first_bytes"] = process.rss_bytes(), process.pss_bytes()
        outputs.append(session.read_outputs())
    if options.outputs:
        write_file(options.outputs, b"".join(outputs))
    session.write_inputs(arrays_of(samples[0], session.inputs))
    return first


def nothing() -> None:
    """What `--empty-body` times."""


def warm_up(body: Callable[[], None], before_each: Callable[[], None], count: int, until_ns: int) -> int:
    done = 0
    while done < count and now_ns() < until_ns:
        before_each()
        body()
        done += 1
    return done


def timed(
    body: Callable[[], None],
    before_each: Callable[[], None],
    samples: list[int],
    least: tuple[int, int],
    until_ns: int,
) -> int:
    """Times every call of `body`, at least so many and so many nanoseconds of them; gives the time that all took.

    The list is there before: nothing is allocated between the clock reads.
    """
    start, count = now_ns(), 0
    while True:
        before_each()
        begin = now_ns()
        body()
        end = now_ns()
        samples[count] = end - begin
        count += 1
        if end >= until_ns or (count >= least[0] and end - start >= least[1]):
            del samples[count:]
            return end - start
        if count == len(samples):
            samples += [0] * count


def measure(session: Session | None, options: argparse.Namespace) -> tuple[list[int], dict[str, Any]]:
    body, before_each = (session.run, session.before_each) if session else (nothing, nothing)
    begin, budget_ns = now_ns(), int(options.max_seconds * 1e9)
    samples, least = [0] * FIRST_CAPACITY, (options.iterations, int(options.min_seconds * 1e9))
    warm = warm_up(body, before_each, options.warmup_iterations, begin + budget_ns // 2)
    before, cpu_ns, boottime_ns = (
        process.usage(),
        time.process_time_ns(),
        time.clock_gettime_ns(time.CLOCK_BOOTTIME),
    )
    wall_ns = timed(body, before_each, samples, least, begin + budget_ns)
    cpu_us = (time.process_time_ns() - cpu_ns) / 1e3
    return samples, {
        "iterations": len(samples),
        "warmup_iterations": warm,
        "begin_boottime_ns": boottime_ns,
        "wall_us": wall_ns / 1e3,
        "cpu_us": cpu_us,
        "faults": process.faults_since(before),
        "context_switches": process.switches_since(before),
    }


def finish_memory(memory: dict[str, Any]) -> None:
    memory["rss_end_bytes"], memory["pss_bytes"] = process.rss_bytes(), process.pss_bytes()
    memory["peak_rss_bytes"] = process.peak_rss_bytes()
    end, runtime = memory["rss_end_bytes"], memory["rss_runtime_bytes"]
    memory["model_delta_bytes"] = None if end is None or runtime is None else max(0, end - runtime)


def launch(
    name: str, open_session: Callable[..., Any], write_op_profile: Any, options: argparse.Namespace
) -> dict[str, Any]:
    """One launch, from options to the object that is printed."""
    loading, session, first = Loading(), None, {"us": None, "faults": None}
    memory, load_faults = loading.memory, None
    if options.cpus is not None:
        process.pin_to_cpus(options.cpus)
    memory["rss_start_bytes"], memory["pss_start_bytes"] = process.rss_bytes(), process.pss_bytes()
    if not options.empty_body:
        before = process.usage()
        session = open_session(options, loading)
        load_faults = process.faults_since(before)
        memory["rss_loaded_bytes"], memory["pss_loaded_bytes"] = process.rss_bytes(), process.pss_bytes()
        first = compute_outputs(session, options, memory)
    if options.barrier is not None:
        process.barrier_wait(options.barrier, options.streams, options.max_seconds)
    samples, measured = measure(session, options)
    finish_memory(memory)
    write_file(options.samples, array("d", (ns / 1e3 for ns in samples)).tobytes())
    if options.op_profile is not None:
        write_op_profile(session, options.op_profile)
    return {
        "schema": SCHEMA,
        "ok": True,
        "runtime": {"name": name, "version": session.version if session else None},
        "load": loading.times,
        "first_inference_us": first["us"],
        **measured,
        "faults": {"load": load_faults, "first": first["faults"], "steady": measured["faults"]},
        "clock_resolution_ns": round(time.clock_getres(time.CLOCK_MONOTONIC_RAW) * 1e9),
        "memory": memory,
        "actual_accelerator": "cpu" if session else None,
        "fully_accelerated": None,  # none of the runtimes tells
        "threads": options.threads,
        "inputs": [tensor.describe() for tensor in session.inputs] if session else [],
        "outputs": [tensor.describe() for tensor in session.outputs] if session else [],
    }


def main(
    name: str,
    open_session: Callable[[argparse.Namespace, Loading], Session],
    write_op_profile: Callable[[Any, str], None] | None = None,
) -> NoReturn:
    """All that the script of a runtime does. `write_op_profile`: ends the timing of operators that `--op-profile` began
    in a session, and writes what the runtime found; None where it has none."""
    real_stdout = os.fdopen(os.dup(1), "w")  # whatever a library prints goes to stderr
    os.dup2(2, 1)
    try:
        options = parse_options(sys.argv[1:], times_operators=write_op_profile is not None)
        answer = launch(name, open_session, write_op_profile, options)
    except Refused as refused:
        answer = {"schema": SCHEMA, "ok": False, "code": refused.code, "message": str(refused)}
    except MemoryError:
        answer = {"schema": SCHEMA, "ok": False, "code": "E_RUNNER_MEMORY", "message": "no memory"}
    real_stdout.write(json.dumps(answer) + "\n")
    real_stdout.flush()
    # the result is out: a destructor of the library could only turn a good run into a bad exit
    os._exit(0 if answer["ok"] else 1)
