"""What the agent answers, as frozen data, and how each is read from a payload. Pure."""

from __future__ import annotations

import stat as stat_bits
from typing import Any

from msgspec import Struct

from edgekit.agent.protocol import KEPT, Unpacker


class Hello(Struct, frozen=True, kw_only=True):
    """Who the agent is and where it runs. Clocks are the device's, in ns."""

    build_id: str
    sysname: str
    nodename: str
    release: str
    version: str
    machine: str
    abi: str
    """Of the agent: "x86_64", "arm64-v8a", "armeabi-v7a"."""
    uid: int
    pid: int
    boot_id: str
    boottime_ns: int
    realtime_ns: int
    root: str
    """Absolute."""
    page_size_bytes: int
    cpus_online: int
    loader: str | None
    """glibc's loader for the agent's ABI, where there is one."""
    glibc: str | None
    """"2.36"; None where there is none, or it cannot be told."""
    is_android: bool
    knobs_restored: int
    """Settings that an earlier agent left changed and that this one has restored."""
    layout_text: str | None
    """The first 64 bytes of ROOT/layout; None where it is not there or cannot be read (`layout_errno`)."""
    layout_errno: int
    kept: frozenset[str]
    """Which of models, run, runtimes, jobs (folders) and journal (a file) are in ROOT."""


class FileStat(Struct, frozen=True, kw_only=True):
    mode: int
    size_bytes: int
    mtime_ns: int
    inode: int
    device: int
    uid: int
    gid: int
    links: int
    sha256: str | None
    """Hex, of the bytes, where it was asked for and this is a regular file."""

    @property
    def is_dir(self) -> bool:
        return stat_bits.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat_bits.S_ISREG(self.mode)


class DiskSpace(Struct, frozen=True, kw_only=True):
    total_bytes: int
    available_bytes: int
    total_inodes: int
    available_inodes: int
    read_only: bool
    type_magic: int
    """f_type of statfs(2): 0xef53 is ext, 0x1021994 tmpfs."""


class Content(Struct, frozen=True, kw_only=True):
    """One file of `read` or of a sample: its bytes, or why there are none (an errno; 0: it was read)."""

    path: str
    errno: int
    data: bytes
    truncated: bool = False

    @property
    def text(self) -> str | None:
        return None if self.errno else self.data.decode("utf-8", "replace")


class Entry(Struct, frozen=True, kw_only=True):
    name: str
    mode: int
    size_bytes: int
    mtime_ns: int

    @property
    def is_dir(self) -> bool:
        return stat_bits.S_ISDIR(self.mode)


class GlobEntry(Struct, frozen=True, kw_only=True):
    """One match of `glob`. `data`: what a regular file holds, as far as it was asked for; where it could not be
    read, `errno` says why."""

    path: str
    mode: int
    size_bytes: int
    mtime_ns: int
    errno: int
    truncated: bool
    """The file goes on behind `data`."""
    data: bytes

    @property
    def is_dir(self) -> bool:
        return stat_bits.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat_bits.S_ISREG(self.mode)


class Opened(Struct, frozen=True, kw_only=True):
    used: tuple[bool, ...]
    """Of each folder that was asked for, in order: a process has something below it open."""
    unknown_processes: int
    """Processes that the agent may not look into: they may use any folder. Where the device hides processes from
    the user (Android), they are not even counted."""


class RunResult(Struct, frozen=True, kw_only=True):
    """A command that has ended. Times are the device's; `max_rss_bytes` and faults are the kernel's rusage."""

    argv: tuple[str, ...]
    exit_code: int | None
    """None where a signal ended it."""
    signal: int | None
    timed_out: bool
    cancelled: bool
    wall_ns: int
    user_us: int
    system_us: int
    max_rss_bytes: int
    minor_faults: int
    major_faults: int
    voluntary_switches: int
    involuntary_switches: int
    stdout: bytes = b""
    stderr: bytes = b""
    truncated: bool = False
    """More was printed than the caller wanted kept."""

    @property
    def ok(self) -> bool:
        return self.exit_code == 0 and not self.timed_out and not self.cancelled

    @property
    def status(self) -> int:
        """Like a shell's: 128 + signal where a signal ended it."""
        return self.exit_code if self.exit_code is not None else 128 + (self.signal or 0)


class Sample(Struct, frozen=True, kw_only=True):
    boottime_ns: int
    monotonic_raw_ns: int
    cost_ns: int
    """How long reading all files took."""
    missed: int
    """Periods that passed without a sample since the start."""
    files: tuple[Content, ...]


class KnobChange(Struct, frozen=True, kw_only=True):
    old: bytes
    actual: bytes
    """What the file says after the write."""


class KnobRestored(Struct, frozen=True, kw_only=True):
    path: str
    errno: int
    actual: bytes


class Lease(Struct, frozen=True, kw_only=True):
    token: str
    expires_boottime_ns: int


class JobStatus(Struct, frozen=True, kw_only=True):
    state: str
    """"running", "done", or "lost": its supervisor ended without a status (a restart of the device)."""
    folder: str
    """Holds `stdout` and `stderr`."""
    exit_code: int | None = None
    signal: int | None = None
    timed_out: bool = False
    cancelled: bool = False
    wall_ns: int | None = None
    user_us: int | None = None
    system_us: int | None = None
    max_rss_bytes: int | None = None


class Failure(Struct, frozen=True, kw_only=True):
    """An ERROR frame: what was tried, about what, and why not."""

    errno: int
    op: str
    text: str
    extra: int = 0


def read_hello(payload: bytes) -> Hello:
    u = Unpacker(payload)
    return Hello(
        build_id=u.text(),
        sysname=u.text(),
        nodename=u.text(),
        release=u.text(),
        version=u.text(),
        machine=u.text(),
        abi=u.text(),
        uid=u.u32(),
        pid=u.u32(),
        boot_id=u.text(),
        boottime_ns=u.u64(),
        realtime_ns=u.u64(),
        root=u.text(),
        page_size_bytes=u.u32(),
        cpus_online=u.u32(),
        loader=u.text() or None,
        glibc=u.text() or None,
        is_android=bool(u.u8()),
        knobs_restored=u.u32(),
        **_read_layout(u),
    )


def _read_layout(u: Unpacker) -> dict[str, Any]:
    number, text, bits = u.u32(), u.blob(), u.u8()
    return {
        "layout_text": None if number else text.decode("utf-8", "replace"),
        "layout_errno": number,
        "kept": frozenset(name for place, name in enumerate(KEPT) if bits >> place & 1),
    }


def read_failure(payload: bytes) -> Failure:
    u = Unpacker(payload)
    return Failure(errno=u.u32(), op=u.text(), text=u.text(), extra=u.u64())


def read_stat(payload: bytes) -> FileStat | None:
    u = Unpacker(payload)
    if not u.u8():
        return None
    return FileStat(
        mode=u.u32(),
        size_bytes=u.u64(),
        mtime_ns=u.u64(),
        inode=u.u64(),
        device=u.u64(),
        uid=u.u32(),
        gid=u.u32(),
        links=u.u32(),
        sha256=u.blob().hex() or None,
    )


def read_disk_space(payload: bytes) -> DiskSpace:
    u = Unpacker(payload)
    return DiskSpace(
        total_bytes=u.u64(),
        available_bytes=u.u64(),
        total_inodes=u.u64(),
        available_inodes=u.u64(),
        read_only=bool(u.u8()),
        type_magic=u.u32(),
    )


def read_contents(payload: bytes, paths: tuple[str, ...]) -> tuple[Content, ...]:
    u = Unpacker(payload)
    u.u32()
    return tuple(Content(path=path, errno=u.u32(), truncated=bool(u.u8()), data=u.blob()) for path in paths)


def read_entries(payload: bytes) -> tuple[Entry, ...]:
    u = Unpacker(payload)
    return tuple(
        Entry(name=u.text(), mode=u.u32(), size_bytes=u.u64(), mtime_ns=u.u64()) for _ in range(u.u32())
    )


def read_glob(payload: bytes) -> tuple[GlobEntry, ...]:
    u = Unpacker(payload)
    return tuple(
        GlobEntry(
            path=u.text(),
            mode=u.u32(),
            size_bytes=u.u64(),
            mtime_ns=u.u64(),
            errno=u.u32(),
            truncated=bool(u.u8()),
            data=u.blob(),
        )
        for _ in range(u.u32())
    )


def read_opened(payload: bytes) -> Opened:
    u = Unpacker(payload)
    return Opened(used=tuple(bool(byte) for byte in u.blob()), unknown_processes=u.u32())


def read_sample(payload: bytes, paths: tuple[str, ...]) -> Sample:
    u = Unpacker(payload)
    boottime_ns, raw_ns, cost_ns, missed = u.u64(), u.u64(), u.u64(), u.u64()
    u.u32()
    files = tuple(Content(path=path, errno=u.u32(), data=u.blob()) for path in paths)
    return Sample(
        boottime_ns=boottime_ns, monotonic_raw_ns=raw_ns, cost_ns=cost_ns, missed=missed, files=files
    )


def read_run(
    payload: bytes, argv: tuple[str, ...], stdout: bytes, stderr: bytes, truncated: bool
) -> RunResult:
    u = Unpacker(payload)
    by_signal, code = bool(u.u8()), u.u32()
    return RunResult(
        argv=argv,
        exit_code=None if by_signal else code,
        signal=code if by_signal else None,
        timed_out=bool(u.u8()),
        cancelled=bool(u.u8()),
        wall_ns=u.u64(),
        user_us=u.u64(),
        system_us=u.u64(),
        max_rss_bytes=u.u64(),
        minor_faults=u.u64(),
        major_faults=u.u64(),
        voluntary_switches=u.u64(),
        involuntary_switches=u.u64(),
        stdout=stdout,
        stderr=stderr,
        truncated=truncated,
    )


def read_knob(payload: bytes) -> KnobChange:
    u = Unpacker(payload)
    return KnobChange(old=u.blob(), actual=u.blob())


def read_restored(payload: bytes) -> tuple[KnobRestored, ...]:
    u = Unpacker(payload)
    return tuple(KnobRestored(path=u.text(), errno=u.u32(), actual=u.blob()) for _ in range(u.u32()))


def read_lease(payload: bytes) -> Lease:
    u = Unpacker(payload)
    return Lease(token=u.text(), expires_boottime_ns=u.u64())


def read_job(payload: bytes) -> JobStatus:
    u = Unpacker(payload)
    state, folder, text = u.u8(), u.text(), u.text()
    pairs = (line.partition("=") for line in text.splitlines())
    fields = {key: int(value) for key, _, value in pairs if value.isdigit()}
    return JobStatus(
        state=("running", "done", "lost")[state],
        folder=folder,
        exit_code=fields.get("exit"),
        signal=fields.get("signal"),
        timed_out=bool(fields.get("timed_out")),
        cancelled=bool(fields.get("cancelled")),
        wall_ns=fields.get("wall_ns"),
        user_us=fields.get("user_us"),
        system_us=fields.get("system_us"),
        max_rss_bytes=fields.get("max_rss_bytes"),
    )


def read_names(payload: bytes) -> tuple[str, ...]:
    u = Unpacker(payload)
    return tuple(u.text() for _ in range(u.u32()))
