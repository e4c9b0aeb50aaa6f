"""Disks that are full or read-only, rights that are missing, clocks that jump: before a push and in its middle (C1-b2)."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.deployment.switching import rollback
from edgekit.deployment.under_lease import SPARE_BYTES
from edgekit.devices import lease
from edgekit.errors import DeviceFull, DevicePermission, DeviceReadOnly
from tests.agent.starting import REPOSITORY
from tests.faults import state
from tests.faults.cases import CASES, NAME, Models, opened, push
from tests.faults.remote import Grounds, Remote, of_sshd
from tests.faults.table import LONG, Place, Tally, boundaries, learn, run_cut
from tests.targets.fixtures_ssh import MakeSshd

SEED = 40
DISK_BYTES = 24 << 20
CASE = CASES["update"]


@pytest.fixture
def small(make_sshd: MakeSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Small:
    """A device whose roots lie on a small file system of their own."""
    server = make_sshd()
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path / "cache"))
    base = of_sshd(server)
    folder = server.small_disk(DISK_BYTES)
    remote = Remote("ssh", base.address, folder, base.seen)
    assert server.sandbox is not None
    return Small(Grounds(remote, tmp_path / "grounds"), base.seen(folder), server.sandbox.run)


class Small:
    def __init__(self, grounds: Grounds, folder: Path, run: Callable[[list[str]], bytes]) -> None:
        self.grounds, self.folder, self.run = grounds, folder, run

    def free_bytes(self) -> int:
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def fill(self, leave_bytes: int = 0) -> None:
        """Until so much is free."""
        with open(self.folder / "filler", "ab") as file:
            while (left := self.free_bytes() - leave_bytes) >= 4096:
                try:
                    file.write(bytes(min(left, 1 << 20)))
                    file.flush()
                except OSError:
                    return

    def drain(self) -> None:
        (self.folder / "filler").unlink(missing_ok=True)

    def read_only(self, on: bool) -> None:
        options = f"remount,{'ro' if on else 'rw'}"
        place = str(self.folder).partition("/root")[2]  # as it is called inside
        self.run(["mount", "-o", options, place])

    def forget(self) -> None:
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
        self.drain()


@pytest.mark.parametrize("free_kib", [0, 4, 64, 300, 450, 1024, (SPARE_BYTES >> 10) + 300])
def test_a_disk_with_so_much_room(small: Small, free_kib: int) -> None:
    """Too little is told before anything is sent, what is there stays, and the next push goes well."""
    place = small.grounds.place(CASE)
    small.fill(free_kib << 10)
    with pytest.raises(DeviceFull), place.reopen() as device:
        push(small.grounds.models, device, "2")
    found = state.read_store(place.path, NAME)
    assert (found.current, found.problems(), found.strays) == ("1", [], ())
    small.drain()
    _goes_well(small.grounds.models, place)


def _goes_well(models: Models, place: Place) -> None:
    with place.reopen() as device:
        assert push(models, device, "2").activated
    found = state.read_store(place.path, NAME)
    assert (found.current, found.problems(), found.strays) == ("2", [], ())


@pytest.mark.timeout(3000 if LONG else 300)
@pytest.mark.parametrize("what", ["full disk", "read-only disk"])
def test_the_disk_turns_bad_in_the_middle(small: Small, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every frame of the host: somebody else fills the disk, or the kernel gives it up."""
    monkeypatch.setattr(lease, "LEASE_SECONDS", 1.0)  # on a read-only disk it cannot be given back
    grounds = small.grounds
    seen = learn(CASE, grounds.models, grounds.place(CASE))
    tally = Tally("ssh", CASE.name, what)
    happened = []

    def event() -> None:
        if what == "full disk":
            small.fill()
            happened.append(True)
            return
        try:
            small.read_only(True)
            happened.append(True)
        except RuntimeError:  # a file is being written
            happened.append(False)

    def mend() -> None:
        if what == "read-only disk":
            small.read_only(False)
        small.drain()

    for cut in boundaries(seen, "event"):
        small.forget()
        place = grounds.place(CASE)
        run_cut(CASE, grounds.models, place, cut, tally, event, mend)
    tally.require({"look", "lease", "put", "complete"})
    assert sum(happened) > len(happened) // 2
    wanted = {"E_DEVICE_FULL"} if what == "full disk" else {"E_DEVICE_READ_ONLY"}
    assert set(tally.errors) <= wanted | {"none"}, tally.errors
    assert set(tally.errors) & wanted
    tally.keep()


def test_a_root_on_a_read_only_disk(
    make_sshd: MakeSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_sshd()
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path / "cache"))
    folder = server.read_only_folder()
    with pytest.raises(DeviceReadOnly) as caught:
        opened(f"{folder}/edgekit", server.address)
    assert caught.value.hint


def test_rights_that_are_missing(
    make_sshd: MakeSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user who may not write where edgekit's folder is, or where the release goes."""
    server = make_sshd(user="pi")
    assert server.sandbox is not None
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path / "cache"))
    models, root = Models(tmp_path / "host"), f"{server.device_home()}/edgekit"
    seen = of_sshd(server).seen(root)
    with opened(root, server.address) as device:
        push(models, device, "1")
    for folder in (f"{root}/models/{NAME}", root):
        server.sandbox.run(["chown", "root:root", folder])
        server.sandbox.run(["chmod", "755", folder])
        with pytest.raises(DevicePermission), opened(root, server.address) as device:
            push(models, device, "2")
        found = state.read_store(seen, NAME)
        assert (found.current, found.problems()) == ("1", [])
        server.sandbox.run(["chown", "pi:pi", folder])
    with opened(root, server.address) as device:
        push(models, device, "2")
    found = state.read_store(seen, NAME)
    assert (found.current, found.problems(), found.strays) == ("2", [], ())
    with pytest.raises(DevicePermission):
        opened("/opt/not-ours/edgekit", server.address)


def test_no_decision_on_the_device_reads_the_wall_clock() -> None:
    """The agent tells it in its hello, for people and for gc, and looks at it nowhere else (a jump on a real board:
    test_board.py)."""
    clocks = re.compile(r"CLOCK_REALTIME|gettimeofday|\btime\(")
    found = {
        path.name for path in (REPOSITORY / "native/agent").glob("*.[ch]") if clocks.search(path.read_text())
    }
    assert found <= {"hello.c"}


def test_files_from_the_future_and_the_past(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a clock that jumped leaves behind: dates that make no sense change nothing."""
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path / "cache"))
    root, models = tmp_path / "device-clock", Models(tmp_path / "host")
    with opened(str(root)) as device:
        push(models, device, "1", smoke=True)
        for seconds in (0, 4_000_000_000):
            for path in (root, *root.rglob("*")):
                with contextlib.suppress(FileNotFoundError):  # the lease is given back without waiting
                    os.utime(path, (seconds, seconds))
            push(models, device, "2")
            assert rollback(device, NAME).version == "1"
            push(models, device, "2")
            found = state.read_store(root, NAME)
            assert (found.current, found.problems(), found.strays) == ("2", [], ())


def test_a_disk_without_a_free_block_can_be_cleared_by_edgekit_itself(small: Small) -> None:
    """What the hint of a full disk says has to work there: nothing that makes room may need room."""
    from edgekit.deployment import gc, releases, remove

    place = small.grounds.place(CASE)
    with place.reopen() as device:
        push(small.grounds.models, device, "2")
        push(small.grounds.models, device, "3")
    small.fill()
    assert small.free_bytes() < 4096
    with place.reopen() as device:
        remove(device, NAME, "2")
        assert "2" not in {row.version for row in releases(device, NAME)}
    small.fill()
    with place.reopen() as device:
        assert gc(device, keep=1).freed_bytes >= 0
        assert {row.version for row in releases(device, NAME) if row.active} == {"3"}
