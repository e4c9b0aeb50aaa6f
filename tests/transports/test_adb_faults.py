"""A4: devices that break at a given byte, as no real adbd does on demand (faultd)."""

from __future__ import annotations

import time

import pytest

from edgekit.errors import DeviceError, DeviceLost, DeviceUnauthorized
from edgekit.transports import connect
from tests.targets.fixtures_adb import MakeFaulty
from tests.transports.contract import MIB

pytestmark = pytest.mark.android

DATA = bytes(range(256)) * 1024
SAY_DATA = "i=0; while [ $i -lt 1024 ]; do cat /data/local/tmp/block; i=$((i+1)); done"


@pytest.mark.parametrize("how", ["close", "reset", "garbage", "exit", "hang"])
def test_output_is_whole_or_the_device_is_lost(
    make_faulty: MakeFaulty, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Whatever the byte at which the device goes."""
    device = make_faulty()
    device.host.use(monkeypatch)
    transport = connect(device.address, timeout=20)
    transport.put(bytes(range(256)), "/data/local/tmp/block", mode=0o644, timeout=20)
    assert transport.run(["sh", "-c", SAY_DATA], timeout=60).stdout == DATA
    places = [100_000] if how == "hang" else [0, 7, 100_000, len(DATA) - 1]
    for place in places:
        device.fault(die_after_sent=place, how=how)
        began = time.monotonic()
        with pytest.raises(DeviceError) as caught:
            transport.run(["sh", "-c", SAY_DATA], timeout=60)
        assert caught.value.transient, caught.value
        assert time.monotonic() - began < 10
        device.fault_free_restart()
        device.reconnect()
        assert transport.run(["sh", "-c", SAY_DATA], timeout=60).stdout == DATA


@pytest.mark.parametrize("how", ["close", "reset", "garbage", "exit", "hang"])
def test_a_file_is_whole_or_the_device_is_lost(
    make_faulty: MakeFaulty, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    device = make_faulty()
    device.host.use(monkeypatch)
    transport = connect(device.address, timeout=20)
    data = DATA * 16
    for place in [2_000_000] if how == "hang" else [0, 30, 65_600, 2_000_000, len(data) - 1]:
        device.fault(die_after_received=place, how=how)
        began = time.monotonic()
        with pytest.raises(DeviceError) as caught:
            transport.put(data, "/data/local/tmp/f", mode=0o644, timeout=60)
        assert caught.value.transient, caught.value
        assert time.monotonic() - began < 10
        device.fault_free_restart()
        device.reconnect()
        transport.put(data, "/data/local/tmp/f", mode=0o644, timeout=60)
        assert transport.run(["cat", "/data/local/tmp/f"], timeout=60).stdout == data


def test_a_device_that_answers_nothing(make_faulty: MakeFaulty, monkeypatch: pytest.MonkeyPatch) -> None:
    device = make_faulty(state="mute")
    device.host.use(monkeypatch)
    began = time.monotonic()
    with pytest.raises(DeviceLost):
        connect(device.address, timeout=30)
    assert time.monotonic() - began < 10


def test_a_device_that_never_trusts_us(make_faulty: MakeFaulty, monkeypatch: pytest.MonkeyPatch) -> None:
    device = make_faulty(state="unauthorized")
    device.host.use(monkeypatch)
    with pytest.raises(DeviceUnauthorized):
        connect(device.address, timeout=20)


def test_a_device_that_falls_silent_while_idle(
    make_faulty: MakeFaulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = make_faulty()
    device.host.use(monkeypatch)
    stream = connect(device.address, timeout=20).open(["cat"], timeout=10)
    stream.send(b"x")
    assert stream.recv(1, 10) == b"x"
    device.fault(state="mute")
    began = time.monotonic()
    with pytest.raises(DeviceLost):
        stream.recv(MIB, 60)
    assert 3 < time.monotonic() - began < 10
