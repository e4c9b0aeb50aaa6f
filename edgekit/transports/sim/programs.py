"""Which programs a simulated device has: edgekit's runners, and the few small commands that edgekit itself uses."""

from __future__ import annotations

import fnmatch
import re
import shlex
from collections.abc import Callable, Iterator, Sequence

from edgekit.agent.failures import EACCES, EEXIST, EINVAL, EISDIR, ENOENT, ENOSPC, ENOTDIR, ENOTEMPTY, EROFS
from edgekit.transports.sim.device import SimDevice
from edgekit.transports.sim.files import FileError, Folder
from edgekit.transports.sim.machine import CPU
from edgekit.transports.sim.processes import (
    Ended,
    Launch,
    check_program,
    runner_of,
    within_deadline,
)

_STRERROR = {
    ENOENT: "No such file or directory",
    EACCES: "Permission denied",
    EEXIST: "File exists",
    ENOTDIR: "Not a directory",
    EISDIR: "Is a directory",
    EINVAL: "Invalid argument",
    ENOSPC: "No space left on device",
    EROFS: "Read-only file system",
    ENOTEMPTY: "Directory not empty",
}
_FACTS_FILES = re.compile(r"for f in (?P<patterns>.*?); do")
_FACTS_COMMAND = re.compile(
    r"printf '\\n(?P<mark>@@\S+ )%s\\n' (?P<key>'[^']*'|\S+); (?P<argv>[^;]*?) 2>/dev/null;"
)
_FACTS_END = re.compile(r"printf '\\n(?P<end>@@[^\s\\]+)\\n'$")


def strerror(number: int) -> str:
    return _STRERROR.get(number, f"error {number}")


class Vanished(Exception):
    """The device went while it worked on a request."""


def run_there(device: SimDevice, launch: Launch) -> Ended:
    """As `execute`, for an agent. Raises Vanished where the device goes meanwhile."""
    if launch.cwd and not isinstance(device.files.find(launch.cwd, "chdir"), Folder):
        raise FileError(ENOTDIR, "chdir", launch.cwd)
    return _survived(device, execute(device, launch))


def _survived(device: SimDevice, ended: Ended) -> Ended:
    if ended.lost:
        if device.options.fault == "reboot":
            device.reboot()
        raise Vanished
    return ended


def execute(device: SimDevice, launch: Launch) -> Ended:
    """Run a program to its end; device time advances by what it took. Raises FileError where it cannot be started."""
    found = runner_of(launch.argv)
    if found is not None:
        from edgekit.transports.sim.runner import run_runner

        needed, runtime, options = found
        _check_needed(device, needed)
        ended = run_runner(device, runtime, options, launch)
    else:
        ended = _command(device, launch)
    ended = within_deadline(ended, launch.deadline_us)
    device.busy_us += ended.cpu_us
    device.advance(round(ended.wall_us * 1000), active=found is not None)
    return ended


def _check_needed(device: SimDevice, paths: Sequence[str]) -> None:
    for path in paths:
        if path.endswith(".py"):
            device.files.find(path, "exec")
        else:
            check_program(device.files.look(path), path)


def run_together(device: SimDevice, launches: Sequence[Launch]) -> list[Ended]:
    """Runners that wait for each other, in the same span of device time. Raises as `run_there`."""
    from edgekit.transports.sim.runner import run_streams

    streams = []
    for launch in launches:
        found = runner_of(launch.argv)
        if found is None:
            raise FileError(ENOENT, "exec", launch.argv[0])
        _check_needed(device, found[0])
        streams.append((found[1], found[2], launch))
    ended = [
        within_deadline(one, launch.deadline_us)
        for one, launch in zip(run_streams(device, streams), launches, strict=True)
    ]
    device.busy_us += sum(one.cpu_us for one in ended)
    device.advance(round(max(one.wall_us for one in ended) * 1000), active=True)
    return [_survived(device, one) for one in ended]


def _command(device: SimDevice, launch: Launch) -> Ended:
    argv = launch.argv
    name = argv[0].rpartition("/")[2]
    if argv[0] == "sh" and argv[1:2] == ("-c",) and len(argv) == 3:
        return _facts(device, argv[2])
    if (output := device.machine.outputs.get(argv)) is not None:
        return Ended(stdout=f"{output}\n".encode())
    command = _COMMANDS.get(name) if argv[0] in (name, f"/bin/{name}", f"/usr/bin/{name}") else None
    if command is None:
        check_program(device.files.look(argv[0]) if "/" in argv[0] else None, argv[0])
        return Ended(
            exit_code=126, stderr=b"a simulated device runs none of its files but edgekit's runners\n"
        )
    try:
        return Ended(stdout=command(device, argv[1:], launch.stdin))
    except FileError as error:
        said = f"{name}: {error.text}: {strerror(error.errno)}\n"
        return Ended(exit_code=1, stderr=said.encode("utf-8", "surrogateescape"))
    except (ValueError, IndexError):
        said = f"{name}: a simulated device does not know it with these arguments\n"
        return Ended(exit_code=2, stderr=said.encode("utf-8", "surrogateescape"))


def _facts(device: SimDevice, script: str) -> Ended:
    """The script of edgekit.devices.facts, read and answered: there is no shell."""
    files, end = _FACTS_FILES.search(script), _FACTS_END.search(script)
    commands = list(_FACTS_COMMAND.finditer(script))
    if files is None or end is None or not commands:
        return Ended(exit_code=127, stderr=b"sh: a simulated device has no shell\n")
    mark = commands[0]["mark"]
    parts = [
        f"\n{mark}{path}\n".encode() + device.files.read(path)
        for pattern in shlex.split(files["patterns"])
        for path in _matching(device, pattern)
    ]
    for found in commands:
        argv = tuple(shlex.split(found["argv"]))
        output = device.machine.outputs.get(argv)
        parts.append(f"\n{mark}{shlex.split(found['key'])[0]}\n".encode())
        parts.append(f"{output}\n".encode() if output is not None else b"")
    policies = "\n".join(_matching(device, f"{CPU}/cpufreq/policy*"))
    parts.append(f"\n{mark}policies\n{policies}\n".encode())
    if has_vcgencmd(device):
        parts.append(f"\n{mark}tools\nvcgencmd\n".encode())
    if not device.machine.is_android:
        parts.append(f"\n{mark}libstdcxx\n/usr/lib/libstdc++.so.6.0.30\n".encode())
    return Ended(stdout=b"".join([*parts, f"\n{end['end']}\n".encode()]), wall_us=20_000)


def _matching(device: SimDevice, pattern: str) -> Iterator[str]:
    """Paths that match, in order."""

    def below(folder: str, names: Sequence[str]) -> Iterator[str]:
        entry = device.files.look(folder or "/")
        if not names:
            yield folder
        elif isinstance(entry, Folder):
            for name in sorted(entry.children):
                if fnmatch.fnmatchcase(name, names[0]):
                    yield from below(f"{folder}/{name}", names[1:])

    return below("", pattern.strip("/").split("/"))


def has_vcgencmd(device: SimDevice) -> bool:
    return device.options.sensors and device.machine.soc.startswith("bcm2")


def _vcgencmd(device: SimDevice, arguments: Sequence[str], _stdin: bytes) -> bytes:
    """`vcgencmd get_throttled`: bit 2 is now, bit 18 since boot."""
    if not has_vcgencmd(device) or list(arguments) != ["get_throttled"]:
        raise FileError(ENOENT, "exec", "vcgencmd")
    return b"throttled=0x%x\n" % (device.throttled << 2 | device.throttled_since_boot << 18)


def _dumpsys(device: SimDevice, arguments: Sequence[str], _stdin: bytes) -> bytes:
    """Of Android: a battery that is charged, a screen that is off, and no thermal trouble but throttling."""
    if not device.machine.is_android:
        raise FileError(ENOENT, "exec", "dumpsys")
    texts = {
        "power": "POWER MANAGER (dumpsys power)\n\nPower Manager State:\n  mWakefulness=Asleep\n",
        "battery": "Current Battery Service state:\n  AC powered: true\n  status: 2\n  present: true\n"
        "  level: 90\n  scale: 100\n",
        "thermalservice": f"IsStatusOverride: false\nThermal Status: {2 * device.throttled}\nHAL Ready: true\n"
        "Current temperatures from HAL:\n",
    }
    return texts.get(arguments[0] if arguments else "", "").encode()


Command = Callable[[SimDevice, Sequence[str], bytes], bytes]


def _words(arguments: Sequence[str]) -> list[str]:
    return [word for word in arguments if not word.startswith("-") or word == "-"]


def _cat(device: SimDevice, arguments: Sequence[str], stdin: bytes) -> bytes:
    return b"".join(device.files.read(path, "cat") for path in _words(arguments)) if arguments else stdin


def _echo(_device: SimDevice, arguments: Sequence[str], _stdin: bytes) -> bytes:
    return " ".join(arguments).encode() + b"\n"


def _mkdir(device: SimDevice, arguments: Sequence[str], _stdin: bytes) -> bytes:
    for path in _words(arguments):
        device.files.mkdir(path, 0o755, parents="-p" in arguments)
    return b""


def _chmod(device: SimDevice, arguments: Sequence[str], _stdin: bytes) -> bytes:
    mode, *paths = _words(arguments)
    for path in paths:
        device.files.chmod(path, int(mode, 8))
    return b""


def _mv(device: SimDevice, arguments: Sequence[str], _stdin: bytes) -> bytes:
    source, target = _words(arguments)
    device.files.rename(source, target)
    return b""


def _rm(device: SimDevice, arguments: Sequence[str], _stdin: bytes) -> bytes:
    flags = "".join(word for word in arguments if word.startswith("-"))
    for path in _words(arguments):
        if "f" not in flags or device.files.look(path) is not None:
            device.files.remove(path, recursive="r" in flags)
    return b""


def _ls(device: SimDevice, arguments: Sequence[str], _stdin: bytes) -> bytes:
    lines = []
    for path in _words(arguments) or [device.machine.home]:
        entry = device.files.find(path, "ls")
        lines += sorted(entry.children) if isinstance(entry, Folder) else [path]
    return "".join(f"{line}\n" for line in lines).encode()


def _stat(device: SimDevice, arguments: Sequence[str], _stdin: bytes) -> bytes:
    """`stat -c %a FILE`."""
    entry = device.files.find(arguments[-1], "stat")
    return b"%o\n" % (entry.mode & 0o7777)


def _pwd(device: SimDevice, _arguments: Sequence[str], _stdin: bytes) -> bytes:
    return f"{device.machine.home}\n".encode()


def _nothing(_device: SimDevice, _arguments: Sequence[str], _stdin: bytes) -> bytes:
    return b""


def _sleep(device: SimDevice, arguments: Sequence[str], _stdin: bytes) -> bytes:
    device.advance(round(float(arguments[0]) * 1e9))
    return b""


_COMMANDS: dict[str, Command] = {
    "cat": _cat,
    "chmod": _chmod,
    "dumpsys": _dumpsys,
    "echo": _echo,
    "ls": _ls,
    "mkdir": _mkdir,
    "mv": _mv,
    "pwd": _pwd,
    "rm": _rm,
    "sleep": _sleep,
    "stat": _stat,
    "true": _nothing,
    "vcgencmd": _vcgencmd,
}
