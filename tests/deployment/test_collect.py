"""C1.2, C1.4: gc on a device: each rule, what is in use, what was cut off, what is not edgekit's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.deployment.collect import gc
from edgekit.deployment.listing import releases
from edgekit.deployment.switching import rollback
from edgekit.devices import Device
from edgekit.errors import DeviceBusy, InputError
from tests.cli.running import edgekit
from tests.deployment.on_disk import (
    T0,
    activate,
    claimed,
    cut_off,
    dated,
    manifest,
    opened,
    put_many,
    put_release,
    removed,
    runtime,
    tree,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return claimed(tmp_path / "device")


@pytest.fixture
def device(root: Path) -> Iterator[Device]:
    with opened(root) as found:
        yield found


def there(device: Device) -> list[str]:
    return sorted(f"{row.name}@{row.version}" for row in releases(device))


def test_the_newest_of_each_name_stay(root: Path, device: Device) -> None:
    put_many(root, "a", 5)
    put_many(root, "b", 2)
    before = device.round_trips
    result = gc(device)
    assert (
        device.round_trips <= before + 5
    )  # lease and look, what is in use, sizes, deletion, lease given back
    assert removed(result) == ["a@v1", "a@v2", "a@v3"]
    assert there(device) == ["a@v4", "a@v5", "b@v1", "b@v2"]
    assert not list((root / "models").rglob(".*"))
    manifest_bytes = (root / "models/a/v5/manifest.json").stat().st_size
    assert result.freed_bytes == 3 * (1000 + manifest_bytes)
    assert result.kept["release"] == 4
    assert {each.why for each in result.removed} == {"beyond the newest 2 of its name"}
    again = gc(device)
    assert (again.removed, again.freed_bytes, again.kept) == ((), 0, result.kept)


def test_the_active_one_and_the_one_before_stay_though_newer_ones_are_there(
    root: Path, device: Device
) -> None:
    put_many(root, "m", 6, current=3)
    assert removed(gc(device, keep=1)) == ["m@v1", "m@v4", "m@v5"]
    assert rollback(device, "m").version == "v2"
    assert removed(gc(device, keep=0)) == ["m@v3", "m@v6"]
    assert there(device) == ["m@v2"]


@pytest.mark.parametrize(
    "pushed_at", ["1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "", "yesterday", "\x1b[2J"]
)
@pytest.mark.parametrize("mtime_s", [0, T0, 4_000_000_000])
def test_no_clock_deletes_what_a_rollback_needs(
    root: Path, device: Device, pushed_at: str, mtime_s: int
) -> None:
    for version in ("v1", "v2"):
        dated(put_release(root, "m", version, pushed_at=pushed_at), mtime_s)
    activate(root, "m", "v2")
    assert gc(device, keep=0, older_than_s=0, max_bytes=0).removed == ()
    assert rollback(device, "m").version == "v1"


def test_age(root: Path, device: Device) -> None:
    put_many(root, "m", 3)
    new = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
    for version in ("n1", "n2", "n3"):
        dated(put_release(root, "m", version, pushed_at=new), time.time() - 3600)
    touched = put_release(root, "m", "old-but-put-now", 0)  # by the host's clock of then
    dated(touched, time.time() - 60)
    assert gc(device, older_than_s=1e9, dry_run=True).removed == ()
    assert removed(gc(device, older_than_s=2 * 3600)) == ["m@v1"]  # v3 is active, v2 before it
    assert removed(gc(device, keep=0, older_than_s=1800)) == ["m@n1", "m@n2", "m@n3"]
    assert removed(gc(device, keep=0)) == ["m@old-but-put-now"]


def test_size(root: Path, device: Device) -> None:
    for day in range(1, 6):
        put_release(root, "m", f"v{day}", day, size=1_000_000)
    activate(root, "m", "v5")
    agent = sum(path.stat().st_size for path in (root / "agent").iterdir())
    fitting = gc(device, keep=9, max_bytes=4_100_000 + agent)
    assert removed(fitting) == ["m@v1"]
    assert not any("were asked for" in note for note in fitting.notes)
    assert there(device) == ["m@v2", "m@v3", "m@v4", "m@v5"]
    result = gc(device, keep=9, max_bytes=0)
    assert removed(result) == ["m@v2", "m@v3"]
    assert {each.why for each in result.removed} == {"too much in all"}
    assert result.freed_bytes > 2_000_000
    assert any("0 B were asked for" in note and "always stays" in note for note in result.notes), result.notes


def test_only_one_name(root: Path, device: Device) -> None:
    put_many(root, "a", 4)
    put_many(root, "b", 4)
    runtime(root, "r", *"123")
    put_release(root, "b", "f1", 1, place="failed")
    cut_off(root / "models" / "b" / ".v9.0123456789ab.ek-tmp")
    before = tree(root)
    assert removed(gc(device, "a")) == ["a@v1", "a@v2"]
    after = tree(root)
    assert {key: value for key, value in before.items() if not key.startswith("models/a/")} == {
        key: value for key, value in after.items() if not key.startswith("models/a/")
    }


def test_a_dry_run_changes_nothing_and_tells_the_truth(root: Path, device: Device) -> None:
    put_many(root, "m", 5)
    runtime(root, "r", *"123")
    put_release(root, "m", "f1", 1, place="failed")
    cut_off(root / "models" / "m" / ".v9.0123456789ab.ek-tmp")
    (root / "models" / ".x.ek-gone").mkdir()
    before = tree(root)
    told = gc(device, dry_run=True)
    assert tree(root) == before
    done = gc(device)
    assert done.removed == told.removed
    assert (told.dry_run, done.dry_run) == (True, False)
    assert not gc(device).removed


def test_another_host_at_work(root: Path, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    put_many(root, "m", 5)
    with opened(root) as other, other.leased("a push", 1):
        assert len(gc(device, dry_run=True).removed) == 3
        monkeypatch.setattr("edgekit.deployment.collect.LEASE_WAIT_SECONDS", 0.0)
        with pytest.raises(DeviceBusy):
            gc(device)
    assert len(there(device)) == 5


def test_what_was_cut_off(root: Path, device: Device) -> None:
    put_many(root, "m", 2)
    models = root / "models"
    old = [
        cut_off(models / "m" / ".v3.0123456789ab.ek-tmp"),
        cut_off(root / "runtimes" / "r" / "x" / ".l.ek-tmp"),
    ]
    files = [models / "m" / ".current.ek-tmp", root / ".layout.ek-tmp", root / "agent" / ".ab.cd.ek-tmp"]
    for file in files:
        file.write_bytes(bytes(10))
        dated(file, time.time() - 90_000)
    young = [cut_off(models / "m" / ".v4.0123456789ab.ek-tmp", days=0.9), models / "m" / ".other.ek-tmp"]
    young[1].write_bytes(b"")
    grows = cut_off(models / "m" / ".v5.0123456789ab.ek-tmp")  # its folder is old, what is in it is not
    dated(grows / ".model.tflite.ek-tmp", time.time())
    gone = [models / ".n.ek-gone", models / "m" / ".v0.ek-gone", root / "failed" / "m" / ".v.ek-gone"]
    for folder in gone:
        folder.mkdir(parents=True)
        (folder / "model.tflite").write_bytes(bytes(30))
    result = gc(device)
    assert not any(path.exists() for path in (*old, *files, *gone))
    assert all(path.exists() for path in (*young, grows))
    assert {each.kind for each in result.removed} <= {"staging", "garbage"}
    sizes = {each.name: each.size_bytes for each in result.removed if each.kind == "staging"}
    assert sizes["models/m/.v3.0123456789ab.ek-tmp"] == 700
    assert there(device) == ["m@v1", "m@v2"]


def test_failed_ones_follow_the_rules_too(root: Path, device: Device) -> None:
    put_many(root, "m", 1)
    for day in range(1, 4):
        put_release(root, "m", f"f{day}", day, place="failed")
    assert gc(device, older_than_s=1e10).removed == ()
    assert removed(gc(device)) == ["m@f1"]
    assert removed(gc(device, keep=0)) == ["m@f2", "m@f3"]
    assert there(device) == ["m@v1"]


def test_what_is_not_edgekits_stays(root: Path, device: Device, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    put_many(outside, "target", 4)
    models = root / "models"
    put_many(root, "m", 4)
    for name in ("a\nb", "-rf", "é", "[x]*"):
        (models / name / "v1").mkdir(parents=True)
        (models / "m" / name).mkdir()
        (models / "m" / name / "manifest.json").write_text(manifest("m", "v1", b""))
    (models / "m" / "link").symlink_to(outside / "models" / "target" / "v1")
    (models / "linked").symlink_to(outside / "models" / "target")
    cut_off(outside / "models" / "target" / ".v2.0123456789ab.ek-tmp")
    runtime(root, "r", *"123")
    (root / "runtimes" / "elsewhere").symlink_to(runtime(outside, "r", *"123")[0].parent)
    (root / "runtimes" / "r" / ("9" * 64)).symlink_to(outside)
    (root / "runtimes" / "mine").mkdir()
    (root / "runtimes" / "mine" / "notes").write_text("x")
    (models / "m" / "v3" / "away").symlink_to(outside)
    before, around = tree(root), tree(outside)
    assert removed(gc(device)) == ["m@v1", "m@v2", f"r/{'1' * 64}"]
    gone = ("models/m/v1", "models/m/v2", f"runtimes/r/{'1' * 64}")
    assert tree(root) == {key: value for key, value in before.items() if not key.startswith(gone)}
    assert tree(outside) == around


def test_manifests_that_are_none(root: Path, device: Device) -> None:
    put_many(root, "m", 3)
    models = root / "models" / "m"
    for version, data in (("g1", b"\x00{"), ("g2", b'{"schema": "' + b"." * (2 << 20) + b'"}'), ("g3", b"")):
        (models / version).mkdir()
        (models / version / "manifest.json").write_bytes(data)
    put_release(root, "m", "newer", 9, schema="edgekit.release/2")
    (models / "v3" / "manifest.json").write_bytes(b"damaged, and active")
    result = gc(device, keep=1)
    assert removed(result) == ["m@g1", "m@g2", "m@g3", "m@v1"]
    assert there(device) == ["m@newer", "m@v2", "m@v3"]
    assert next(each.size_bytes for each in result.removed if each.name == "m@g2") > 2 << 20


def test_a_size_that_a_manifest_makes_up_counts_for_nothing(root: Path, device: Device) -> None:
    put_many(root, "m", 3)
    folder = root / "models" / "m" / "v1"
    lie = {"file": "model.tflite", "sha256": "0" * 64, "size_bytes": 1 << 60}
    (folder / "manifest.json").write_text(
        manifest("m", "v1", b"", files=[lie], model=lie, pushed_at="2000-01-02")
    )
    assert gc(device, keep=9, max_bytes=1_000_000).removed == ()


def test_a_root_with_characters_of_patterns(tmp_path: Path) -> None:
    root = claimed(tmp_path / "e[a-z]*?\\ 'x'")
    put_many(root, "m", 4)
    put_many(claimed(tmp_path / "eb"), "m", 4)
    cut_off(root / "models" / "m" / ".v9.0123456789ab.ek-tmp")
    with opened(root) as device:
        assert [row.version for row in releases(device)] == ["v1", "v2", "v3", "v4"]
        assert removed(gc(device)) == ["m@v1", "m@v2", "models/m/.v9.0123456789ab.ek-tmp"]
    assert len(list((tmp_path / "eb" / "models" / "m").iterdir())) == 5


def test_many(root: Path, device: Device) -> None:
    """More than one batch of sizes, and of deletions."""
    put_many(root, "m", 200)
    assert len(gc(device, keep=3).removed) == 197
    assert there(device) == ["m@v198", "m@v199", "m@v200"]


def test_more_than_one_look_holds(root: Path, device: Device) -> None:
    put_many(root, "m", 4)
    for number in range(4200):
        (root / "models" / "many" / f"{number:04}").mkdir(parents=True)
    everything = removed(gc(device, dry_run=True))
    assert (len(everything), everything[:2]) == (4202, ["m@v1", "m@v2"])
    assert removed(gc(device, "m")) == ["m@v1", "m@v2"]


@pytest.mark.parametrize(
    "rule", [{"keep": -1}, {"older_than_s": -1.0}, {"older_than_s": float("nan")}, {"max_bytes": -1}]
)
def test_a_rule_that_is_none(device: Device, rule: dict[str, float]) -> None:
    with pytest.raises(InputError) as error:
        gc(device, **rule)  # type: ignore[arg-type]
    assert error.value.code == "E_GC_RULE"


def test_the_command(root: Path, tmp_path: Path) -> None:
    put_many(root, "m", 4)
    put_release(root, "m", "bad", 1, place="failed")
    (tmp_path / "edgekit.yaml").write_text(f'devices: {{it: {{address: "local:", root: "{root}"}}}}\n')

    dry = edgekit("gc", "-d", "it", "--dry-run", cwd=tmp_path).ok()
    assert "would free" in dry.stdout
    assert "m@v1" in dry.stdout
    assert "1 failed, 2 releases" in dry.stdout.replace("1 agent, ", "")
    assert edgekit("gc", "m", "-d", "it", "--older-than", "99999d", cwd=tmp_path).ok().stdout.count("m@") == 0
    done = (
        edgekit("gc", "m", "-d", "it", "--older-than", "2w", "--keep", "1", "--json", cwd=tmp_path)
        .ok()
        .json()
    )
    assert [each["name"] for each in done["removed"]] == ["m@v1", "m@v2"]
    assert done["kept"] == {"failed": 1, "release": 2}
    assert "freed 0 B" in edgekit("gc", "-d", "it", "--max-size", "1GiB", cwd=tmp_path).ok().stdout
    for words in (["--older-than", "30"], ["--older-than", "x"], ["--max-size", "2"], ["--keep", "-1"]):
        assert edgekit("gc", "-d", "it", *words, cwd=tmp_path).code == 2
    assert [path.name for path in (root / "failed" / "m").iterdir()] == ["bad"]
