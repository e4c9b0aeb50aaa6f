"""The agent with sanitizers in a jail, for the fuzzer: whatever random requests do, they do it there, as nobody.

A jail is a folder with the agent, its libraries and /bin/true. Each agent gets mounts and process ids of its own, and
a small tmpfs as ROOT: when it ends, nothing of it is left.
"""

from __future__ import annotations

import hashlib
import os
import re
import selectors
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from fuzz_frames import BATCH, HEADER, Frame

MAGIC = b"EDGEKIT-AGENT/1\n"
RESULT, ERROR = 0x80, 0x81
FINE_EXITS = (0, 3)
SILENCE_S = 8.0
"""An idle agent says something every 2 s; one that is silent for so long hangs."""
BUSY_S = 1.0
"""How long an answer to what is behind a case is waited for: a request may rightly take longer, and hold back what follows."""
EXIT_S = 10.0
REST_S = 0.1
NOBODY = 65534
_START = """
set -e
jail=$1; shift
mount -t tmpfs -o size=16m,nr_inodes=20k,mode=777 tmpfs "$jail/root"
cp -a "$jail/seed/." "$jail/root/"
mount -t proc proc "$jail/proc"
chroot --userspec=65534:65534 "$jail" /edgekit-agent serve --root /root --silence-ms 20000
exit $?
"""


class TargetError(Exception):
    """The fuzzer cannot work here; the message is for the user."""


@dataclass
class Outcome:
    """What came of one case. `ended`: the agent is gone; `busy`: it lives, and is still at work."""

    frames: list[Frame] = field(default_factory=list)
    ended: bool = False
    busy: bool = False
    silent: bool = False


def make_jail(folder: Path, agent: Path) -> None:
    """Raises TargetError without root's rights."""
    if os.getuid() != 0:
        raise TargetError("root's rights are needed (chroot, mount): run it as root, or in a container")
    for name in ("root", "seed", "outside/folder", "reports", "proc", "bin"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    for program, place in ((agent, "edgekit-agent"), (Path("/bin/true"), "bin/true")):
        shutil.copy(program, folder / place)
        _copy_libraries(program, folder)
    for name in ("root", "reports", "outside", "outside/folder"):
        (folder / name).chmod(0o777)
    for place in ("outside/file", "outside/folder/file"):
        (folder / place).write_bytes(b"not to be touched\n" * 20)
        (folder / place).chmod(0o666)
    seed = folder / "seed"
    (seed / "models" / "a" / "1").mkdir(parents=True)
    (seed / "models" / "a" / "1" / "manifest.json").write_text('{"name": "a"}')
    (seed / "models" / "a" / "current").write_text("1\n")
    (seed / "layout").write_text("1\n")
    (seed / "base").write_bytes(BASE)
    (seed / "file").write_bytes(b"content\n")
    (seed / "link").symlink_to("/outside")
    for path in (seed, *seed.rglob("*")):
        os.lchown(path, NOBODY, NOBODY)


BASE = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(64)) + bytes(500)
"""The file that the patches and copies of the corpus refer to."""


def _copy_libraries(program: Path, folder: Path) -> None:
    done = subprocess.run(["ldd", str(program)], capture_output=True, text=True, timeout=30, check=False)
    for path in map(Path, re.findall(r"(/\S+) \(0x", done.stdout)):
        place = folder / path.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)


def fingerprint(folder: Path) -> dict[str, tuple[int, str]]:
    """Names, modes and contents of what lies there."""
    found = {}
    for path in sorted((folder / "outside").rglob("*")):
        data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path.relative_to(folder))] = (path.lstat().st_mode, hashlib.sha256(data).hexdigest())
    return found


class Agent:
    """One agent in the jail. End it with `finish` or `kill`."""

    def __init__(self, jail: Path) -> None:
        options = "log_path=/reports/report:exitcode=99"
        env = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "ASAN_OPTIONS": f"{options}:detect_stack_use_after_return=1:detect_leaks=1",
            "UBSAN_OPTIONS": f"{options}:print_stacktrace=1",
        }
        apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation=private"]
        self.process = subprocess.Popen(
            [*apart, "sh", "-c", _START, "sh", str(jail)],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
        self.stderr = b""
        self._input = b""
        self._magic = False
        started = self._exchange(b"", until=None, seconds=20)
        if not self._magic:
            self.kill()
            raise TargetError(f"no agent in the jail: {self.stderr.decode(errors='replace').strip()}")
        assert not started.ended

    def play(self, case: bytes, last_id: int, seconds: float = BUSY_S) -> Outcome:
        """Send a case and an empty batch behind it, which waits for its turn (a ping would not); all that is
        answered until that is, or until it is plain that it will not be soon."""
        last = Frame(BATCH, last_id, bytes(8))
        return self._exchange(case + last.pack(), until=last_id, seconds=seconds)

    def finish(self, rest: bytes = b"") -> tuple[int | None, Outcome]:
        """Send what nothing can follow, wait a moment, end its input; the exit code, None where it does not
        end. An agent whose input ends does not begin what it has not begun."""
        before = self._exchange(rest, until=-1, seconds=REST_S) if rest else Outcome()
        outcome = before if before.ended else self._exchange(b"", until=-1, seconds=EXIT_S, close=True)
        outcome.frames = before.frames + outcome.frames if outcome is not before else before.frames
        try:
            return self.process.wait(EXIT_S), outcome
        except subprocess.TimeoutExpired:
            self.kill()
            return None, outcome
        finally:
            self._close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(EXIT_S)
        self._close()

    def _close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None and not stream.closed:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass  # what it had not taken when it ended

    def _exchange(self, data: bytes, *, until: int | None, seconds: float, close: bool = False) -> Outcome:
        outcome = Outcome()
        out, err = self.process.stdout, self.process.stderr
        into = self.process.stdin
        assert out is not None
        assert err is not None
        assert into is not None
        heard = began = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            selector.register(err, selectors.EVENT_READ)
            if not into.closed and (data or close):
                selector.register(into, selectors.EVENT_WRITE)
            while True:
                now = time.monotonic()
                if now - heard > SILENCE_S:
                    outcome.silent = True
                    return outcome
                if now - began > seconds and not data:
                    outcome.busy = True
                    return outcome
                for key, _ in selector.select(0.05):
                    if key.fileobj is into:
                        data = self._send(data)
                        if not data:
                            selector.unregister(into)
                            if close:
                                into.close()
                    elif key.fileobj is err:
                        self._read_stderr(selector)
                    else:
                        part = os.read(out.fileno(), 1 << 20)
                        heard = time.monotonic()
                        if not part:
                            outcome.ended = True
                            return outcome
                        outcome.frames += self._frames(part)
                if until is None and self._magic:
                    return outcome
                if any(f.type in (RESULT, ERROR) and f.id == until for f in outcome.frames[-4000:]):
                    return outcome

    def _send(self, data: bytes) -> bytes:
        assert self.process.stdin is not None
        try:
            return data[os.write(self.process.stdin.fileno(), data[: 1 << 16]) :]
        except BlockingIOError:
            return data
        except BrokenPipeError:
            return b""  # it has ended; its output's end tells

    def _read_stderr(self, selector: selectors.BaseSelector) -> None:
        assert self.process.stderr is not None
        part = os.read(self.process.stderr.fileno(), 1 << 16)
        if not part:
            selector.unregister(self.process.stderr)
        self.stderr = (self.stderr + part)[-8192:]

    def _frames(self, part: bytes) -> list[Frame]:
        self._input += part
        if not self._magic:
            at = self._input.find(MAGIC)
            if at < 0:
                return []
            self._magic = True
            self._input = self._input[at + len(MAGIC) :]
        frames, at = [], 0
        while len(self._input) - at >= HEADER.size:
            length, request, kind = HEADER.unpack_from(self._input, at)
            if len(self._input) - at - HEADER.size < length:
                break
            at += HEADER.size
            frames.append(Frame(kind, request, self._input[at : at + length]))
            at += length
        self._input = self._input[at:]
        return frames
