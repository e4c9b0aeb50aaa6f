"""The agent over real transports (A4, A5): ssh, a cut link, and Android's adbd."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from edgekit.agent.bootstrap import connect_agent
from edgekit.agent.client import AgentClient
from edgekit.errors import DeviceLost
from edgekit.transports import connect
from tests.agent.starting import built, eventually, native_abi, processes_with
from tests.targets.fixtures_adb import MakeAdbd
from tests.targets.fixtures_link import MakeLink
from tests.targets.fixtures_ssh import MakeSshd
from tests.timed import timed


@pytest.fixture(autouse=True)
def _built() -> None:
    for abi in {native_abi(), "arm64-v8a"}:
        built(abi)


def _occupy(client: AgentClient, mark: str) -> str:
    """A lease, a knob, a child and a job. Returns the knob's path."""
    client.lease_acquire("over transports", ttl_s=600)
    knob = f"{client.root}/knob"
    client.write(knob, b"before\n")
    client.knob_set(knob, b"during")
    client.start_run(["sleep", mark]).started(20)
    client.job_start("detached", ["sh", "-c", "sleep 1; echo whole"])
    assert eventually(lambda: bool(processes_with(mark)))
    return knob


def _lost(client: AgentClient) -> bool:
    try:
        client.ping()
    except DeviceLost:
        return True
    return False


def _check_clean(client: AgentClient, knob: str) -> None:
    client.lease_acquire("the next one")
    assert client.read([knob])[0].data == b"before\n"
    assert eventually(lambda: client.job_status("detached").state == "done")
    assert client.get(f"{client.root}/jobs/detached/stdout") == b"whole\n"


def test_ssh_cold_warm_and_the_servers_end(make_sshd: MakeSshd, tmp_path: Path) -> None:
    server = make_sshd(noise=True)
    mark = f"4751.{os.getpid()}"
    transport = connect(server.address, timeout=20)
    connect_agent(transport, hints=tmp_path / "hints").close()
    client = connect_agent(transport, hints=tmp_path / "hints")
    assert client.round_trips == 1
    assert client.root == f"{server.device_home()}/.edgekit"
    client.put(os.urandom(5_000_000), f"{client.root}/file")
    knob = _occupy(client, mark)
    server.kill_sessions()
    assert eventually(lambda: _lost(client))
    assert eventually(lambda: not processes_with(mark))
    client.close()
    transport.close()
    transport = connect(server.address, timeout=20)
    with connect_agent(transport, hints=tmp_path / "hints") as client:
        _check_clean(client, knob)
    transport.close()


@timed
def test_ssh_link_that_is_cut(make_sshd: MakeSshd, make_link: MakeLink, tmp_path: Path) -> None:
    """No end of stream comes: the host knows by silence, and so does the agent."""
    link = make_link(delay_ms=5, rate_mbit=100)
    server = make_sshd(link=link)
    mark = f"4752.{os.getpid()}"
    transport = connect(server.address, timeout=20)
    client = connect_agent(transport, hints=tmp_path / "hints", silence_ms=4000)
    _occupy(client, mark)
    began = time.monotonic()
    link.blackhole()
    with pytest.raises(DeviceLost):
        client.put(bytes(64 << 20), f"{client.root}/large")
    assert time.monotonic() - began < 10
    assert eventually(lambda: not processes_with(mark))
    client.close()
    transport.close()


def test_adbd_cold_warm_and_its_end(
    make_adbd: MakeAdbd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = make_adbd()
    device.host.use(monkeypatch)
    mark = f"4753.{os.getpid()}"
    transport = connect(device.address, timeout=30)
    connect_agent(transport, hints=tmp_path / "hints").close()
    with connect_agent(transport, hints=tmp_path / "hints") as client:
        assert client.round_trips == 1
        assert client.root == "/data/local/tmp/edgekit"
        data = os.urandom(3_000_000)
        client.put(data, f"{client.root}/file")
        assert client.get(f"{client.root}/file") == data
        _occupy(client, mark)
    assert eventually(lambda: not processes_with(mark))
    transport.close()
