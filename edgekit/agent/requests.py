"""Simple requests: each is one frame and one answer, and can be an item of a batch. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from edgekit.agent import answers
from edgekit.agent.protocol import Packer, RemoveFlag, RenameFlag, StatFlag, Type, Unpacker
from edgekit.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Request(Generic[T]):
    """What to ask, and how to read the answer."""

    type: Type
    payload: bytes
    read: Callable[[bytes], T]


def _nothing(_payload: bytes) -> None:
    return None


def checked(path: str) -> str:
    """A path as the kernel takes it. Raises InputError for one with a NUL, or for none."""
    if not path or "\0" in path:
        raise InputError(f"not a path: {path!r}", code="E_REMOTE_PATH")
    return path


def stat(
    path: str, *, sha256: bool = False, follow: bool = True, missing_ok: bool = True
) -> Request[answers.FileStat | None]:
    """None where there is nothing, unless `missing_ok` is False. `sha256` is computed from the bytes."""
    flags = StatFlag(0)
    flags |= StatFlag.SHA256 if sha256 else StatFlag(0)
    flags |= StatFlag(0) if follow else StatFlag.NOFOLLOW
    flags |= StatFlag.MISSING_OK if missing_ok else StatFlag(0)
    return Request(Type.STAT, Packer().text(checked(path)).u8(flags).done(), answers.read_stat)


def disk_space(path: str) -> Request[answers.DiskSpace]:
    return Request(Type.STATVFS, Packer().text(checked(path)).done(), answers.read_disk_space)


def read(paths: Sequence[str], *, max_bytes: int = 64 << 10) -> Request[tuple[answers.Content, ...]]:
    """Many small regular files (of /proc, /sys, or others); a file that cannot be read has an errno."""
    names = tuple(checked(p) for p in paths)
    payload = Packer().u32(max_bytes).texts(names).done()
    return Request(Type.READ, payload, lambda p: answers.read_contents(p, names))


def write(path: str, data: bytes, *, mode: int = 0o644) -> Request[None]:
    """A small file, whole or not at all: temporary name, fsync, rename, fsync of the folder."""
    return Request(Type.WRITE, Packer().text(checked(path)).u32(mode).blob(data).done(), _nothing)


def mkdir(path: str, *, mode: int = 0o755) -> Request[None]:
    """With its parents; one that is there is fine."""
    return Request(Type.MKDIR, Packer().text(checked(path)).u32(mode).done(), _nothing)


def rename(
    source: str, target: str, *, sync: bool = True, exchange: bool = False, replace: bool = True
) -> Request[None]:
    """`sync`: fsync both folders afterwards. `exchange`: both exist and change places, at once. Not `replace`:
    fails with EEXIST where there is a target. A device that cannot do one of the two answers with
    RemoteFileError whose errno is ENOSYS or EINVAL."""
    flags = RenameFlag(0)
    flags |= RenameFlag.SYNC if sync else RenameFlag(0)
    flags |= RenameFlag.EXCHANGE if exchange else RenameFlag(0)
    flags |= RenameFlag(0) if replace else RenameFlag.NO_REPLACE
    return Request(
        Type.RENAME, Packer().text(checked(source)).text(checked(target)).u8(flags).done(), _nothing
    )


def chmod(path: str, mode: int) -> Request[None]:
    return Request(Type.CHMOD, Packer().text(checked(path)).u32(mode).done(), _nothing)


def remove(
    path: str,
    *,
    recursive: bool = False,
    missing_ok: bool = True,
    inside_root: bool = True,
    sync: bool = False,
) -> Request[None]:
    """`inside_root`: refuse (DevicePermission) what does not lie in edgekit's folder on the device."""
    flags = RemoveFlag(0)
    for wanted, flag in (
        (recursive, RemoveFlag.RECURSIVE),
        (missing_ok, RemoveFlag.MISSING_OK),
        (inside_root, RemoveFlag.INSIDE_ROOT),
        (sync, RemoveFlag.SYNC),
    ):
        flags |= flag if wanted else RemoveFlag(0)
    return Request(Type.REMOVE, Packer().text(checked(path)).u8(flags).done(), _nothing)


def list_dir(path: str) -> Request[tuple[answers.Entry, ...]]:
    """Not sorted; links are not followed."""
    return Request(Type.LIST, Packer().text(checked(path)).done(), answers.read_entries)


def fsync(path: str) -> Request[None]:
    """A file or a folder."""
    return Request(Type.FSYNC, Packer().text(checked(path)).done(), _nothing)


def glob(
    patterns: Sequence[str], *, max_bytes: int = 0, max_total_bytes: int = 8 << 20
) -> Request[tuple[answers.GlobEntry, ...]]:
    """What lies at absolute paths that match (`*`, `?`, `[...]`; a hidden name only where the pattern has its
    dot), inside edgekit's folder on the device. No link is followed. `max_bytes`: how much of each regular file
    is read; when `max_total_bytes` are reached, the rest is `truncated`. More than 4096 matches, or more than fits
    into one answer: RemoteFileError with E2BIG. Not sorted; a folder that is not there has no matches."""
    payload = Packer().texts([checked(p) for p in patterns]).u32(max_bytes).u32(max_total_bytes).done()
    return Request(Type.GLOB, payload, answers.read_glob)


def opened(folders: Sequence[str]) -> Request[answers.Opened]:
    """Which of these folders (inside edgekit's) are in use by a process of the device: a file below is open or
    mapped, or is its program, or it works there. The agent itself is left out."""
    return Request(Type.OPENED, Packer().texts([checked(f) for f in folders]).done(), answers.read_opened)


def knob_set(path: str, value: bytes, *, restore: bytes | None = None) -> Request[answers.KnobChange]:
    """Change a setting (absolute path) for as long as the agent lives. `restore`: what to write back where
    that is not what the file says now."""
    packer = Packer().text(checked(path)).blob(value).u8(restore is not None).blob(restore or b"")
    return Request(Type.KNOB_SET, packer.done(), answers.read_knob)


def knob_restore() -> Request[tuple[answers.KnobRestored, ...]]:
    """Undo every change of this agent, the latest first."""
    return Request(Type.KNOB_RESTORE, b"", answers.read_restored)


def lease_acquire(holder: str, *, ttl_s: float = 30.0) -> Request[answers.Lease]:
    """The agent renews it by itself. Fails with DeviceBusy where another agent holds it."""
    payload = Packer().text(holder).u32(int(ttl_s * 1000)).done()
    return Request(Type.LEASE_ACQUIRE, payload, answers.read_lease)


def lease_renew() -> Request[answers.Lease]:
    return Request(Type.LEASE_RENEW, b"", answers.read_lease)


def lease_release() -> Request[None]:
    return Request(Type.LEASE_RELEASE, b"", _nothing)


def launch_fields(
    argv: Sequence[str],
    env: Mapping[str, str | None] | None,
    cwd: str | None,
    cpus: Iterable[int] | None,
    nice: int | None,
) -> Packer:
    """How a command is started; the first fields of RUN and JOB_START."""
    for word in (*argv, cwd or ""):
        if "\0" in word:
            raise InputError(f"a NUL in {word!r}", code="E_REMOTE_PATH")
    if not argv or not argv[0]:
        raise InputError("a command without a program", code="E_REMOTE_PATH")
    mask = bytearray()
    for cpu in cpus or ():
        mask.extend(bytes(max(0, cpu // 8 + 1 - len(mask))))
        mask[cpu // 8] |= 1 << cpu % 8
    words = [name if value is None else f"{name}={value}" for name, value in (env or {}).items()]
    packer = Packer().texts(argv).texts(words).text(cwd or "").blob(bytes(mask))
    return packer.u8(nice is not None).i32(nice or 0)


def job_start(
    job_id: str,
    argv: Sequence[str],
    *,
    env: Mapping[str, str | None] | None = None,
    cwd: str | None = None,
    cpus: Iterable[int] | None = None,
    nice: int | None = None,
    deadline_s: float | None = None,
) -> Request[str]:
    """A command that goes on when the stream ends. The answer is its folder on the device."""
    head = Packer().text(job_id).raw(launch_fields(argv, env, cwd, cpus, nice).done())
    payload = head.u64(int((deadline_s or 0) * 1000)).done()
    return Request(Type.JOB_START, payload, lambda p: Unpacker(p).text())


def job_status(job_id: str) -> Request[answers.JobStatus]:
    return Request(Type.JOB_STATUS, Packer().text(job_id).done(), answers.read_job)


def job_list() -> Request[tuple[str, ...]]:
    return Request(Type.JOB_LIST, b"", answers.read_names)


def job_kill(job_id: str) -> Request[None]:
    """SIGTERM, and SIGKILL a second later; the status then says "cancelled"."""
    return Request(Type.JOB_KILL, Packer().text(job_id).done(), _nothing)


AnyRequest = Request[Any]
