"""Commands on the device that tell power: run again and again, or one that goes on by itself and prints lines.

The device's shell puts its own time before and after each output (/proc/uptime, which is CLOCK_BOOTTIME in steps of
10 ms), so nothing depends on when bytes arrive here. A look's time is the middle of its command, and what it took on
the device is its cost.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from functools import partial

from edgekit.meters.base import Printed, Reading

BEGIN, OUTPUT, END = "@@edgekit-look", "@@edgekit-output", "@@edgekit-end"
MAX_TAIL = 4 << 20
"""Of an output that has no end yet: more is no look of any tool."""
_TIME = r"(\d{1,10}\.\d\d)"
_LOOK = re.compile(rf"{BEGIN} {_TIME}\n(.*)^{END} {_TIME}\n?", re.ASCII | re.DOTALL | re.MULTILINE)
_LINE = re.compile(rf"{_TIME} (.*)", re.ASCII)
_STAMP = "read -r up rest < /proc/uptime"


def command_loop(commands: Mapping[str, Sequence[str]], sleep_ms: int) -> tuple[str, ...]:
    """Commands by name, one after the other, again and again. For `LOOP`."""
    return ("sh", "-c", loop_script((), commands, sleep_ms))


def loop_script(files: Sequence[str], commands: Mapping[str, Sequence[str]], sleep_ms: int) -> str:
    """`look_script` again and again."""
    return f"while :; do {look_script(files, commands)}; sleep {sleep_ms / 1000:g}; done"


def look_script(files: Sequence[str], commands: Mapping[str, Sequence[str]]) -> str:
    """One look at files, each under its path, and commands, each under its name; of files without a process each."""
    # the echo behind ends an output's last line, where it has no end of its own
    body = [f'{_STAMP}; echo "{BEGIN} $up"']
    body += [
        f"echo {shlex.quote(f'{OUTPUT} {path}')}; "
        f'while IFS= read -r line || [ -n "$line" ]; do echo "$line"; done 2>/dev/null < {shlex.quote(path)}; echo'
        for path in files
    ]
    body += [f"echo {OUTPUT} {name}; {shlex.join(argv)} 2>/dev/null; echo" for name, argv in commands.items()]
    return "; ".join([*body, f'{_STAMP}; echo "{END} $up"'])


def line_stream(argv: Sequence[str]) -> tuple[str, ...]:
    """A command that prints a line a look, by itself, until it is ended. For `lines_of_stream`."""
    return (
        "sh",
        "-c",
        f'{shlex.join(argv)} 2>/dev/null | while read -r line; do {_STAMP}; printf \'%s %s\\n\' "$up" "$line"; done',
    )


def loop_readings(stdout: str) -> list[Reading]:
    """The looks of a `command_loop` that are whole; one that is damaged is none."""
    readings = []
    for block in stdout.replace("\r\n", "\n").split(f"{BEGIN} ")[1:]:
        match = _LOOK.match(f"{BEGIN} {block}")
        if match is None:
            continue
        begin_us, end_us = float(match[1]) * 1e6, float(match[3]) * 1e6
        if end_us < begin_us:
            continue
        texts: dict[str, str | None] = {}
        # the newline before each mark is the echo's
        for output in ("\n" + match[2].removesuffix("\n")).split(f"\n{OUTPUT} ")[1:]:
            name, _, text = output.partition("\n")
            texts[name] = text or None
        readings.append(Reading((begin_us + end_us) / 2, texts, took_us=end_us - begin_us))
    return readings


def line_readings(name: str, stdout: str) -> list[Reading]:
    """The lines of a `line_stream` that are whole, each under `name`."""
    whole = stdout.replace("\r\n", "\n").rpartition("\n")[0]
    matches = [_LINE.fullmatch(line) for line in whole.split("\n")]
    return [Reading(float(match[1]) * 1e6, {name: f"{match[2]}\n"}) for match in matches if match]


LOOP = Printed(end=f"\n{END} ", readings=loop_readings)


def lines_of_stream(name: str) -> Printed:
    return Printed(end="\n", readings=partial(line_readings, name))


class Tail:
    """What a command prints, as it comes, cut into looks."""

    def __init__(self, printed: Printed) -> None:
        assert printed.end is not None  # else there are no looks before its end
        self._end, self._readings = printed.end, printed.readings
        self._kept = ""

    def feed(self, text: str) -> list[Reading]:
        """The looks that have become whole with this text."""
        self._kept += text
        at = self._kept.rfind(self._end)
        # what ends a look is itself a whole line
        end = self._kept.find("\n", at + len(self._end) - 1) + 1 if at >= 0 else 0
        whole, self._kept = self._kept[:end], self._kept[end:][-MAX_TAIL:]
        return self._readings(whole) if whole else []
