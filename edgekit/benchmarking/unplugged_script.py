"""A measurement as one shell script that runs on the device by itself, and what it leaves behind. Pure.

In order: wait until the cable is out; look at the device; idle time; the launches, one process after the other; idle
time; look again. A meter and the sensors are read all the while. Each step is marked on stdout with the device's time.
When the script ends, the agent's supervisor ends what it left running.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgekit.meters.base import Offer
from edgekit.meters.commands import look_script, loop_script

MARK = "@@edgekit-mark"
MOST_BYTES = (128 << 10) - 1
"""Of one argument of a program on Linux (MAX_ARG_STRLEN), which the script is."""
PLAN = "plan.json"
LATE = "late"
"""The mark of a launch that is killed after its time."""
_PID = "launch-pid"
_MARK_FUNCTION = f'mark() {{ read -r up rest < /proc/uptime; echo "{MARK} $1 $up$2"; }}'
_SELF = shlex.quote(f'echo $$ > {_PID}; exec "$@"')
BEFORE, AFTER, METER, TELEMETRY = "before", "after", "meter", "telemetry"
"""Files in the job's folder, as PLAN is. Of launch N: stdout-N, stderr-N, samples-N, outputs-N."""
TELEMETRY_MS = 1000
SETTLE_S = 1
"""Around idle time, as `meters.taking` does."""
_MARKED = re.compile(rf"{MARK} (\S{{1,40}}) (\d{{1,10}}\.\d\d)(?: (\d{{1,3}}))?", re.ASCII)


@dataclass(frozen=True)
class Script:
    """What goes into it. `plan`: what `collect` needs, which is so there as soon as the job is; `meter`: a shell command that goes
    on until it is ended, or None; `commands`: one launch each, its arguments and what is added to its environment;
    `limit_s`: what one of them may take, then it is killed."""

    folder: str
    wait_s: float
    idle_s: float
    commands: Sequence[tuple[Sequence[str], Mapping[str, str]]]
    limit_s: float
    plan: str
    meter: str | None
    sensors: Sequence[str]
    look_files: Sequence[str]
    look_commands: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Mark:
    t_us: float
    exit_code: int | None = None


def script_text(script: Script) -> str:
    """For `sh -c`; works in dash, bash, busybox, toybox's and mksh."""
    look = look_script(script.look_files, script.look_commands)
    lines = [f"cd {shlex.quote(script.folder)} || exit 1", f"printf %s {shlex.quote(script.plan)} > {PLAN}"]
    lines += [_MARK_FUNCTION, _launch_function(script.limit_s), _mark("waiting"), f"sleep {script.wait_s:g}"]
    lines.append(f"( {look} ) > {BEFORE}")
    if script.meter is not None:
        lines.append(f"( {script.meter} ) > {METER} 2>/dev/null &")
    if script.sensors:
        lines.append(f"( {loop_script(script.sensors, {}, TELEMETRY_MS)} ) > {TELEMETRY} 2>/dev/null &")
    lines += _idle("before", script.idle_s)
    for number, (argv, env) in enumerate(script.commands):
        settings = [f"{name}={value}" for name, value in env.items()]
        words = shlex.join(["env", *settings, *argv]) if settings else shlex.join(argv)
        lines.append(f"launch {number} {words}")
    lines += _idle("after", script.idle_s)
    lines.append(f"( {look} ) > {AFTER}")
    lines.append(_mark("done"))
    return "\n".join(lines) + "\n"


def meter_script(meter: Offer) -> str:
    """What reads it until it is ended: its command, whoever's plug-in it is, or a loop over its files."""
    return shlex.join(meter.argv) if meter.argv else loop_script(meter.paths, {}, meter.period_ms)


def seconds_of(script: Script, launch_s: float) -> float:
    """How long it should take, where a launch takes so long."""
    return script.wait_s + 2 * (script.idle_s + 2 * SETTLE_S) + len(script.commands) * launch_s


def marks_of(stdout: str) -> dict[str, Mark]:
    """By name, as far as it came."""
    found = {}
    for line in stdout.replace("\r\n", "\n").split("\n")[:-1]:
        if (match := _MARKED.fullmatch(line)) is not None:
            found[match[1]] = Mark(float(match[2]) * 1e6, int(match[3]) if match[3] else None)
    return found


def _mark(name: str) -> str:
    return f"mark {name}"


def _launch_function(limit_s: float) -> str:
    """A number and a command. In the background something waits for `limit_s` and kills the launch; what is left of that, a
    `sleep`, ends with the job. It tells before it kills: who waits for the launch ends it at once."""
    # whole seconds, which every `sleep` knows: one that fails would kill at once
    late = f"read -r pid < {_PID} && kill -0 $pid && {{ mark {LATE}-$number; kill -9 $pid; }}"
    watch = f"sleep {math.ceil(limit_s)} > /dev/null && {late}"
    lines = [
        "number=$1; shift",
        f"( {watch} ) 2>/dev/null & watch=$!",
        "mark begin-$number",
        # in the foreground, as shells give to what is in the background another priority and other signals
        f'sh -c {_SELF} sh "$@" > stdout-$number 2> stderr-$number',
        "code=$?; kill $watch 2>/dev/null",
        'mark end-$number " $code"',
        f"rm -f {_PID}",
    ]
    return "\n".join(["launch() {", *lines, "}"])


def _idle(name: str, seconds: float) -> list[str]:
    if not seconds:
        return []
    return [
        f"sleep {SETTLE_S}",
        _mark(f"idle-{name}-begin"),
        f"sleep {seconds:g}",
        _mark(f"idle-{name}-end"),
        f"sleep {SETTLE_S}",
    ]
