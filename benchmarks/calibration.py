#!/usr/bin/env python3
"""What calibration over all samples costs in memory and time (B2-b3): peak memory of a conversion for 100 and for 10,000
samples, each as a process of its own.

    .venv-test/bin/python benchmarks/calibration.py [--net mobilenet] [--to tflite] [--method min-max] [--kind npz] [--few 100] [--many 10000]

Promise: the peak for 10,000 samples is at most 1.1 x that for 100. Peak memory is the process' own high-water mark
(VmHWM). `--kind`: npz (stored), npz-packed (compressed), function. The same data twice gives the same bytes: the model's
sha256 of two runs over the many samples is compared.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from edgekit.events import ignore  # noqa: E402

PROMISE = 1.1
_ONE_RUN = """
import json, sys, time
from edgekit.conversion import ConvertOptions, convert
model, data, to, method, output = sys.argv[1:]
began = time.monotonic()
options = ConvertOptions(
    recipe="int8-static", to=to, calibration=data, calibration_method=method, trust=True, cache=False
)
made = convert(model, options=options, output=output)
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({
    "peak_kib": peak, "seconds": time.monotonic() - began, "phases": made.seconds,
    "samples": made.artifact.manifest.ranges.samples, "sha256": made.artifact.manifest.model.sha256,
}))
"""
_FUNCTION = """
import numpy as np
def samples():
    rng = np.random.default_rng(8)
    for _ in range({count}):
        yield rng.random({shape}, dtype=np.float32)
"""


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, spec = _model(options.net, folder)
        found: dict[int, dict[str, Any]] = {}
        for count in (options.few, options.many):
            data = _data(options.kind, spec, count, folder)
            found[count] = _run(model, data, options, folder)
            if count == options.many:
                same = _run(model, data, options, folder)["sha256"] == found[count]["sha256"]
    ratio = found[options.many]["peak_kib"] / found[options.few]["peak_kib"]
    for count, one in found.items():
        print(
            f"{one['samples']:>6} samples: peak {one['peak_kib'] / 1024:7.1f} MiB, {one['seconds']:6.1f} s,"
            f" convert {one['phases']['convert']:.1f} s"
        )
        assert one["samples"] == count
    print(
        f"{options.net} to {options.to}, {options.method}, {options.kind}: {ratio:.3f} x (promise {PROMISE} x)"
    )
    print(f"the same bytes twice: {'yes' if same else 'NO'}")
    return 0 if ratio <= PROMISE and same else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--net", default="mobilenet")
    parser.add_argument("--to", default="tflite")
    parser.add_argument("--method", default="min-max")
    parser.add_argument("--kind", default="npz", choices=["npz", "npz-packed", "function"])
    parser.add_argument("--few", type=int, default=100)
    parser.add_argument("--many", type=int, default=10_000)
    return parser.parse_args()


def _model(net: str, folder: Path) -> tuple[Path, Any]:
    """In a format that its own target takes as it is: no framework's memory in the figures."""
    from edgekit.conversion.sources.base import LoadOptions, find_source
    from tests.conversion.nets import build

    source = "onnx" if "--to" in sys.argv and sys.argv[sys.argv.index("--to") + 1] == "onnx" else "tflite"
    path = build(net, source, folder)
    (spec,) = find_source(str(path)).load(str(path), LoadOptions(False, {}, ignore)).signature.inputs
    return path, spec


def _data(kind: str, spec: Any, count: int, folder: Path) -> str:
    shape = spec.fixed_shape()
    if kind == "function":
        module = folder / f"calibration_of_{count}.py"
        module.write_text(_FUNCTION.format(count=count, shape=shape))
        return f"{module.stem}:samples"
    import zipfile

    path, rng = folder / f"{count}.npz", np.random.default_rng(8)
    how = zipfile.ZIP_DEFLATED if kind == "npz-packed" else zipfile.ZIP_STORED
    with (
        zipfile.ZipFile(path, "w", how) as archive,
        archive.open(f"{spec.name}.npy", "w", force_zip64=True) as out,
    ):
        header = {"descr": "<f4", "fortran_order": False, "shape": (count, *shape)}
        np.lib.format.write_array_header_1_0(out, header)
        for _ in range(count):
            out.write(rng.random(shape, dtype=np.float32).tobytes())
    return str(path)


def _run(model: Path, data: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    command = [
        sys.executable,
        "-c",
        _ONE_RUN,
        str(model),
        data,
        options.to,
        options.method,
        str(folder / "o.ekm"),
    ]
    import os

    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    began = time.monotonic()
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=3600, env=environment, cwd=folder, check=False
    )
    if done.returncode:
        raise SystemExit(f"failed after {time.monotonic() - began:.0f} s: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    raise SystemExit(main())
