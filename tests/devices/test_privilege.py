"""A6: root by the means the device has, only where the user said so; without it the record says what was not set."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import MODEL, QUICK, edgekit

GOVERNOR = "sys/devices/system/cpu/cpufreq/policy0/scaling_governor"


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    """A /sys that only root may write, as the real one; it keeps every write in its own order."""
    root = tmp_path / "tree"
    policy = (root / GOVERNOR).parent
    policy.mkdir(parents=True)
    files = {"related_cpus": "0 1", "scaling_cur_freq": "1500000", "cpuinfo_max_freq": "1500000"}
    for name, text in {**files, "scaling_governor": "ondemand"}.items():
        (policy / name).write_text(text + "\n")
        (policy / name).chmod(0o644)
    return root / "sys"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "mine.yaml").write_text(
        "schema: edgekit.profile/1\nname: mine\nextends: host-x86-64\nbench: {governor: performance}\n"
    )
    return tmp_path


def bench(project: Path, address: str, env: Any, *more: str) -> dict[str, Any]:
    done = edgekit(
        *("bench", MODEL, "-d", address, "-p", project / "mine.yaml", "--json", *QUICK, *more),
        env=env,
        cwd=project,
    )
    record: dict[str, Any] = done.ok().json()
    return record


def notes_about_the_governor(record: dict[str, Any]) -> list[str]:
    return [note for note in record["verdict"]["notes"] if "scaling_governor was not set" in note]


class TestSudo:
    @pytest.fixture
    def board(self, make_sshd: Any, sysfs: Path, tmp_path: Path) -> Any:
        """A real sshd with an ordinary user, and real sudo with rules of this test's own."""
        if shutil.which("sudo") is None:
            pytest.skip("sudo is not installed")
        server = make_sshd(user="pi", sysfs=sysfs)
        return server

    def rules(self, board: Any, tmp_path: Path, text: str) -> None:
        sudoers = tmp_path / "sudoers"
        sudoers.write_text(f"Defaults !syslog\nroot ALL=(ALL) ALL\n{text}\n")
        sudoers.chmod(0o440)
        board.sandbox.run(["mount", "--bind", str(sudoers), "/etc/sudoers"])

    def test_a6_without_privileged_the_record_says_what_was_not_set(
        self, board: Any, ssh_client: Any, project: Path, sysfs: Path, tmp_path: Path
    ) -> None:
        self.rules(board, tmp_path, "pi ALL=(ALL) NOPASSWD: ALL")
        record = bench(project, board.address, ssh_client.env)
        (note,) = notes_about_the_governor(record)
        assert "--privileged" in note
        assert record["conditions"]["before"]["governor"] == "ondemand"

    def test_a6_with_sudo_the_governor_is_set_and_restored(
        self, board: Any, ssh_client: Any, project: Path, sysfs: Path, tmp_path: Path
    ) -> None:
        self.rules(board, tmp_path, "pi ALL=(ALL) NOPASSWD: ALL")
        record = bench(project, board.address, ssh_client.env, "--privileged")
        assert notes_about_the_governor(record) == []
        assert record["conditions"]["before"]["governor"] == "performance"
        assert (sysfs.parent / GOVERNOR).read_text().strip() == "ondemand"

    def test_a6_sudo_that_wants_a_password_is_a_note_and_no_prompt(
        self, board: Any, ssh_client: Any, project: Path, sysfs: Path, tmp_path: Path
    ) -> None:
        self.rules(board, tmp_path, "pi ALL=(ALL) ALL")
        record = bench(project, board.address, ssh_client.env, "--privileged")
        (note,) = notes_about_the_governor(record)
        assert "no way to root" in note
        assert "sudo" in note


@pytest.mark.android
def test_a6_an_android_device_without_root_tells_each_means_that_was_tried(
    make_adbd: Any, project: Path, sysfs: Path
) -> None:
    device = make_adbd(sysfs=sysfs)
    record = bench(project, device.address, device.env, "--privileged")
    (note,) = notes_about_the_governor(record)
    assert "adb root" in note
    assert "su" in note
    assert (sysfs.parent / GOVERNOR).read_text().strip() == "ondemand"
