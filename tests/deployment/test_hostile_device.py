"""A-b5: folders that are not edgekit's, devices that say nonsense, artifacts that lie, disks that fill up."""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekit.config import Config, DeviceEntry
from edgekit.deployment.release import decode_manifest
from edgekit.deployment.switching import own_root
from edgekit.devices import resolve
from edgekit.errors import DeviceError, DeviceFull, InputError, RemoteError
from edgekit.runtimes.result import parse_result
from tests.cli.running import MODEL, QUICK, Ran, edgekit


def settings(folder: Path, root: str, address: str = "local:") -> None:
    text = json.dumps({"devices": {"it": {"address": address, "root": root}}})  # JSON is YAML too
    (folder / "edgekit.yaml").write_text(text)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    settings(tmp_path, f"{tmp_path}/device")
    return tmp_path


def run(project: Path, *arguments: str | Path, env: Any = None) -> Ran:
    return edgekit(*arguments, "-d", "it", env=env, cwd=project)


def push(project: Path, *arguments: str | Path) -> dict[str, Any]:
    document: dict[str, Any] = run(project, "push", *arguments, "--json").ok().json()
    return document


def other_model(project: Path, number: int) -> Path:
    """The same model in other bytes: what follows the flatbuffer is not read."""
    path = project / f"other-{number}.tflite"
    path.write_bytes(MODEL.read_bytes() + bytes(16 * number))
    return path


THEIRS = (
    "models/mine/weights.bin",
    "run/notes.txt",
    "jobs/list.txt",
    "runtimes/x",
    "agent/smith.txt",
    "readme",
)


def their_folder(project: Path, layout: str | None) -> Path:
    root = project / "device"
    for name in THEIRS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    if layout is not None:
        (root / "layout").write_text(layout)
    return root


def untouched(root: Path) -> bool:
    return all((root / name).read_text() == name for name in THEIRS)


@pytest.mark.parametrize("layout", ["l", "", "1\n2\n", "-1", "one", "\N{ARABIC-INDIC DIGIT ONE}\n", None])
def test_what_edgekit_did_not_make_it_does_not_remove(project: Path, layout: str | None) -> None:
    root = their_folder(project, layout)
    code = "E_NOT_OURS" if layout is None else "E_LAYOUT"
    for arguments in (("push", MODEL), ("bench", MODEL, *QUICK)):
        refused = run(project, *arguments, "--json")
        error = refused.error()
        assert (refused.code, error["code"]) == (3, code)
        assert "uninstall" not in error["hint"]
        assert "root" in error["hint"]
        assert untouched(root)
    refused = run(project, "uninstall", "--yes", "--json")
    assert (refused.code, refused.error()["code"]) == (3, "E_NOT_OURS")
    assert refused.error()["hint"]
    assert untouched(root)
    assert (root / "layout").exists() == (layout is not None)


@pytest.mark.parametrize("root", ["/", "//"])
def test_the_whole_device_is_never_uninstalled(root: str) -> None:
    assert own_root("/opt/edgekit", "local:") == "/opt/edgekit"
    with pytest.raises(DeviceError) as error:
        own_root(root, "local:")
    assert (error.value.code, error.value.exit_code) == ("E_NOT_OURS", 3)
    assert error.value.hint


def test_a_newer_edgekits_runs_are_left_alone(project: Path) -> None:
    push(project, MODEL)
    run_of_another = project / "device" / "run" / "0123"
    run_of_another.mkdir(parents=True)
    (project / "device" / "layout").write_text("9\n")
    error = run(project, "push", MODEL, "--name", "other", "--json").error()
    assert error["code"] == "E_LAYOUT"
    assert "uninstall" in error["hint"]
    assert run_of_another.is_dir()


@pytest.mark.parametrize("used", [False, True])
def test_uninstall_takes_all_that_is_edgekits_and_only_that(project: Path, used: bool) -> None:
    """knobs.lock too, which is there once a knob was set."""
    root = project / "device"
    if used:
        push(project, MODEL)
        (root / "knobs.lock").touch()
        (root / "knobs.journal").touch()
    else:
        run(project, "releases", "--json").ok()
    assert (root / "agent").is_dir()
    assert run(project, "uninstall", "--yes", "--json").ok().json()["left"] == []
    assert not root.exists()


def test_uninstall_leaves_what_users_put_beside(project: Path) -> None:
    push(project, MODEL)
    root = project / "device"
    for name in ("readme", "agent/smith.txt"):
        (root / name).write_text(name)
    assert run(project, "uninstall", "--yes", "--json").ok().json()["left"] == ["agent", "readme"]
    assert sorted(str(p.relative_to(root)) for p in root.rglob("*")) == ["agent", "agent/smith.txt", "readme"]


def test_rollback_activates_only_what_ran_there(project: Path) -> None:
    first = push(project, MODEL, "--name", "m")
    run(project, "bench", MODEL, "--json", *QUICK).ok()  # another name: not a candidate at all
    untried = push(project, other_model(project, 1), "--name", "m", "--no-activate", "--no-smoke")
    second = push(project, other_model(project, 2), "--name", "m")
    assert [row["smoke"] for row in (first, untried, second)] == ["passed", "unchecked", "passed"]
    refused = run(project, "rollback", "m", "--to", untried["version"], "--json")
    assert (refused.code, refused.error()["code"]) == (7, "E_UNCHECKED")
    assert "--no-smoke" in refused.error()["hint"]
    done = run(project, "rollback", "m", "--json").ok().json()
    assert (done["version"], done["previous"]) == (first["version"], second["version"])
    refused = run(project, "rollback", "m", "--json")
    assert (refused.code, refused.error()["code"]) == (1, "E_NO_RELEASE")


def test_a_file_that_was_only_measured_is_no_rollback(project: Path) -> None:
    run(project, "bench", MODEL, "--json", *QUICK).ok()
    refused = run(project, "rollback", "digits", "--json")
    assert (refused.code, refused.error()["code"]) == (1, "E_NO_RELEASE")
    assert not (project / "device" / "models" / "digits" / "current").exists()


@pytest.mark.parametrize(
    "garbage", [b"\x1b[31mred\x1b[0m\n", b"../../x\n", b"\xff\xfe", b"a b", bytes(5000), b"\n"]
)
def test_a_current_that_is_no_name_counts_as_none(project: Path, garbage: bytes) -> None:
    push(project, MODEL)
    current = project / "device" / "models" / "digits" / "current"
    current.write_bytes(garbage)
    refused = run(project, "bench", "digits", "--json", *QUICK)
    assert (refused.code, refused.error()["code"]) == (3, "E_RELEASE_DAMAGED")
    assert "rollback" in refused.error()["hint"]
    assert not any(row["active"] for row in run(project, "releases", "--json").ok().json()["releases"])
    text = run(project, "push", MODEL).ok()
    assert "\x1b" not in text.stdout
    assert "before" not in text.stdout


def test_a_current_that_is_no_name_is_never_the_previous_one(project: Path) -> None:
    """What follows is the same whatever it holds; so one is enough."""
    garbage = b"\x1b[31mred\x1b[0m\n"
    push(project, MODEL)
    current = project / "device" / "models" / "digits" / "current"
    current.write_bytes(garbage)
    assert push(project, MODEL)["previous"] is None
    current.write_bytes(garbage)
    assert run(project, "rollback", "digits", "--json").ok().json()["previous"] is None
    run(project, "bench", "digits", "--json", *QUICK).ok()


def test_what_a_device_says_reaches_no_terminal_raw(project: Path) -> None:
    version = push(project, MODEL)["version"]
    models = project / "device" / "models"
    path = models / "digits" / version / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "recipe": "\x1b]0;x\x07[red]odd", "pushed_at": "\x1b[2J"}))
    (models / "\x1b[31mred" / "1").mkdir(parents=True)
    shown = run(project, "releases").ok()
    assert "\x1b" not in shown.stdout
    assert "[red]odd" in shown.stdout


@pytest.mark.parametrize(
    ("part", "value"), [("tolerance", -1.0), ("dtype", "string"), ("step", -0.5), ("tolerance", "NaN")]
)
def test_a_manifest_on_the_device_with_figures_that_cannot_be(part: str, value: Any) -> None:
    output = {"name": "y", "dtype": "float32", "shape": [1, 3], "step": None}
    golden = {"samples": 1, "tolerance": 0.1, "outputs": [output]}
    file = {"file": "model.tflite", "sha256": "a" * 64, "size_bytes": 1}
    document = {
        **{"schema": "edgekit.release/1", "name": "m", "version": "1", "model": file, "files": [file]},
        **{"format": "tflite", "recipe": None, "golden": golden},
    }
    assert decode_manifest(json.dumps(document).encode(), "local:").golden is not None
    (output if part in output else golden)[part] = value
    with pytest.raises(DeviceError) as error:
        decode_manifest(json.dumps(document).encode(), "local:")
    assert error.value.code == "E_RELEASE_DAMAGED"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sha256", "/etc/passwd"),
        ("sha256", "../" + "a" * 61),
        ("sha256", "a" * 64 + "\n"),
        ("size_bytes", -1),
        ("file", "../../other/1/model.tflite"),
        ("file", "/etc/passwd"),
        ("file", ""),
        ("file", "a\0b"),
        ("file", "\x1b[31m"),
        ("name", "\x1b[31mred"),
        ("version", "../1"),
    ],
)
def test_a_manifest_on_the_device_with_names_that_cannot_be(key: str, value: Any) -> None:
    """A hash from there becomes a path in this host's cache, a file's name one on the device, the rest a message."""
    file: dict[str, Any] = {"file": "model.tflite", "sha256": "a" * 64, "size_bytes": 1}
    document: dict[str, Any] = {
        **{"schema": "edgekit.release/1", "name": "m", "version": "1", "model": dict(file), "files": [file]},
        **{"format": "tflite", "recipe": None},
    }
    assert decode_manifest(json.dumps(document).encode(), "local:").name == "m"
    (file if key in file else document)[key] = value
    with pytest.raises(DeviceError) as error:
        decode_manifest(json.dumps(document).encode(), "local:")
    assert error.value.code == "E_RELEASE_DAMAGED"


def test_a_device_deletes_nothing_on_this_host(project: Path) -> None:
    """A manifest there named a file here as the base of a patch; it was deleted, as its hash was another."""
    cache = {"EDGEKIT_CACHE_DIR": str(project / "cache")}
    mine = project / "thesis.txt"
    mine.write_text("mine")
    models = [project / f"padded-{number}.tflite" for number in (1, 2)]
    for model in models:
        padding = random.Random(1).randbytes(300_000)
        model.write_bytes(MODEL.read_bytes() + padding + model.name.encode())
    arguments = ("--name", "m", "--no-smoke", "--json")
    pushed = run(project, "push", models[0], *arguments, env=cache).ok().json()
    manifest = project / "device" / "models" / "m" / pushed["version"] / "manifest.json"
    manifest.write_text(manifest.read_text().replace(pushed["sha256"], str(mine)))
    for rate in (project / "cache" / "devices").glob("rate-*"):
        rate.write_text('{"rate_bytes_per_s": 100000}')  # so slow that a patch would pay
    assert run(project, "push", models[1], *arguments, env=cache).ok().json()["activated"]
    assert mine.read_text() == "mine"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("artifact") / "a.ekm"
    edgekit("convert", MODEL, "--recipe", "float32", "-o", path).ok()
    return path


def changed(manifest: Any, keys: tuple[str | int, ...], value: Any) -> str:
    *path, last = keys
    inner = manifest
    for key in path:
        inner = inner[key]
    inner[last] = value
    return json.dumps(manifest)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("model", "size_bytes"), 1),
        (("golden", "outputs", "size_bytes"), 0),
        (("golden", "tolerance"), -1e-9),
        (("signature", "outputs", 0, "step"), -1),
        (("signature", "outputs", 0, "dtype"), "string"),
        (("signature", "inputs", 0, "dtype"), "float128"),
        (("model", "file"), "../../outside"),
    ],
    ids=str,
)
def test_an_artifact_that_lies_is_refused(
    project: Path, artifact: Path, keys: tuple[str | int, ...], value: Any
) -> None:
    folder = project / "bad.ekm"
    (folder / "golden").mkdir(parents=True)
    for file in ("model.tflite", "golden/inputs.bin", "golden/outputs.bin"):
        (folder / file).write_bytes((artifact / file).read_bytes())
    manifest = json.loads((artifact / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest))
    push(project, folder, "--no-activate", "--no-smoke")
    (folder / "manifest.json").write_text(changed(manifest, keys, value))
    refused = run(project, "push", folder, "--json")
    assert (refused.code, refused.error()["code"]) == (1, "E_ARTIFACT")
    assert "convert" in refused.error()["hint"]


@pytest.mark.parametrize("name", ["../../evil", "a\nb", "", ".hidden", "current", "x/y", "é", "n" * 81])
def test_a_name_that_is_none_converts_nothing(project: Path, name: str) -> None:
    inner = project / "one" / "two"
    inner.mkdir(parents=True)
    before = sorted(project.rglob("*"))
    done = edgekit("convert", MODEL, "--recipe", "float32", "--name", name, "--json", cwd=inner)
    assert (done.code, done.error()["code"]) == (1, "E_NAME")
    assert sorted(project.rglob("*")) == before


@pytest.mark.parametrize("root", ["/proc/edgekit", "{project}/edgekit.yaml", "{project}/edgekit.yaml/below"])
def test_a_root_that_cannot_be_a_folder(project: Path, root: str) -> None:
    settings(project, root.format(project=project))
    done = run(project, "push", MODEL, "--json")
    assert done.code == 3
    assert "root" in done.error()["hint"]


def test_the_home_folder_of_a_local_root(project: Path) -> None:
    """No folder that is called `~`."""
    home = project / "home"
    home.mkdir()
    settings(project, "~/ekx")
    done = run(project, "push", MODEL, "--json", env={"HOME": str(home)}).ok().json()
    assert done["activated"]
    assert [entry.name for entry in home.iterdir() if entry.name in ("~", "ekx")] == ["ekx"]


def root_of(address: str, root: str) -> str | None:
    return resolve("it", Config(devices={"it": DeviceEntry(address=address, root=root)})).root


@pytest.mark.parametrize(
    ("address", "root", "meant"),
    [
        ("ssh://pi@board", "~/ekx", "ekx"),
        ("ssh://pi@board", "~/a/~b", "a/~b"),
        ("ssh://pi@board", "~/", "."),
        ("ssh://pi@board", "ekx", "ekx"),
        ("adb:1", "/data/x", "/data/x"),
        ("local:", "/tmp/~x", "/tmp/~x"),
    ],
)
def test_the_home_folder_of_a_root(address: str, root: str, meant: str) -> None:
    assert root_of(address, root) == meant


@pytest.mark.parametrize(
    ("address", "root"),
    [
        ("adb:1", "~/ekx"),
        ("ssh://pi@board", "~root/ekx"),
        ("local:", "~nobody-is-called-so/x"),
        ("adb:", "~"),
    ],
)
def test_a_home_folder_that_is_not_known(address: str, root: str) -> None:
    with pytest.raises(InputError) as error:
        root_of(address, root)
    assert error.value.code == "E_CONFIG"
    assert error.value.hint


def test_the_home_folder_of_a_root_over_ssh(sshd: Any, tmp_path: Path) -> None:
    settings(tmp_path, "~/ekx-home", sshd.address)
    done = run(tmp_path, "push", MODEL, "--no-smoke", "--json", env=sshd.client.env).ok().json()
    assert done["activated"]
    gone = run(tmp_path, "uninstall", "--yes", "--json", env=sshd.client.env).ok().json()
    assert gone["root"].endswith("/ekx-home")
    assert "~" not in gone["root"]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("cannot write the samples /x: No space left on device", DeviceFull),
        ("cannot write the samples /x: Quota exceeded", DeviceFull),
        ("cannot write the samples /x: Disk quota exceeded", DeviceFull),
        ("cannot write the samples /x: No such file or directory", RemoteError),
    ],
)
def test_a_runner_that_cannot_write(said: str, kind: type[DeviceError]) -> None:
    line = {"schema": "edgekit.runner/1", "ok": False, "code": "E_RUNNER_FILE", "message": said}
    with pytest.raises(kind) as error:
        parse_result(json.dumps(line).encode())
    assert error.value.hint


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    done = subprocess.run(argv, capture_output=True, timeout=10, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr.decode()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], timeout=10, check=True)


def test_a_disk_that_fills_up_with_samples(project: Path, small_disk: Path) -> None:
    settings(project, f"{small_disk}/device")
    push(project, MODEL)
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    (small_disk / "filler").write_bytes(bytes(free - (96 << 10)))
    many = ("--launches", "1", "--iterations", "40000", "--min-seconds", "0", "--warmup-iterations", "1")
    full = run(project, "bench", "digits", "--json", *many)
    assert (full.code, full.error()["code"]) == (3, "E_DEVICE_FULL")
    assert "remove" in full.error()["hint"]
    assert full.error()["device"]
    (small_disk / "filler").unlink()
    run(project, "bench", "digits", "--json", *QUICK).ok()
