"""What the runtimes of a board's own Python share: the scripts that edgekit brings, and their command."""

from __future__ import annotations

from pathlib import Path

from edgekit.parse.op_profile import OpProfile
from edgekit.runtimes.base import (
    READABLE,
    Bundle,
    LibcFacts,
    RunnerJob,
    bundle_file,
    make_bundle,
    no_op_profile,
    runner_arguments,
)
from edgekit.runtimes.result import RunnerResult, parse_result

SHARED = ("board_launch.py", "board_process.py", "board_tensors.py")
"""What lies beside the script of each runtime."""
BUNDLE_VERSION = "2"
"""Of the scripts; the runtime's own version is the board's business, and in every result."""


class BoardPython:
    """What a runtime of the board's Python is but for its name, its formats, its script and its operator profile. It leaves
    nothing beside the scripts."""

    name: str
    script: str
    version: str | None = None
    formats: tuple[str, ...]
    accelerators: tuple[str, ...] = ("cpu",)
    raw_samples: bool = True
    op_profile: bool = False
    outputs: bool = True

    def bundle(self, abi: str, libc: LibcFacts) -> Bundle:
        """The scripts, the same for every device; Python and its packages are the board's."""
        folder = Path(__file__).parent / "board"
        files = [bundle_file(folder / name, name, READABLE) for name in (self.script, *SHARED)]
        return make_bundle(self.name, BUNDLE_VERSION, files)

    def command(self, bundle: Bundle, bundle_dir: str, job: RunnerJob) -> tuple[list[str], dict[str, str]]:
        """`python3` of the board's PATH."""
        environment = {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        return ["python3", f"{bundle_dir}/{self.script}", *runner_arguments(job)], environment

    def parse(self, stdout: bytes) -> RunnerResult:
        return parse_result(stdout)

    def read_op_profile(self, data: bytes) -> OpProfile:
        raise no_op_profile(self.name)
