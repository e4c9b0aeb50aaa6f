"""Programs on a simulated device: how one is started, and how it ended. All of them are done at once, in device time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from edgekit.agent.failures import EACCES, ENOENT
from edgekit.agent.protocol import Packer, Unpacker
from edgekit.transports.sim.files import File, FileError

SIGTERM, SIGKILL, SIGSEGV = 15, 9, 11
_SMALL_BYTES = 2 << 20


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What RUN and JOB_START say. `env` has None for a variable that is taken away; `deadline_us` 0: none."""

    argv: tuple[str, ...]
    env: Mapping[str, str | None]
    cwd: str
    cpus: tuple[int, ...]
    stdin: bytes = b""
    deadline_us: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a program ended. `lost`: the device went while it ran. `hangs`: it has not ended and will not."""

    exit_code: int = 0
    signal: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    wall_us: float = 500.0
    cpu_us: float = 300.0
    max_rss_bytes: int = _SMALL_BYTES
    timed_out: bool = False
    cancelled: bool = False
    lost: bool = False
    hangs: bool = False

    def payload(self) -> bytes:
        """Of RUN's answer."""
        packer = Packer().u8(self.signal is not None)
        packer.u32(self.exit_code if self.signal is None else self.signal)
        packer.u8(self.timed_out).u8(self.cancelled).u64(round(self.wall_us * 1000))
        packer.u64(round(self.cpu_us)).u64(0).u64(self.max_rss_bytes)
        return packer.u64(self.max_rss_bytes >> 12).u64(0).u64(2).u64(0).done()

    def status(self) -> str:
        """The file `status` of a job."""
        how = f"exit={self.exit_code}" if self.signal is None else f"signal={self.signal}"
        numbers = f"wall_ns={round(self.wall_us * 1000)}\nuser_us={round(self.cpu_us)}\nsystem_us=0\n"
        flags = f"timed_out={int(self.timed_out)}\ncancelled={int(self.cancelled)}\n"
        return f"{how}\n{flags}{numbers}max_rss_bytes={self.max_rss_bytes}\n"


def within_deadline(ended: Ended, deadline_us: float) -> Ended:
    """What is seen of a program that is ended by SIGTERM at its deadline (0: none)."""
    if not deadline_us or (ended.wall_us <= deadline_us and not ended.hangs) or ended.lost:
        return ended
    return replace(
        ended,
        signal=SIGTERM,
        stdout=b"",
        wall_us=deadline_us,
        cpu_us=min(ended.cpu_us, deadline_us),
        timed_out=True,
        hangs=False,
    )


def read_launch(u: Unpacker) -> Launch:
    """The fields that RUN and JOB_START share."""
    argv = tuple(u.text() for _ in range(u.u32()))
    words = [u.text().partition("=") for _ in range(u.u32())]
    cwd, mask = u.text(), u.blob()
    u.raw(5)  # the priority: nothing else runs there
    return Launch(
        argv=argv,
        env={name: value if equals else None for name, equals, value in words},
        cwd=cwd,
        cpus=tuple(cpu for cpu in range(8 * len(mask)) if mask[cpu // 8] >> cpu % 8 & 1),
    )


def check_program(file: object, path: str) -> None:
    """Raises FileError where a path is no program."""
    if not isinstance(file, File):
        raise FileError(ENOENT if file is None else EACCES, "exec", path)
    if not file.permissions & 0o100:
        raise FileError(EACCES, "exec", path)


def barrier_of(argv: Sequence[str]) -> tuple[str, int] | None:
    """The file at which a runner waits for others, and how many they are with it; None where it waits for nobody."""
    found = runner_of(argv)
    options = found[2] if found is not None else []
    named = dict(pairwise(options))
    count = named.get("--streams", "")
    return (named["--barrier"], int(count)) if "--barrier" in named and count.isdecimal() else None


def runner_of(argv: Sequence[str]) -> tuple[list[str], str, list[str]] | None:
    """(files that must be there, the runtime's name, the options) where this starts one of edgekit's runners,
    directly, through a loader, or by the board's Python."""
    words = list(argv)
    files = []
    if words and words[0].rpartition("/")[2].startswith("ld-"):
        files.append(words.pop(0))
        while words and words[0].startswith("--"):
            takes = words.pop(0) in ("--library-path", "--preload", "--argv0")
            words = words[1:] if takes else words
    if not words:
        return None
    name = words[0].rpartition("/")[2]
    if name.startswith("edgekit-runner-"):
        return [*files, words[0]], name.removeprefix("edgekit-runner-"), words[1:]
    if name.startswith("python3") and len(words) > 1 and words[1].endswith("_runner.py"):
        script = words[1].rpartition("/")[2].removesuffix("_runner.py")
        return [words[1]], f"{script}-python", words[2:]
    return None
