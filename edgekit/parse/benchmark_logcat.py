"""`adb logcat` of TFLite's benchmark APK: the lines of benchmark_model under the tag tflite.

Both usual forms: threadtime (`05-30 15:16:46.366  3380  3380 I tflite  : ...`) and brief (`I/tflite ( 3380): ...`).
The log keeps old runs: where there are several, the process must be named, none is guessed.
"""

from __future__ import annotations

import re
from typing import Final

from edgekit.parse import fail, lines_of
from edgekit.parse.benchmark_model import parse_benchmark_model
from edgekit.parse.benchmark_run import BenchmarkRun

TOOL: Final = "logcat of the benchmark app"
TAG: Final = "tflite"
_THREADTIME: Final = re.compile(
    r"(?:\d{4}-)?\d\d-\d\d \d\d:\d\d:\d\d\.\d{3,9}\s+(\d{1,9})\s+\d{1,9} [VDIWEF] (\S+)\s*: (.*)", re.ASCII
)
_BRIEF: Final = re.compile(r"[VDIWEF]/(\S+)\s*\(\s*(\d{1,9})\): (.*)", re.ASCII)


def parse_benchmark_logcat(text: str, pid: int | None = None) -> BenchmarkRun:
    """The run of process `pid`, or the only one there is.

    Raises ParseError where there is none, several, or its lines are not what benchmark_model prints.
    """
    by_process: dict[int, list[str]] = {}
    for line in lines_of(TOOL, text):
        if match := _THREADTIME.fullmatch(line):
            process, tag, words = int(match[1]), match[2], match[3]
        elif match := _BRIEF.fullmatch(line):
            process, tag, words = int(match[2]), match[1], match[3]
        else:
            continue
        if tag == TAG and (pid is None or process == pid):
            by_process.setdefault(process, []).append(words)
    finished = {
        process: lines
        for process, lines in by_process.items()
        if any("nference timings in us: " in line for line in lines)
    }
    if len(finished) > 1:
        fail(TOOL, f"it holds the runs of {len(finished)} processes")
    if not finished:
        fail(TOOL, "it has no finished run")
    (lines,) = finished.values()
    return parse_benchmark_model("\n".join(lines) + "\n")
