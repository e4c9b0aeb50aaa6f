"""Runs a program and kills it, and all that it started, just before its N-th change of the file system.

    python stepping.py N FILE COMMAND...      N 0: never. FILE gets the number of changes, and the name of the last

For a crash at every step that there is, frames or not. x86_64 Linux, by ptrace; started by path, so that it needs nothing but Python.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys
from pathlib import Path

SUPPORTED = platform.machine() == "x86_64"
_TRACEME, _GETREGS, _SETOPTIONS, _SYSCALL = 0, 12, 0x4200, 24
_OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x100000  # sysgood, fork, vfork, clone, exec, kill at our exit
_SYSCALL_STOP = signal.SIGTRAP | 0x80
_ALL = 0x40000000  # __WALL: threads too
_CREATE, _TRUNCATE = 0o100, 0o1000

CHANGES = {
    **{
        1: "write",
        18: "pwrite64",
        20: "writev",
        74: "fsync",
        75: "fdatasync",
        76: "truncate",
        77: "ftruncate",
    },
    **{82: "rename", 83: "mkdir", 84: "rmdir", 87: "unlink", 90: "chmod", 91: "fchmod", 258: "mkdirat"},
    **{263: "unlinkat", 264: "renameat", 316: "renameat2", 285: "fallocate", 326: "copy_file_range"},
    **{2: "open", 257: "openat"},
}
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


class _Registers(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_ulonglong)
        for name in (
            *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi"),
            *(
                "rdi",
                "orig_rax",
                "rip",
                "cs",
                "eflags",
                "rsp",
                "ss",
                "fs_base",
                "gs_base",
                "ds",
                "es",
                "fs",
                "gs",
            ),
        )
    ]


def _ptrace(request: int, pid: int, data: object = None) -> None:
    _libc.ptrace(request, pid, None, data)


def _change(pid: int) -> str | None:
    """What the process is about to change; None for a system call that changes no file."""
    registers = _Registers()
    _ptrace(_GETREGS, pid, ctypes.byref(registers))
    number = int(registers.orig_rax)
    name = CHANGES.get(number)
    if name in ("write", "writev"):
        return name if _is_file(pid, int(registers.rdi)) else None
    if name in ("open", "openat"):
        flags = int(registers.rsi if name == "open" else registers.rdx)
        return name if flags & (_CREATE | _TRUNCATE) else None
    return name


def _is_file(pid: int, fd: int) -> bool:
    try:
        target = str(Path(f"/proc/{pid}/fd/{fd}").readlink())
    except OSError:
        return False
    return target.startswith("/") and not target.startswith("/dev/")


class Tracer:
    """`at`: before which change all end; 0: none."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.done = 0
        self.last = ""
        self._inside: set[int] = set()
        self._known: set[int] = set()

    def run(self, argv: list[str]) -> int:
        child = os.fork()
        if child == 0:
            _ptrace(_TRACEME, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
            os.execv(argv[0], argv)
        os.waitpid(child, 0)
        _ptrace(_SETOPTIONS, child, _OPTIONS)
        self._known.add(child)
        _ptrace(_SYSCALL, child)
        code = 1
        while self._known:
            try:
                pid, status = os.waitpid(-1, _ALL)
            except ChildProcessError:
                break
            if os.WIFEXITED(status) or os.WIFSIGNALED(status):
                self._known.discard(pid)
                if pid == child:
                    code = os.waitstatus_to_exitcode(status)
                continue
            self._known.add(pid)
            self._stopped(pid, os.WSTOPSIG(status), status >> 16)
        return code

    def _stopped(self, pid: int, number: int, event: int) -> None:
        if number != _SYSCALL_STOP:
            own = number in (signal.SIGTRAP, signal.SIGSTOP) or event
            _ptrace(_SYSCALL, pid, None if own else int(number))
            return
        if pid in self._inside:
            self._inside.discard(pid)
        else:
            self._inside.add(pid)
            if (name := _change(pid)) is not None:
                self.done += 1
                self.last = name
                if self.done == self.at:
                    for each in self._known:
                        os.kill(each, signal.SIGKILL)
                    return
        _ptrace(_SYSCALL, pid)


def main() -> int:
    tracer = Tracer(int(sys.argv[1]))
    code = tracer.run(sys.argv[3:])
    Path(sys.argv[2]).write_text(f"{tracer.done} {tracer.last}\n")
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    # a terminal's signals are for the program, which passes them on by ending
    for each in (signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    sys.exit(main())
