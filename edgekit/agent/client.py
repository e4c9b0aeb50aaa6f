"""The agent's client: every operation of the device as a method. Synchronous, with deadlines, thread-safe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from edgekit.agent import answers, requests
from edgekit.agent.answers import Hello, RunResult
from edgekit.agent.batches import batch_payload, pipelined, put_many, read_batch
from edgekit.agent.link import Link
from edgekit.agent.pace import Counter
from edgekit.agent.protocol import MAGIC, FrameDecoder, Packer, Type
from edgekit.agent.requests import Request
from edgekit.agent.running import OnOutput, Running, Sampling
from edgekit.agent.transfer import PutSpec, get_bytes, get_file
from edgekit.clock import Deadline
from edgekit.errors import BugError, EdgekitError, RemoteError
from edgekit.transports.base import Progress, Stream

T = TypeVar("T")
TIMEOUT_S = 60.0
NOISE_BYTES = 64 << 10
KEEP_BYTES = 8 << 20
_DEADLINE_MARGIN_S = 15.0


class AgentClient:
    """A running agent. Made by `start`; `close` it, or use it in a `with` block."""

    def __init__(self, link: Link, hello: Hello) -> None:
        self.hello = hello
        self.root = hello.root
        """edgekit's folder on the device, absolute."""
        self._link = link
        self._sent = Counter()

    @classmethod
    def start(cls, stream: Stream, *, timeout: float, device: str | None = None) -> AgentClient:
        """Take over the stream of a command that should be the agent. Skips what login scripts print.

        Raises RemoteError with code E_AGENT_START (status and stderr filled where known) when it is not."""
        deadline = Deadline.after(timeout)
        decoder = FrameDecoder()
        frames = decoder.feed(_skip_to_magic(stream, deadline, device))
        while not frames:
            data = stream.recv(1 << 16, deadline.within(timeout))
            if not data:
                raise _not_started(stream, b"", device)
            frames = decoder.feed(data)
        if frames[0].type != Type.HELLO:
            raise BugError("the agent's first frame is not its hello", device=device)
        return cls(Link(stream, decoder, frames[1:], device), answers.read_hello(frames[0].payload))

    @property
    def round_trips(self) -> int:
        """Times that a request was sent with none outstanding, the start included."""
        return self._link.round_trips

    @property
    def sent_bytes(self) -> int:
        """File data, as it went over the wire, that puts have sent on this connection so far."""
        return self._sent.bytes

    @property
    def device(self) -> str | None:
        return self._link.device

    def call(self, request: Request[T], *, timeout: float = TIMEOUT_S) -> T:
        """Send one simple request (edgekit.agent.requests) and wait for its answer."""
        return request.read(self._link.call(request.type, request.payload, timeout))

    def post(self, request: Request[Any]) -> None:
        """Send one simple request and go on: whether it goes well is not asked."""
        self._link.post(request.type, request.payload)

    def batch(self, items: Sequence[Request[Any]], *, timeout: float = TIMEOUT_S) -> list[Any]:
        """Several requests in one round trip, in order. The first that fails is raised; none runs after it."""
        return read_batch(self._link.call(Type.BATCH, batch_payload(items, ()), timeout), items, self.device)

    def pipelined(
        self, batches: Sequence[Sequence[Request[Any]]], *, timeout: float = TIMEOUT_S
    ) -> list[list[Any] | EdgekitError]:
        """Several batches in one round trip, each with its own outcome: its results, or the error of the item
        that failed. Raises DeviceLost and DeviceTimeout, which are no batch's own."""
        return pipelined(self._link, batches, timeout)

    def ping(self, *, timeout: float = TIMEOUT_S) -> None:
        """One round trip that does nothing."""
        self.batch((), timeout=timeout)

    def stat(
        self, path: str, *, sha256: bool = False, follow: bool = True, timeout: float = TIMEOUT_S
    ) -> answers.FileStat | None:
        return self.call(requests.stat(path, sha256=sha256, follow=follow), timeout=timeout)

    def disk_space(self, path: str | None = None) -> answers.DiskSpace:
        return self.call(requests.disk_space(path or self.root))

    def read(self, paths: Sequence[str], *, max_bytes: int = 64 << 10) -> tuple[answers.Content, ...]:
        return self.call(requests.read(paths, max_bytes=max_bytes))

    def write(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        self.call(requests.write(path, data, mode=mode))

    def mkdir(self, path: str, *, mode: int = 0o755) -> None:
        self.call(requests.mkdir(path, mode=mode))

    def rename(
        self, source: str, target: str, *, sync: bool = True, exchange: bool = False, replace: bool = True
    ) -> None:
        self.call(requests.rename(source, target, sync=sync, exchange=exchange, replace=replace))

    def chmod(self, path: str, mode: int) -> None:
        self.call(requests.chmod(path, mode))

    def remove(
        self, path: str, *, recursive: bool = False, missing_ok: bool = True, inside_root: bool = True
    ) -> None:
        self.call(requests.remove(path, recursive=recursive, missing_ok=missing_ok, inside_root=inside_root))

    def list_dir(self, path: str) -> tuple[answers.Entry, ...]:
        return self.call(requests.list_dir(path))

    def fsync(self, path: str, *, timeout: float = TIMEOUT_S) -> None:
        self.call(requests.fsync(path), timeout=timeout)

    def put(
        self,
        source: Path | bytes,
        remote: str,
        *,
        mode: int = 0o644,
        sha256: str | None = None,
        resume_from: int = 0,
        keep_partial: bool = False,
        progress: Progress | None = None,
        then: Sequence[Request[Any]] = (),
        timeout: float | None = None,
    ) -> list[Any]:
        """Put a file whole: streamed, checked by sha256, fsynced, renamed. `then` is a batch that runs only
        if that went well, in the same round trip; its results are returned.

        Raises DeviceFull, DeviceReadOnly, DevicePermission, VerificationError (E_TRANSFER_HASH), DeviceLost."""
        spec = PutSpec(
            source=source,
            remote=remote,
            mode=mode,
            sha256=sha256,
            resume_from=resume_from,
            keep_partial=keep_partial,
        )
        return self.put_many((spec,), then=then, progress=progress, timeout=timeout)

    def put_many(
        self,
        specs: Sequence[PutSpec],
        *,
        before: Sequence[Request[Any]] = (),
        then: Sequence[Request[Any]] = (),
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> list[Any]:
        """Several files, then a batch that runs only if every put went well: one round trip in all. `before` is
        a batch ahead of them; where one of its items fails, nothing behind it is done, and its error is raised.

        Returns the results of `then`. `progress` is called per file, with the bytes that this file has sent and
        will send (an estimate where it is compressed on the way)."""
        return put_many(self._link, self._sent, specs, before, then, progress, timeout)

    def glob(
        self, patterns: Sequence[str], *, max_bytes: int = 0, timeout: float = TIMEOUT_S
    ) -> tuple[answers.GlobEntry, ...]:
        return self.call(requests.glob(patterns, max_bytes=max_bytes), timeout=timeout)

    def opened(self, folders: Sequence[str], *, timeout: float = TIMEOUT_S) -> answers.Opened:
        return self.call(requests.opened(folders), timeout=timeout)

    def get(
        self, remote: str, *, offset: int = 0, length: int | None = None, timeout: float | None = None
    ) -> bytes:
        """A file's bytes, or a part of them; less where the file ends before."""
        return get_bytes(self._link, remote, offset, length, Deadline.after(timeout))

    def get_file(
        self, remote: str, target: Path, *, progress: Progress | None = None, timeout: float | None = None
    ) -> int:
        """A file of the device, whole into `target` on this host. Returns its size in bytes."""
        return get_file(self._link, remote, target, progress, Deadline.after(timeout))

    def start_run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str | None] | None = None,
        cwd: str | None = None,
        cpus: Iterable[int] | None = None,
        nice: int | None = None,
        deadline_s: float | None = None,
        stdin: bytes = b"",
        on_stdout: OnOutput | None = None,
        on_stderr: OnOutput | None = None,
        keep_bytes: int = KEEP_BYTES,
    ) -> Running:
        """Start a command and return at once. `env`: additions; None takes a variable away. `cpus`: the only
        ones it may use. At `deadline_s` its process group gets SIGTERM, a second later SIGKILL. Of each
        output at most `keep_bytes` are kept; the callbacks, called from `wait`, see all of it."""
        head = requests.launch_fields(argv, env, cwd, cpus, nice)
        payload = head.u32(_milliseconds(deadline_s)).blob(stdin).done()
        pending = self._link.request(Type.RUN, payload)
        allowed = None if deadline_s is None else deadline_s + _DEADLINE_MARGIN_S
        return Running(
            self._link,
            pending,
            tuple(argv),
            deadline=Deadline.after(allowed),
            on_stdout=on_stdout,
            on_stderr=on_stderr,
            keep_bytes=keep_bytes,
        )

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str | None] | None = None,
        cwd: str | None = None,
        cpus: Iterable[int] | None = None,
        nice: int | None = None,
        deadline_s: float | None = None,
        stdin: bytes = b"",
        on_stdout: OnOutput | None = None,
        on_stderr: OnOutput | None = None,
        keep_bytes: int = KEEP_BYTES,
    ) -> RunResult:
        """Run a command to its end; see `start_run`. An exit code other than 0 is a result, not an error.

        Raises RemoteError where it cannot be started, DeviceLost."""
        running = self.start_run(
            argv,
            env=env,
            cwd=cwd,
            cpus=cpus,
            nice=nice,
            deadline_s=deadline_s,
            stdin=stdin,
            on_stdout=on_stdout,
            on_stderr=on_stderr,
            keep_bytes=keep_bytes,
        )
        return running.wait()

    def sample(
        self, paths: Sequence[str], *, period_ms: int, count: int = 0, max_bytes: int = 4096
    ) -> Sampling:
        """Read these files every `period_ms` on the device; `count` 0: until stopped."""
        names = tuple(requests.checked(p) for p in paths)
        payload = Packer().u32(period_ms).u64(count).u32(max_bytes).texts(names).done()
        return Sampling(self._link, self._link.request(Type.SAMPLE, payload), names)

    def knob_set(self, path: str, value: bytes, *, restore: bytes | None = None) -> answers.KnobChange:
        return self.call(requests.knob_set(path, value, restore=restore))

    def knob_restore(self) -> tuple[answers.KnobRestored, ...]:
        return self.call(requests.knob_restore())

    def lease_acquire(self, holder: str, *, ttl_s: float = 30.0) -> answers.Lease:
        return self.call(requests.lease_acquire(holder, ttl_s=ttl_s))

    def lease_renew(self) -> answers.Lease:
        return self.call(requests.lease_renew())

    def lease_release(self) -> None:
        self.call(requests.lease_release())

    def job_start(
        self,
        job_id: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str | None] | None = None,
        cwd: str | None = None,
        cpus: Iterable[int] | None = None,
        nice: int | None = None,
        deadline_s: float | None = None,
    ) -> str:
        request = requests.job_start(
            job_id, argv, env=env, cwd=cwd, cpus=cpus, nice=nice, deadline_s=deadline_s
        )
        return self.call(request)

    def job_status(self, job_id: str) -> answers.JobStatus:
        return self.call(requests.job_status(job_id))

    def job_list(self) -> tuple[str, ...]:
        return self.call(requests.job_list())

    def job_kill(self, job_id: str) -> None:
        self.call(requests.job_kill(job_id))

    def close(self) -> None:
        """End the agent: it ends its children, restores knobs and gives the lease back. Never raises."""
        self._link.close()

    def __enter__(self) -> AgentClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _milliseconds(seconds: float | None) -> int:
    return 0 if seconds is None else min(max(1, round(seconds * 1000)), 0xFFFF_FFFF)


def _skip_to_magic(stream: Stream, deadline: Deadline, device: str | None) -> bytes:
    """What follows the magic bytes."""
    seen = b""
    while (at := seen.find(MAGIC)) < 0:
        data = stream.recv(1 << 14, deadline.within(TIMEOUT_S)) if len(seen) <= NOISE_BYTES else None
        if not data:
            raise _not_started(stream, seen, device)
        seen += data
    return seen[at + len(MAGIC) :]


def _not_started(stream: Stream, seen: bytes, device: str | None) -> RemoteError:
    status: int | None = None
    try:
        status = stream.wait(1.0)
    except EdgekitError:
        pass  # it may run on, or the connection has ended without a status: unknown
    stderr = stream.stderr_tail()
    stream.abort()
    said = (stderr.strip() or seen[-300:].decode("utf-8", "replace").strip())[-300:]
    ended = "did not answer" if status is None else f"ended with exit code {status}"
    return RemoteError(
        f"the agent {ended}" + (f": {said}" if said else ""),
        code="E_AGENT_START",
        status=status,
        stdout=seen[-4096:].decode("utf-8", "replace"),
        stderr=stderr,
        device=device,
    )
