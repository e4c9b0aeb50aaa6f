"""The runner's own process: clock, processors, memory and page faults, files, and how it refuses. Part of every runner
that a board's Python runs; imports nothing but the standard library, and runs on Python 3.7 and later."""

from __future__ import annotations

import os
import resource
import time
from typing import Any


class Refused(Exception):
    """A reason not to go on: a stable code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def first_line(error: object) -> str:
    """What an error says first: the lines after it are mostly of its callers."""
    return (str(error).strip().splitlines() or [""])[0]


def now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)


def micros_since(begin_ns: int) -> float:
    return (now_ns() - begin_ns) / 1e3


def kilobytes_of(path: str, key: str) -> int | None:
    """A line "Key:  123 kB" of a file of /proc, in bytes; None without the file or the line."""
    try:
        with open(path) as file:
            for line in file:
                if line.startswith(key + ":"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def rss_bytes() -> int | None:
    return kilobytes_of("/proc/self/status", "VmRSS")


def peak_rss_bytes() -> int | None:
    return kilobytes_of("/proc/self/status", "VmHWM")


def pss_bytes() -> int | None:
    return kilobytes_of("/proc/self/smaps_rollup", "Pss")


def usage() -> Any:
    return resource.getrusage(resource.RUSAGE_SELF)


def faults_since(before: Any) -> dict[str, int]:
    """Page faults of this process since `before`, an answer of `usage`."""
    now = usage()
    return {"minor": now.ru_minflt - before.ru_minflt, "major": now.ru_majflt - before.ru_majflt}


def switches_since(before: Any) -> dict[str, int]:
    now = usage()
    return {
        "voluntary": now.ru_nvcsw - before.ru_nvcsw,
        "involuntary": now.ru_nivcsw - before.ru_nivcsw,
    }


def cpu_list(text: str) -> set[int]:
    """ "0-3,6" as a set. Raises ValueError."""
    wanted: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise ValueError(part)
        span = range(int(first), int(last or first) + 1)
        if not span:
            raise ValueError(part)
        wanted.update(span)
    return wanted


def pin_to_cpus(text: str) -> None:
    try:
        wanted = cpu_list(text)
    except ValueError:
        raise Refused("E_RUNNER_CPUS", f"'{text}' is not a list of processors such as 0-3,6") from None
    try:
        os.sched_setaffinity(0, wanted)
    except (OSError, OverflowError, ValueError) as error:
        raise Refused("E_RUNNER_CPUS", f"cannot run on processors {text}: {error}") from error
    if os.sched_getaffinity(0) != wanted:
        raise Refused("E_RUNNER_CPUS", f"not every processor of {text} is there for this process")


def barrier_wait(path: str, streams: int, seconds: float) -> None:
    """Streams begin together: each adds a byte to one file when it is ready, and waits until all of them have."""
    until_ns = now_ns() + int(seconds * 1e9)
    try:
        with open(path, "ab", buffering=0) as file:
            file.write(b"\0")
            while os.fstat(file.fileno()).st_size < streams:
                if now_ns() > until_ns:
                    ready = os.fstat(file.fileno()).st_size
                    message = f"only {ready} of {streams} streams were ready within {seconds:g} s"
                    raise Refused("E_RUNNER_STREAMS", message)
                time.sleep(0.0005)
    except OSError as error:
        raise Refused("E_RUNNER_FILE", f"cannot write the barrier {path}: {error.strerror}") from error


def write_file(path: str, data: bytes) -> None:
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        raise Refused("E_RUNNER_FILE", f"cannot write {path}: {error.strerror}") from error


def read_head(path: str, size: int) -> bytes:
    """The first bytes of a model. Raises Refused E_MODEL_MISSING."""
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError as error:
        raise Refused("E_MODEL_MISSING", f"cannot read the model {path}: {error.strerror}") from error


def version_of(package: str) -> str | None:
    """Of an installed package; None where its metadata does not tell."""
    try:
        from importlib.metadata import PackageNotFoundError, version
    except ImportError:  # Python 3.7
        return None
    try:
        return version(package)
    except PackageNotFoundError:
        return None
