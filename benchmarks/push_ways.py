"""The ways to push one file that benchmarks/push.py compares: the usual tools, and edgekit three times.

scp, sftp and rsync neither sync the file to the device's disk nor check its bytes there; edgekit's times include both. The tool
`ssh cat, sync, sha256sum` does what edgekit does, by hand; it is shown beside, and never counted as the best tool.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

import edgekit
from benchmarks.push_links import GCM, AdbPlace, Place, SshPlace
from edgekit.cache import sha256_file
from edgekit.devices import Device

NAME = "benchmark"
COMMAND, CONNECTING, OPENED = "edgekit push", "edgekit.connect + push", "edgekit.push"
_FILE = "model.tflite"
_FIXED_SECONDS, _SLOWEST_BYTES_PER_S = 60.0, 20_000
TOOLS = ("scp", "sftp", "rsync", "cat", "checked", "adb")
_TITLES = {"cat": "ssh cat", "checked": "ssh cat, sync, sha256sum"}

Group = Literal["new", "reused"]
"""Whether a connection is made within the measured time."""
GROUPS: tuple[Group, ...] = ("new", "reused")


@dataclass(frozen=True)
class Job:
    """What one measured push does: put `new` where `old` is (None: where nothing is)."""

    old: Path | None
    new: Path

    @property
    def deadline_s(self) -> float:
        return _FIXED_SECONDS + self.new.stat().st_size / _SLOWEST_BYTES_PER_S


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One measured push. `transfer_seconds`: of edgekit, the transfer and its check, without reading the model and asking
    what is there. `sent_bytes`, `round_trips`: as edgekit says. `wire_bytes`: of IP packets, both ways, None where unknown."""

    seconds: float
    transfer_seconds: float | None = None
    sent_bytes: int | None = None
    round_trips: int | None = None
    wire_bytes: int | None = None


class Way(Protocol):
    """`run` measures one push; what comes before and after within it is not measured. Raises SystemExit where the file
    is not on the device afterwards, byte for byte."""

    name: str
    group: Group

    def run(self, job: Job) -> Sample: ...


@dataclass
class ToolWay:
    """A tool by its command line; `argv(source)`, with the source as its input where `as_input`."""

    name: str
    kind: str
    group: Group
    place: Place
    argv: Callable[[Path], list[str]]
    as_input: bool = False
    may_be_best: bool = True

    def run(self, job: Job) -> Sample:
        target = self.place.device_folder / _FILE
        target.unlink(missing_ok=True)
        if job.old is not None:
            shutil.copy2(job.old, target)
        os.sync()
        argv = self.argv(job.new)
        before = self.place.wire_bytes()
        with open(job.new if self.as_input else os.devnull, "rb") as source:
            begin = time.perf_counter()
            done = subprocess.run(
                argv, stdin=source, capture_output=True, timeout=job.deadline_s, check=False
            )
            seconds = time.perf_counter() - begin
        if done.returncode:
            raise failed(argv, done)
        sample = Sample(seconds=seconds, wire_bytes=_since(before, self.place))
        check_arrived(target, job)
        return sample


def _since(before: int | None, place: Place) -> int | None:
    now = place.wire_bytes()
    return None if before is None or now is None else now - before


def failed(argv: list[str], done: subprocess.CompletedProcess[bytes]) -> SystemExit:
    said = (done.stdout + done.stderr).decode("utf-8", "replace").strip()
    return SystemExit(f"{shlex.join(argv)}: exit {done.returncode}: {said[-800:]}")


def check_arrived(target: Path, job: Job) -> None:
    """A tool that is quick because it did not do its work is no tool."""
    if sha256_file(target) != sha256_file(job.new):
        raise SystemExit(f"{target} is not what was pushed")


def ssh_tools(place: SshPlace) -> list[ToolWay]:
    """Every tool over a connection of its own, and over one that is open already (ControlMaster)."""
    server, config = place.server, str(place.client.config)
    login = f"{server.user}@{server.host}"
    tools: list[ToolWay] = []

    def add(group: Group, cipher: str, kinds: tuple[str, ...]) -> None:
        master = str(place.masters[cipher]) if group == "reused" else "none"
        common = ["-F", config, "-o", f"ControlPath={master}", *(["-c", cipher] if cipher else [])]
        port = str(server.port)
        batch = place.folder / "sftp-batch"

        def sftp(source: Path) -> list[str]:
            batch.write_text(f"put {source} {_FILE}\n", encoding="utf-8")
            return ["sftp", "-q", *common, "-P", port, "-b", str(batch), login]

        def rsync(source: Path) -> list[str]:
            shell = shlex.join(["ssh", *common, "-p", port])
            return ["rsync", "-t", "-e", shell, str(source), f"{login}:{_FILE}"]

        def cat(command: str) -> Callable[[Path], list[str]]:
            return lambda source: ["ssh", *common, "-p", port, login, command]

        made = {
            "scp": lambda source: ["scp", "-q", *common, "-P", port, str(source), f"{login}:{_FILE}"],
            "sftp": sftp,
            "rsync": rsync,
            "cat": cat(f"cat > {_FILE}"),
            "checked": cat(f"cat > {_FILE} && sync {_FILE} && sha256sum {_FILE}"),
        }
        for kind in kinds:
            name = _TITLES.get(kind, kind) + (", AES-GCM" if cipher else "")
            as_input, checked = kind in ("cat", "checked"), kind == "checked"
            tools.append(ToolWay(name, kind, group, place, made[kind], as_input, may_be_best=not checked))

    for group in GROUPS:
        add(group, "", ("scp", "sftp", "rsync", "cat"))
        add(group, GCM, ("cat", "checked"))
    return tools


def adb_tools(place: AdbPlace) -> list[ToolWay]:
    """`adb push`: its connection is that of the adb server, which is always open, so it stands in both groups."""

    def argv(source: Path) -> list[str]:
        return [place.host.binary, "-s", place.device.serial, "push", str(source), f"/data/local/tmp/{_FILE}"]

    return [ToolWay(f"adb push {place.kind.adb}", "adb", group, place, argv) for group in GROUPS]


def tools_of(place: Place) -> list[ToolWay]:
    return adb_tools(place) if isinstance(place, AdbPlace) else ssh_tools(place)


@dataclass(frozen=True)
class Pushed:
    """What a push says of itself, by SDK or command."""

    version: str
    bytes_sent: int
    round_trips: int
    transfer_seconds: float

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Pushed:
        return cls(said["version"], said["bytes_sent"], said["round_trips"], said["transfer_seconds"])


@dataclass
class EdgekitWay:
    """edgekit, without the model's smoke run. `device` is open all the time; a way with a connection of its own uses it
    only to bring the device into the state that the job begins with."""

    name: str
    group: Group
    place: Place
    device: Device
    push: Callable[[Job], Pushed]

    def run(self, job: Job) -> Sample:
        if job.old is not None:
            edgekit.push(job.old, self.device, name=NAME, smoke=False)
        os.sync()
        before = self.place.wire_bytes()
        begin = time.perf_counter()
        said = self.push(job)
        seconds = time.perf_counter() - begin
        wire_bytes = _since(before, self.place)
        self._check(job, said)
        self._clean_up(job, said)
        return Sample(
            seconds=seconds,
            transfer_seconds=said.transfer_seconds,
            sent_bytes=said.bytes_sent,
            round_trips=said.round_trips,
            wire_bytes=wire_bytes,
        )

    def _check(self, job: Job, said: Pushed) -> None:
        folder = self.device.layout.release(NAME, said.version)
        there = self.device.agent.stat(f"{folder}/{_FILE}", sha256=True)
        active = [row.version for row in edgekit.releases(self.device, NAME) if row.active]
        if there is None or there.sha256 != sha256_file(job.new) or active != [said.version]:
            raise SystemExit(f"{NAME}@{said.version} on the device is not what was pushed")
        if (said.bytes_sent == 0) != (job.new == job.old):
            raise SystemExit(f"the device was not in the state that was meant: {said}")

    def _clean_up(self, job: Job, said: Pushed) -> None:
        if job.old is None:
            edgekit.remove(self.device, NAME)
        elif job.new != job.old:
            edgekit.push(job.old, self.device, name=NAME, smoke=False)
            edgekit.remove(self.device, NAME, said.version)


def edgekit_ways(place: Place, device: Device) -> list[EdgekitWay]:
    """The command; the SDK with a connection of its own; the SDK on a device that is open already."""

    def command(job: Job) -> Pushed:
        argv = [str(Path(sys.executable).parent / "edgekit"), "push", str(job.new), "-d", place.address]
        argv += ["--name", NAME, "--no-smoke", "--json"]
        done = subprocess.run(argv, capture_output=True, timeout=job.deadline_s, check=False)
        if done.returncode:
            raise failed(argv, done)
        return Pushed.of(json.loads(done.stdout))

    def connecting(job: Job) -> Pushed:
        with edgekit.connect(place.address) as own:
            return on(own, job)

    def on(opened: Device, job: Job) -> Pushed:
        before = opened.round_trips
        said = msgspec.to_builtins(edgekit.push(job.new, opened, name=NAME, smoke=False))
        return replace(Pushed.of(said), round_trips=opened.round_trips - before)

    return [
        EdgekitWay(COMMAND, "new", place, device, command),
        EdgekitWay(CONNECTING, "new", place, device, connecting),
        EdgekitWay(OPENED, "reused", place, device, lambda job: on(device, job)),
    ]
