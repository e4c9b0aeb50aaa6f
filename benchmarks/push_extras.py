"""What benchmarks/push.py measures beside single pushes: the clocks apart, many devices at once, memory."""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import edgekit
from benchmarks.push_links import AdbPlace, Place, SshPlace
from benchmarks.push_models import Draw, write_model
from benchmarks.push_table import header, megabytes, ratio, row, seconds_text
from benchmarks.push_ways import NAME, failed
from edgekit.config import Config, DeviceEntry
from edgekit.devices import Device

MANY_MB = {"loopback": 25, "100mbit": 5, "20mbit": 1}
BIG_BYTES, BIG_NEEDS_BYTES = 2_000_000_000, 7_000_000_000
_DEADLINE_S = 900.0


def clocks(place: Place, folder: Path, rounds: int) -> str:
    """Each round begins with an empty folder on the device; its steps are in the order of the table."""
    took: dict[str, list[float]] = {}
    for index in range(rounds):
        for step, seconds in _clock_round(place, folder, index).items():
            took.setdefault(step, []).append(seconds)
    lines = [header("step (1 MB)", "median s", "all rounds, s")]
    for step, values in took.items():
        lines.append(row(step, seconds_text(statistics.median(values)), " ".join(map(seconds_text, values))))
    return f"{place.kind.title}, the clocks apart:\n\n" + "\n".join(lines) + "\n"


def _clock_round(place: Place, folder: Path, index: int) -> dict[str, float]:
    config = _config(place, [f"clock-{index}"])
    took: dict[str, float] = {}
    steps = (
        ("connect, agent put first", None),
        ("connect, agent there", None),
        ("push, runtime put first, smoke run", True),
        ("push, runtime there, smoke run", True),
        ("push, no smoke run", False),
    )
    with ExitStack() as stack:
        for number, (step, smoke) in enumerate(steps):
            if smoke is None:
                begin = time.perf_counter()
                device = stack.enter_context(edgekit.connect("device-0", config=config))
                took[step] = time.perf_counter() - begin
                continue
            model = write_model(
                folder / "clock.tflite", 1_000_000, Draw(7000 + 10 * index + number), int8=False
            )
            begin = time.perf_counter()
            said = edgekit.push(model, device, name=NAME, smoke=smoke)
            took[step] = time.perf_counter() - begin
            for clock in ("bootstrap", "transfer", "smoke"):
                took[f"{step}: {clock}"] = float(getattr(said, f"{clock}_seconds"))
    return took


def _config(place: Place, roots: Sequence[str]) -> Config:
    """`device-0`, `device-1`, ...: one device, seen as many by their folders there."""
    above = "/data/local/tmp/" if isinstance(place, AdbPlace) else ""
    return Config(
        devices={
            f"device-{number}": DeviceEntry(address=place.address, root=above + root)
            for number, root in enumerate(roots)
        }
    )


def many(place: SshPlace, folder: Path, count: int, rounds: int, order: random.Random) -> str:
    """So many pushes of one file at once, to one sshd that stands for as many devices."""
    size_mb = MANY_MB[place.kind.name]
    config = _config(place, [f"many-{number}" for number in range(count)])
    _write_settings(config)
    masters = [place.new_master() for _ in range(count)]
    seconds: dict[str, list[float]] = {}
    with ExitStack() as stack:
        devices = [
            stack.enter_context(edgekit.connect(f"device-{number}", config=config)) for number in range(count)
        ]
        ways: dict[str, Callable[[Path], None]] = {
            "scp": lambda model: _scp(place, model, [None] * count),
            "scp A/A": lambda model: _scp(place, model, [None] * count),
            "scp, reused connections": lambda model: _scp(place, model, masters),
            "scp, reused connections A/A": lambda model: _scp(place, model, masters),
            "edgekit push -d ... -d ...": lambda model: _command(model, count),
            "edgekit.push in threads": lambda model: _threads(model, devices),
        }
        for index in range(rounds + 1):  # the first does not count
            model = write_model(folder / "many.tflite", size_mb * 1_000_000, Draw(9000 + index), int8=False)
            for name in order.sample(list(ways), len(ways)):
                os.sync()
                begin = time.perf_counter()
                ways[name](model)
                took = time.perf_counter() - begin
                if name.startswith("edgekit"):
                    for device in devices:
                        edgekit.remove(device, NAME)
                if index:
                    seconds.setdefault(name, []).append(took)
    lines = [header("way", "median s of all", "MB/s of all", "its time / edgekit's")]
    for name in ways:
        middle = statistics.median(seconds[name])
        ours = "edgekit.push in threads" if "reused" in name else "edgekit push -d ... -d ..."
        against = "" if name.startswith("edgekit") else ratio(seconds[name], seconds[ours])
        lines.append(row(name, seconds_text(middle), f"{count * size_mb / middle:.0f}", against))
    return f"{place.kind.title}, {count} devices at once, {size_mb} MB each:\n\n" + "\n".join(lines) + "\n"


def _write_settings(config: Config) -> None:
    """For the command, which reads edgekit.yaml; JSON is YAML."""
    path = Path(os.environ["XDG_CONFIG_HOME"]) / "edgekit" / "edgekit.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = {
        name: {"address": entry.address, "root": entry.root}
        for name, entry in config.devices.items()
        if isinstance(entry, DeviceEntry)
    }
    path.write_text(json.dumps({"devices": entries}), encoding="utf-8")


def _scp(place: SshPlace, model: Path, masters: Sequence[Path | None]) -> None:
    login = f"{place.server.user}@{place.server.host}"
    common = ["scp", "-q", "-F", str(place.client.config), "-P", str(place.server.port)]
    started = [
        subprocess.Popen(
            [*common, "-o", f"ControlPath={master or 'none'}", str(model), f"{login}:many-{number}.tflite"],
            stdin=subprocess.DEVNULL,
        )
        for number, master in enumerate(masters)
    ]
    until = time.monotonic() + _DEADLINE_S
    try:
        codes = [process.wait(timeout=max(0.1, until - time.monotonic())) for process in started]
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
                process.wait(timeout=10)
    if any(codes):
        raise SystemExit(f"of {len(codes)} scp at once some failed: {codes}")


def _command(model: Path, count: int) -> None:
    argv = [
        str(Path(sys.executable).parent / "edgekit"),
        "push",
        str(model),
        "--name",
        NAME,
        "--no-smoke",
        "--json",
    ]
    for number in range(count):
        argv += ["-d", f"device-{number}"]
    done = subprocess.run(argv, capture_output=True, timeout=_DEADLINE_S, check=False)
    if done.returncode:
        raise failed(argv, done)


def _threads(model: Path, devices: Sequence[Device]) -> None:
    with ThreadPoolExecutor(len(devices)) as pool:
        results = list(pool.map(lambda device: edgekit.push(model, device, name=NAME, smoke=False), devices))
    if any(result.method == "unchanged" for result in results):
        raise SystemExit("a device had the file already")


_CHILD = """
import json, sys
import edgekit

def kib(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key + ":"))

small, big, address, name = sys.argv[1:]
with edgekit.connect(address) as device:
    edgekit.push(small, device, name=name, smoke=False)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak begins anew
    idle = kib("VmRSS")
    said = edgekit.push(big, device, name=name, smoke=False)
    print(json.dumps({"idle": idle * 1024, "peak": kib("VmHWM") * 1024, "seconds": said.seconds}))
"""


def memory(place: SshPlace, folder: Path) -> str:
    """Peak resident memory of a process that pushes 2 GB, above what it was after a small push."""
    if shutil.disk_usage(folder).free < BIG_NEEDS_BYTES:
        return "no room for a file of 2 GB and its copy: memory was not measured\n"
    small = write_model(folder / "small.tflite", 1_000_000, Draw(1), int8=False)
    big = write_model(folder / "big.tflite", BIG_BYTES, Draw(2), int8=False)
    try:
        argv = [sys.executable, "-c", _CHILD, str(small), str(big), place.address, NAME]
        done = subprocess.run(argv, capture_output=True, timeout=_DEADLINE_S, check=False)
        if done.returncode:
            raise failed(argv, done)
    finally:
        big.unlink()
    said = json.loads(done.stdout)
    with edgekit.connect(place.address) as device:
        edgekit.remove(device, NAME)
    return (
        f"A push of {BIG_BYTES / 1e9:.0f} GB took {said['seconds']:.1f} s and at most {megabytes(said['peak'] - said['idle'])}"
        f" MB of memory above the {megabytes(said['idle'])} MB that the process had before.\n"
    )
