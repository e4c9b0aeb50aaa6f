"""Every error that edgekit raises on purpose, in one tree.

    EdgekitError
    ├── InputError            exit 1   the user's input: model, profile, data, a value's meaning
    │   ├── ModelError                 a model file that is missing, damaged or of another format
    │   └── FileError                  a file of the user's; carries every finding with file and line
    │       ├── ProfileError
    │       └── RecipeError
    ├── DeviceError           exit 3   the device: missing, lost, refused, full, read-only
    │   ├── DeviceNotFound · DeviceAmbiguous · DeviceOffline · DeviceUnauthorized
    │   ├── HostKeyUnknown · HostKeyChanged · AuthenticationFailed
    │   ├── DeviceLost · DeviceTimeout · DeviceBusy
    │   ├── DeviceFull · DeviceReadOnly · DevicePermission
    │   └── RemoteError                a program on the device failed
    ├── VerdictError          exit 4   the measurement is not to be trusted
    ├── GateError             exit 5   a gate failed, a limit was passed
    ├── SomeDevicesFailed     exit 6   some devices of several failed
    ├── VerificationError     exit 7   numbers, hashes or signatures do not agree
    ├── HostError             exit 8   this host: missing extra, disk, network, store, crashed tool
    │   └── MissingExtra · HostDiskFull · HostNetwork · StoreError · ToolError
    └── BugError              exit 70  a mistake in edgekit

An error says who is at fault (its branch), whether trying again can help (`transient`), a stable
`code`, and what to do next (`hint`). Foreign errors are mapped where they enter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


class EdgekitError(Exception):
    """Base of all; catch this to catch everything that edgekit raises on purpose."""

    exit_code: ClassVar[int] = 70
    default_code: ClassVar[str] = "E_BUG"
    default_transient: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        device: str | None = None,
        transient: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.hint = hint
        self.device = device
        self.transient = self.default_transient if transient is None else transient

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints under "error"."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "device": self.device,
            "transient": self.transient,
        }


class InputError(EdgekitError):
    exit_code = 1
    default_code = "E_INPUT"


class ModelError(InputError):
    default_code = "E_MODEL"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong in a file. `path` is dotted, `line` counts from 1."""

    file: str
    line: int | None
    path: str
    message: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class FileError(InputError):
    """A file of the user's that has errors: all of them, each with its line."""

    def __init__(self, message: str, findings: Sequence[Finding] = (), **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.findings = tuple(findings)

    def to_json(self) -> dict[str, Any]:
        errors = [
            {"file": f.file, "line": f.line, "path": f.path, "message": f.message} for f in self.findings
        ]
        return {**super().to_json(), "errors": errors}


class ProfileError(FileError):
    default_code = "E_PROFILE"


class RecipeError(FileError):
    default_code = "E_RECIPE"


class DeviceError(EdgekitError):
    exit_code = 3
    default_code = "E_DEVICE"


class DeviceNotFound(DeviceError):
    default_code = "E_DEVICE_NOT_FOUND"


class DeviceAmbiguous(DeviceError):
    default_code = "E_DEVICE_AMBIGUOUS"


class DeviceOffline(DeviceError):
    default_code = "E_DEVICE_OFFLINE"
    default_transient = True


class DeviceUnauthorized(DeviceError):
    default_code = "E_DEVICE_UNAUTHORIZED"


class HostKeyUnknown(DeviceError):
    default_code = "E_HOST_KEY_UNKNOWN"


class HostKeyChanged(DeviceError):
    default_code = "E_HOST_KEY_CHANGED"


class AuthenticationFailed(DeviceError):
    default_code = "E_AUTHENTICATION"


class DeviceLost(DeviceError):
    """The connection ended, or went silent, while something was under way."""

    default_code = "E_DEVICE_LOST"
    default_transient = True


class DeviceTimeout(DeviceError):
    """The device answers, but not within the deadline of this call."""

    default_code = "E_DEVICE_TIMEOUT"
    default_transient = True


class DeviceBusy(DeviceError):
    """Another host holds the lease."""

    default_code = "E_DEVICE_BUSY"
    default_transient = True


class DeviceFull(DeviceError):
    default_code = "E_DEVICE_FULL"


class DeviceReadOnly(DeviceError):
    default_code = "E_DEVICE_READ_ONLY"


class DevicePermission(DeviceError):
    default_code = "E_DEVICE_PERMISSION"


class RemoteError(DeviceError):
    """A program on the device failed; carries what it said."""

    default_code = "E_REMOTE_COMMAND"

    def __init__(
        self,
        message: str,
        *,
        argv: Sequence[str] = (),
        status: int | None = None,
        stdout: str = "",
        stderr: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(message, **kwargs)
        self.argv = tuple(argv)
        self.status = status
        self.stdout = stdout
        self.stderr = stderr


class VerdictError(EdgekitError):
    exit_code = 4
    default_code = "E_VERDICT"


class GateError(EdgekitError):
    exit_code = 5
    default_code = "E_GATE"


class SomeDevicesFailed(EdgekitError):
    exit_code = 6
    default_code = "E_SOME_DEVICES"


class VerificationError(EdgekitError):
    """`layers`: where source and result part, where that was asked for: a LayerReport, as plain data in JSON."""

    exit_code = 7
    default_code = "E_VERIFICATION"
    layers: Any = None

    def to_json(self) -> dict[str, Any]:
        return super().to_json() if self.layers is None else {**super().to_json(), "layers": self.layers}


class HostError(EdgekitError):
    exit_code = 8
    default_code = "E_HOST"


class MissingExtra(HostError):
    default_code = "E_MISSING_EXTRA"

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs the extra '{extra}': pip install 'edgekit-sdk[{extra}]'",
            hint=f"pip install 'edgekit-sdk[{extra}]'",
        )
        self.extra = extra


class HostDiskFull(HostError):
    default_code = "E_HOST_DISK_FULL"


class HostNetwork(HostError):
    default_code = "E_HOST_NETWORK"
    default_transient = True


class StoreError(HostError):
    default_code = "E_STORE"


class ToolError(HostError):
    """A tool on this host (adb, ssh, pip, a converter) is missing or crashed."""

    default_code = "E_TOOL"


class BugError(EdgekitError):
    exit_code = 70
    default_code = "E_BUG"
