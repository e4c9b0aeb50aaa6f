#!/usr/bin/env python3
"""The runner for boards that have Python with ai_edge_litert or tflite_runtime, and no native runner.

Same options, same files and same JSON line as the native runner (docs/runner.md). It imports nothing of
edgekit and is written for Python 3.7 and later: a board has the Python it has.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import sys
import time
from array import array
from typing import Any, Callable, NoReturn  # noqa: UP035  (collections.abc's cannot be subscripted in 3.7)

SCHEMA = "edgekit.runner/1"
FIRST_CAPACITY = 16384
MASK = (1 << 64) - 1
MANY = 100_000_000
MODULES = (("ai_edge_litert.interpreter", "ai-edge-litert"), ("tflite_runtime.interpreter", "tflite-runtime"))

Detail = Any  # what the Interpreter says about one tensor: a dict with name, index, shape, dtype


class Refused(Exception):
    """A reason not to go on: a stable code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refused("E_RUNNER_USAGE", message)


def now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)


def micros_since(begin_ns: int) -> float:
    return (now_ns() - begin_ns) / 1e3


def between(convert: Callable[[str], Any], low: int, high: int) -> Callable[[str], Any]:
    def checked(text: str) -> Any:
        value = convert(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"takes {low} to {high}, not '{text}'")
        return value

    return checked


def parse_options(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(allow_abbrev=False, add_help=False)
    for name in ("library", "model", "inputs", "outputs", "samples", "cpus", "barrier"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--threads", type=between(int, 1, 256), default=1)
    parser.add_argument("--warmup-iterations", type=between(int, 0, MANY), default=1)
    parser.add_argument("--iterations", type=between(int, 1, MANY), default=1)
    parser.add_argument("--min-seconds", type=between(float, 0, 1_000_000), default=0.0)
    parser.add_argument("--max-seconds", type=between(float, 0, 1_000_000), default=600.0)
    parser.add_argument("--seed", type=between(int, 0, MASK), default=0)
    parser.add_argument("--op-profile")
    parser.add_argument("--streams", type=between(int, 1, 64), default=1)
    parser.add_argument("--empty-body", action="store_true")
    options = parser.parse_args(arguments)
    if options.samples is None:
        raise Refused("E_RUNNER_USAGE", "--samples FILE is needed")
    if options.max_seconds < options.min_seconds:
        raise Refused("E_RUNNER_USAGE", "--max-seconds is less than --min-seconds")
    if options.op_profile is not None:
        raise Refused("E_RUNNER_USAGE", "the Interpreter cannot time the operators: no --op-profile")
    if options.model is None and not options.empty_body:
        raise Refused("E_RUNNER_USAGE", "--model PATH is needed")
    return options


def kilobytes_of(path: str, key: str) -> int | None:
    """A line "Key:  123 kB" of a file of /proc, in bytes; None without the file or the line."""
    try:
        with open(path) as file:
            for line in file:
                if line.startswith(key + ":"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def rss_bytes() -> int | None:
    return kilobytes_of("/proc/self/status", "VmRSS")


def pss_bytes() -> int | None:
    return kilobytes_of("/proc/self/smaps_rollup", "Pss")


def faults_since(before: Any) -> dict[str, int]:
    """Page faults of this process since `before`, an answer of resource.getrusage."""
    now = resource.getrusage(resource.RUSAGE_SELF)
    return {"minor": now.ru_minflt - before.ru_minflt, "major": now.ru_majflt - before.ru_majflt}


def barrier_wait(path: str, streams: int, seconds: float) -> None:
    """Streams begin together: each adds a byte to one file when it is ready, and waits until all of them have."""
    until_ns = now_ns() + int(seconds * 1e9)
    try:
        with open(path, "ab", buffering=0) as file:
            file.write(b"\0")
            while os.fstat(file.fileno()).st_size < streams:
                if now_ns() > until_ns:
                    ready = os.fstat(file.fileno()).st_size
                    message = f"only {ready} of {streams} streams were ready within {seconds:g} s"
                    raise Refused("E_RUNNER_STREAMS", message)
                time.sleep(0.0005)
    except OSError as error:
        raise Refused("E_RUNNER_FILE", f"cannot write the barrier {path}: {error.strerror}") from error


def cpu_list(text: str) -> set[int]:
    """ "0-3,6" as a set. Raises ValueError."""
    wanted: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise ValueError(part)
        span = range(int(first), int(last or first) + 1)
        if not span:
            raise ValueError(part)
        wanted.update(span)
    return wanted


def pin_to_cpus(text: str) -> None:
    try:
        wanted = cpu_list(text)
    except ValueError:
        raise Refused("E_RUNNER_CPUS", f"'{text}' is not a list of processors such as 0-3,6") from None
    try:
        os.sched_setaffinity(0, wanted)
    except (OSError, OverflowError, ValueError) as error:
        raise Refused("E_RUNNER_CPUS", f"cannot run on processors {text}: {error}") from error
    if os.sched_getaffinity(0) != wanted:
        raise Refused("E_RUNNER_CPUS", f"not every processor of {text} is there for this process")


def check_file(path: str) -> None:
    try:
        with open(path, "rb") as file:
            head = file.read(8)
    except OSError as error:
        raise Refused("E_MODEL_MISSING", f"cannot read the model {path}: {error.strerror}") from error
    if len(head) < 8 or head[4:8] != b"TFL3":
        raise Refused("E_MODEL_FORMAT", f"{path} is not a .tflite model: no TFL3 mark at byte 4")


def find_interpreter() -> tuple[Any, str]:
    for module, package in MODULES:
        try:
            return importlib.import_module(module).Interpreter, package
        except ImportError:
            continue
    raise Refused(
        "E_RUNNER_LIBRARY", "this Python has neither ai_edge_litert nor tflite_runtime (with numpy)"
    )


def version_of(package: str) -> str | None:
    try:
        from importlib.metadata import PackageNotFoundError, version
    except ImportError:  # Python 3.7
        return None
    try:
        return version(package)
    except PackageNotFoundError:
        return None


class Session:
    """One loaded model."""

    def __init__(self, options: argparse.Namespace, load: dict[str, Any], memory: dict[str, Any]) -> None:
        check_file(options.model)
        begin = now_ns()
        interpreter_class, self.package = find_interpreter()
        load["dlopen_us"] = micros_since(begin)
        memory["rss_runtime_bytes"] = rss_bytes()
        begin = now_ns()
        try:
            self.interpreter = interpreter_class(model_path=options.model, num_threads=options.threads)
        except (ValueError, RuntimeError) as error:
            raise Refused("E_MODEL_LOAD", f"LiteRT cannot load the model: {error}") from error
        load["model_us"] = micros_since(begin)
        begin = now_ns()
        self.prepare()
        load["compile_us"] = micros_since(begin)
        memory["rss_loaded_bytes"], memory["pss_loaded_bytes"] = rss_bytes(), pss_bytes()

    def prepare(self) -> None:
        """Make the tensors; open dimensions become 1."""
        try:
            for detail in self.interpreter.get_input_details():
                signature = [int(n) for n in detail.get("shape_signature", detail["shape"])]
                if any(n < 0 for n in signature):
                    self.interpreter.resize_tensor_input(detail["index"], [abs(n) for n in signature])
            self.interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            first = (str(error).strip().splitlines() or [""])[0]
            raise Refused("E_MODEL_COMPILE", f"LiteRT cannot prepare the model: {first}") from error
        self.inputs = self.interpreter.get_input_details()
        self.outputs = self.interpreter.get_output_details()
        for detail in self.inputs + self.outputs:
            if dtype_of(detail).kind not in "fiub":
                name = detail["name"]
                raise Refused("E_MODEL_UNSUPPORTED", f"'{name}' is of a type that the runner cannot pass")

    def write_inputs(self, packed: bytes) -> None:
        import numpy

        at = 0
        for detail in self.inputs:
            size = tensor_bytes(detail)
            flat = numpy.frombuffer(packed[at : at + size], dtype=detail["dtype"])
            self.interpreter.set_tensor(detail["index"], flat.reshape(detail["shape"]))
            at += size

    def read_outputs(self) -> bytes:
        return b"".join(self.interpreter.get_tensor(detail["index"]).tobytes() for detail in self.outputs)

    def run(self) -> None:
        try:
            self.interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise Refused("E_MODEL_RUN", f"an inference failed: {error}") from error


def dtype_of(detail: Detail) -> Any:
    import numpy

    return numpy.dtype(detail["dtype"])


def tensor_bytes(detail: Detail) -> int:
    count: int = dtype_of(detail).itemsize
    for n in detail["shape"]:
        count *= int(n)
    return count


def read_inputs(path: str, bytes_each: int) -> list[bytes]:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise Refused("E_RUNNER_INPUTS", f"cannot read the inputs {path}: {error.strerror}") from error
    if not data or not bytes_each or len(data) % bytes_each:
        text = f"the inputs have {len(data)} bytes, which is no multiple of the {bytes_each} bytes that one sample takes"
        raise Refused("E_RUNNER_INPUTS", text)
    return [data[at : at + bytes_each] for at in range(0, len(data), bytes_each)]


def random_bits(seed: int, first: int, count: int) -> Any:
    """splitmix64 of a running index: the same numbers as the native runner's."""
    import numpy

    u64 = numpy.uint64
    with numpy.errstate(over="ignore"):
        z = u64(seed) + numpy.arange(first + 1, first + count + 1, dtype=u64) * u64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> u64(30))) * u64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> u64(27))) * u64(0x94D049BB133111EB)
        return z ^ (z >> u64(31))


def random_tensor(bits: Any, dtype: Any) -> Any:
    """Floats in [0, 1); 8- and 16-bit integers over their whole range; wider ones 0 or 1 (mostly indices)."""
    import numpy

    kind, size = dtype.kind, dtype.itemsize
    if kind == "f":
        digits = {2: 11, 4: 24, 8: 53}[size]
        return ((bits >> numpy.uint64(64 - digits)).astype(numpy.float64) * 2.0**-digits).astype(dtype)
    width = 1 if kind == "b" or size > 2 else 8 * size
    return (bits >> numpy.uint64(64 - width)).astype(f"u{size}").view(dtype)


def random_inputs(seed: int, details: list[Detail]) -> bytes:
    first, parts = 0, []
    for detail in details:
        count = tensor_bytes(detail) // dtype_of(detail).itemsize
        parts.append(random_tensor(random_bits(seed, first, count), dtype_of(detail)).tobytes())
        first += count
    return b"".join(parts)


def compute_outputs(
    session: Session, options: argparse.Namespace, memory: dict[str, Any]
) -> tuple[float, dict[str, int]]:
    """Every sample once; then the first sample's inputs are put back. Microseconds and faults of the first inference."""
    if options.inputs:
        samples = read_inputs(options.inputs, sum(tensor_bytes(detail) for detail in session.inputs))
    else:
        samples = [random_inputs(options.seed, session.inputs)]
    outputs, first_us, faults = [], -1.0, {}
    for packed in samples if options.outputs else samples[:1]:
        session.write_inputs(packed)
        usage, begin = resource.getrusage(resource.RUSAGE_SELF), now_ns()
        session.run()
        if first_us < 0:
            first_us, faults = micros_since(begin), faults_since(usage)
            memory["rss_first_bytes"], memory["pss_first_bytes"] = rss_bytes(), pss_bytes()
        outputs.append(session.read_outputs())
    if options.outputs:
        write_file(options.outputs, b"".join(outputs))
    session.write_inputs(samples[0])
    return first_us, faults


def write_file(path: str, data: bytes) -> None:
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        raise Refused("E_RUNNER_FILE", f"cannot write {path}: {error.strerror}") from error


def warm_up(body: Callable[[], None], count: int, until_ns: int) -> int:
    done = 0
    while done < count and now_ns() < until_ns:
        body()
        done += 1
    return done


def timed(
    body: Callable[[], None], samples: list[int], least: int, least_ns: int, until_ns: int
) -> tuple[int, int]:
    """When the first call began (CLOCK_BOOTTIME) and the time that all took. Times every call of `body`. The list is there before: nothing is allocated between the clock reads."""
    boottime_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    start, count = now_ns(), 0
    while True:
        begin = now_ns()
        body()
        end = now_ns()
        samples[count] = end - begin
        count += 1
        if end >= until_ns or (count >= least and end - start >= least_ns):
            del samples[count:]
            return boottime_ns, end - start
        if count == len(samples):
            samples += [0] * count


def measure(body: Callable[[], None], options: argparse.Namespace) -> tuple[list[int], dict[str, Any]]:
    begin, budget_ns = now_ns(), int(options.max_seconds * 1e9)
    samples, least = [0] * FIRST_CAPACITY, options.iterations
    warm = warm_up(body, options.warmup_iterations, begin + budget_ns // 2)
    before, cpu_ns = resource.getrusage(resource.RUSAGE_SELF), time.process_time_ns()
    boottime_ns, wall_ns = timed(body, samples, least, int(options.min_seconds * 1e9), begin + budget_ns)
    cpu_us = (time.process_time_ns() - cpu_ns) / 1e3
    after = resource.getrusage(resource.RUSAGE_SELF)
    faults = faults_since(before)
    voluntary, involuntary = after.ru_nvcsw - before.ru_nvcsw, after.ru_nivcsw - before.ru_nivcsw
    switches = {"voluntary": voluntary, "involuntary": involuntary}
    result = {"iterations": len(samples), "warmup_iterations": warm, "wall_us": wall_ns / 1e3}
    result["begin_boottime_ns"] = boottime_ns
    return samples, {**result, "cpu_us": cpu_us, "faults": faults, "context_switches": switches}


def describe(detail: Detail) -> dict[str, Any]:
    shape, size = [int(n) for n in detail["shape"]], tensor_bytes(detail)
    return {"name": detail["name"], "dtype": dtype_of(detail).name, "shape": shape, "bytes": size}


def finish_memory(memory: dict[str, Any]) -> None:
    memory["rss_end_bytes"] = rss_bytes()
    memory["peak_rss_bytes"] = kilobytes_of("/proc/self/status", "VmHWM")
    memory["pss_bytes"] = pss_bytes()
    end, loaded = memory["rss_end_bytes"], memory["rss_runtime_bytes"]
    memory["model_delta_bytes"] = None if end is None or loaded is None else max(0, end - loaded)


def launch(options: argparse.Namespace) -> dict[str, Any]:
    """One launch, from options to the object that is printed."""
    load = dict.fromkeys(("dlopen_us", "environment_us", "model_us", "compile_us"))
    memory = dict.fromkeys(("rss_start_bytes", "rss_runtime_bytes", "rss_loaded_bytes"))
    session, first_us = None, None
    faults: dict[str, Any] = {"load": None, "first": None}
    if options.cpus is not None:
        pin_to_cpus(options.cpus)
    memory["rss_start_bytes"], memory["pss_start_bytes"] = rss_bytes(), pss_bytes()
    if not options.empty_body:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        session = Session(options, load, memory)
        faults["load"] = faults_since(usage)
        first_us, faults["first"] = compute_outputs(session, options, memory)
    if options.barrier is not None:
        barrier_wait(options.barrier, options.streams, options.max_seconds)
    samples, measured = measure(session.run if session else lambda: None, options)
    finish_memory(memory)
    write_file(options.samples, array("d", (ns / 1e3 for ns in samples)).tobytes())
    version = version_of(session.package) if session else None
    return {
        "schema": SCHEMA,
        "ok": True,
        "runtime": {"name": "litert-python", "version": version},
        "load": load,
        "first_inference_us": first_us,
        **measured,
        "faults": {**faults, "steady": measured["faults"]},
        "clock_resolution_ns": round(time.clock_getres(time.CLOCK_MONOTONIC_RAW) * 1e9),
        "memory": memory,
        "actual_accelerator": "cpu" if session else None,
        "fully_accelerated": None,  # the Interpreter does not tell
        "threads": options.threads,
        "inputs": [describe(detail) for detail in session.inputs] if session else [],
        "outputs": [describe(detail) for detail in session.outputs] if session else [],
    }


def main() -> NoReturn:
    real_stdout = os.fdopen(os.dup(1), "w")  # whatever a library prints goes to stderr
    os.dup2(2, 1)
    try:
        answer = launch(parse_options(sys.argv[1:]))
    except Refused as refused:
        answer = {"schema": SCHEMA, "ok": False, "code": refused.code, "message": str(refused)}
    except MemoryError:
        answer = {"schema": SCHEMA, "ok": False, "code": "E_RUNNER_MEMORY", "message": "no memory"}
    real_stdout.write(json.dumps(answer) + "\n")
    real_stdout.flush()
    # the result is out: a destructor of the library could only turn a good run into a bad exit
    os._exit(0 if answer["ok"] else 1)


if __name__ == "__main__":
    main()
