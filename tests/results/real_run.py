"""Measures something real, so that the tests of store and report stand on numbers that a machine gave.

`python real_run.py --child ITERATIONS SIZE` is one launch: it multiplies two float32 matrices and prints one
JSON line. `measure` starts several of them, one after the other, and makes a record of what they said. While
they run, a thread reads the load, the child's memory and, where this machine has them, heat and clocks.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path

from edgekit import records as r
from edgekit.clock import utc_now
from edgekit.stats import summarize

PERIOD_S = 0.02


def child(iterations: int, size: int) -> None:
    begin = time.perf_counter_ns()
    import numpy as np

    loaded = time.perf_counter_ns()
    random = np.random.default_rng(7)
    a, b = (random.random((size, size), dtype=np.float32) for _ in range(2))
    out = np.empty_like(a)
    made = time.perf_counter_ns()
    np.matmul(a, b, out=out)
    first = time.perf_counter_ns()
    samples = np.empty(iterations)
    for i in range(iterations):
        before = time.perf_counter_ns()
        np.matmul(a, b, out=out)
        samples[i] = (time.perf_counter_ns() - before) / 1000
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    said = {
        "dlopen_us": (loaded - begin) / 1000,
        "model_us": (made - loaded) / 1000,
        "first_us": (first - made) / 1000,
        "peak_rss": int(status["VmHWM"].split()[0]) * 1024,
        "bytes": 2 * a.nbytes,
        "voluntary": int(status["voluntary_ctxt_switches"]),
        "involuntary": int(status["nonvoluntary_ctxt_switches"]),
        "samples": samples.tolist(),
    }
    print(json.dumps(said))


class Telemetry(threading.Thread):
    """Reads this machine's state every 20 ms until stopped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.points: list[r.TelemetryPoint] = []
        self.pid: int | None = None
        self._stop_asked = threading.Event()
        sys_files = Path("/sys")
        self._files = [
            (f"{zone.parent.name}", zone, "mC") for zone in sys_files.glob("class/thermal/thermal_zone*/temp")
        ] + [
            (f"cpu {policy.parent.name[6:]}", policy, "kHz")
            for policy in sys_files.glob("devices/system/cpu/cpufreq/policy*/scaling_cur_freq")
        ]

    def run(self) -> None:
        while not self._stop_asked.wait(PERIOD_S):
            now_us = time.monotonic_ns() / 1000
            load = float(Path("/proc/loadavg").read_text().split()[0])
            self.points.append(r.TelemetryPoint(now_us, "load, 1 min", load, "1", "/proc/loadavg"))
            for name, path, unit in self._files:
                try:
                    value = float(path.read_text())
                except (OSError, ValueError):
                    value = float("nan")
                self.points.append(r.TelemetryPoint(now_us, name, value, unit, str(path)))
            try:
                pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
            except (OSError, IndexError):
                continue
            if not pages:  # between its end and its being waited for
                continue
            rss = pages * os.sysconf("SC_PAGESIZE")
            self.points.append(r.TelemetryPoint(now_us, "resident memory", rss, "bytes", "/proc/PID/statm"))

    def stop(self) -> None:
        self._stop_asked.set()
        self.join()


def measure(launches: int = 5, iterations: int = 1500, size: int = 64) -> tuple[r.Record, r.Samples]:
    """A record of `launches` real processes. One BLAS thread: so the numbers are of one kind."""
    argv = [sys.executable, __file__, "--child", str(iterations), str(size)]
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    started_at = utc_now()
    telemetry = Telemetry()
    telemetry.start()
    said = []
    try:
        for _ in range(launches):
            start_us = time.monotonic_ns() / 1000
            with subprocess.Popen(argv, stdout=subprocess.PIPE, env=env) as process:
                telemetry.pid = process.pid
                out, _err = process.communicate(timeout=120)
                assert process.returncode == 0
            wall_us = time.monotonic_ns() / 1000 - start_us
            said.append({**json.loads(out), "start_us": start_us, "wall_us": wall_us})
    finally:
        telemetry.stop()
    samples = r.Samples.of([one["samples"] for one in said], telemetry.points)
    latency = summarize(
        samples.launches,
        first_inference_us=[one["first_us"] for one in said],
        load_us=[one["dlopen_us"] + one["model_us"] for one in said],
    )
    return _record(started_at, argv, size, said, latency), samples


def _record(
    started_at: str, argv: list[str], size: int, said: list[dict[str, float]], latency: r.Latency
) -> r.Record:
    import numpy as np

    cpu = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line)
    load = float(Path("/proc/loadavg").read_text().split()[0])
    return r.Record(
        id=r.new_id(),
        started_at=started_at,
        edgekit_version="0.1.0",
        model=r.Model(name=f"matmul-{size}", version="1", format="numpy", size_bytes=int(said[0]["bytes"])),
        device=r.Device(
            address="local:",
            model=cpu.split(":")[1].strip(),
            abi=platform.machine(),
            os=platform.system(),
            kernel=platform.release(),
            cpu_count=os.cpu_count(),
        ),
        runtime=r.Runtime(
            name="numpy",
            version=np.__version__,
            argv=("python", *Path(argv[1]).parts[-1:], *argv[2:]),
            env={"OPENBLAS_NUM_THREADS": "1"},
            requested_accelerator="cpu",
            actual_accelerator="cpu",
        ),
        plan=r.Plan(launches=len(said), threads=1, iterations=int(argv[3]), seed=7),
        conditions=r.BeforeAfter(after=r.Conditions(load_1min=load)),
        latency=latency,
        memory=r.Memory(peak_rss=max(int(one["peak_rss"]) for one in said)),
        verdict=r.Verdict(state="valid", notes=("governor and temperature are not known on this machine",)),
        launches=tuple(
            r.Launch(
                index=i,
                order=i,
                seed=7,
                exit_code=0,
                start_us=one["start_us"],
                wall_us=one["wall_us"],
                load=r.LoadTimes(dlopen_us=one["dlopen_us"], model_us=one["model_us"]),
                load_us=one["dlopen_us"] + one["model_us"],
                first_inference_us=one["first_us"],
                median_us=float(np.median(one["samples"])),
                count=len(one["samples"]),  # type: ignore[arg-type]
                memory=r.LaunchMemory(peak_rss_bytes=int(one["peak_rss"])),
                usage=r.Usage(
                    voluntary_switches=int(one["voluntary"]), involuntary_switches=int(one["involuntary"])
                ),
            )
            for i, one in enumerate(said)
        ),
    )


if __name__ == "__main__":
    assert sys.argv[1] == "--child"
    child(int(sys.argv[2]), int(sys.argv[3]))
