"""Priority and frequency for a measurement (D1.3): in force while it runs, as they were after it, or a note."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from edgekit.devices.frequency import frequency_files, frequency_settings
from edgekit.errors import InputError
from tests.cli.running import MODEL, QUICK, edgekit
from tests.failures.test_bad_launch import runner
from tests.failures.under_way import UnderWay

pytestmark = pytest.mark.usefixtures("own_local")

POLICY = "/sys/policy0"
RANGE = {
    "cpuinfo_min_freq": "600000",
    "cpuinfo_max_freq": "2400000",
    "scaling_min_freq": "600000",
    "scaling_max_freq": "2400000",
}


def texts(policy: str = POLICY, **changed: str) -> dict[str, str | None]:
    return {f"{policy}/{name}": f"{value}\n" for name, value in {**RANGE, **changed}.items()}


@pytest.mark.base
@pytest.mark.parametrize(
    ("wanted", "allowed", "expected"),
    [
        ("max", "2400000", [("scaling_min_freq", "2400000"), ("scaling_max_freq", "2400000")]),
        ("min", "2400000", [("scaling_min_freq", "600000"), ("scaling_max_freq", "600000")]),
        ("1.5GHz", "2400000", [("scaling_min_freq", "1500000"), ("scaling_max_freq", "1500000")]),
        # above what is allowed now: the maximum has to go first, or the minimum would be above it
        ("1.5GHz", "1000000", [("scaling_max_freq", "1500000"), ("scaling_min_freq", "1500000")]),
    ],
)
def test_what_is_written_in_which_order(wanted: str, allowed: str, expected: list[tuple[str, str]]) -> None:
    settings, refused = frequency_settings(wanted, [POLICY], texts(scaling_max_freq=allowed))
    assert [(path.rpartition("/")[2], value) for path, value in settings.items()] == expected
    assert refused == ()


@pytest.mark.base
def test_no_step_or_its_undoing_puts_the_minimum_above_the_maximum() -> None:
    """The kernel would refuse it. Undone the other way round, as the agent's journal is."""
    for low, high in (
        (600_000, 600_000),
        (600_000, 1_000_000),
        (2_000_000, 2_400_000),
        (2_400_000, 2_400_000),
    ):
        for wanted in ("max", "min", "1.5GHz"):
            now = {"scaling_min_freq": low, "scaling_max_freq": high}
            settings, _ = frequency_settings(
                wanted, [POLICY], texts(**{name: str(value) for name, value in now.items()})
            )
            undo = []
            for path, value in settings.items():
                name = path.rpartition("/")[2]
                undo.append((name, now[name]))
                now[name] = int(value)
                assert now["scaling_min_freq"] <= now["scaling_max_freq"], (low, high, wanted)
            for name, value in reversed(undo):
                now[name] = value
                assert now["scaling_min_freq"] <= now["scaling_max_freq"], (low, high, wanted)
            assert (now["scaling_min_freq"], now["scaling_max_freq"]) == (low, high)


@pytest.mark.base
def test_a_cluster_that_cannot_run_at_it_is_left_alone() -> None:
    little = "/sys/policy4"
    both = {**texts(), **texts(little, cpuinfo_max_freq="1200000", scaling_max_freq="1200000")}
    settings, refused = frequency_settings("1.5GHz", [POLICY, little], both)
    assert all(path.startswith(POLICY) for path in settings)
    assert refused == ("frequency 1.5GHz was not set: policy4 runs at 600000 to 1200000 kHz",)
    assert len(frequency_files([POLICY, little])) == 8


@pytest.mark.base
def test_a_policy_that_does_not_tell_its_range_is_a_note() -> None:
    settings, refused = frequency_settings("max", [POLICY], {})
    assert settings == {}
    assert "does not tell its range" in refused[0]
    with pytest.raises(InputError):
        frequency_settings("1500", [POLICY], texts())


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A /sys with one policy, constructed: ordinary files, which any value can be written to."""
    folder = tmp_path / "tree/sys/devices/system/cpu/cpufreq/policy0"
    folder.mkdir(parents=True)
    files = {**RANGE, "related_cpus": "0 1", "scaling_governor": "schedutil", "scaling_cur_freq": "1500000"}
    for name, text in files.items():
        (folder / name).write_text(text + "\n")
    (tmp_path / "edgekit.yaml").write_text(
        f'devices:\n  it: {{address: "local:", root: "{tmp_path}/device", sysroot: "{tmp_path}/tree"}}\n'
    )
    return folder


def bounds(policy: Path) -> tuple[str, str]:
    low, high = ((policy / f"scaling_{end}_freq").read_text().strip() for end in ("min", "max"))
    return low, high


BENCH = ("--launches", "2", "--iterations", "20", "--min-seconds", "3", "--warmup-iterations", "2")


def running(folder: Path, *more: str) -> tuple[UnderWay, int]:
    """A bench whose first launch runs, and that launch's pid."""
    under_way = UnderWay("bench", MODEL, "-d", "it", *BENCH, *more, env={}, cwd=folder)
    end = time.monotonic() + 90
    while (pid := runner(folder / "device", 0)) is None:
        assert under_way.process.poll() is None, under_way.process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)
    return under_way, pid


def nice_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[16])


def test_in_force_while_it_runs_and_as_before_after_it(policy: Path, tmp_path: Path) -> None:
    under_way, pid = running(tmp_path, "--frequency", "1.5GHz", "--priority", "7")
    assert bounds(policy) == ("1500000", "1500000")
    assert nice_of(pid) == 7
    record = under_way.ended(150).ok().json()
    assert bounds(policy) == ("600000", "2400000")
    assert (record["plan"]["frequency"], record["plan"]["priority"]) == ("1.5GHz", 7)
    assert not any("was not set" in note for note in record["verdict"]["notes"])


def test_a_host_that_is_killed_leaves_no_frequency_behind(policy: Path, tmp_path: Path) -> None:
    """D1-b3: the agent's guardian puts it back."""
    under_way, _ = running(tmp_path, "--frequency", "min")
    assert bounds(policy) == ("600000", "600000")
    os.kill(under_way.process.pid, signal.SIGKILL)
    under_way.process.wait(30)
    end = time.monotonic() + 30
    while bounds(policy) != ("600000", "2400000"):
        assert time.monotonic() < end, bounds(policy)
        time.sleep(0.1)


def test_streams_have_the_priority_too(policy: Path, tmp_path: Path) -> None:
    under_way = UnderWay(
        "bench", MODEL, "-d", "it", *BENCH, "--streams", "2", "--priority", "5", env={}, cwd=tmp_path
    )
    end = time.monotonic() + 90
    while (pid := runner(tmp_path / "device", 0, 1)) is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert nice_of(pid) == 5
    under_way.ended(150).ok()


def test_what_cannot_be_set_is_a_note(tmp_path: Path, make_sshd: Any, ssh_client: Any, policy: Path) -> None:
    """An ordinary user on a board: no priority below 0, no frequency."""
    for file in policy.iterdir():
        file.chmod(0o644)
    server = make_sshd(user="pi", sysfs=tmp_path / "tree/sys")
    done = edgekit(
        *("bench", MODEL, "-d", server.address, *QUICK, "--priority", "-5", "--frequency", "max", "--json"),
        env=ssh_client.env,
        cwd=tmp_path,
    )
    record = done.ok().json()
    notes = record["verdict"]["notes"]
    assert any(note.startswith("priority -5 was not set") for note in notes)
    assert any("scaling_min_freq was not set" in note for note in notes)
    assert record["plan"]["priority"] == -5
    assert bounds(policy) == ("600000", "2400000")


@pytest.mark.parametrize("frequency", ["1500", "fast", "-1GHz"])
def test_a_frequency_that_is_none(tmp_path: Path, frequency: str) -> None:
    done = edgekit("bench", MODEL, "-d", "local:", f"--frequency={frequency}", "--json", cwd=tmp_path)
    assert done.error()["code"] == "E_UNIT"
