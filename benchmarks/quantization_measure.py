"""How exact and how fast the files of benchmarks/quantization.py are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import edgekit
from benchmarks.quantization_data import Images, Part
from benchmarks.quantization_judge import Lost
from benchmarks.quantization_models import Logits
from benchmarks.quantization_tools import shaped
from edgekit.benchmarking import BenchOptions
from edgekit.benchmarking.race import race
from edgekit.config import Config, DeviceEntry
from edgekit.conversion.extras import quiet
from edgekit.deployment import Release, release_on_device
from edgekit.devices import Device
from edgekit.profiles import load_profile

NAME = "quantization-benchmark"
_ITERATIONS, _WARMUP = 5, 5


def lost(path: Path, part: Part, reference: Logits) -> Lost:
    found = _tflite_logits(path, part.images) if path.suffix == ".tflite" else _onnx_logits(path, part.images)
    guesses = found.argmax(axis=1)
    return Lost(
        correct=int((guesses == part.labels).sum()),
        flips=int((guesses != reference.argmax(axis=1)).sum()),
        rms=float(np.sqrt(np.mean((found.astype(np.float64) - reference) ** 2))),
        samples=len(part),
    )


def _tflite_logits(path: Path, images: Images) -> Logits:
    from ai_edge_litert.interpreter import Interpreter

    with quiet():
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
    given, wanted = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    found = []
    for image in images:
        interpreter.set_tensor(given["index"], _stored(image[None], given))
        interpreter.invoke()
        found.append(_real(interpreter.get_tensor(wanted["index"]), wanted))
    return np.concatenate(found)


def _stored(values: Images, detail: Any) -> Any:
    if detail["dtype"] == np.float32:
        return values
    scale, zero = detail["quantization"]
    limits = np.iinfo(detail["dtype"])
    return np.clip(np.rint(values / scale + zero), limits.min, limits.max).astype(detail["dtype"])


def _real(values: Any, detail: Any) -> Logits:
    if detail["dtype"] == np.float32:
        return np.asarray(values)
    scale, zero = detail["quantization"]
    return ((values.astype(np.float32) - zero) * np.float32(scale)).astype(np.float32)


def _onnx_logits(path: Path, images: Images) -> Logits:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: shaped(image[None], "onnx")})[0] for image in images])


@contextmanager
def this_machine(folder: Path) -> Iterator[Device]:
    """As a device, with a folder of its own."""
    config = Config(devices={"it": DeviceEntry(address="local:", root=str(folder / "device"))})
    with edgekit.connect("it", config=config) as device:
        yield device


def options_for(rounds: int, seconds: float, seed: int) -> BenchOptions:
    """One thread on one processor."""
    return BenchOptions(
        launches=rounds,
        min_seconds=seconds,
        iterations=_ITERATIONS,
        warmup_iterations=_WARMUP,
        threads=1,
        cpus=str(max(os.sched_getaffinity(0))),
        seed=seed,
        meter="none",
        cool=False,
    )


@dataclass(frozen=True)
class Raced:
    """`latency_us`: geometric mean of the launches' medians; None with the reason where it did not run."""

    latency_us: float | None
    failed: str = ""


def latencies(paths: Sequence[Path], device: Device, options: BenchOptions) -> list[Raced]:
    """All files interleaved, the first one twice: its second figure, the A/A row, is the last of the result."""
    profile = load_profile("host-x86-64")
    placed: list[Release | str] = []
    try:
        for path in (*paths, paths[0]):
            placed.append(_put(path, device))
        runs = [one for one in placed if isinstance(one, Release)]
        laps = iter(race(runs, device, profile=profile, options=options))
        found = []
        for one in placed:
            if isinstance(one, str):
                found.append(Raced(None, one))
            else:
                lap = next(laps)
                found.append(Raced(lap.median_us, lap.failed or ""))
        return found
    finally:
        edgekit.remove(device, NAME)


def _put(path: Path, device: Device) -> Release | str:
    try:
        sent = edgekit.push(path, device, name=NAME, activate=False, smoke=False)
    except edgekit.errors.EdgekitError as error:
        return f"{error.code}: {error.message}"
    return release_on_device(device, sent.name, sent.version)
