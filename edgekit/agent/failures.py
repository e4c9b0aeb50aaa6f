"""Where an error of the agent becomes one of edgekit's. Errno values are Linux's, whatever the host is."""

from __future__ import annotations

from typing import Any

from edgekit.agent.answers import Failure
from edgekit.errors import (
    DeviceBusy,
    DeviceError,
    DeviceFull,
    DevicePermission,
    DeviceReadOnly,
    EdgekitError,
    RemoteError,
    VerificationError,
)

EPERM, ENOENT, ESRCH, EIO, E2BIG, ENOEXEC, EAGAIN, ENOMEM, EACCES = 1, 2, 3, 5, 7, 8, 11, 12, 13
EBUSY, EEXIST, ENODEV, ENOTDIR, EISDIR, EINVAL, EFBIG, ENOSPC, EROFS = 16, 17, 19, 20, 21, 22, 27, 28, 30
ENAMETOOLONG, ENOLCK, ENOSYS, ENOTEMPTY, ELOOP, EBADMSG = 36, 37, 38, 39, 40, 74
ESTALE, EDQUOT, ECANCELED = 116, 122, 125

_TEXTS = {
    EPERM: "not permitted",
    ENOENT: "no such file or folder",
    ESRCH: "no such process or request",
    EIO: "input/output error of the device",
    E2BIG: "too long",
    ENOEXEC: "not a program for this device",
    EAGAIN: "too many at once",
    ENOMEM: "not enough memory on the device",
    EACCES: "permission denied",
    EBUSY: "busy",
    EEXIST: "exists already",
    ENODEV: "no such device",
    ENOTDIR: "not a folder",
    EISDIR: "is a folder",
    EINVAL: "refused as invalid",
    EFBIG: "too large",
    ENOSPC: "no space left on the device",
    EROFS: "read-only file system",
    ENAMETOOLONG: "the name is too long",
    ENOLCK: "no lease is held",
    ENOSYS: "the device's kernel cannot do this",
    ENOTEMPTY: "the folder is not empty",
    ELOOP: "too many levels",
    EBADMSG: "the sha256 of what arrived is another one",
    ESTALE: "the part that is there is not what was expected",
    EDQUOT: "over the quota",
    ECANCELED: "cancelled",
}

_START_OPS = ("exec", "chdir", "cpus", "nice", "env", "fork", "run")


class RemoteFileError(RemoteError):
    """A file operation on the device failed; `errno` is the device's."""

    default_code = "E_REMOTE_FILE"

    def __init__(self, message: str, *, errno: int, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.errno = errno


def describe(number: int) -> str:
    """An errno of Linux in words."""
    return _TEXTS.get(number, f"errno {number}")


def error_of(failure: Failure, device: str | None) -> EdgekitError:
    """The error to raise for an ERROR frame. Pure."""
    number, what = failure.errno, failure.text
    if failure.op == "lease":
        return _lease_error(failure, device)
    if failure.op == "sha256":
        return VerificationError(
            f"{what}: {describe(number)} than that of the source",
            code="E_TRANSFER_HASH",
            hint="try again; if it happens again the device's storage or memory is damaged",
            device=device,
            transient=True,
        )
    if failure.op in ("decode", "base"):
        return _encoding_error(failure, device)
    message = f"{failure.op} {what}: {describe(number)}" if what else f"{failure.op}: {describe(number)}"
    if known := _by_errno(number, message, device):
        return known
    if failure.op in _START_OPS:
        return RemoteError(
            message, status=127 if number == ENOENT else 126, device=device, hint="does it exist there?"
        )
    return RemoteFileError(message, errno=number, device=device, transient=number in (EAGAIN, EBUSY))


def _encoding_error(failure: Failure, device: str | None) -> EdgekitError:
    """Of a put that did not travel as it is. It can always be sent again as it is."""
    number, what = failure.errno, failure.text
    if failure.op == "base":
        return RemoteFileError(
            f"{what}: the file that the new one refers to cannot be used: {describe(number)}",
            errno=number,
            device=device,
            hint="send the file whole",
        )
    if number in (ENOMEM, E2BIG):
        return RemoteFileError(
            f"{what}: the device has not the memory to decode it",
            errno=number,
            device=device,
            hint="send the file uncompressed",
        )
    return VerificationError(
        f"{what}: what arrived is damaged, or was made against another file",
        code="E_DECODE",
        hint="try again; if it happens again, send the file whole and uncompressed",
        device=device,
        transient=True,
    )


def _lease_error(failure: Failure, device: str | None) -> DeviceError:
    if failure.errno == EBUSY:
        return DeviceBusy(
            f"in use by {failure.text}, for {failure.extra / 1000:.1f} s more unless it renews",
            hint="wait until it is done; a lease whose holder is gone runs out by itself",
            device=device,
        )
    message = f"lease: {describe(failure.errno)}"
    return _by_errno(failure.errno, message, device) or RemoteError(
        message,
        code="E_LEASE",
        device=device,
        hint="another host took the device over; do it again when it is done",
    )


def _by_errno(number: int, message: str, device: str | None) -> DeviceError | None:
    if number in (ENOSPC, EDQUOT):
        return DeviceFull(message, hint="edgekit remove NAME@VERSION, or free space there", device=device)
    if number == EROFS:
        return DeviceReadOnly(message, hint="remount it writable, or use another folder", device=device)
    if number in (EACCES, EPERM):
        return DevicePermission(
            message, hint="connect as a user who may, or use another folder", device=device
        )
    return None
