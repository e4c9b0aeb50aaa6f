"""C1.3 for plain shell: pushes take turns by the agents' own lease, and finish what an agent left under way (C1-b2)."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from edgekit.agent.client import AgentClient
from edgekit.deployment import shell_lease
from edgekit.deployment.outcome import PushResult
from edgekit.deployment.release import decode_manifest
from edgekit.deployment.shell_device import ShellDevice
from edgekit.deployment.shell_lease import shell_lease as hold
from edgekit.deployment.shell_script import script
from edgekit.devices import journal
from edgekit.devices.layout import Layout
from edgekit.errors import DeviceBusy, DeviceError, EdgekitError
from edgekit.events import Event, ignore
from edgekit.transports import Transport, connect
from edgekit.transports.local import LocalTransport
from tests.agent.starting import agent
from tests.deployment.shells import (
    NAME,
    Place,
    local_place,
    model_file,
    only_busybox,
    outcome_of,
    recovers,
)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """With version 1 active."""
    made = local_place(tmp_path)
    assert made.push(model_file(tmp_path, 1), version="1").activated
    return made


@pytest.mark.parametrize("flock", [True, False])
def test_two_pushes_at_once_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flock: bool) -> None:
    """Each finds the other's lease; without a lock on the device too."""
    if not flock:
        only_busybox(tmp_path / "bin", monkeypatch)
    place = local_place(tmp_path)
    results: list[PushResult | EdgekitError] = []

    def push(number: int) -> None:
        model = model_file(tmp_path, number)
        results.append(outcome_of(lambda: place.push(model, version=str(number), lease_wait_seconds=200.0)))

    threads = [threading.Thread(target=push, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(250.0)
    assert len(results) == 4
    # Without a lock one may be told in the end that another was quicker: that is a refusal, not half a release.
    refused = [r for r in results if isinstance(r, EdgekitError)]
    assert [r.code for r in refused if r.code != "E_LEASE"] == [], refused
    assert not refused or not flock
    assert place.active() in [r.version for r in results if isinstance(r, PushResult)]
    assert place.left_over() == []
    for release in (place.folder / "models" / NAME).glob("*/manifest.json"):
        decode_manifest(release.read_bytes(), "local:")
    recovers(place, tmp_path)


def test_a_shell_waits_for_an_agent_and_an_agent_for_a_shell(place: Place, tmp_path: Path) -> None:
    model = model_file(tmp_path, 2)
    with agent(place.folder) as other:
        other.lease_acquire("ann@desk pid 7 (bench)")
        with pytest.raises(DeviceBusy) as error:
            place.push(model, version="2")
        assert "ann@desk pid 7 (bench)" in error.value.message
        assert place.push(model_file(tmp_path, 1), version="1").method == "unchanged"  # asks for no lease
        waits: list[Event] = []

        def tell(event: Event) -> None:
            if "waiting" in event.message and not waits:
                waits.append(event)
                other.lease_release()

        assert place.push(model, version="2", lease_wait_seconds=60.0, sink=tell).activated
        assert waits

        shell = ShellDevice.open(place.transport, place.root, make=False)
        with hold(shell, "push x", wait_seconds=0, sink=ignore):
            with pytest.raises(DeviceBusy) as error:
                other.lease_acquire("ann@desk")
            assert "(push x)" in error.value.message
            left = re.search(r"for (\d+)\.\d s more", error.value.message)
            assert left is not None
            assert 100 < int(left[1]) <= 120
        other.lease_acquire("ann@desk")
        other.lease_release()


def test_a_lease_is_renewed_as_long_as_the_push_goes_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell_lease, "RENEW_SECONDS", 0.2)
    monkeypatch.setattr(shell_lease, "LEASE_SECONDS", 5.0)
    shell = ShellDevice.open(place.transport, place.root, make=False)
    with agent(place.folder) as other, hold(shell, "push x", wait_seconds=0, sink=ignore):
        until = time.monotonic() + 8.0
        while time.monotonic() < until:
            with pytest.raises(DeviceBusy):
                other.lease_acquire("ann@desk")
            time.sleep(0.1)
    assert not (place.folder / "lease").exists()


@pytest.mark.parametrize("kind", ["local", pytest.param("adb", marks=pytest.mark.android)])
def test_the_lock_is_the_agents_own(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dash and mksh: held until the shell that took it ends, and not a moment longer."""
    transport: Transport = LocalTransport()
    root = str(tmp_path)
    if kind == "adb":
        adbd = request.getfixturevalue("adbd")
        adbd.host.use(monkeypatch)
        transport, root = connect(adbd.address, timeout=20), "/data/local/tmp"
    shell = ShellDevice.open(transport, root, make=True)
    assert shell.tools.flock
    text = script('lock "$1"; echo locked; read -r line\n', shell.tools)
    stream = transport.open(["sh", "-c", text, "sh", root], timeout=20)
    said = b""
    while b"locked" not in said:
        said += stream.recv(1000, 30) or b""
    with pytest.raises(DeviceBusy) as error:
        shell.ask('lock "$1"\n', [root], "lock")
    assert "lease.lock" in error.value.message
    if kind == "local":
        with agent(tmp_path) as other, pytest.raises(DeviceBusy):
            other.lease_acquire("ann@desk")
    stream.send(b"\n")
    assert stream.wait(30) == 0
    stream.close()
    shell.ask('lock "$1"\n', [root], "lock")
    transport.close()


@pytest.mark.parametrize(
    "text", ["", "junk", "edgekit-lease 1\nanother boot\n", "edgekit-lease 1\nx\n9\nt\nh\n"]
)
def test_a_lease_that_no_agent_honours_is_taken(place: Place, tmp_path: Path, text: str) -> None:
    (place.folder / "lease").write_text(text)
    recovers(place, tmp_path)


def test_a_lease_that_ran_out_meanwhile_stops_the_push(place: Place, tmp_path: Path) -> None:
    """As after a suspended host: the agent that took over is not disturbed, and the active version stays."""
    with agent(place.folder) as other:

        def take(event: Event) -> None:
            if event.total is not None and event.done == event.total:
                (place.folder / "lease").unlink()
                other.lease_acquire("ann@desk")

        with pytest.raises(DeviceError) as error:
            place.push(model_file(tmp_path, 2), version="2", sink=take)
        assert error.value.code == "E_LEASE"
        assert (place.active(), place.left_over()) == ("1", [])
        assert not (place.folder / "models" / NAME / "2").exists()
        other.lease_renew()
        other.lease_release()
    recovers(place, tmp_path)


def journal_steps(client: AgentClient, place: Place, *, replaces: bool) -> list[Any]:
    """An agent's push of version 3, with all its files there, and the steps that are left."""
    layout = Layout(str(place.folder))
    release = place.folder / "models" / NAME / "1"
    manifest = (release / "manifest.json").read_bytes().replace(b'"version": "1"', b'"version": "3"')
    entry = journal.entry_of(NAME, "3", "0123456789ab", manifest, activate=True)
    staging = layout.staging(NAME, "3", "0123456789ab")
    client.write(f"{staging}/model.tflite", (release / "model.tflite").read_bytes())
    if replaces:
        client.write(f"{layout.release(NAME, '3')}/model.tflite", b"damaged")
    return journal.steps(entry, layout, manifest, replaces=replaces, exchange=False)


@pytest.mark.parametrize("replaces", [False, True])
def test_what_an_agent_left_under_way_is_finished_first(place: Place, tmp_path: Path, replaces: bool) -> None:
    """Cut at each of its steps: the release is whole where it was journalled, and the newer push is what stays active."""
    finished = 0
    for cut_at in range(4, 12):
        with agent(place.folder) as client:
            for path in (f"{NAME}/3", f"{NAME}/.3.0123456789ab.ek-tmp", f"{NAME}/.3.ek-gone"):
                client.remove(f"{place.folder}/models/{path}", recursive=True)
            for folder in (f"{NAME}/.3.0123456789ab.ek-tmp", *([f"{NAME}/3"] if replaces else [])):
                client.mkdir(f"{place.folder}/models/{folder}")
            client.lease_acquire("ann@desk")
            steps = journal_steps(client, place, replaces=replaces)
            if cut_at > len(steps):
                break
            client.batch(steps[:cut_at])
        version = f"newer-{cut_at}"
        recovers(place, tmp_path, version)
        assert not (place.folder / "journal").exists()
        there = place.folder / "models" / NAME / "3" / "manifest.json"
        assert decode_manifest(there.read_bytes(), "local:").version == "3"
        finished += 1
    assert finished >= 3
    (place.folder / "journal").write_text("junk")
    recovers(place, tmp_path, "last")
    assert not (place.folder / "journal").exists()
