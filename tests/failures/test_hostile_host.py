"""A-b5: a host that is against us. Settings files that are none, no home, closed folders, full disks, closed pipes,
numbers and bytes that make no sense, files that never end, signals before anything began."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from edgekit.registry import load
from tests.cli.running import MODEL, Ran, argv, edgekit, environment

pytestmark = pytest.mark.base

LIST = ("results", "list")
SOON_S = 60.0
"""What would hang is ended here; on a busy machine everything below takes a few seconds."""


def shell(script: str, *arguments: str | Path, env: dict[str, str] | None = None) -> Ran:
    """`script` is run by sh, with the command line of edgekit as its arguments ("$@")."""
    done = subprocess.run(
        ["sh", "-c", script, "sh", *argv(*arguments)],
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=SOON_S,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{a: " * 100_000,
        "device: 2024-99-99",
        "device: " + "9" * 5000,
        'devices: {a: {address: "local:", root: "/tmp/a\\0b"}}',
        "device: !!timestamp x",
        "a: &a [x]\nb: *a",
    ],
    ids=["lists", "maps", "date", "number", "nul", "tag", "alias"],
)
def test_a_settings_file_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "edgekit.yaml").write_text(text)
    done = edgekit(*LIST, "--json", cwd=tmp_path, timeout=SOON_S)
    error = done.error()
    assert (done.code, error["code"]) == (1, "E_CONFIG")
    assert error["hint"]


@pytest.mark.parametrize(
    ("variable", "arguments"),
    [
        ("EDGEKIT_CACHE_DIR", ("releases", "-d", "local:")),
        ("EDGEKIT_RESULTS", LIST),
        ("XDG_CONFIG_HOME", LIST),
        ("XDG_CONFIG_HOME", ("profile", "list")),
        ("HOME", ("releases", "-d", "local:")),
    ],
)
def test_no_home(variable: str, arguments: tuple[str, ...]) -> None:
    """`~nouser` gives Python the same error as a user without HOME and without an entry in passwd."""
    done = edgekit(*arguments, "--json", env={variable: "~nouser"})
    error = done.error()
    assert (done.code, error["code"]) == (8, "E_HOME")
    assert variable in error["message"]
    assert error["hint"]


def test_a_mistake_is_reported_where_no_report_can_be_written(tmp_path: Path) -> None:
    """A plug-in with a mistake in it, and no folder for the traceback: the message comes all the same."""
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edgekit.transports]\nbroken = broken:Transport\n")
    (tmp_path / "broken.py").write_text("raise KeyError('a mistake')\n")
    env = {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}", "EDGEKIT_CACHE_DIR": "~nouser"}
    done = edgekit("releases", "-d", "broken:x", "--json", env=env)
    assert (done.code, done.error()["code"]) == (70, "E_BUG")


@pytest.mark.parametrize("where", ["above", "home"])
def test_a_closed_folder_has_no_settings(tmp_path: Path, where: str) -> None:
    closed = tmp_path / "closed"
    inner = closed / "inner"
    inner.mkdir(parents=True)
    # root too is bound by modes without these two capabilities
    drop = "setpriv --bounding-set=-dac_override,-dac_read_search" if os.geteuid() == 0 else ""
    env = {"XDG_CONFIG_HOME": str(closed)} if where == "home" else {}
    go = f"cd {inner};" if where == "above" else ""
    try:
        done = shell(f'{go} chmod 0 {closed}; exec {drop} "$@"', *LIST, "--json", env=env)
    finally:
        closed.chmod(0o755)
    assert done.ok().json()["runs"] == []


def test_a_deleted_folder_has_no_settings(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    done = shell(f'cd {tmp_path}/gone && rmdir {tmp_path}/gone; exec "$@"', *LIST, "--json")
    assert done.ok().json()["runs"] == []


@pytest.mark.parametrize("how", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.parametrize(
    "arguments",
    [("inspect", MODEL), ("inspect", "missing"), ("profile", "list")],
    ids=["result", "error", "table"],
)
def test_a_full_disk_behind_stdout(arguments: tuple[str, ...], how: tuple[str, ...]) -> None:
    done = shell('"$@" >/dev/full', *arguments, *how)
    if arguments == ("inspect", "missing") and not how:
        assert done.code == 1  # that error goes to stderr, which has room
        return
    assert done.code == 8
    assert "E_HOST_DISK_FULL" in done.stderr
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("inspect", MODEL), ("inspect", MODEL, "--json"), ("inspect", "missing", "--json"), ("--help",)],
    ids=["text", "json", "error", "help"],
)
def test_a_closed_pipe(arguments: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            argv(*arguments),
            env=environment(),
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=SOON_S,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_log_on_a_full_disk_is_given_up_with_one_warning() -> None:
    quick = ("--launches", "2", "--iterations", "5", "--min-seconds", "0", "--no-cool")
    done = edgekit("bench", MODEL, "-d", "local:", *quick, "--log-file", "/dev/full", "--json").ok()
    assert done.json()["runtime"]["name"]
    assert done.stderr.count("/dev/full") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        *((*LIST, "--timeout", value) for value in ("nan", "inf", "1e300", "0")),
        *(("bench", MODEL, "-d", "local:", "--lease-wait", value) for value in ("nan", "inf", "-5", "1e300")),
        (*LIST, "-n", "99999999999999999999"),
        (*LIST, "-n", "9" * 5000),
        ("bench", MODEL, "-d", "local:", "--launches", "9" * 5000),
    ],
    ids=lambda arguments: " ".join(map(str, arguments))[-40:].rpartition("--")[2],
)
def test_numbers_that_make_no_sense(arguments: tuple[str, ...]) -> None:
    done = edgekit(*arguments, "--json")
    assert (done.code, done.error()["code"]) == (2, "E_USAGE")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--cpus", ""), "E_CPUS"),
        (("--iterations", "9" * 400), "E_PLAN"),
        (("--seed", "-1"), "E_PLAN"),
        (("--min-seconds", "nan"), "E_PLAN"),
        (("--label", "x"), "E_LABEL"),
        (("--runtime", "nix"), "E_NO_PLUGIN"),
    ],
)
def test_values_that_make_no_sense_are_refused_with_a_hint(options: tuple[str, ...], code: str) -> None:
    done = edgekit("bench", MODEL, "-d", "local:", *options, "--json")
    error = done.error()
    assert (done.code, error["code"]) == (1, code)
    assert error["hint"]


def test_a_file_that_cannot_be_had_comes_with_a_hint(tmp_path: Path) -> None:
    done = edgekit(*LIST, "--log-file", tmp_path / "no" / "log", "--json")
    error = done.error()
    assert (done.code, error["code"]) == (8, "E_HOST_FILE")
    assert error["hint"]


def test_no_hint_offers_what_there_is_not() -> None:
    done = edgekit("releases", "-d", "§", "--json")
    hint = done.error()["hint"]
    assert "ssh://" in hint
    # every kind of address that it names is one
    kinds = re.findall(r"([a-z+]+):", hint)
    assert kinds
    assert all(isinstance(load("transports", kind), type) for kind in kinds)


@pytest.mark.parametrize(
    "arguments",
    [
        (b"results", b"show", b"\xff"),
        (b"bench", os.fsencode(MODEL), b"-d", b"local:", b"--label", b"a=\xff"),
        (b"convert", b"bad\xff.tflite", b"--recipe", b"float32"),
    ],
    ids=["run", "label", "file"],
)
def test_bytes_that_are_no_text(tmp_path: Path, arguments: tuple[bytes, ...]) -> None:
    (tmp_path / os.fsdecode(b"bad\xff.tflite")).write_bytes(MODEL.read_bytes())
    done = subprocess.run(
        [*map(os.fsencode, argv()), *arguments, b"--json"],
        env={**environment(), "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
        capture_output=True,
        timeout=SOON_S,
    )
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"]) == (1, "E_ENCODING")
    assert "\\xff" in error["message"]


def test_an_output_that_knows_ascii_only(tmp_path: Path) -> None:
    (tmp_path / "ы.tflite").write_bytes(MODEL.read_bytes())
    done = edgekit("inspect", tmp_path / "ы.tflite", env={"PYTHONIOENCODING": "ascii"}).ok()
    assert "\\u044b.tflite" in done.stdout


def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for arguments, code in (
        (("inspect", fifo), "E_MODEL_FORMAT"),
        (("push", fifo, "-d", "local:"), "E_MODEL_FORMAT"),
        (("convert", fifo, "--recipe", "float32"), "E_MODEL_FORMAT"),
        (("inspect", "/dev/zero"), "E_MODEL_FORMAT"),
        (("profile", "check", fifo), "E_PROFILE"),
    ):
        done = edgekit(*arguments, "--json", timeout=SOON_S)
        assert (done.code, done.error()["code"]) == (1, code), arguments


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda s: s.name)
def test_a_signal_before_anything_began_has_its_document_too(tmp_path: Path, number: signal.Signals) -> None:
    """click is not imported yet, only the handlers are in force: a click of the test's own holds it there."""
    (tmp_path / "click.py").write_text(
        f"import pathlib, time\npathlib.Path({str(tmp_path / 'began')!r}).touch()\ntime.sleep(60)\n"
    )
    env = {**environment(), "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"}
    process = subprocess.Popen(
        argv(*LIST, "--json"), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        until = time.monotonic() + SOON_S
        while not (tmp_path / "began").exists() and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=SOON_S)
    finally:
        process.kill()
    done = Ran(process.returncode, stdout, stderr)
    assert done.code == 128 + number
    assert done.error()["code"] == "E_INTERRUPTED"
    assert stderr == ""


def test_a_store_on_a_full_disk(tmp_path: Path) -> None:
    """SQLite calls it a disk I/O error where there is no room for the files beside the store."""
    store = tmp_path / "small" / "r.sqlite"
    script = (
        f"mkdir {tmp_path}/small && mount -t tmpfs -o size=1m tmpfs {tmp_path}/small || exit 99;"
        '"$@" >/dev/null || exit 98;'
        f"dd if=/dev/zero of={tmp_path}/small/fill bs=4k 2>/dev/null;"
        'exec "$@"'
    )
    done = subprocess.run(
        [
            "unshare",
            "-m",
            *([] if os.geteuid() == 0 else ["-r"]),
            "sh",
            "-c",
            script,
            "sh",
            *argv(*LIST, "--json"),
        ],
        env=environment({"EDGEKIT_RESULTS": str(store)}),
        capture_output=True,
        text=True,
        timeout=SOON_S,
    )
    if done.returncode == 99 or "unshare failed" in done.stderr:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    error = Ran(done.returncode, done.stdout, done.stderr).error()
    assert (done.returncode, error["code"]) == (8, "E_HOST_DISK_FULL")
    assert error["hint"]
