#!/usr/bin/env python3
"""What edgekit adds to a conversion (B1-b4): time and peak memory against the tool called by hand, in one run.

    .venv-test/bin/python benchmarks/conversion.py [--rounds 5] [--net mobilenet] [--only onnx-tflite] [--seed 1]

Each round runs, in a random order whose seed is printed, the tool by hand twice (A/A) and edgekit, each as a process of
its own that starts from the file and ends with one. Peak memory is the largest of all processes that took part.
edgekit's time is without what verification took (it says so itself: `phase_seconds.verify`), which has a column of its
own; the tool by hand verifies nothing. `cached` is the whole command when the conversion is known. Promise: time at most
1.1 x + 1 s, memory at most 1.2 x, cached at most 0.5 s.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks.startup import cpu_name, edgekit  # noqa: E402
from edgekit.conversion.isolated import ensure  # noqa: E402
from edgekit.conversion.targets.onnx2tf import ONNX2TF  # noqa: E402
from tests.conversion.nets import build  # noqa: E402

BY_HAND = {
    "torch-tflite": "import sys, torch, litert_torch\n"
    "p = torch.export.load(sys.argv[1])\n"
    "litert_torch.convert(p.module(), p.example_inputs[0]).export(sys.argv[2])",
    "torch-onnx": "import sys, torch\n"
    "p = torch.export.load(sys.argv[1])\n"
    "torch.onnx.export(p, dynamo=True, verbose=False, external_data=False).save(sys.argv[2])",
    "torch-executorch": "import sys, torch\n"
    "from executorch.exir import to_edge_transform_and_lower as lower\n"
    "from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner as P\n"
    "p = torch.export.load(sys.argv[1])\n"
    "open(sys.argv[2], 'wb').write(lower(p, partitioner=[P()]).to_executorch().buffer)",
    "torch-coreml": "import sys, torch, coremltools as ct\n"
    "p = torch.export.load(sys.argv[1]).run_decompositions({})\n"
    "ct.convert(p, compute_precision=ct.precision.FLOAT32, minimum_deployment_target=ct.target.iOS17,"
    " skip_model_load=True).save(sys.argv[2])",
    "keras-tflite": "import sys, keras, tensorflow as tf\n"
    "m = keras.models.load_model(sys.argv[1], compile=False)\n"
    "i = [keras.Input(batch_shape=(1, *t.shape[1:]), dtype=t.dtype, name=t.name) for t in m.inputs]\n"
    "c = tf.lite.TFLiteConverter.from_keras_model(keras.Model(i, m(i)))\n"
    "open(sys.argv[2], 'wb').write(c.convert())",
    "onnx-tflite": "",
}
"""The tools' own few lines, as their manuals have them. onnx2tf is a command."""
SUFFIX = {"tflite": ".tflite", "onnx": ".onnx", "executorch": ".pte", "coreml": ".mlpackage"}


@dataclass
class Run:
    """Figures of one way, a round each."""

    seconds: list[float] = field(default_factory=list)
    verify_seconds: list[float] = field(default_factory=list)
    peak_bytes: list[int] = field(default_factory=list)


def once(argv: list[str], env: dict[str, str], folder: Path) -> tuple[float, int, bytes]:
    """Wall seconds, peak resident bytes of the process and what it waited for, its standard output."""
    with open(folder / "out", "wb") as out, open(folder / "err", "wb") as err:
        start = time.perf_counter()
        process = subprocess.Popen(argv, env=env, stdout=out, stderr=err, cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{argv[:3]} failed: {(folder / 'err').read_text()[-2000:]}")
    return seconds, usage.ru_maxrss * 1024, (folder / "out").read_bytes()


def by_hand(path: str, source: Path, folder: Path, env: dict[str, str]) -> tuple[float, int]:
    target = folder / f"by-hand{SUFFIX[path.partition('-')[2]]}"
    if path == "onnx-tflite":
        tool = ensure(ONNX2TF)
        argv = [str(tool.bin / "onnx2tf"), "-i", str(source), "-o", str(folder / "onnx2tf")]
        env = {**env, "PATH": f"{tool.bin}:{env['PATH']}"}
    else:
        argv = [sys.executable, "-c", BY_HAND[path], str(source), str(target)]
    seconds, peak, _ = once(argv, env, folder)
    return seconds, peak


def measure(path: str, net: str, rounds: int, order: random.Random) -> tuple[dict[str, Run], float]:
    source_format, _, to = path.partition("-")
    runs = {"by hand": Run(), "A/A": Run(), "edgekit": Run()}
    with tempfile.TemporaryDirectory() as name:
        source = build(net, source_format, Path(name))
        env = {**os.environ, "EDGEKIT_CACHE_DIR": f"{name}/cache", "TF_CPP_MIN_LOG_LEVEL": "3"}
        if path == "onnx-tflite":
            env["EDGEKIT_ONNX2TF"] = str(ensure(ONNX2TF).folder)
        command = edgekit("convert", str(source), "--to", to, "--recipe", "float32", "--json")
        for index in range(rounds):
            for way in order.sample(sorted(runs), len(runs)):
                folder = Path(name) / f"{index}-{way.replace('/', '')}"
                folder.mkdir()
                if way == "edgekit":
                    seconds, peak, out = once([*command, "--no-cache", "-o", "o.ekm"], env, folder)
                    verify = json.loads(out)["phase_seconds"]["verify"]
                    runs[way].verify_seconds.append(verify)
                    seconds -= verify
                else:
                    seconds, peak = by_hand(path, source, folder, env)
                runs[way].seconds.append(seconds)
                runs[way].peak_bytes.append(peak)
        folder = Path(name) / "cached"
        folder.mkdir()
        once([*command, "-o", "o.ekm"], env, folder)
        cached = statistics.median(
            once([*command, "-o", "o.ekm"], env, folder)[0] for _ in range(max(5, rounds))
        )
    return runs, cached


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--net", default="mobilenet")
    parser.add_argument("--only", action="append", choices=sorted(BY_HAND))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(
        f"{datetime.date.today()}, {cpu_name()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, Python "
        f"{platform.python_version()}, net {options.net}, {options.rounds} rounds, seed {options.seed}\n"
    )
    print(
        "| path | by hand, s | edgekit / by hand | A/A | edgekit - by hand, s | verification, s | memory | A/A | cached, s |"
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    order = random.Random(options.seed)
    for path in options.only or sorted(BY_HAND):
        runs, cached = measure(path, options.net, options.rounds, order)
        hand, again, ours = runs["by hand"], runs["A/A"], runs["edgekit"]

        def ratio(a: list[float] | list[int], b: list[float] | list[int]) -> float:
            return statistics.median(x / y for x, y in zip(a, b, strict=True))

        more = statistics.median(x - y for x, y in zip(ours.seconds, hand.seconds, strict=True))
        print(
            f"| {path.replace('-', ' to ')} | {statistics.median(hand.seconds):.1f} | {ratio(ours.seconds, hand.seconds):.2f} "
            f"| {ratio(again.seconds, hand.seconds):.2f} | {more:+.1f} | {statistics.median(ours.verify_seconds):.1f} "
            f"| {ratio(ours.peak_bytes, hand.peak_bytes):.2f} | {ratio(again.peak_bytes, hand.peak_bytes):.2f} | {cached:.2f} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
