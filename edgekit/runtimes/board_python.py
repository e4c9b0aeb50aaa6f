"""What the runtimes of a board's own Python share: the scripts that edgekit brings, and their command."""

from __future__ import annotations

from pathlib import Path

from edgekit.runtimes.base import READABLE, Bundle, RunnerJob, bundle_file, make_bundle, runner_arguments

SHARED = ("board_launch.py", "board_process.py", "board_tensors.py")
"""What lies beside the script of each runtime."""
BUNDLE_VERSION = "2"
"""Of the scripts; the runtime's own version is the board's business, and in every result."""


def python_bundle(runtime: str, script: str) -> Bundle:
    """The scripts, the same for every device; Python and its packages are the board's."""
    folder = Path(__file__).parent / "board"
    return make_bundle(
        runtime, BUNDLE_VERSION, [bundle_file(folder / name, name, READABLE) for name in (script, *SHARED)]
    )


def python_command(script: str, bundle_dir: str, job: RunnerJob) -> tuple[list[str], dict[str, str]]:
    """`python3` of the board's PATH. It leaves nothing beside the scripts."""
    environment = {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return ["python3", f"{bundle_dir}/{script}", *runner_arguments(job)], environment
