"""C1.1: where no agent can run, plain shell pushes as safely, and the output says so. On sshd, adbd and this machine,
with dash, mksh and toybox, busybox."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgekit.agent.bootstrap import connect_agent
from edgekit.config import Config, DeviceEntry
from edgekit.deployment.listing import releases
from edgekit.deployment.shell import no_agent_possible, releases_by_shell
from edgekit.devices import open_device
from edgekit.errors import (
    DeviceError,
    DeviceFull,
    DeviceLost,
    DevicePermission,
    EdgekitError,
    InputError,
    RemoteError,
    ToolError,
)
from edgekit.events import Event
from edgekit.models import Artifact
from edgekit.transports import connect
from edgekit.transports.adb import AdbTransport
from edgekit.transports.adb_server import local_server
from edgekit.transports.local import LocalTransport
from tests.agent.starting import built, native_abi
from tests.cli.running import MODEL, edgekit
from tests.deployment.shells import AWKWARD, NAME, Place, local_place, model_file, only_busybox, tmpfs
from tests.targets.fixtures_adb import MakeAdbd
from tests.targets.fixtures_ssh import MakeSshd

KINDS = ("local", "busybox", "ssh", "noisy", "adb", "adb5", "adb4")


@pytest.fixture
def make_place(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Place]]:
    """Of one of KINDS, with a root whose name no quoting mistake survives."""
    opened = []

    def make(kind: str) -> Place:
        if kind.startswith("adb"):
            adbd = request.getfixturevalue("adbd")
            adbd.host.use(monkeypatch)
            root = f"/data/local/tmp/{AWKWARD} {time.monotonic_ns()}"
            if kind == "adb":
                transport = connect(adbd.address, timeout=20)
            else:  # the ways of Android 5 and 4, served by the same adbd
                transport = AdbTransport(local_server(), adbd.serial, frozenset(), adbd.address)
                transport._exec = None if kind == "adb5" else False
            opened.append(transport)
            return Place(transport, root, adbd.path(root))
        if kind in ("ssh", "noisy"):
            make_sshd: MakeSshd = request.getfixturevalue("make_sshd")
            transport = connect(make_sshd(noise=kind == "noisy").address, timeout=20)
            opened.append(transport)
            return Place(transport, f"{tmp_path}/{AWKWARD}", tmp_path / AWKWARD)
        if kind == "busybox":
            only_busybox(tmp_path / "bin", monkeypatch)
        return local_place(tmp_path, AWKWARD)

    yield make
    for transport in opened:
        transport.close()


@pytest.fixture(params=[pytest.param(k, marks=pytest.mark.android if k[:3] == "adb" else ()) for k in KINDS])
def place(request: pytest.FixtureRequest, make_place: Callable[[str], Place]) -> Place:
    return make_place(request.param)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    path = tmp_path_factory.mktemp("artifact") / "a.ekm"
    edgekit("convert", MODEL, "--recipe", "float32", "-o", path).ok()
    return Artifact.load(path)


def test_the_life_of_releases(place: Place, tmp_path: Path) -> None:
    """Pushed, activated, replaced, listed; nothing is left behind, and nothing was run by a name's own words."""
    old, new = model_file(tmp_path, 1), model_file(tmp_path, 2)
    told: list[Event] = []
    first = place.push(old, version="1.0", smoke=True, sink=told.append)
    assert (first.method, first.smoke, first.activated, first.previous) == ("shell", "unchecked", False, None)
    assert first.bytes_sent == first.bytes_total == old.size_bytes
    assert any("--no-smoke" in note for note in first.notes)
    assert any("plain shell: a test" in note for note in first.notes)
    assert any("--no-smoke" in event.message for event in told)
    assert [e.done for e in told if e.total is not None][-1] == old.size_bytes
    assert place.active() is None

    activated = place.push(old, version="1.0")
    assert (activated.method, activated.bytes_sent, activated.activated) == ("unchanged", 0, True)
    assert place.active() == "1.0"
    again = place.push(old, version="1.0", smoke=True)
    assert (again.method, again.activated, again.previous) == ("unchanged", True, "1.0")
    assert again.round_trips == 2

    second = place.push(new, version="2.0")
    assert (second.activated, second.previous, place.active()) == (True, "1.0", "2.0")
    assert place.push(old, version="1.0", activate=False).activated is False
    with pytest.raises(InputError) as error:
        place.push(new, version="1.0")
    assert error.value.code == "E_RELEASE_EXISTS"

    rows = releases_by_shell(place.transport, root=place.root)
    assert [(row.name, row.version, row.active, row.sha256) for row in rows] == [
        (NAME, "1.0", False, old.sha256),
        (NAME, "2.0", True, new.sha256),
    ]
    assert place.left_over() == []
    assert not (place.folder / "lease").exists()
    assert not list(place.folder.rglob("x"))


def test_a_folder_with_golden_samples(place: Place, artifact: Artifact) -> None:
    done = place.push(artifact, version="1")
    assert done.activated
    assert place.active() == "1"
    assert (place.folder / "models" / NAME / "1" / "golden" / "inputs.bin").stat().st_size > 0
    assert len(done.files) == 3


def test_a_damaged_release_is_repaired(place: Place, artifact: Artifact) -> None:
    place.push(artifact, version="1")
    release = place.folder / "models" / NAME / "1"
    manifest = (release / "manifest.json").read_bytes()
    damages: list[Callable[[], object]] = [
        lambda: (release / "model.tflite").write_bytes(b"x"),
        lambda: (release / "golden" / "outputs.bin").unlink(),
        lambda: (release / "manifest.json").write_bytes(manifest[:-9]),
        lambda: (release / "manifest.json").unlink(),
    ]
    for damage in damages:
        damage()
        done = place.push(artifact, version="1", smoke=True)
        assert (done.method, done.activated, place.active()) == ("shell", True, "1")
        assert place.left_over() == []


def test_an_agent_finds_what_a_shell_pushed_and_the_other_way_round(tmp_path: Path) -> None:
    place = local_place(tmp_path)
    place.push(model_file(tmp_path, 1), version="1")
    edgekit_yaml = Config(devices={"it": DeviceEntry(address="local:", root=place.root)})
    with open_device("it", config=edgekit_yaml) as device:
        seen = releases(device)
        assert seen == releases_by_shell(place.transport, root=place.root)
        with device.leased("a test", 0.0):
            pass  # the layout's version is as it should be
    failed = place.folder / "failed" / NAME / "3"
    failed.mkdir(parents=True)
    (failed / "failure.json").write_text(
        '{"schema": "edgekit.failure/1", "code": "E_SMOKE", "message": "wrong"}'
    )
    (place.folder / "models" / "link").symlink_to(place.folder / "models" / NAME)
    with open_device("it", config=edgekit_yaml) as device:
        rows = releases(device)
        assert rows == releases_by_shell(place.transport, root=place.root)
        assert [row.state for row in rows] == ["failed", "active"]  # the former was never pushed
        assert (
            releases(device, "none") == releases_by_shell(place.transport, root=place.root, name="none") == []
        )


def test_listing_changes_nothing(make_place: Callable[[str], Place]) -> None:
    place = make_place("local")
    assert releases_by_shell(place.transport, root=place.root) == []
    assert not place.folder.exists()


@pytest.mark.parametrize("root", ["-rf x", "deep/er", "./-n", "é"])
def test_a_root_below_the_login_folder(root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    place = Place(LocalTransport(), root, tmp_path / root)
    assert place.push(model_file(tmp_path, 1), version="1").activated
    assert place.active() == "1"


@pytest.mark.parametrize(
    ("layout", "code"),
    [(None, "E_NOT_OURS"), ("mine\n", "E_LAYOUT"), ("1\n2\n", "E_LAYOUT"), ("9\n", "E_LAYOUT")],
)
def test_a_folder_that_is_not_ours(place: Place, tmp_path: Path, layout: str | None, code: str) -> None:
    theirs = place.folder / "models" / NAME / ".x.ek-tmp"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    if layout is not None:
        (place.folder / "layout").write_text(layout)
    before = sorted(place.folder.rglob("*"))
    with pytest.raises(DeviceError) as error:
        place.push(model_file(tmp_path, 1))
    assert (error.value.code, bool(error.value.hint)) == (code, True)
    assert sorted(place.folder.rglob("*")) == before


@pytest.mark.parametrize("garbage", [b"\x1b[31mred\n", b"../../x\n", b"\xff\xfe", b"a b", bytes(5000), b"\n"])
def test_a_current_that_names_nothing(tmp_path: Path, garbage: bytes) -> None:
    place = local_place(tmp_path)
    place.push(model_file(tmp_path, 1), version="1")
    (place.folder / "models" / NAME / "current").write_bytes(garbage)
    done = place.push(model_file(tmp_path, 1), version="1")
    assert (done.previous, done.activated, place.active()) == (None, True, "1")


def test_a_device_whose_files_cannot_be_executed(tmp_path: Path) -> None:
    built(native_abi())
    with tmpfs(tmp_path / "noexec", "noexec") as folder:
        place = Place(LocalTransport(), f"{folder}/root", folder / "root")
        with pytest.raises(DevicePermission) as error:
            connect_agent(place.transport, root=place.root, hints=tmp_path)
        assert no_agent_possible(error.value)
        done = place.push(model_file(tmp_path, 1), version="1", why=error.value.message)
        assert (done.method, place.active()) == ("shell", "1")
        assert any("may not be executed" in note for note in done.notes)
        settings = {"devices": {"it": {"address": "local:", "root": place.root}}}
        (tmp_path / "edgekit.yaml").write_text(json.dumps(settings))
        options = ("-d", "it", "--name", NAME, "--no-smoke")
        said = edgekit("push", MODEL, *options, "--json", cwd=tmp_path).ok().json()
        assert (said["method"], said["activated"], said["previous"]) == ("shell", True, "1")
        assert "plain shell" in edgekit("push", MODEL, *options, cwd=tmp_path).ok().stderr


@pytest.mark.parametrize(
    ("error", "possible"),
    [
        (RemoteError("", code="E_AGENT_START"), True),
        (DeviceError("", code="E_ABI"), True),
        (DeviceError("", code="E_ADB_TOO_OLD"), True),
        (ToolError("", code="E_NATIVE_MISSING"), True),
        (DevicePermission("", code="E_AGENT_NOEXEC"), True),
        (DevicePermission(""), False),
        (DeviceLost(""), False),
        (DeviceFull(""), False),
        (RemoteError(""), False),
    ],
)
def test_what_says_that_no_agent_can_run(error: EdgekitError, possible: bool) -> None:
    assert no_agent_possible(error) is possible


@pytest.mark.parametrize("missing", ["sha256sum", "sh"])
def test_a_shell_that_has_too_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    place = local_place(tmp_path)
    model = model_file(tmp_path, 1)
    without = [missing, "toybox", "busybox"]
    only_busybox(tmp_path / "bin", monkeypatch, without=without)
    # busybox's sh runs its own sha256sum without looking for one: a real shell, then
    if missing == "sha256sum":
        (tmp_path / "bin" / "sh").unlink()
        (tmp_path / "bin" / "sh").symlink_to("/bin/dash")
    with pytest.raises(DeviceError) as error:
        place.push(model)
    assert (error.value.code, bool(error.value.hint)) == ("E_SHELL_TOOLS", True)


@pytest.mark.android
def test_a_device_that_is_read_only_or_not_ours_to_write(
    make_sshd: MakeSshd, make_adbd: MakeAdbd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_file(tmp_path, 1)
    server = make_sshd()
    on_ssh = connect(server.address, timeout=20)
    adbd = make_adbd(read_only_tmp=True)
    adbd.host.use(monkeypatch)
    on_adb = connect(adbd.address, timeout=20)
    cases = [
        (on_ssh, server.read_only_folder(), "E_DEVICE_READ_ONLY"),
        (on_ssh, f"{server.read_only_folder()}/below", "E_DEVICE_READ_ONLY"),
        (on_adb, "/data/local/tmp", "E_DEVICE_READ_ONLY"),
        (on_adb, "/data/misc/edgekit", "E_DEVICE_PERMISSION"),
    ]
    for transport, root, code in cases:
        with pytest.raises(DeviceError) as error:
            Place(transport, root, Path()).push(model)
        assert (error.value.code, bool(error.value.hint), error.value.device) == (
            code,
            True,
            transport.address,
        )
    on_ssh.close()
    on_adb.close()
