"""Boards for tests: constructed trees of /sys, whose sensors follow what runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import MODEL, edgekit
from tests.meters import trees

LAUNCHES = ("--launches", "3", "--iterations", "20", "--min-seconds", "1.2", "--warmup-iterations", "2")

measures = pytest.mark.flaky(reruns=3, reruns_delay=3)
"""Energy is asserted: where tests beside it took the processor, the meter was read too late, which edgekit says and
refuses. Then it is measured again; what is wrong in edgekit is so each time."""


def _launched(root: Path | str) -> bool:
    """Whether a runner of the device with this root is at work."""
    mark = os.fsencode(root)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(word.startswith(mark) and b"/samples-" in word for word in words):
                return True
    return False


@contextmanager
def loaded(root: Path | str, tell: Callable[[bool, float], None]) -> Iterator[None]:
    """Call `tell(busy, seconds since the last)` again and again: the other end of the sensors."""
    stop = threading.Event()

    def work() -> None:
        last = os.times().elapsed
        while not stop.wait(0.01):
            now = os.times().elapsed
            tell(_launched(root), now - last)
            last = now

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


def in_place(path: Path, text: str) -> None:
    """In one write and of one length, as the agent keeps its files open."""
    with path.open("r+b", buffering=0) as file:
        file.write(text.encode())


class Board:
    """A device of edgekit.yaml called `it`, with another one's /sys: this machine with a sysroot, or one at `address`
    that sees `tree`/sys as its /sys."""

    def __init__(self, folder: Path, address: str | None = None, root: str | None = None) -> None:
        self.folder = folder
        self.tree = folder / "tree"
        self.root = root or str(folder / "device")
        self.where = f'address: "{address or "local:"}"' + ("" if address else f', sysroot: "{self.tree}"')

    def shows(self, tree: Mapping[str, str], profile: str = "") -> None:
        trees.write(tree, self.tree)
        (self.folder / "mine.yaml").write_text(
            f"schema: edgekit.profile/1\nname: mine\nextends: host-x86-64\n{profile}"
        )
        (self.folder / "edgekit.yaml").write_text(
            f'devices:\n  it: {{{self.where}, root: "{self.root}", profile: mine.yaml}}\n'
        )

    def bench(self, *more: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
        done = edgekit("bench", MODEL, "-d", "it", *LAUNCHES, *more, "--json", cwd=self.folder, env=env)
        record: dict[str, Any] = done.json()
        assert "error" not in record, record
        return record


def check_energy(
    record: dict[str, Any], meter: str, added_mw: float, idle_mw: float, *, costs: bool = True
) -> None:
    """What the load added, for the mean time of an inference. As wide as a busy machine makes the edges of the load; a wrong
    unit, sign or rail is far outside."""
    energy = record["energy"]
    assert energy.get("meter") == meter, energy
    assert energy["idle_power_mw"] == pytest.approx(idle_mw, rel=0.05)
    assert energy["mean_power_mw"] == pytest.approx(idle_mw + added_mw, rel=0.08)
    mean_us = sum(one["wall_us"] for one in record["launches"]) / record["latency"]["count"]
    assert energy["per_inference_uj"] == pytest.approx(added_mw * mean_us / 1000, rel=0.12)
    low, high = energy["ci95_uj"]
    assert low <= energy["per_inference_uj"] <= high
    assert not costs or energy["sample_cost_us"] > 0


class Pixel:
    """The file of ODPM's counters: four rails with `idle_mw` each, and `busy_mw` each while something runs."""

    def __init__(self, file: Path, idle_mw: float, busy_mw: float) -> None:
        self.file = file
        self.idle_mw, self.busy_mw = idle_mw, busy_mw
        self.energy_uj = 1e9
        file.write_text(self.text())

    def text(self) -> str:
        with Path("/proc/uptime").open() as uptime:
            ms = f"{float(uptime.read().split()[0]) * 1000:012.0f}"
        rails = [f"CH{n}(T={ms})[RAIL{n}], {self.energy_uj:012.0f}" for n in (0, 3, 4, 5)]
        return "\n".join([f"t={ms}", *rails]) + "\n"

    def tell(self, busy: bool, seconds: float) -> None:
        self.energy_uj += seconds * (self.busy_mw if busy else self.idle_mw) * 1000
        in_place(self.file, self.text())
