"""Bring the agent up on a device: start it by its hash; only when that fails find out why, put it, start again."""

from __future__ import annotations

import hashlib
import posixpath
import re
import secrets
from pathlib import Path

from edgekit.agent.binaries import Binary, abi_of_machine, find_binary
from edgekit.agent.client import AgentClient
from edgekit.cache import atomic_write, cache_dir
from edgekit.clock import Deadline
from edgekit.errors import (
    DeviceError,
    DeviceFull,
    DevicePermission,
    DeviceReadOnly,
    EdgekitError,
    HostError,
    RemoteError,
    ToolError,
)
from edgekit.transports.base import Transport

SILENCE_MS = 15_000
_STEP_S = 30.0
_PUT_S = 180.0
_FIRST_GUESS = {"adb": "arm64-v8a", "ssh": "arm64-v8a", "local": "x86_64"}


def connect_agent(
    transport: Transport,
    *,
    root: str | None = None,
    silence_ms: int = SILENCE_MS,
    timeout: float = 240.0,
    hints: Path | None = None,
) -> AgentClient:
    """Start the agent on a device, putting it there first where needed. One round trip when it is there.

    `root`: edgekit's folder on the device (default: the transport's); `hints`: where the ABI of an address is
    remembered (default: the cache). Raises DeviceError and its kin, ToolError where no agent is built."""
    deadline = Deadline.after(timeout)
    folder = root or transport.default_root
    memory = hints if hints is not None else cache_dir("devices")
    remembered = _recall(memory, transport.address)
    abi = remembered or _FIRST_GUESS.get(transport.kind, "arm64-v8a")
    try:
        client = start_agent(transport, _installed(folder, find_binary(abi)), folder, silence_ms, deadline)
    except (RemoteError, ToolError) as error:
        if error.code not in ("E_AGENT_START", "E_NATIVE_MISSING"):  # the latter: the guess may be wrong
            raise
        client = _install_and_start(transport, folder, silence_ms, deadline, error)
    if client.hello.abi != remembered and not transport.simulated:
        _remember(memory, transport.address, client.hello.abi)
    return client


def start_agent(
    transport: Transport, program: str, root: str, silence_ms: int, deadline: Deadline
) -> AgentClient:
    """Start an agent that is there. Raises RemoteError (E_AGENT_START) where it is not, or cannot run."""
    argv = [program, "serve", "--root", root, "--silence-ms", str(silence_ms)]
    stream = transport.open(argv, timeout=deadline.within(_STEP_S))
    return AgentClient.start(stream, timeout=deadline.within(_STEP_S), device=transport.address)


def _installed(root: str, binary: Binary) -> str:
    """Always with a slash in it, so that no PATH is searched."""
    path = posixpath.join(root, "agent", binary.sha256)
    return path if path.startswith("/") else f"./{path}"


def _install_and_start(
    transport: Transport, root: str, silence_ms: int, deadline: Deadline, first: EdgekitError
) -> AgentClient:
    binary = find_binary(probe_abi(transport, deadline))
    program = _installed(root, binary)
    put_agent(transport, binary, program, deadline)
    try:
        return start_agent(transport, program, root, silence_ms, deadline)
    except RemoteError as error:
        raise _why_not(error, program, transport) from first


def probe_abi(transport: Transport, deadline: Deadline) -> str:
    """Ask the device. Android tells its ABI itself: its kernel may be of more bits than its programs."""
    for argv in (["getprop", "ro.product.cpu.abi"], ["uname", "-m"]):
        done = transport.run(argv, timeout=deadline.within(_STEP_S))
        said = done.stdout.decode("utf-8", "replace").strip()
        if done.exit_code == 0 and said:
            return abi_of_machine(said.splitlines()[-1])
    raise DeviceError(
        "the device answers neither uname -m nor getprop", code="E_ABI", device=transport.address
    )


def put_agent(transport: Transport, binary: Binary, program: str, deadline: Deadline) -> None:
    """Write it under a temporary name, make it executable, move it to its place."""
    folder = posixpath.dirname(program)
    temporary = f"{folder}/.{binary.sha256[:16]}.{secrets.token_hex(4)}.ek-tmp"
    _must(transport, ["mkdir", "-p", folder], deadline)
    try:
        transport.put(binary.path, temporary, mode=0o755, timeout=deadline.within(_PUT_S))
        _must(transport, ["chmod", "755", temporary], deadline)
        _must(transport, ["mv", "-f", temporary, program], deadline)
    except DeviceError:
        _forget_temporary(transport, temporary)
        raise


def _forget_temporary(transport: Transport, temporary: str) -> None:
    try:
        transport.run(["rm", "-f", temporary], timeout=_STEP_S)
    except DeviceError:
        pass  # the reason for being here is being raised


def _must(transport: Transport, argv: list[str], deadline: Deadline) -> None:
    done = transport.run(argv, timeout=deadline.within(_STEP_S))
    if done.exit_code:
        raise shell_error(argv, done.exit_code, done.stderr.decode("utf-8", "replace"), transport.address)


_SAID = (
    (r"no space left|disk quota exceeded", DeviceFull, "edgekit remove NAME@VERSION, or free space there"),
    (r"read-only file system", DeviceReadOnly, "remount it writable, or use another folder"),
    (
        r"permission denied|not permitted",
        DevicePermission,
        "connect as a user who may, or use another folder",
    ),
)


_BAD_ROOT = "edgekit's folder cannot be made there: give another root for this device in edgekit.yaml"


def shell_error(argv: list[str], status: int, stderr: str, device: str) -> DeviceError:
    """What a small command's failure means, by what it said. Pure."""
    message = f"{' '.join(argv)}: exit code {status}: {stderr.strip()[-300:]}"
    for pattern, kind, hint in _SAID:
        if re.search(pattern, stderr, re.IGNORECASE):
            return kind(message, hint=hint, device=device)
    advice = _BAD_ROOT if argv[0] in ("mkdir", "mv", "chmod") else None
    return RemoteError(message, argv=argv, status=status, stderr=stderr, device=device, hint=advice)


def _why_not(error: RemoteError, program: str, transport: Transport) -> DeviceError:
    """The agent is there now and still does not start."""
    said = f"{error.stderr} {error.stdout}".lower()
    if error.status == 126 or "permission denied" in said:
        return DevicePermission(
            f"{program} may not be executed there: {error.message}",
            code="E_AGENT_NOEXEC",
            hint="the folder may be mounted noexec: choose another root",
            device=transport.address,
        )
    return error


def _hint_file(memory: Path, address: str) -> Path:
    return memory / f"{hashlib.sha256(address.encode()).hexdigest()[:32]}.abi"


def _recall(memory: Path, address: str) -> str | None:
    try:
        text = _hint_file(memory, address).read_text().strip()
        return abi_of_machine(text)
    except (OSError, UnicodeDecodeError, DeviceError):
        return None  # only a guess is lost


def _remember(memory: Path, address: str, abi: str) -> None:
    try:
        atomic_write(_hint_file(memory, address), f"{abi}\n".encode())
    except HostError:
        pass  # only the next start's guess is lost
