"""What the host asks in one round trip: paths that match, what is in use, the layout (C1.1, C1.2)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.agent import requests as rq
from edgekit.agent.client import AgentClient
from edgekit.agent.failures import E2BIG, EINVAL, ENOENT, RemoteFileError
from edgekit.errors import DevicePermission
from edgekit.transports.local import LocalTransport
from tests.agent.starting import ABIS, CHECKED, agent, agent_argv, eventually, native_abi, sanitized
from tests.agent.test_faults import needs_root


@pytest.fixture(scope="module", params=[*ABIS, CHECKED])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentClient]:
    folder = tmp_path_factory.mktemp("agent")
    with sanitized(folder), agent(folder / "root", request.param) as started:
        yield started


@pytest.fixture
def native(tmp_path: Path) -> Iterator[AgentClient]:
    with agent(tmp_path / "root") as started:
        yield started


@pytest.fixture
def root(client: AgentClient) -> Iterator[Path]:
    """ROOT, emptied afterwards."""
    folder = Path(client.root)
    yield folder
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def put(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def found(client: AgentClient, *patterns: str) -> list[str]:
    return sorted(e.path.removeprefix(client.root) for e in client.glob([client.root + p for p in patterns]))


def test_glob_finds_manifests_and_what_was_cut_off_in_one_round_trip(client: AgentClient, root: Path) -> None:
    """C1.1"""
    for name in ("a/1", "a/2", "b/1"):
        put(root / "models" / name / "manifest.json", f"of {name}")
    put(root / "models" / "a" / ".3.ek-tmp" / "manifest.json", "not whole")
    put(root / "models" / "a" / "current", "2\n")
    before = client.round_trips
    manifests, staging = client.batch(
        [
            rq.glob([f"{root}/models/*/*/manifest.json"], max_bytes=100),
            rq.glob([f"{root}/models/*/.*.ek-tmp"]),
        ]
    )
    assert client.round_trips == before + 1
    assert {e.path.removeprefix(f"{root}/models/"): e.data for e in manifests} == {
        f"{name}/manifest.json": f"of {name}".encode() for name in ("a/1", "a/2", "b/1")
    }
    assert [(e.path, e.is_dir, e.data) for e in staging] == [(f"{root}/models/a/.3.ek-tmp", True, b"")]
    entry = manifests[0]
    there = Path(entry.path).stat()
    assert (entry.mode, entry.size_bytes, entry.mtime_ns) == (
        there.st_mode,
        there.st_size,
        there.st_mtime_ns,
    )
    assert (entry.is_file, entry.errno, entry.truncated) == (True, 0, False)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("/*", ["/a.txt", "/b.txt", "/folder", "/x*y"]),
        ("/.*", ["/.hidden"]),
        ("/?.txt", ["/a.txt", "/b.txt"]),
        ("/[!a].txt", ["/b.txt"]),
        ("/[a-b].txt", ["/a.txt", "/b.txt"]),
        ("/x\\*y", ["/x*y"]),
        ("/*/*", ["/folder/inner"]),
        ("//*//inner", ["/folder/inner"]),
        ("/folder/inner", ["/folder/inner"]),
        ("/none/*", []),
        ("/a.txt/*", []),
        ("/a.txt/none", []),
        ("/*/inner/more", []),
        ("/nothing", []),
        ("/[", []),
    ],
)
def test_glob_patterns(client: AgentClient, root: Path, pattern: str, names: list[str]) -> None:
    for name in ("a.txt", "b.txt", ".hidden", "x*y", "folder/inner", "folder/.inner"):
        put(root / name)
    got = found(client, pattern)
    assert [name.replace("//", "/") for name in got] == names


def test_glob_follows_no_link_and_stays_inside(client: AgentClient, root: Path, tmp_path: Path) -> None:
    secret = put(tmp_path / "outside" / "manifest.json", "secret")
    (root / "link").symlink_to(secret.parent)
    (root / "file").symlink_to(secret)
    assert found(client, "/*/manifest.json") == []
    assert found(client, "/*/*") == []
    (entry,) = client.glob([f"{root}/file"], max_bytes=100)
    assert (entry.is_file, entry.data) == (False, b"")
    for pattern in (f"{root}/link/*", f"{tmp_path}/outside/*", f"{root}/../*", "/*", "/"):
        with pytest.raises((DevicePermission, RemoteFileError)):
            client.glob([pattern])
    for pattern in ("relative/*", f"{root}/*/../../outside/*", f"{root}/*/./x"):
        with pytest.raises(RemoteFileError) as caught:
            client.glob([pattern])
        assert caught.value.errno == EINVAL


def test_glob_names_that_are_hostile(client: AgentClient, root: Path) -> None:
    names = [
        "new\nline",
        "quote'\"$(x)",
        "-rf",
        "umlaut-ä",
        "raw-\udcff\udcfe",
        "tab\t",
        "n" * 255,
        "a b",
        "*",
    ]
    for name in names:
        (root / name).write_bytes(name.encode("utf-8", "surrogateescape"))
    got = client.glob([f"{root}/*"], max_bytes=1000)
    assert sorted(e.path.rpartition("/")[2] for e in got) == sorted(names)
    assert all(e.path.rpartition("/")[2].encode("utf-8", "surrogateescape") == e.data for e in got)


def test_glob_says_what_it_left_out(client: AgentClient, root: Path) -> None:
    for name in "abc":
        put(root / name, name * 1000)
    (root / "empty").touch()
    os.mkfifo(root / "fifo")
    cut = client.call(rq.glob([f"{root}/[abc]"], max_bytes=10))
    assert [(len(e.data), e.truncated, e.size_bytes) for e in cut] == [(10, True, 1000)] * 3
    some = client.call(rq.glob([f"{root}/[abc]"], max_bytes=5000, max_total_bytes=1500))
    assert sorted(len(e.data) for e in some) == [0, 500, 1000]
    assert sorted(e.truncated for e in some) == [False, True, True]
    (none,) = client.call(rq.glob([f"{root}/empty"], max_bytes=5000, max_total_bytes=0))
    assert not none.truncated
    (fifo,) = client.call(rq.glob([f"{root}/fifo"], max_bytes=5000))
    assert (fifo.is_file, fifo.data, fifo.errno) == (False, b"", 0)


def test_glob_is_bounded(native: AgentClient) -> None:
    """More entries than 4096, more bytes than a frame, more levels than 32: an answer, and at once."""
    root = Path(native.root)
    for number in range(4097):
        (root / f"f{number}").touch()
    with pytest.raises(RemoteFileError) as caught:
        native.glob([f"{root}/*"])
    assert caught.value.errno == E2BIG
    (root / "f0").unlink()
    assert len(native.glob([f"{root}/f*"])) == 4096
    for number in range(1, 20):
        (root / f"f{number}").write_bytes(bytes(1 << 20))
    some = native.call(rq.glob([f"{root}/f?", f"{root}/f1?"], max_bytes=1 << 20, max_total_bytes=8 << 20))
    assert sum(len(e.data) for e in some) == 8 << 20
    with pytest.raises(RemoteFileError) as caught:
        native.call(rq.glob([f"{root}/f?", f"{root}/f1?"], max_bytes=1 << 20, max_total_bytes=1 << 30))
    assert caught.value.errno == E2BIG
    deep = root.joinpath(*["d"] * 40)
    deep.mkdir(parents=True)
    assert len(native.glob([f"{root}/d/d/*"])) == 1
    with pytest.raises(RemoteFileError):
        native.glob([f"{root}/{'*/' * 40}d"])


@needs_root
def test_glob_does_not_pass_over_what_it_may_not_read(tmp_path: Path) -> None:
    """A folder that is closed to this user is an error, not one without matches; a file that is: its errno."""
    root = tmp_path / "root"
    put(root / "open" / "file", "text").chmod(0)
    (root / "closed").mkdir(mode=0)
    for folder in (tmp_path, root, *tmp_path.parents):
        folder.chmod(0o755) if os.access(folder, os.W_OK) and folder != Path("/tmp") else None
    argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    with AgentClient.start(
        LocalTransport().open([*argv, *agent_argv(native_abi(), root)], timeout=10), timeout=10
    ) as client:
        (entry,) = client.glob([f"{root}/open/*"], max_bytes=100)
        assert (entry.errno, entry.data) == (13, b"")
        with pytest.raises(DevicePermission):
            client.glob([f"{root}/*/file"])


HOLDERS = {
    "open": "file = open(path + '/model')",
    "mapped": "import mmap; f = open(path + '/model'); m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ); f.close()",
    "works there": "os.chdir(path)",
    "works below": "os.chdir(path + '/sub')",
}


@pytest.mark.parametrize("how", HOLDERS)
def test_opened_by_another_process(client: AgentClient, root: Path, how: str) -> None:
    """C1.2: gc keeps what is running. Nor is a folder in use whose name only begins alike."""
    for name in ("used", "used-not", "idle"):
        put(root / name / "sub" / "x")
        put(root / name / "model", "weights")
    code = f"import os, sys, time; path = sys.argv[1]; {HOLDERS[how]}; print('ready', flush=True); time.sleep(100)"
    folders = [f"{root}/used", f"{root}/used-not", f"{root}/idle", f"{root}/none"]
    with subprocess.Popen([sys.executable, "-c", code, f"{root}/used"], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == b"ready\n"
            seen = client.opened(folders)
            assert seen.used == (True, False, False, False)
        finally:
            holder.kill()
    assert client.opened(folders).used == (False,) * 4


def test_opened_by_a_program_that_lies_there(client: AgentClient, root: Path) -> None:
    (root / "bin").mkdir()
    shutil.copy(shutil.which("sleep") or "", root / "bin" / "runner")
    with subprocess.Popen([root / "bin" / "runner", "100"]) as runner:
        try:
            assert eventually(lambda: client.opened([f"{root}/bin"]).used == (True,))
        finally:
            runner.kill()


def test_opened_leaves_the_agent_itself_out(client: AgentClient, root: Path) -> None:
    """A put under way, the lease's file and a link to the folder are no use by others; what it runs is."""
    (root / "model").mkdir()
    assert client.opened([f"{root}"]).used == (False,)
    (root / "link").symlink_to(root / "model")
    with client.start_run(["sleep", "50"], cwd=f"{root}/model") as running:
        running.started(10)
        assert client.opened([f"{root}/model", f"{root}/link"]).used == (True, True)
    assert client.opened([]).used == ()
    with pytest.raises(DevicePermission):
        client.opened(["/tmp"])


@needs_root
def test_opened_counts_what_it_could_not_look_into(tmp_path: Path) -> None:
    """Unknown is a number, not "nothing": this test's process is root's, the agent is not."""
    root = tmp_path / "root"
    root.mkdir()
    for folder in (root, *root.parents):
        folder.chmod(0o755) if folder not in (Path("/tmp"), Path("/")) else None
    argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    with AgentClient.start(
        LocalTransport().open([*argv, *agent_argv(native_abi(), root)], timeout=10), timeout=10
    ) as client:
        assert client.opened([str(root)]).unknown_processes >= 1


def test_rename_that_exchanges_or_does_not_replace(client: AgentClient, root: Path) -> None:
    """C1.2: both at once, in one batch; a file system that cannot is an errno for the caller."""
    put(root / "old" / "f", "old")
    put(root / "new" / "f", "new")
    client.rename(f"{root}/new", f"{root}/old", exchange=True)
    assert ((root / "old" / "f").read_text(), (root / "new" / "f").read_text()) == ("new", "old")
    with pytest.raises(RemoteFileError) as caught:
        client.rename(f"{root}/new", f"{root}/none", exchange=True)
    assert caught.value.errno == ENOENT
    with pytest.raises(RemoteFileError) as caught:
        client.rename(f"{root}/new/f", f"{root}/old/f", replace=False)
    assert caught.value.errno == 17
    assert (root / "old" / "f").read_text() == "new"
    client.rename(f"{root}/new/f", f"{root}/free", replace=False)
    assert (root / "free").read_text() == "old"
    with pytest.raises(RemoteFileError) as caught:
        client.rename(f"{root}/free", f"{root}/old/f", replace=False, exchange=True)
    assert caught.value.errno == EINVAL
    client.rename(f"{root}/free", f"{root}/old/f")
    assert (root / "old" / "f").read_text() == "old"


@pytest.mark.parametrize("abi", ABIS)
def test_hello_tells_the_layout(abi: str, tmp_path: Path) -> None:
    """C1.4: without a question of its own."""
    root = tmp_path / "root"
    with agent(root, abi) as client:
        assert (client.hello.layout_text, client.hello.layout_errno) == (None, ENOENT)
        assert client.hello.kept == frozenset()
    put(root / "layout", "3\n" + "x" * 100)
    for name in ("models", "jobs"):
        (root / name).mkdir(exist_ok=True)
    put(root / "runtimes", "not a folder")
    put(root / "journal")
    with agent(root, abi) as client:
        assert (client.hello.layout_text, client.hello.layout_errno) == ("3\n" + "x" * 62, 0)
        assert client.hello.kept == {"models", "jobs", "journal"}
    (root / "layout").unlink()
    (root / "layout").mkdir()
    (root / "run").mkdir()
    with agent(root, abi) as client:
        assert (client.hello.layout_text, client.hello.layout_errno) == (None, 21)
        assert client.hello.kept == {"models", "jobs", "journal", "run"}
