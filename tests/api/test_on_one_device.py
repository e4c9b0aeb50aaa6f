"""A5, A8 on one device: runtimes, what may become active, limits, gates, turns, repair, settings."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import DIGITS, MODEL, QUICK, Ran, edgekit
from tests.failures.under_way import UnderWay, launch_started
from tests.timed import timed

PYTHON_THERE = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "edgekit.yaml").write_text(
        f'devices: {{it: {{address: "local:", root: "{tmp_path}/device"}}}}\n'
    )
    return tmp_path


def profile(project: Path, text: str) -> Path:
    path = project / "mine.yaml"
    path.write_text(f"schema: edgekit.profile/1\nname: mine\nextends: host-x86-64\n{text}")
    return path


def run(project: Path, *arguments: str | Path, env: Any = None) -> Ran:
    return edgekit(*arguments, "-d", "it", env=env, cwd=project)


def test_a5_python_on_the_board_measures_too(project: Path) -> None:
    out = project / "a.ekm"
    edgekit("convert", MODEL, "--recipe", "float32", "-o", out, cwd=project).ok()
    native = run(project, "bench", out, "--json", *QUICK).ok().json()
    python = (
        run(project, "bench", out, "--runtime", "litert-python", "--json", *QUICK, env=PYTHON_THERE)
        .ok()
        .json()
    )
    assert (native["runtime"]["name"], python["runtime"]["name"]) == ("litert", "litert-python")
    assert python["runtime"]["version"] == native["runtime"]["version"]
    assert python["accuracy"]["golden"] == "passed"
    assert python["memory"]["peak_rss"] > native["memory"]["peak_rss"]


def test_what_nothing_there_can_run_is_unchecked_and_not_activated(project: Path) -> None:
    mine = project / "mine.yaml"
    mine.write_text("schema: edgekit.profile/1\nname: mine\nruntimes: [litert-python]\nformats: [tflite]\n")
    bare = {"PATH": "/usr/bin:/bin"}  # the system's python3 has no runtime
    pushed = run(project, "push", MODEL, "-p", mine, "--json", env=bare).ok().json()
    assert (pushed["smoke"], pushed["activated"]) == ("unchecked", False)
    assert pushed["notes"]
    forced = run(project, "push", MODEL, "-p", mine, "--no-smoke", "--json", env=bare).ok().json()
    assert (forced["smoke"], forced["activated"], forced["bytes_sent"]) == ("unchecked", True, 0)


@pytest.mark.parametrize(
    ("limits", "command", "code"),
    [
        ("limits: {model_size: 1kB}\n", "push", 5),
        ("limits: {peak_rss: 1MiB}\n", "bench", 5),
        ("limits: {median_latency: 1us}\n", "bench", 5),
        ("limits: {median_latency: 1s, peak_rss: 4GiB, model_size: 1MB}\n", "bench", 0),
    ],
)
def test_a_profiles_limits_fail_a_push_or_a_bench(
    project: Path, limits: str, command: str, code: int
) -> None:
    done = run(
        project,
        command,
        MODEL,
        "-p",
        profile(project, limits),
        "--json",
        *(QUICK if command == "bench" else ()),
    )
    assert done.code == code, done.stdout


@pytest.mark.parametrize("command", ["push", "bench", "run"])
def test_a_model_that_cannot_fit_is_refused_before_it_is_sent(project: Path, command: str) -> None:
    """D1.7: it has 400 kB, the profile allows a process of 100 kB."""
    done = run(project, command, MODEL, "-p", profile(project, "limits: {peak_rss: 100kB}\n"), "--json")
    assert done.code == 5
    assert done.error()["code"] == "E_LIMIT"
    assert run(project, "releases", "--json").ok().json()["releases"] == []


def test_a_meter_that_is_not_there_is_refused_before_a_model_is_sent(project: Path) -> None:
    """D2.3, D3: the word of the user's that cannot be is told before anything happens on the device."""
    for more in ((), ("--threads", "1,2")):
        done = run(project, "bench", MODEL, "--meter", "nope", *more, "--json")
        assert (done.code, done.error()["code"]) == (1, "E_METER")
    assert run(project, "releases", "--json").ok().json()["releases"] == []


def test_memory_and_page_faults_by_phase(project: Path) -> None:
    """D1.7, of a real process."""
    record = run(project, "bench", MODEL, "--json", *QUICK).ok().json()
    found = record["memory"]
    assert 0 < found["rss_start"] < found["rss_loaded"] <= found["rss_first"] <= found["peak_rss"]
    assert 0 < found["pss_start"] < found["pss_loaded"] <= found["peak_rss"]
    assert found["faults"]["load"]["minor"] > 100
    assert found["faults"]["first"]["major"] is not None
    assert found["faults"]["steady"]["minor"] < found["faults"]["load"]["minor"]
    assert found["arena"] is None
    assert found["unavailable"]["arena"]
    assert found["excludes"] == []


def test_gates_and_a_strict_verdict(project: Path) -> None:
    good = run(
        project, "bench", MODEL, "--json", *QUICK, "--gate", "median_latency<=10s", "--gate", "peak_rss<4GiB"
    )
    assert [gate["passed"] for gate in good.ok().json()["gates"]] == [True, True]
    bad = run(project, "bench", MODEL, "--json", *QUICK, "--gate", "median_latency<=1us")
    assert (bad.code, bad.json()["gates"][0]["passed"]) == (5, False)
    unmeasured = run(project, "bench", MODEL, "--json", *QUICK, "--gate", "energy_per_inference<3mJ")
    assert unmeasured.code == 5
    strict = run(project, "bench", MODEL, "--json", "--launches", "1", "--min-seconds", "0", "--strict")
    assert (strict.code, strict.json()["verdict"]["state"]) == (4, "suspect")


def test_a8_two_hosts_take_turns(project: Path) -> None:
    """While one measures, another neither measures nor pushes: it waits, or says who is there."""
    edgekit("push", MODEL, "-d", "it", "--json", cwd=project).ok()
    first = UnderWay(
        "bench", "digits", "-d", "it", "--launches", "4", "--min-seconds", "4", env={}, cwd=project
    )
    try:
        first.wait_until(launch_started)
        refused = run(project, "bench", "digits", "--lease-wait", "0.2", "--json", *QUICK)
        assert (refused.code, refused.error()["code"]) == (3, "E_DEVICE_BUSY")
        assert "measure digits" in refused.error()["message"]
        assert (
            run(project, "push", MODEL, "--json").ok().json()["method"] == "unchanged"
        )  # reading needs no turn
        waited = run(project, "bench", "digits", "--lease-wait", "150", "--json", *QUICK).ok().json()
        mine = first.ended(150).ok().json()
    finally:
        first.kill()
    assert waited["started_at"] >= mine["started_at"]


def test_two_pushes_of_one_name_at_once_both_end_whole(project: Path) -> None:
    other = project / "other.ekm"
    edgekit(
        *(
            "convert",
            MODEL,
            "--recipe",
            "int8-static",
            "--calibration",
            DIGITS / "calibration.npz",
            "-o",
            other,
        ),
        cwd=project,
    ).ok()
    results: dict[str, Ran] = {}

    def push(key: str, model: Path) -> None:
        results[key] = run(project, "push", model, "--name", "m", "--json")

    threads = [threading.Thread(target=push, args=pair) for pair in (("a", MODEL), ("b", other))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    versions = {key: done.ok().json()["version"] for key, done in results.items()}
    rows = run(project, "releases", "m", "--json").ok().json()["releases"]
    assert {row["version"] for row in rows} == set(versions.values())
    assert sum(row["active"] for row in rows) == 1
    assert not list((project / "device").rglob("*.ek-tmp"))


def test_a_release_that_was_damaged_on_the_device_is_noticed_and_repaired(project: Path) -> None:
    pushed = run(project, "push", MODEL, "--json").ok().json()
    model = project / "device" / "models" / "digits" / pushed["version"] / "model.tflite"
    data = bytearray(model.read_bytes())
    data[1000] ^= 1
    model.write_bytes(data)
    noticed = run(project, "bench", "digits", "--json", *QUICK)
    assert (noticed.code, noticed.error()["code"]) == (7, "E_HASH")
    again = run(project, "push", MODEL, "--json").ok().json()
    assert again["bytes_sent"] > 0
    run(project, "bench", "digits", "--json", *QUICK).ok()
    other = (
        run(project, "push", MODEL, "--version", pushed["version"], "--name", "digits", "--json").ok().json()
    )
    assert other["method"] == "unchanged"


def test_a_version_is_never_given_other_content(project: Path) -> None:
    run(project, "push", MODEL, "--version", "1", "--json").ok()
    other = project / "other.tflite"
    other.write_bytes(MODEL.read_bytes() + b"\0" * 16)
    refused = run(project, "push", other, "--name", "digits", "--version", "1", "--json")
    assert (refused.code, refused.error()["code"]) == (1, "E_RELEASE_EXISTS")


def test_a_model_that_was_measured_first_is_tried_and_activated_by_its_push(project: Path) -> None:
    run(project, "bench", MODEL, "--json", *QUICK).ok()
    pushed = run(project, "push", MODEL, "--json").ok().json()
    assert (pushed["smoke"], pushed["activated"], pushed["bytes_sent"]) == ("passed", True, 0)
    (row,) = run(project, "releases", "--json").ok().json()["releases"]
    assert (row["active"], row["smoke"]) == (True, "passed")


@pytest.mark.parametrize("file", ["manifest.json", "golden/outputs.bin", "model.tflite"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_any_damaged_file_of_a_release_is_repaired_by_the_next_push(
    project: Path, file: str, damage: str
) -> None:
    artifact = project / "a.ekm"
    edgekit("convert", MODEL, "--recipe", "float32", "-o", artifact, cwd=project).ok()
    version = run(project, "push", artifact, "--name", "m", "--json").ok().json()["version"]
    path = project / "device" / "models" / "m" / version / file
    data = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else bytes([data[0] ^ 1]) + data[1:])
    again = run(project, "push", artifact, "--name", "m", "--json").ok().json()
    assert (again["activated"], again["smoke"]) == (True, "passed")
    record = run(project, "bench", "m", "--json", *QUICK).ok().json()
    assert record["accuracy"]["golden"] == "passed"


def test_an_evaluation_that_comes_later_reaches_the_record(project: Path) -> None:
    plain = run(project, "run", MODEL, "--recipe", "float32", "--json", *QUICK).ok().json()
    assert plain["record"]["accuracy"]["value"] is None
    data = ("--evaluation", DIGITS / "evaluation.npz")
    later = run(project, "run", MODEL, "--recipe", "float32", *data, "--json", *QUICK).ok().json()
    assert later["record"]["accuracy"]["value"] == pytest.approx(0.984)
    assert later["push"]["sha256"] == plain["push"]["sha256"]


def test_scratch_of_a_run_that_was_killed_is_removed_by_the_next(project: Path) -> None:
    left = project / "device" / "run" / "0123"
    run(project, "push", MODEL, "--json").ok()
    left.mkdir(parents=True)
    (left / "samples-0").write_bytes(b"x")
    run(project, "bench", "digits", "--json", *QUICK).ok()
    assert not left.exists()


def test_a_newer_layout_is_refused_and_can_be_uninstalled(project: Path) -> None:
    run(project, "push", MODEL, "--json").ok()
    (project / "device" / "layout").write_text("9\n")
    for arguments in (("bench", "digits", *QUICK), ("push", MODEL, "--name", "other")):
        refused = run(project, *arguments, "--json")
        assert (refused.code, refused.error()["code"]) == (3, "E_LAYOUT")
    run(project, "uninstall", "--yes", "--json").ok()
    assert not (project / "device").exists()


def test_uninstall_that_is_not_confirmed_deletes_nothing(project: Path) -> None:
    """A no, and nobody there to ask."""
    run(project, "push", MODEL, "--json").ok()
    for answer in ("n\n", ""):
        refused = edgekit("uninstall", "-d", "it", cwd=project, stdin=answer)
        assert (refused.code, "E_NOT_CONFIRMED" in refused.stderr) == (1, True), refused.stderr
    assert len(run(project, "releases", "--json").ok().json()["releases"]) == 1


def test_a_report_that_cannot_be_written_costs_no_measurement(project: Path) -> None:
    (project / "file").write_text("")
    where = project / "file" / "report.html"
    refused = run(project, "run", MODEL, "--recipe", "float32", "--report", where, "--json", *QUICK)
    assert (refused.code, refused.error()["code"]) == (8, "E_HOST_FILE")
    assert not list((project / "device").glob("models/*"))


def test_what_run_printed_is_a_baseline(project: Path) -> None:
    """D1.10: `run --json > base.json`, then `--baseline base.json`."""
    done = run(project, "run", MODEL, "--recipe", "float32", "--json", *QUICK).ok()
    (project / "base.json").write_text(done.stdout)
    gate = ("--gate", "median_latency<=baseline*100", "--baseline", project / "base.json")
    judged = run(project, "bench", MODEL, *gate, "--json", *QUICK).ok().json()
    assert judged["gates"][0]["passed"] is True


def test_the_store_of_the_settings_is_the_store_of_every_command(project: Path) -> None:
    with (project / "edgekit.yaml").open("a") as file:
        file.write("results: mine.sqlite\n")
    inner = project / "deeper"
    inner.mkdir()
    record = edgekit("bench", MODEL, "-d", "it", "--json", *QUICK, cwd=inner).ok().json()
    assert (project / "mine.sqlite").exists()
    shown = edgekit("results", "show", record["id"], "--json", cwd=inner).ok().json()
    assert (shown.get("record") or shown)["id"] == record["id"]


@timed
def test_the_deadline_of_a_command_is_for_all_its_devices(project: Path) -> None:
    began = time.monotonic()
    arguments = (
        "bench",
        MODEL,
        "-d",
        "it",
        "-d",
        "local:",
        "--min-seconds",
        "20",
        "--timeout",
        "4",
        "--json",
    )
    done = edgekit(*arguments, cwd=project)
    assert (done.code, done.error()["code"]) == (3, "E_TIMEOUT")
    assert time.monotonic() - began < 20


def test_options_of_a_conversion_are_refused_for_what_is_converted(project: Path) -> None:
    artifact = project / "a.ekm"
    edgekit("convert", MODEL, "--recipe", "float32", "-o", artifact, cwd=project).ok()
    for command in ("push", "run"):
        refused = run(project, command, artifact, "--recipe", "int8-dynamic", "--json")
        assert (refused.code, refused.error()["code"]) == (1, "E_ALREADY_CONVERTED")


def test_run_looks_at_its_own_options_before_it_changes_anything(project: Path) -> None:
    for wrong in (("--gate", "nonsense"), ("--launches", "0")):
        refused = run(project, "run", MODEL, "--recipe", "float32", "--json", *wrong)
        assert refused.code == 1
    assert run(project, "releases", "--json").ok().json() == {"releases": []}


def test_a_store_that_cannot_be_used_costs_no_measurement(project: Path) -> None:
    began = time.monotonic()
    done = run(project, "bench", MODEL, "--min-seconds", "60", "--json", env={"EDGEKIT_RESULTS": "/dev/null"})
    assert done.code == 8
    assert done.error()["hint"]
    assert time.monotonic() - began < 60


def test_the_cache_deletes_only_its_own(tmp_path: Path) -> None:
    mine = tmp_path / "Documents"
    mine.mkdir()
    (tmp_path / "models").mkdir()
    done = edgekit("cache", "clear", "--json", env={"EDGEKIT_CACHE_DIR": str(tmp_path)}).ok().json()
    assert done["cleared"] == ["models"]
    assert mine.is_dir()
    assert (
        edgekit("cache", "clear", "Documents", "--json", env={"EDGEKIT_CACHE_DIR": str(tmp_path)}).code == 1
    )


def test_ab4_a_push_of_an_unchanged_model_imports_nothing_heavy(project: Path) -> None:
    """A8: the results store is not imported by push; A-b4: nor is anything else that costs its start-up."""
    run(project, "push", MODEL, "--json").ok()
    code = (
        "import sys; from edgekit.cli.main import run\n"
        "code = run(sys.argv[1:])\n"
        "heavy = {'numpy', 'sqlalchemy', 'matplotlib', 'paramiko', 'adbutils', 'tflite', 'rich', 'ai_edge_litert'}\n"
        "print(code, sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "push", MODEL, "-d", "it", "--json"],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr.strip() == "0 []"
