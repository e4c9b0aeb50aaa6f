"""Tools that cannot live in edgekit's own environment: each gets one of its own, made on demand and kept in the cache.

A folder `tools/NAME-HASH` of the cache is such an environment. It counts only when its marker file is there, which
is written last; whatever was left half-made is removed and made again. A lock beside it lets one process make it
while others wait; pip inherits the lock, so that a pip whose parent was killed is waited for as well.
Why: docs/adr/0008-isolated-tools.md
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from edgekit.cache import atomic_write, cache_dir, expanded, home_dir, host_errors
from edgekit.conversion.processes import disk_was_full, environment, error_line, run, status_text
from edgekit.errors import EdgekitError, HostDiskFull, HostError, HostNetwork, ToolError
from edgekit.events import Event, Sink, ignore

MAKE_SECONDS = 1800.0
MARKER = "edgekit-tool.json"
TASK = "convert"
_PROBE = "import sys, venv; print('.'.join(map(str, sys.version_info[:3])))"
_PROBE_SECONDS = 30.0
_LOCK_POLL_SECONDS = 0.2
_NETWORK = (
    "no matching distribution", "could not find a version", "connection", "timed out", "timeout", "ssl",
    "proxy", "http error", "name resolution", "getaddrinfo", "unreachable",
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """One way to make an environment: `python` (major, minor), all packages pinned, none of them resolved further."""

    python: tuple[int, int]
    requirements: tuple[str, ...]
    pip_options: tuple[str, ...] = ()


@dataclass(frozen=True)
class ToolEnvironment:
    """What a tool needs. `programs` have to be in its `bin`; `plans` in order of preference; `variable`: of the
    process environment, names a folder of the user's own that is taken as it is."""

    name: str
    programs: tuple[str, ...]
    plans: tuple[Plan, ...]
    variable: str = ""


@dataclass(frozen=True)
class Tool:
    """An environment that is ready. `versions`: of the packages in it, by distribution name."""

    name: str
    folder: Path
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def python(self) -> Path:
        return self.bin / "python"


@dataclass(frozen=True)
class Completed:
    """A run that ended with 0; of long outputs the last 64 KiB are kept."""

    argv: tuple[str, ...]
    seconds: float
    stdout: str
    stderr: str


@dataclass(frozen=True)
class _Python:
    path: Path
    version: str


def ensure(spec: ToolEnvironment, sink: Sink = ignore, timeout_s: float = MAKE_SECONDS) -> Tool:
    """The tool's environment, made now where there is none.

    Raises ToolError (E_TOOL_ENVIRONMENT: the user's own folder lacks a program; E_TOOL_PYTHON: no Python that it
    needs; E_TOOL_BUSY: another process holds it for longer than `timeout_s`; E_TOOL_INSTALL), HostNetwork
    E_TOOL_NETWORK, HostDiskFull.
    """
    if spec.variable and (own := os.environ.get(spec.variable)):
        return _users_own(spec, expanded(own, spec.variable))
    plan, python = _choose(spec)
    folder = cache_dir("tools") / f"{spec.name}-{_key(spec, plan, python)}"
    if (tool := _ready(spec, folder)) is not None:
        return tool
    deadline = time.monotonic() + timeout_s
    with _locked(folder, deadline, sink) as lock:
        if (tool := _ready(spec, folder)) is not None:
            return tool
        try:
            _make(spec, plan, python, folder, lock, deadline, sink)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return Tool(spec.name, folder, _versions(folder))


def run_tool(tool: Tool, argv: Sequence[str], cwd: Path, timeout_s: float, sink: Sink = ignore) -> Completed:
    """Run a program of the tool's `bin` to its end; whatever it started ends with it.

    Raises ToolError: E_CONVERTER with the last line that tells why, E_CONVERTER_TIMEOUT after `timeout_s`.
    """
    command = [str(tool.bin / argv[0]), *argv[1:]]
    sink(Event(TASK, " ".join(argv), level="debug"))
    started = time.monotonic()
    try:
        status, stdout, stderr = run(command, cwd, timeout_s, bin_folder=tool.bin)
    except subprocess.TimeoutExpired as error:
        raise ToolError(
            f"{argv[0]} did not end within {timeout_s:g} s and was stopped",
            code="E_CONVERTER_TIMEOUT",
            hint="a smaller model or a less busy host may do; the source model may also be one it cannot handle",
        ) from error
    if status:
        if disk_was_full(stdout, stderr):
            raise HostDiskFull(f"this host's disk is full: {argv[0]} in {cwd}", hint="free space there")
        raise ToolError(
            f"{argv[0]} ended with {status_text(status)}: {error_line(stdout, stderr)}",
            code="E_CONVERTER",
            hint="this is the tool's own message; see docs/formats.md for what is known to convert",
        )
    return Completed(tuple(command), time.monotonic() - started, stdout, stderr)


def _users_own(spec: ToolEnvironment, folder: Path) -> Tool:
    for program in spec.programs:
        if not os.access(folder / "bin" / program, os.X_OK):
            raise ToolError(
                f"{spec.variable} is {folder}, but there is no program bin/{program} in it",
                code="E_TOOL_ENVIRONMENT",
                hint=f"let it name an environment with {' and '.join(spec.programs)}, or unset it",
            )
    return Tool(spec.name, folder.absolute(), _versions(folder))


def _choose(spec: ToolEnvironment) -> tuple[Plan, _Python]:
    """The first plan whose Python is here."""
    tried: list[str] = []
    for plan in spec.plans:
        if (python := _find_python(plan.python, tried)) is not None:
            return plan, python
    wanted = " or ".join(f"{major}.{minor}" for major, minor in (plan.python for plan in spec.plans))
    raise ToolError(
        f"{spec.name} needs Python {wanted} with venv: {'; '.join(tried) or 'none is on PATH'}",
        code="E_TOOL_PYTHON",
        hint=f"install Python {wanted} (a Debian one needs its -venv package too)"
        + (f", or let {spec.variable} name an environment of your own" if spec.variable else ""),
    )


def _find_python(version: tuple[int, int], tried: list[str]) -> _Python | None:
    for path in _pythons(version):
        found = _probe(path)
        if found.startswith(f"{version[0]}.{version[1]}."):
            return _Python(path, found)
        tried.append(f"{path}: {found}")
    return None


def _pythons(version: tuple[int, int]) -> Iterator[Path]:
    """Candidates, nearest first: this interpreter, PATH, pyenv's versions (its shims may name one that is not set)."""
    if sys.version_info[:2] == version and sys.executable:
        yield Path(sys.executable)
    name = f"python{version[0]}.{version[1]}"
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        if folder and os.access(Path(folder) / name, os.X_OK):
            yield Path(folder) / name
    with suppress(HostError, OSError):
        versions = Path(os.environ.get("PYENV_ROOT") or home_dir() / ".pyenv") / "versions"
        yield from sorted(versions.glob(f"{version[0]}.{version[1]}.*/bin/python"), reverse=True)


def _probe(path: Path) -> str:
    """Its version where it runs and can make environments, else why not."""
    try:
        done = subprocess.run(
            [str(path), "-I", "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
            env=environment(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said, words = done.stdout.decode(errors="replace").strip(), done.stderr.decode(errors="replace")
    return said if done.returncode == 0 and said else error_line("", words)


def _key(spec: ToolEnvironment, plan: Plan, python: _Python) -> str:
    text = json.dumps([spec.name, spec.programs, plan.requirements, plan.pip_options, python.version])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _ready(spec: ToolEnvironment, folder: Path) -> Tool | None:
    """The environment where it is whole: marker, programs, and an interpreter that was not removed meanwhile."""
    needed = (folder / MARKER, folder / "bin" / "python", *(folder / "bin" / name for name in spec.programs))
    if not all(path.is_file() for path in needed):
        return None
    return Tool(spec.name, folder, _versions(folder))


@contextmanager
def _locked(folder: Path, deadline: float, sink: Sink) -> Iterator[int]:
    """Hold the lock beside `folder`; gives its file descriptor, for children to inherit."""
    with host_errors(folder), open(folder.parent / f".{folder.name}.lock", "ab") as file:
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ToolError(
                        f"another process has been making {folder} for too long",
                        code="E_TOOL_BUSY",
                        hint="end that process (a pip that still runs), then try again",
                        transient=True,
                    ) from None
            if not told:
                sink(Event(TASK, f"waiting for another process that makes {folder.name}"))
                told = True
            time.sleep(_LOCK_POLL_SECONDS)
        yield file.fileno()


def _make(
    spec: ToolEnvironment,
    plan: Plan,
    python: _Python,
    folder: Path,
    lock: int,
    deadline: float,
    sink: Sink,
) -> None:
    sink(Event(TASK, f"making an environment for {spec.name} with Python {python.version} (once)"))
    with host_errors(folder):
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
    _step(spec, [str(python.path), "-I", "-m", "venv", "--without-pip", str(folder)], folder, lock, deadline)
    sink(Event(TASK, f"installing {len(plan.requirements)} packages for {spec.name}"))
    _step(spec, _pip_command(folder, plan), folder, lock, deadline)
    missing = [name for name in spec.programs if not (folder / "bin" / name).is_file()]
    if missing:
        raise ToolError(f"{spec.name} was installed without {', '.join(missing)}", code="E_TOOL_INSTALL")
    marker = {"tool": spec.name, "python": python.version, "versions": _versions(folder)}
    atomic_write(folder / MARKER, json.dumps(marker, indent=1, sort_keys=True).encode())


def _pip_command(folder: Path, plan: Plan) -> list[str]:
    """This Python's pip, as the user has set it up, installing for the other one. Wheels only: nothing of a package
    runs while it is installed."""
    command = [sys.executable, "-P", "-m", "pip", "--python", str(folder / "bin" / "python")]
    command += ["install", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--no-deps", "--only-binary=:all:", *plan.pip_options]
    if index := os.environ.get("EDGEKIT_INDEX_URL"):
        command += ["--index-url", index]
    return [*command, *plan.requirements]


def _step(spec: ToolEnvironment, command: list[str], folder: Path, lock: int, deadline: float) -> None:
    """One step of making an environment; says in our words why it failed."""
    hint = (
        f"with a network: edgekit cache prefetch --tool {spec.name}; EDGEKIT_INDEX_URL or pip's own settings name "
        "another index" + (f"; {spec.variable} names an environment of your own" if spec.variable else "")
    )
    left = max(1.0, deadline - time.monotonic())
    try:
        status, stdout, stderr = run(command, folder, left, pass_fds=(lock,))
    except subprocess.TimeoutExpired as error:
        raise HostNetwork(
            f"the packages of {spec.name} did not arrive in time", code="E_TOOL_NETWORK", hint=hint
        ) from error
    if status == 0:
        return
    if disk_was_full(stdout, stderr):
        raise HostDiskFull(
            f"this host's disk is full: {folder}", hint="free space there, or set EDGEKIT_CACHE_DIR"
        )
    if "No module named pip" in stderr:
        raise ToolError(
            "this Python has no pip", code="E_TOOL_INSTALL", hint=f"{sys.executable} -m ensurepip"
        )
    kind: type[EdgekitError] = ToolError
    code = "E_TOOL_INSTALL"
    if any(text in f"{stdout}\n{stderr}".lower() for text in _NETWORK):
        kind, code = HostNetwork, "E_TOOL_NETWORK"
    raise kind(
        f"no environment for {spec.name} could be made: {error_line(stdout, stderr)}", code=code, hint=hint
    )


def _versions(folder: Path) -> dict[str, str]:
    """Packages by the names of their metadata folders: no process is started for it."""
    found = {}
    for path in sorted(folder.glob("lib/python3*/site-packages/*.dist-info")):
        name, _, version = path.name.removesuffix(".dist-info").rpartition("-")
        found[name.replace("_", "-").lower()] = version
    return found
