"""A-b5: the device goes during a push and during a measurement. The error comes in time; what was active stays
active and whole; the next push finishes cleanly and leaves nothing behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import MODEL, QUICK, edgekit
from tests.failures.under_way import UnderWay, big_model, launch_started, sending

LOST_SECONDS = 30.0
"""DeviceLost within 10 s, threefold for a busy machine."""


@dataclass
class Breakable:
    """A device that a test can cut off and bring back. `left_over()` lists unfinished files on it."""

    address: str
    env: Mapping[str, str]
    cut: Callable[[], object]
    mend: Callable[[], object]
    left_over: Callable[[], str]
    big_mib: int = 150


@pytest.fixture(
    params=[
        "ssh-killed",
        "ssh-silent",
        pytest.param("adb-killed", marks=pytest.mark.android),
        pytest.param("adb-power", marks=pytest.mark.android),
        pytest.param("adb-silent", marks=pytest.mark.android),
        pytest.param("board-power", marks=[pytest.mark.board, pytest.mark.xdist_group("board")]),
    ]
)
def device(request: pytest.FixtureRequest) -> Iterator[Breakable]:
    kind = request.param
    find = "find {} -name '*.ek-tmp' -o -name 'run' -prune -false"
    if kind.startswith("ssh"):
        client: Any = request.getfixturevalue("ssh_client")
        if kind == "ssh-killed":
            server: Any = request.getfixturevalue("make_sshd")()
            home = server.device_home()
            yield Breakable(
                server.address,
                client.env,
                server.kill_sessions,
                lambda: None,
                lambda: "\n".join(
                    str(p) for p in Path(f"/proc/{server.sandbox.pid}/root{home}").rglob("*.ek-tmp")
                ),
            )
        else:
            link: Any = request.getfixturevalue("make_link")()
            server = request.getfixturevalue("make_sshd")(link=link)
            home = Path(f"/proc/{server.sandbox.pid}/root{server.device_home()}")
            yield Breakable(
                server.address,
                client.env,
                link.blackhole,
                link.heal,
                lambda: "\n".join(str(p) for p in home.rglob("*.ek-tmp")),
            )
    elif kind.startswith("adb"):
        adbd: Any = request.getfixturevalue("make_adbd")()
        cut = {"adb-killed": adbd.kill, "adb-power": adbd.power_off, "adb-silent": adbd.freeze}[kind]
        mend = (lambda: adbd.freeze(False)) if kind == "adb-silent" else adbd.restart
        yield Breakable(
            adbd.address,
            adbd.env,
            cut,
            mend,
            lambda: adbd.shell(find.format("/data/local/tmp/edgekit")).stdout.strip(),
        )
    else:
        board: Any = request.getfixturevalue("make_board")()
        yield Breakable(
            board.address,
            board.client.env,
            board.kill,
            board.boot_again,
            lambda: board.run("find /root/.edgekit -name '*.ek-tmp'").decode().strip(),
            big_mib=24,
        )


@pytest.mark.timeout(500)
def test_ab5_gone_during_a_push(device: Breakable, tmp_path: Path) -> None:
    first = edgekit("push", MODEL, "-d", device.address, "--name", "m", "--json", env=device.env).ok().json()
    big = big_model(tmp_path, device.big_mib)
    slow = ("--bandwidth", "30MB/s")  # it is not over before it can be cut
    push = UnderWay("push", big, "-d", device.address, "--name", "m", *slow, env=device.env, cwd=tmp_path)
    try:
        push.wait_until(sending("push m", 4.0))
        device.cut()
        cut_at = time.monotonic()
        done = push.ended(LOST_SECONDS)
    finally:
        push.kill()
    assert time.monotonic() - cut_at < LOST_SECONDS
    assert done.code == 3
    assert done.error()["code"] == "E_DEVICE_LOST"
    device.mend()
    rows = edgekit("releases", "m", "-d", device.address, "--json", env=device.env).ok().json()["releases"]
    assert [(row["version"], row["active"]) for row in rows] == [(first["version"], True)]
    small = edgekit("bench", "m", "-d", device.address, "--json", *QUICK, env=device.env).ok().json()
    assert small["model"]["sha256"] == first["sha256"]
    again = (
        edgekit("push", big, "-d", device.address, "--name", "m", "--json", env=device.env, timeout=280)
        .ok()
        .json()
    )
    assert (again["activated"], again["previous"]) == (True, first["version"])
    assert not device.left_over()


@pytest.mark.timeout(400)
def test_ab5_gone_during_a_measurement(device: Breakable, tmp_path: Path) -> None:
    edgekit("push", MODEL, "-d", device.address, "--name", "m", "--json", env=device.env).ok()
    arguments = ("bench", "m", "-d", device.address, "--launches", "50", "--min-seconds", "2")
    bench = UnderWay(*arguments, env=device.env, cwd=tmp_path)
    try:
        bench.wait_until(launch_started)
        device.cut()
        done = bench.ended(LOST_SECONDS)
    finally:
        bench.kill()
    assert done.code == 3
    assert done.error()["code"] == "E_DEVICE_LOST"
    device.mend()
    # The lease of the lost agent must not keep us out for long, nor its launch disturb ours.
    again = edgekit("bench", "m", "-d", device.address, "--json", *QUICK, env=device.env).ok().json()
    assert again["latency"]["count"] >= 60
