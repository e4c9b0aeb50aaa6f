"""C1.2: what a device has is listed, switched and removed, whatever lies there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edgekit.deployment.collect import gc
from edgekit.deployment.failure import FAILURE, LOG_BYTES, Failure, decode_failure, failure_of, keep_failed
from edgekit.deployment.listing import release_on_device, releases
from edgekit.deployment.release import ReleaseManifest, decode_manifest
from edgekit.deployment.switching import _removal, remove, rollback
from edgekit.devices import Device
from edgekit.errors import DeviceError, EdgekitError, InputError, RemoteError, VerificationError
from tests.deployment.on_disk import (
    T0,
    activate,
    claimed,
    dated,
    manifest,
    opened,
    put_many,
    put_release,
    tree,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return claimed(tmp_path / "device")


@pytest.fixture
def device(root: Path) -> Iterator[Device]:
    with opened(root) as found:
        yield found


def put_failed(root: Path, name: str, version: str, day: int, message: str = "wrong") -> Path:
    folder = put_release(root, name, version, day, place="failed", smoke="unchecked")
    failure = Failure(code="E_SMOKE", message=message, log="said", failed_at="", edgekit_version="0")
    (folder / FAILURE).write_bytes(failure.encode())
    dated(folder, T0 + day * 86_400)
    return folder


def states(device: Device, name: str | None = None) -> dict[str, str]:
    return {f"{row.name}@{row.version}": row.state for row in releases(device, name)}


def test_everything_in_one_round_trip(root: Path, device: Device) -> None:
    put_many(root, "a", 3, current=2)
    put_release(root, "b", "x", 1)
    (root / "models" / "b" / "half").mkdir()
    put_failed(root, "b", "bad", 2)
    before = device.round_trips
    rows = releases(device)
    assert device.round_trips == before + 1
    assert {f"{row.name}@{row.version}": row.state for row in rows} == {
        **{"a@v1": "complete", "a@v2": "active", "a@v3": "complete"},
        **{"b@half": "damaged", "b@x": "complete", "b@bad": "failed"},
    }
    assert [row.name for row in rows] == sorted(row.name for row in rows)
    assert [row.active for row in rows] == [row.state == "active" for row in rows]
    assert [row.failure for row in rows if row.state == "failed"] == ["wrong"]
    assert [row.version for row in releases(device, "a")] == ["v1", "v2", "v3"]
    assert releases(device, "none") == []


def test_nothing_there(device: Device) -> None:
    assert releases(device) == []
    with pytest.raises(InputError) as error:
        release_on_device(device, "m", None)
    assert error.value.code == "E_NO_RELEASE"
    for act in (rollback, remove):
        with pytest.raises(InputError) as error:
            act(device, "m")
        assert error.value.code == "E_NO_RELEASE"


def test_more_than_one_answer_holds(root: Path, device: Device) -> None:
    """9 MB of manifests, and 4,500 folders: what does not fit is asked again."""
    for number in range(12):
        padding = "." * 800_000
        put_release(root, "large", f"v{number:02}", number, note=padding)
    activate(root, "large", "v11")
    assert list(states(device).values()) == ["complete"] * 11 + ["active"]
    for name in ("n1", "n2"):
        for number in range(2250):
            (root / "models" / name / f"{number:04}").mkdir(parents=True)
    put_release(root, "n1", "whole")
    found = states(device)
    assert len(found) == 12 + 4500 + 1
    assert found["n1@whole"] == "complete"
    assert found["large@v11"] == "active"


def hostile(root: Path, outside: Path) -> None:
    """Under names that edgekit would not give, and as what it would not put there."""
    models = root / "models"
    for name in ("a\nb", ".hidden", "-rf", "é", "\x1b[31m", "x" * 200):
        (models / name / "v1").mkdir(parents=True)
        (models / "m" / name).mkdir(parents=True)
    (models / "a\nb" / "v1" / "manifest.json").write_text(manifest("a", "v1", b""))
    (models / os.fsdecode(b"\xff\xfe") / "v1").mkdir(parents=True)
    (models / "file").write_text("no folder")
    (models / "m" / "file").write_text("no folder")
    put_release(outside, "target", "v1")
    (models / "linked").symlink_to(outside / "models" / "target")
    (models / "m" / "link").symlink_to(outside / "models" / "target" / "v1")
    (models / "m" / "current").symlink_to(outside / "models" / "target" / "current")
    activate(outside, "target", "v1")
    for version, data in (
        ("garbage", b"\x00\xff{"),
        ("empty", b""),
        ("deep", b"[" * 100_000),
        ("huge", b'{"schema": "' + b"." * (3 << 20) + b'"}'),
    ):
        (models / "m" / version).mkdir()
        (models / "m" / version / "manifest.json").write_bytes(data)
    (models / "m" / "folder" / "manifest.json").mkdir(parents=True)
    (models / "m" / "points-out").mkdir()
    (models / "m" / "points-out" / "manifest.json").symlink_to(outside / "models/target/v1/manifest.json")
    (models / "m" / "fifo").mkdir()
    os.mkfifo(models / "m" / "fifo" / "manifest.json")


DAMAGED = ("deep", "empty", "fifo", "folder", "garbage", "huge", "points-out")


def test_hostile_content(root: Path, device: Device, tmp_path: Path) -> None:
    hostile(root, tmp_path / "outside")
    before = tree(tmp_path / "outside")
    assert states(device) == {f"m@{version}": "damaged" for version in DAMAGED}
    assert not any(row.active for row in releases(device))
    assert all(row.failure for row in releases(device))
    remove(device, "m", "points-out")
    remove(device, "m")
    assert states(device) == {}
    assert tree(tmp_path / "outside") == before


def test_a_failed_release_is_kept_aside_with_its_log(root: Path, device: Device) -> None:
    put_many(root, "m", 1)
    staging = put_release(root, "m", ".v2.0123456789ab.ek-tmp")
    data = decode_manifest((staging / "manifest.json").read_bytes(), "it")
    error: EdgekitError = RemoteError(
        "it crashed", code="E_RUNNER_KILLED", stderr="x" * LOG_BYTES + "é last words"
    )
    with device.leased("test", 5):
        before = device.round_trips
        aside = keep_failed(device, data_named(data, "v2"), str(staging), error)
        assert device.round_trips <= before + 2
    folder = root / "failed" / "m" / "v2"
    assert aside == str(folder)
    assert not staging.exists()
    assert (folder / "model.tflite").is_file()
    failure = decode_failure((folder / FAILURE).read_bytes())
    assert failure is not None
    assert (failure.code, failure.message) == ("E_RUNNER_KILLED", "it crashed")
    assert failure.log.endswith("é last words")
    assert len(failure.log.encode()) <= LOG_BYTES
    row = next(row for row in releases(device) if row.state == "failed")
    assert (row.version, row.failure, row.smoke, row.active) == ("v2", "it crashed", "unchecked", False)
    assert states(device)["m@v1"] == "active"


def data_named(data: ReleaseManifest, version: str) -> ReleaseManifest:
    return msgspec.structs.replace(data, version=version)


def test_at_most_three_failed_ones_of_a_name(root: Path, device: Device) -> None:
    for day in range(1, 6):
        staging = put_release(root, "m", f".v{day}.0123456789ab.ek-tmp", day)
        data = decode_manifest((staging / "manifest.json").read_bytes(), "it")
        with device.leased("test", 5):
            assert keep_failed(device, data_named(data, f"v{day}"), str(staging), VerificationError("wrong"))
        dated(root / "failed" / "m" / f"v{day}", T0 + day * 86_400)
    assert sorted(states(device)) == ["m@v3", "m@v4", "m@v5"]
    again = put_release(root, "m", ".v4.0123456789ab.ek-tmp", 9)
    data = decode_manifest((again / "manifest.json").read_bytes(), "it")
    with device.leased("test", 5):
        assert keep_failed(device, data_named(data, "v4"), str(again), VerificationError("again"))
    assert sorted(states(device)) == ["m@v3", "m@v4", "m@v5"]
    assert next(row.failure for row in releases(device) if row.version == "v4") == "again"
    assert not list((root / "failed" / "m").glob(".*"))


def test_what_cannot_be_kept_aside_leaves_the_first_error(root: Path, device: Device) -> None:
    error = VerificationError("wrong")
    data = decode_manifest(manifest("m", "v1", b"").encode(), "it")
    with device.leased("test", 5):
        assert keep_failed(device, data, f"{root}/models/m/.none.ek-tmp", error) is None
    assert "could not be kept aside" in error.__notes__[0]


def test_the_log_of_the_error_behind() -> None:
    error = VerificationError("wrong")
    error.__cause__ = RemoteError("behind", stderr="said there")
    assert failure_of(error).log == "said there"
    assert failure_of(VerificationError("alone")).log == ""


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"schema": "edgekit.failure/2", "code": "", "message": ""}']
)
def test_no_failure_file(data: bytes) -> None:
    assert decode_failure(data) is None


def test_rollback_costs_three_round_trips_and_sends_nothing(root: Path, device: Device) -> None:
    put_many(root, "m", 3)
    before = device.round_trips
    done = rollback(device, "m")
    assert (done.version, done.previous) == ("v2", "v3")
    assert device.round_trips <= before + 4  # the lease is given back
    assert (root / "models" / "m" / "current").read_text() == "v2\n"
    assert rollback(device, "m", "v3").previous == "v2"
    assert states(device)["m@v3"] == "active"


def test_rollback_passes_over_what_cannot_be_used(root: Path, device: Device) -> None:
    put_many(root, "m", 6)
    (root / "models" / "m" / "v5" / "manifest.json").write_text("garbage")
    aside = put_failed(root, "m", "v4b", 4, "wrong \x1b[31m") / "manifest.json"
    aside.write_text(aside.read_text().replace("unchecked", "passed"))  # whatever it says
    text = (root / "models" / "m" / "v4" / "manifest.json").read_text()
    (root / "models" / "m" / "v4" / "manifest.json").write_text(text.replace("passed", "unchecked"))
    (root / "models" / "m" / "v2" / "model.tflite").write_bytes(b"other bytes")
    assert rollback(device, "m").version == "v3"
    with pytest.raises(VerificationError) as error:
        rollback(device, "m")  # to v2
    assert error.value.code == "E_HASH"
    assert states(device)["m@v3"] == "active"
    for version, kind, code in (
        ("v4", VerificationError, "E_UNCHECKED"),
        ("v5", DeviceError, "E_RELEASE_DAMAGED"),
        ("v4b", InputError, "E_NO_RELEASE"),
        ("none", InputError, "E_NO_RELEASE"),
    ):
        with pytest.raises(kind) as refused:
            rollback(device, "m", version)
        assert refused.value.code == code
    assert "wrong \N{REPLACEMENT CHARACTER}[31m" in refused_message(device, "v4b")
    assert states(device)["m@v3"] == "active"


def refused_message(device: Device, version: str) -> str:
    with pytest.raises(InputError) as error:
        rollback(device, "m", version)
    return error.value.message


def test_a_release_for_a_measurement(root: Path, device: Device) -> None:
    put_many(root, "m", 2)
    before = device.round_trips
    active = release_on_device(device, "m", None)
    assert device.round_trips == before + 2
    assert (active.manifest.version, active.active) == ("v2", True)
    assert not release_on_device(device, "m", "v1").active
    (root / "models" / "m" / "v2" / "model.tflite").unlink()
    with pytest.raises(VerificationError) as error:
        release_on_device(device, "m", None)
    assert "missing" in error.value.message


def test_remove(root: Path, device: Device) -> None:
    put_many(root, "m", 3)
    put_failed(root, "m", "v2", 4)
    put_failed(root, "m", "bad", 5)
    put_release(root, "other", "v1")
    with pytest.raises(InputError) as error:
        remove(device, "m", "v3")
    assert error.value.code == "E_RELEASE_ACTIVE"
    assert remove(device, "m", "v2")["removed"] == ["m@v2"]  # both that have this name
    assert states(device, "m") == {"m@v1": "complete", "m@v3": "active", "m@bad": "failed"}
    remove(device, "m", "bad")
    remove(device, "m", "v3", force=True)
    assert not (root / "models" / "m" / "current").exists()
    assert states(device) == {"m@v1": "complete", "other@v1": "complete"}
    put_failed(root, "m", "bad", 5)
    assert remove(device, "m")["removed"] == ["m@v1", "m@bad"]
    assert sorted(path.name for path in (root / "models").iterdir()) == ["other"]
    assert not (root / "failed" / "m").exists()


def test_a_deletion_that_was_cut_off_before_does_not_stop_the_next(root: Path, device: Device) -> None:
    put_many(root, "m", 2)
    for gone in (".v1.ek-gone", "../.m.ek-gone"):
        folder = root / "models" / "m" / gone
        folder.mkdir()
        (folder / "part").write_text("left")
    with device.leased("test", 5):  # what the lease cleans is not the point
        for gone in (".v1.ek-gone", "../.m.ek-gone"):
            folder = root / "models" / "m" / gone
            folder.mkdir(exist_ok=True)
            (folder / "part").write_text("left")
        remove(device, "m", "v1")
        remove(device, "m")
    assert list((root / "models").iterdir()) == []


def test_the_json_of_a_row_keeps_its_fields(root: Path, device: Device) -> None:
    put_many(root, "m", 1)
    (row,) = json.loads(msgspec.json.encode(releases(device)))
    assert {"name", "version", "active", "sha256", "size_bytes", "recipe", "smoke", "pushed_at"} < set(row)
    assert (row["active"], row["size_bytes"], row["smoke"]) == (True, 1000, "passed")


@pytest.mark.parametrize("version", [None, "v2", "v3"])
def test_a_removal_that_is_cut_off_after_any_step(tmp_path: Path, version: str | None) -> None:
    """C1-b2: every release is whole or not there, `current` names one or is not there, and the next lease ends it."""
    steps = cut = 1
    while cut <= steps:
        root = claimed(tmp_path / f"cut-{cut}")
        put_many(root, "m", 3)
        put_failed(root, "m", "v2", 1)
        with opened(root) as device:
            chosen = [row for row in releases(device) if version in (None, row.version)]
            todo = _removal(device, "m", version, chosen)
            steps = len(todo)
            for step in todo[:cut]:
                device.agent.call(step)
        with opened(root) as device:
            found = states(device)
            assert "damaged" not in found.values()
            current = root / "models" / "m" / "current"
            assert not current.exists() or f"m@{current.read_text().strip()}" in found
            for name in (row for row in found if found[row] in ("active", "complete")):
                release_on_device(device, "m", name.removeprefix("m@"))
            with device.leased("next", 5):
                pass
            assert not list(root.rglob("*.ek-gone"))
            if cut == steps:
                assert not any(version in (None, row.version) for row in releases(device))
        cut += 1
    assert steps >= 4


def test_more_releases_of_a_name_than_one_answer_holds(root: Path, device: Device) -> None:
    """C1.2: neither releases, rollback, remove nor gc went on; only uninstall freed that device."""
    put_many(root, "m", 5)
    put_failed(root, "m", "bad", 2)
    for number in range(4200):
        (root / "models" / "m" / f"half-{number}").mkdir()
    assert len(releases(device, "m")) == len(releases(device)) == 4206
    assert rollback(device, "m").version == "v4"
    assert rollback(device, "m", "v3").version == "v3"
    assert remove(device, "m", "v1")["removed"] == ["m@v1"]
    found = gc(device, "m", keep=1, dry_run=True)
    assert [each.name for each in found.removed if "half" not in each.name] == ["m@v4"]
    assert (len(found.removed), found.kept) == (4201, {"failed": 1, "release": 3})
