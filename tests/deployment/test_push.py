"""What a push sends, and what a device has afterwards: the real agent on this machine (C1.1 to C1.4)."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekit.agent import requests
from edgekit.config import Config, DeviceEntry
from edgekit.deployment import PushResult, rates
from edgekit.deployment.payload import payload_of
from edgekit.deployment.push import plan_push, push_payload
from edgekit.deployment.switching import remove, rollback
from edgekit.devices import Device, journal, open_device
from edgekit.errors import DeviceFull, EdgekitError, VerificationError
from edgekit.models import open_model
from tests.cli.running import MODEL
from tests.conversion.test_isolated import small_disk

NAME = "digits"


class Bench:
    """A root on this machine, and an edgekit with a cache of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "device"

    def open(self) -> Device:
        config = Config(devices={"it": DeviceEntry(address="local:", root=str(self.root))})
        return open_device("it", config=config)

    def model(self, change: bytes = b"", random_bytes: int = 0, seed: int = 0) -> Path:
        """The digit classifier with bytes behind it that no reader looks at."""
        import random

        path = self.folder / f"model-{len(list(self.folder.glob('model-*')))}.tflite"
        path.write_bytes(MODEL.read_bytes() + random.Random(seed).randbytes(random_bytes) + change)
        return path

    def push(self, model: Path, device: Device | None = None, **options: Any) -> PushResult:
        wishes: dict[str, Any] = {
            "profile": None, "name": NAME, "version": None, "activate": True, "smoke": False, "lease_wait_seconds": 20.0,
        }  # fmt: skip
        if device is not None:
            return push_payload(open_model(model), device, **{**wishes, **options})
        with self.open() as opened:
            return push_payload(open_model(model), opened, **{**wishes, **options})

    def slow(self, device: Device) -> None:
        """As if the last transfer had had 100 kB/s: patches and compression pay."""
        rates.remember_rate(device.address, 1_000_000, 10.0)

    def active(self) -> dict[str, str]:
        """The active release's files and their hashes, read from the disk."""
        models = self.root / "models" / NAME
        folder = models / (models / "current").read_text().strip()
        return {
            str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in folder.rglob("*")
            if p.is_file() and p.name != "manifest.json"
        }

    def left_over(self) -> list[str]:
        return [str(p) for p in self.root.rglob("*") if p.name.endswith((".ek-tmp", ".ek-gone"))] + [
            str(p) for p in self.root.glob("journal")
        ]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path / "cache"))
    bench = Bench(tmp_path)
    yield bench
    if bench.root.exists():
        assert not bench.left_over() or getattr(bench, "leaves", False)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_unchanged_push_takes_two_round_trips_and_a_first_one_few(bench: Bench) -> None:
    model = bench.model()
    first = bench.push(model)
    again = bench.push(model)
    assert (first.method, first.bytes_sent, first.activated) == ("raw", model.stat().st_size, True)
    assert (again.method, again.bytes_sent, again.round_trips) == ("unchanged", 0, 2)
    assert first.round_trips <= 7
    assert bench.active() == {"model.tflite": sha256(model)}


def test_bytes_that_any_release_has_are_copied_there(bench: Bench) -> None:
    model = bench.model(random_bytes=300_000)
    bench.push(model)
    other = bench.push(model, version="2")
    elsewhere = bench.push(model, name="same", version="1")
    assert (other.bytes_sent, elsewhere.bytes_sent) == (0, 0)
    assert [f.encoding for f in other.files] == ["copy"]
    assert bench.active() == {"model.tflite": sha256(model)}


def test_a_changed_model_goes_as_a_patch_on_a_slow_link_and_whole_on_a_fast_one(bench: Bench) -> None:
    old, new = bench.model(random_bytes=2_000_000), bench.model(b"tuned" * 100, random_bytes=2_000_000)
    newest = bench.model(b"again" * 100, random_bytes=2_000_000)
    with bench.open() as device:
        bench.push(old, device)
        bench.slow(device)
        patched = bench.push(new, device)
        assert bench.active() == {"model.tflite": sha256(new)}
        rates.remember_rate(device.address, 10_000_000_000, 1.0)
        whole = bench.push(newest, device)
    assert (patched.method, whole.method) == ("patch", "raw")
    assert patched.bytes_sent < new.stat().st_size / 100
    assert bench.active() == {"model.tflite": sha256(newest)}


def test_a_patch_does_not_make_the_link_look_slow(bench: Bench) -> None:
    """C1-b1: a patch's time is the device's work, too; taken for the link's rate, it would be followed by patches only."""
    models = [bench.model(random.Random(n).randbytes(600_000), random_bytes=2_000_000) for n in range(2)]
    with bench.open() as device:
        bench.push(models[0], device)
        rates.remember_rate(device.address, 12_000_000, 1.0)
        patched = bench.push(models[1], device)
        assert (patched.method, patched.bytes_sent > 600_000) == ("patch", True)
        rate = rates.last_rate(device.address)
        assert (rate or 0) >= 12_000_000
    rates.remember_rate("ssh:fast", 20_000_000, 1.0)
    rates.remember_rate("ssh:fast", 1_000_000, 1.0, at_least=True)
    rates.remember_rate("ssh:unknown", 1_000_000, 1.0, at_least=True)
    assert (rates.last_rate("ssh:fast"), rates.last_rate("ssh:unknown")) == (20_000_000, None)
    rates.remember_rate("ssh:fast", 30_000_000, 1.0, at_least=True)
    assert rates.last_rate("ssh:fast") == 30_000_000


def test_a_base_that_is_not_what_it_was_costs_a_second_try(bench: Bench) -> None:
    """C1-b2: bytes corrupted on the device are never used silently."""
    old, new = bench.model(random_bytes=500_000), bench.model(b"tuned", random_bytes=500_000)
    with bench.open() as device:
        first = bench.push(old, device)
        base = bench.root / "models" / NAME / first.version / "model.tflite"
        base.write_bytes(b"\0" * 4096 + base.read_bytes()[4096:])
        bench.slow(device)
        second = bench.push(new, device)
    assert second.method == "raw"
    assert any("sent whole" in note for note in second.notes)
    assert bench.active() == {"model.tflite": sha256(new)}


def test_a_file_that_compresses_goes_compressed_on_a_slow_link(bench: Bench) -> None:
    model = bench.folder / "zeros.tflite"
    model.write_bytes(MODEL.read_bytes() + bytes(2_000_000))
    with bench.open() as device:
        bench.slow(device)
        assert bench.push(model, device).method == "zstd"
    assert bench.active() == {"model.tflite": sha256(model)}


def test_a_dry_run_says_what_would_be_sent_and_changes_nothing(bench: Bench) -> None:
    old, new = bench.model(random_bytes=1_000_000), bench.model(b"tuned", random_bytes=1_000_000)
    with bench.open() as device:
        bench.push(old, device)
        device.agent.ping()  # the lease is given back without waiting
        before = sorted(str(p) for p in bench.root.rglob("*"))
        bench.slow(device)
        plan = plan_push(
            open_model(new), device, profile=None, name=NAME, version=None, activate=True, smoke=False
        )
        assert sorted(str(p) for p in bench.root.rglob("*")) == before
        sent = bench.push(new, device)
    assert (plan.action, plan.method, plan.previous) == ("send", "patch", sent.previous)
    assert plan.bytes_to_send == sent.bytes_sent
    assert plan.files[0].why.startswith("a patch of digits@")


def test_bandwidth_is_kept(bench: Bench) -> None:
    model = bench.model(random_bytes=1_000_000)
    done = bench.push(model, bandwidth_bytes_per_s=1_000_000.0)
    assert done.transfer_seconds >= 1.2  # 1.43 MB, a burst at the start is allowed
    with bench.open() as device:
        assert rates.last_rate(device.address) is None, "a limited transfer tells nothing about the link"


def test_a_push_goes_on_where_one_was_cut_off(bench: Bench) -> None:
    model = bench.model(random_bytes=4_000_000)
    payload = payload_of(open_model(model), NAME, None)
    with bench.open() as device:
        staging = Path(device.layout.staging(NAME, payload.version, payload.content))
        other = Path(device.layout.staging(NAME, "9", "0" * 12))
        for folder in (staging, other):
            folder.mkdir(parents=True)
            (folder / ".model.tflite.ek-tmp").write_bytes(model.read_bytes()[:3_000_000])
        (bench.root / "layout").write_text("1\n")
        plan = plan_push(
            open_model(model), device, profile=None, name=NAME, version=None, activate=True, smoke=False
        )
    assert plan.bytes_to_send == model.stat().st_size - 3_000_000, "a dry run sees it, too"
    done = bench.push(model)
    assert done.bytes_sent == model.stat().st_size - 3_000_000
    assert "cut off" in done.files[0].why
    assert bench.active() == {"model.tflite": sha256(model)}


def test_a_part_that_is_damaged_is_sent_again(bench: Bench) -> None:
    model = bench.model(random_bytes=2_000_000)
    payload = payload_of(open_model(model), NAME, None)
    with bench.open() as device:
        staging = Path(device.layout.staging(NAME, payload.version, payload.content))
        staging.mkdir(parents=True)
        (staging / ".model.tflite.ek-tmp").write_bytes(bytes(1_000_000))
        (bench.root / "layout").write_text("1\n")
    done = bench.push(model)
    assert any("sent whole" in note for note in done.notes)
    assert bench.active() == {"model.tflite": sha256(model)}


def test_a_release_that_fails_its_smoke_run_is_kept_aside_and_never_active(bench: Bench) -> None:
    good = bench.model()
    first = bench.push(good, smoke=True)
    bad = bench.folder / "bad.tflite"
    data = bytearray(MODEL.read_bytes())
    data[20_000:200_000] = random.Random(1).randbytes(180_000)
    bad.write_bytes(data)
    info = open_model(MODEL)
    import msgspec

    broken = msgspec.structs.replace(info, path=str(bad), sha256=sha256(bad), size_bytes=len(data))
    with bench.open() as device, pytest.raises(EdgekitError):
        push_payload(
            broken,
            device,
            profile=None,
            name=NAME,
            version="2",
            activate=True,
            smoke=True,
            lease_wait_seconds=9.0,
        )
    folder = bench.root / "failed" / NAME / "2"
    assert json.loads((folder / "failure.json").read_text())["code"]
    assert (folder / "model.tflite").read_bytes() == bytes(data)
    assert bench.active() == {"model.tflite": sha256(good)}
    assert first.activated
    assert not (bench.root / "models" / NAME / "2").exists()


def test_a_journal_is_finished_at_the_next_connect_wherever_it_was_cut(bench: Bench) -> None:
    """C1.3: each step of the last batch of a push is the last one before a cut, for a new release and for a repair."""
    model, old = bench.model(b"new"), bench.model(b"old")
    for replaces in (False, True):
        for exchange in (False, True) if replaces else (False,):
            for steps_done in range(3, 20):
                case = Bench(bench.folder / f"{replaces}-{exchange}-{steps_done}")
                case.folder.mkdir()
                if not _cut_after(case, model, old, steps_done, replaces=replaces, exchange=exchange):
                    break
                case.open().close()
                assert case.active() == {"model.tflite": sha256(model)}, (replaces, exchange, steps_done)
                assert case.left_over() == [], (replaces, exchange, steps_done)
                assert case.push(model).bytes_sent == 0
            assert steps_done > 6


def _cut_after(
    case: Bench, model: Path, old: Path, steps_done: int, *, replaces: bool, exchange: bool
) -> bool:
    """A push whose last batch ended after so many steps; whether there were that many."""
    case.push(old, version="old")
    payload = payload_of(open_model(model), NAME, "2")
    with case.open() as device:
        if replaces:
            case.push(model, device, version="2", activate=False)
            (case.root / "models" / NAME / "2" / "model.tflite").write_bytes(b"damaged")
        staging = device.layout.staging(NAME, "2", payload.content)
        text = payload.manifest.encode()
        entry = journal.entry_of(NAME, "2", payload.content, text, activate=True)
        steps = journal.steps(entry, device.layout, text, replaces=replaces, exchange=exchange)
        with device.leased("test", 5.0):
            device.agent.mkdir(staging)
            device.agent.put(model, f"{staging}/model.tflite")
            device.agent.batch(steps[:steps_done])
    # up to the journal itself nothing is to be finished
    return 4 <= steps_done < len(steps) - 1 or (steps_done == 3 and _begin(case))


def _begin(case: Bench) -> bool:
    """Nothing was promised yet: the old version stays, and the next push goes its usual way."""
    case.open().close()
    assert (case.root / "models" / NAME / "current").read_text() == "old\n"
    case.push(case.model(b"new"), version="2")
    return True


def test_who_lost_the_lease_changes_nothing(bench: Bench) -> None:
    with bench.open() as mine:
        bench.push(bench.model(b"1"), mine)
        with pytest.raises(EdgekitError) as caught:
            mine.agent.batch([requests.lease_renew(), requests.write(f"{bench.root}/x", b"")])
    assert caught.value.code == "E_LEASE"
    assert not (bench.root / "x").exists()


def test_a_full_device_is_told_before_anything_is_sent(bench: Bench) -> None:
    model = bench.model()
    info = open_model(model)
    import msgspec

    huge = msgspec.structs.replace(info, size_bytes=1 << 60)
    with bench.open() as device, pytest.raises(DeviceFull) as caught:
        push_payload(
            huge,
            device,
            profile=None,
            name=NAME,
            version=None,
            activate=True,
            smoke=False,
            lease_wait_seconds=9.0,
        )
    assert "edgekit gc" in (caught.value.hint or "")


def test_a_source_that_changes_under_way_is_never_active(bench: Bench) -> None:
    model = bench.model()
    info = open_model(model)
    model.write_bytes(model.read_bytes()[:-4] + b"abcd")
    with bench.open() as device, pytest.raises(VerificationError):
        push_payload(
            info,
            device,
            profile=None,
            name=NAME,
            version=None,
            activate=True,
            smoke=False,
            lease_wait_seconds=9.0,
        )
    assert not (bench.root / "models" / NAME / "current").exists()


def test_a_bandwidth_slower_than_any_link_has_the_time_it_needs() -> None:
    from edgekit.agent.pace import Throttle
    from edgekit.agent.transfer import put_deadline

    left = put_deadline(25_000_000, None, Throttle(1_000.0)).remaining()
    assert left is not None
    assert left > 25_000
    usual = put_deadline(25_000_000, None).remaining()
    assert usual is not None
    assert usual < 2_000


def _folder_as_current(bench: Bench) -> None:
    current = bench.root / "models" / NAME / "current"
    current.unlink()
    (current / "something").mkdir(parents=True)


def test_a_folder_in_the_place_of_current_gives_way(bench: Bench) -> None:
    """C1.3: the journal could never be finished, so no push of any name, no rollback and no gc went through again."""
    first, second = bench.model(b"1"), bench.model(b"2")
    bench.push(first, version="1")
    for wanted, version in ((second, "2"), (first, "1")):
        _folder_as_current(bench)
        assert bench.push(wanted, version=version).activated
        assert bench.active() == {"model.tflite": sha256(wanted)}
        assert bench.left_over() == []
    _folder_as_current(bench)
    _as_if_passed(bench, "1")
    with bench.open() as device:
        rollback(device, NAME, "1")
        assert bench.active() == {"model.tflite": sha256(first)}
        _folder_as_current(bench)
        remove(device, NAME)
    assert not (bench.root / "models" / NAME).exists()


def _as_if_passed(bench: Bench, version: str) -> None:
    """Only a release whose smoke run passed is rolled back to."""
    manifest = bench.root / "models" / NAME / version / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"unchecked"', '"passed"'))


def test_a_cut_off_push_is_finished_where_a_folder_took_the_place_of_current(bench: Bench) -> None:
    old, model = bench.model(b"1"), bench.model(b"2")
    _cut_after(bench, model, old, 5, replaces=False, exchange=False)
    _folder_as_current(bench)
    bench.push(old, name="another")
    assert bench.active() == {"model.tflite": sha256(model)}


@pytest.mark.parametrize(
    "replace", [lambda path: path.write_bytes(b"\xff"), lambda path: (path / "x").mkdir(parents=True)]
)
def test_a_journal_that_is_none_is_dropped(bench: Bench, replace: Any) -> None:
    bench.push(bench.model(b"1"))
    replace(bench.root / "journal")
    assert bench.push(bench.model(b"2")).activated
    assert not (bench.root / "journal").exists()


def test_garbage_that_cannot_be_removed_stops_no_push(bench: Bench) -> None:
    """C1.3: what a deletion left of another user's release made each later operation fail, whatever its name."""
    bench.push(bench.model(b"1"))
    garbage = bench.root / "models" / "another" / ".1.ek-gone"
    garbage.mkdir(parents=True)
    (garbage / "file").touch()
    if subprocess.run(["chattr", "+i", garbage / "file"], capture_output=True, timeout=30).returncode:
        pytest.skip("no file here can be made immutable")
    try:
        assert bench.push(bench.model(b"2")).activated
    finally:
        subprocess.run(["chattr", "-i", garbage / "file"], check=True, timeout=30)
    bench.push(bench.model(b"3"))
    assert not garbage.exists()


def test_no_room_for_a_patch_on_this_host_costs_the_patch_and_no_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C1.1: a small /tmp made the push fail, though the patch is only the quicker way."""
    tail = [random.Random(seed).randbytes(600_000) for seed in range(2)]
    old, new = (bench.model(end, random_bytes=2_000_000) for end in tail)
    with bench.open() as device:
        bench.push(old, device)
        bench.slow(device)
        with small_disk(bench.folder / "tmp", "size=64k") as small:
            monkeypatch.setattr("tempfile.tempdir", str(small))
            pushed = bench.push(new, device)
            assert not list(small.iterdir())
    assert pushed.method in ("raw", "zstd")
    assert bench.active() == {"model.tflite": sha256(new)}


def test_a_model_that_is_written_to_while_it_is_sent(bench: Bench) -> None:
    """C1.1: the device's storage was blamed for it."""
    bench.push(bench.model(b"1"), version="1")
    model = bench.model(random_bytes=300_000)
    info = open_model(model)
    with open(model, "r+b") as file:
        file.seek(-1000, os.SEEK_END)
        file.write(b"x" * 100)
    wishes: dict[str, Any] = {"profile": None, "activate": True, "smoke": False, "lease_wait_seconds": 20.0}
    with bench.open() as device, pytest.raises(VerificationError) as caught:
        push_payload(info, device, name=NAME, version="2", **wishes)
    assert caught.value.code == "E_SOURCE_CHANGED"
    assert (bench.root / "models" / NAME / "current").read_text() == "1\n"
