"""Requests that go together in one round trip, and how fast they may go (C1.1)."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from edgekit.agent import requests as rq
from edgekit.agent.client import AgentClient
from edgekit.agent.failures import ENOENT, RemoteFileError
from edgekit.agent.pace import Throttle
from edgekit.agent.transfer import PutSpec
from edgekit.errors import DeviceLost, DeviceTimeout, EdgekitError, InputError, VerificationError
from tests.agent.starting import agent, kill, names
from tests.timed import timed


@pytest.fixture
def client(tmp_path: Path) -> Iterator[AgentClient]:
    with agent(tmp_path / "root") as started:
        yield started


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


def test_batches_side_by_side_have_their_own_outcomes(client: AgentClient, place: Path) -> None:
    before = client.round_trips
    first, second, third, fourth = client.pipelined(
        [
            [rq.mkdir(str(place / "a")), rq.list_dir(str(place))],
            [
                rq.mkdir(str(place / "b")),
                rq.chmod(str(place / "none"), 0o600),
                rq.mkdir(str(place / "never")),
            ],
            [],
            [rq.write(str(place / "c"), b"1"), rq.stat(str(place / "c"), sha256=True)],
        ]
    )
    assert client.round_trips == before + 1
    assert isinstance(first, list)
    assert [e.name for e in first[1]] == ["a"]
    assert isinstance(second, RemoteFileError)
    assert second.errno == ENOENT
    assert third == []
    assert isinstance(fourth, list)
    assert fourth[1].sha256 == hashlib.sha256(b"1").hexdigest()
    assert names(place) == ["a", "b", "c"]
    assert client.pipelined([]) == []


def test_batches_side_by_side_on_a_link_that_ends(client: AgentClient, tmp_path: Path) -> None:
    """What ends the link, or the time, is no batch's own outcome."""
    with open(tmp_path / "large", "wb") as file:
        file.truncate(64 << 30)
    slow = [rq.stat(str(tmp_path / "large"), sha256=True)]
    with pytest.raises(DeviceTimeout):
        client.pipelined([slow, slow], timeout=0.2)
    began = time.monotonic()
    client.ping()
    assert time.monotonic() - began < 15, "the work was given up, which takes a minute"
    threading.Timer(0.2, kill, [client.hello.pid]).start()
    with pytest.raises(DeviceLost):
        client.pipelined([slow, slow])


def test_a_batch_ahead_of_the_files(client: AgentClient, place: Path) -> None:
    """Folders are made, files put and the rest done in one round trip."""
    before = client.round_trips
    specs = [PutSpec(source=bytes([n]) * 300_000, remote=str(place / "new" / f"f{n}")) for n in range(3)]
    results = client.put_many(
        specs,
        before=[rq.mkdir(str(place / "new")), rq.stat(str(place / "new"))],
        then=[rq.rename(str(place / "new"), str(place / "final")), rq.list_dir(str(place / "final"))],
    )
    assert client.round_trips == before + 1
    assert sorted(e.name for e in results[1]) == ["f0", "f1", "f2"]
    assert client.put_many([], before=[rq.mkdir(str(place / "x"))]) == []
    assert names(place) == ["final", "x"]


def test_nothing_is_done_behind_a_batch_that_failed(client: AgentClient, place: Path) -> None:
    """C1.3: the folders are there, and a lease that is lost still stops all of it; its error is the one raised."""
    (place / "f").write_bytes(b"old")
    sent: list[int] = []
    with pytest.raises(EdgekitError) as caught:
        client.put_many(
            [
                PutSpec(source=bytes(8 << 20), remote=str(place / "f")),
                PutSpec(source=b"new", remote=str(place / "g")),
            ],
            before=[rq.lease_renew(), rq.write(str(place / "never"), b"")],
            then=[rq.write(str(place / "current"), b"1")],
            progress=lambda done, _: sent.append(done),
        )
    assert caught.value.code == "E_LEASE"
    client.ping()
    assert names(place) == ["f"]
    assert (place / "f").read_bytes() == b"old"


def test_error_of_a_put_and_of_what_follows(client: AgentClient, place: Path) -> None:
    good = PutSpec(source=b"good", remote=str(place / "good"))
    bad = PutSpec(source=b"bad", remote=str(place / "bad"), sha256="0" * 64)
    ahead = [rq.write(str(place / "ahead"), b"1")]
    with pytest.raises(VerificationError):
        client.put_many([bad, good], before=ahead, then=[rq.write(str(place / "current"), b"1")])
    with pytest.raises(RemoteFileError):
        client.put_many([good], before=ahead, then=[rq.chmod(str(place / "none"), 0o600)])
    client.ping()
    assert names(place) == ["ahead", "good"]


def test_throttle_is_a_bucket_of_64_kib_or_100_ms() -> None:
    fast, slow = Throttle(10e6), Throttle(50_000)
    assert (fast.burst_bytes, slow.burst_bytes) == (64 << 10, 5000)
    began = time.monotonic()
    waits = [slow.take(5000) for _ in range(3)]
    passed = time.monotonic() - began  # what the machine took meanwhile need not be waited for
    assert waits[0] == 0
    assert 0.1 - passed - 1e-6 <= waits[1] <= 0.1 + 1e-6
    assert 0.2 - passed - 1e-6 <= waits[2] <= 0.2 + 1e-6
    assert Throttle(0.5).burst_bytes == 1


@timed
@pytest.mark.parametrize("encoding", ["raw", "zstd"])
def test_bandwidth_holds_over_all_files_together(client: AgentClient, place: Path, encoding: str) -> None:
    """C1.1: in bytes on the wire, whatever they are decoded to; and progress goes on."""
    data = os.urandom(150_000) + bytes(300_000 if encoding == "zstd" else 0)
    specs = [
        PutSpec(source=data, remote=str(place / f"f{n}"), encoding=encoding, bandwidth_bytes_per_s=400_000)  # type: ignore[arg-type]
        for n in range(3)
    ]
    specs[1] = replace(specs[1], bandwidth_bytes_per_s=None)
    times: list[float] = []
    before, began = client.sent_bytes, time.monotonic()
    client.put_many(specs, progress=lambda done, total: times.append(time.monotonic() - began))
    took, sent = time.monotonic() - began, client.sent_bytes - before
    assert 440_000 < sent < 470_000
    assert (sent - (64 << 10)) / 400_000 <= took < 3.5
    assert len(times) > 9
    assert max(b - a for a, b in pairwise(times)) < 0.6
    assert all((place / f"f{n}").read_bytes() == data for n in range(3))


def test_bandwidth_that_is_none(client: AgentClient, place: Path) -> None:
    for rate in (0, -1.0, float("nan")):
        with pytest.raises(InputError):
            client.put_many([PutSpec(source=b"", remote=str(place / "f"), bandwidth_bytes_per_s=rate)])


def test_early_error_ends_a_slow_put_at_once(client: AgentClient, place: Path) -> None:
    spec = PutSpec(source=bytes(1 << 20), remote=str(place / "no" / "f"), bandwidth_bytes_per_s=1000)
    began = time.monotonic()
    with pytest.raises(RemoteFileError):
        client.put_many([spec])
    assert time.monotonic() - began < 60


def test_deadline_ends_a_slow_put(client: AgentClient, place: Path) -> None:
    spec = PutSpec(source=bytes(1 << 20), remote=str(place / "f"), bandwidth_bytes_per_s=1000)
    began = time.monotonic()
    with pytest.raises(DeviceTimeout):
        client.put_many([spec], timeout=0.5)
    assert time.monotonic() - began < 60
    client.ping()
    assert names(place) == []
