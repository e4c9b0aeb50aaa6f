"""A-b5: standard streams that are closed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.running import MODEL, argv, environment

PUSH = ("push", MODEL, "-d", "it", "--name", "m", "--no-smoke", "--json")


def sh(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    settings = {"devices": {"it": {"address": "local:", "root": f"{folder}/device"}}}
    (folder / "edgekit.yaml").write_text(json.dumps(settings))
    command = ["sh", "-c", script, "sh", *argv(*PUSH)]
    return subprocess.run(command, env=environment(), cwd=folder, capture_output=True, text=True, timeout=200)


@pytest.mark.parametrize("closed", ["2>&-", "2>&- <&-", "<&-"])
def test_a_push_whose_messages_go_nowhere(tmp_path: Path, closed: str) -> None:
    """The progress of a push ended it as a mistake of edgekit's."""
    done = sh(tmp_path, f'"$@" {closed}')
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["activated"]


def test_a_push_whose_result_goes_nowhere(tmp_path: Path) -> None:
    done = sh(tmp_path, '"$@" >&- 2>&- <&-')
    assert done.returncode == 0
    assert (tmp_path / "device" / "models" / "m" / "current").is_file()
