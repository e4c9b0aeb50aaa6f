"""C1-b2 for plain shell: whatever goes wrong, the active version is the old or the new one, whole, and the next push
succeeds without help."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edgekit.deployment import shell_lease
from edgekit.errors import DeviceFull, DeviceLost, EdgekitError, VerificationError
from edgekit.events import Event
from edgekit.transports import Completed, Progress, Transport, connect
from edgekit.transports.local import LocalTransport
from tests.deployment.shells import (
    NAME,
    Place,
    local_place,
    model_file,
    outcome_of,
    recovers,
    tmpfs,
)
from tests.targets.fixtures_adb import MakeAdbd
from tests.targets.fixtures_link import MakeLink
from tests.targets.fixtures_ssh import MakeSshd

MIB = 1 << 20


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """With version 1 active."""
    made = local_place(tmp_path)
    assert made.push(model_file(tmp_path, 1), version="1").activated
    return made


class Cutting:
    """A real ssh connection that ends before, or right after the start of, its call number `at`."""

    def __init__(self, inner: Transport, at: int, *, after_start: bool) -> None:
        self.kind, self.address, self.default_root = inner.kind, inner.address, inner.default_root
        self.simulated = inner.simulated
        self.calls = 0
        self._inner, self._at, self._after_start = inner, at, after_start

    def _count(self) -> None:
        self.calls += 1
        if self.calls == self._at:
            if self._after_start:
                threading.Timer(0.01, self._inner.close).start()
            else:
                self._inner.close()

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float) -> Completed:
        self._count()
        return self._inner.run(argv, stdin=stdin, timeout=timeout)

    def put(self, source: Any, remote: str, *, mode: int, timeout: float, progress: Any = None) -> None:
        self._count()
        self._inner.put(source, remote, mode=mode, timeout=timeout, progress=progress)

    def open(self, argv: Sequence[str], *, timeout: float) -> Any:
        return self._inner.open(argv, timeout=timeout)

    def close(self) -> None:
        self._inner.close()


@pytest.mark.parametrize("after_start", [False, True])
def test_a_connection_that_ends_at_every_step(
    make_sshd: MakeSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after_start: bool
) -> None:
    """With a lease that runs out soon, as the cut holder's stands in the next push's way."""
    monkeypatch.setattr(shell_lease, "LEASE_SECONDS", 1.0)
    server = make_sshd()
    folder = tmp_path / "device"
    models = [model_file(tmp_path, 1, MIB), model_file(tmp_path, 2, MIB)]
    first = connect(server.address, timeout=20)
    place = Place(first, str(folder), folder)
    assert place.push(models[0], version="0").activated
    cuts = 0
    for at in range(1, 40):
        transport = Cutting(connect(server.address, timeout=20), at, after_start=after_start)
        before, version = place.active(), str(at)
        model = models[at % 2]
        ended = outcome_of(lambda m=model, v=version, t=transport: place.push(m, version=v, transport=t))
        transport.close()
        if transport.calls < at:
            break  # there are no more steps
        # One that meets the lease's end is not noticed: it runs out by itself.
        cuts += isinstance(ended, DeviceLost)
        assert isinstance(ended, DeviceLost) or ended.activated
        assert place.active() in (before, version)
        again = Place(connect(server.address, timeout=20), str(folder), folder)
        assert again.push(model, version=version, lease_wait_seconds=60.0).activated
        assert place.active() == version
        assert place.left_over() == []
        again.transport.close()
    else:
        pytest.fail("the steps never ended")
    assert cuts >= 9
    first.close()


def test_a_link_that_is_cut_in_the_middle_of_a_file(
    make_link: MakeLink, make_sshd: MakeSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell_lease, "LEASE_SECONDS", 20.0)
    link = make_link(rate_mbit=80)
    server = make_sshd(link=link)
    folder = tmp_path / "device"
    place = Place(connect(server.address, timeout=20), str(folder), folder)
    assert place.push(model_file(tmp_path, 1), version="1").activated

    def cut(event: Event) -> None:
        if event.done is not None and event.done > 3 * MIB:
            link.blackhole()

    started = time.monotonic()
    with pytest.raises(DeviceLost):
        place.push(model_file(tmp_path, 2, 16 * MIB), version="2", sink=cut)
    assert time.monotonic() - started < 45.0
    assert place.active() == "1"
    link.heal()
    place.transport.close()
    recovers(Place(connect(server.address, timeout=20), str(folder), folder), tmp_path)


@pytest.mark.android
def test_a_phone_that_loses_power(
    make_adbd: MakeAdbd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At seeded moments of a push; the lease of the boot before is void at once."""
    adbd = make_adbd()
    adbd.host.use(monkeypatch)
    root = "/data/local/tmp/edgekit"
    models = [model_file(tmp_path, 1, 2 * MIB), model_file(tmp_path, 2, 2 * MIB)]

    def place() -> Place:
        return Place(connect(adbd.address, timeout=20), root, adbd.path(root))

    started = time.monotonic()
    assert place().push(models[0], version="0").activated
    usual_seconds = time.monotonic() - started
    chance = random.Random(4)
    losses = 0
    for number in range(1, 21):  # on a machine that is busy now and idle then, many come too late
        if number > 6 and losses >= 3:
            break
        before = place().active()
        off = threading.Timer(chance.uniform(0.05, 1.0) * usual_seconds, adbd.power_off)
        off.start()
        ended = outcome_of(lambda n=number: place().push(models[n % 2], version=str(n)))
        losses += isinstance(ended, EdgekitError)
        off.join()
        adbd.restart()
        adbd.reconnect()
        assert place().active() in (before, str(number))
        started = time.monotonic()
        done = place().push(models[number % 2], version=str(number))
        assert done.activated
        if done.bytes_sent:
            usual_seconds = min(usual_seconds, time.monotonic() - started)
        assert place().active() == str(number)
        assert place().left_over() == []
    assert losses >= 3


class Damaging(LocalTransport):
    """Bytes that change on the way: a real file with one bit less."""

    def put(
        self,
        source: Path | bytes,
        remote: str,
        *,
        mode: int,
        timeout: float,
        progress: Progress | None = None,
    ) -> None:
        data = bytearray(source if isinstance(source, bytes) else source.read_bytes())
        data[len(data) // 2] ^= 1
        super().put(bytes(data), remote, mode=mode, timeout=timeout, progress=progress)


class Shortening(LocalTransport):
    """The end of what is sent to a command is lost, as when the connection breaks under it."""

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float) -> Completed:
        return super().run(argv, stdin=stdin[:-3] if stdin.startswith(b"{") else stdin, timeout=timeout)


@pytest.mark.parametrize("transport", [Damaging(), Shortening()])
def test_what_arrives_as_something_else_gets_no_name(
    place: Place, tmp_path: Path, transport: LocalTransport
) -> None:
    with pytest.raises(VerificationError) as error:
        place.push(model_file(tmp_path, 2), version="2", transport=transport)
    assert (error.value.code, error.value.transient) == ("E_TRANSFER_HASH", True)
    assert place.active() == "1"
    assert not (place.folder / "models" / NAME / "2").exists()
    assert place.left_over() == []
    assert not (place.folder / "lease").exists()
    recovers(place, tmp_path)


def test_a_full_disk(tmp_path: Path) -> None:
    """Seen before anything is sent; told honestly where it fills up later."""
    with tmpfs(tmp_path / "disk", "size=24m") as disk:
        place = Place(LocalTransport(), f"{disk}/root", disk / "root")
        place.push(model_file(tmp_path, 1), version="1")
        sent: list[Event] = []
        with pytest.raises(DeviceFull) as error:
            place.push(model_file(tmp_path, 2, 22 * MIB), version="2", sink=sent.append)
        assert "needed" in error.value.message
        assert not [event for event in sent if event.total is not None]

        def fill(event: Event) -> None:
            if event.total is not None and not (disk / "filler").exists():
                free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
                (disk / "filler").write_bytes(bytes(free - MIB))

        with pytest.raises(DeviceFull) as error:
            place.push(model_file(tmp_path, 3, 12 * MIB), version="3", sink=fill)
        assert error.value.hint
        assert (place.active(), place.left_over()) == ("1", [])
        (disk / "filler").write_bytes(b"")
        recovers(place, tmp_path)
