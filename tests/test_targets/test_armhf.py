"""32-bit ARM programs run here (demand A9)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.targets.armhf import armhf_command, armhf_root
from tests.targets.roots import folder


@pytest.fixture(scope="session")
def busybox() -> Path:
    """Debian's static busybox for armhf: many programs in one."""
    return folder(armhf_root()) / "root/bin/busybox"


def test_runs_as_arm_with_stdin_arguments_and_exit_code(busybox: Path) -> None:
    script = 'cat; echo "$1"; echo err >&2; exit 5'
    command = armhf_command(busybox, "sh", "-c", script, "sh", "two words")
    done = subprocess.run(command, input=b"a line\n", capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (5, b"a line\ntwo words\n", b"err\n")
    machine = subprocess.run(
        armhf_command(busybox, "uname", "-m"), capture_output=True, timeout=60, check=True
    )
    assert machine.stdout == b"armv7l\n"


def test_refuses_another_processors_program() -> None:
    with pytest.raises(ValueError, match="not a 32-bit ARM program"):
        armhf_command(Path(sys.executable).resolve())
