"""TFLite's benchmark app (the APK), where the phone has it: started by `am`, read from the log.

The app takes benchmark_model's flags and logs its lines under the tag `tflite`. A script of the device's own shell starts
it, asks the log of its process until the run is told, and ends it; the log itself is left alone. Intent and
activity: tensorflow/lite/tools/benchmark/android/README.md. The app reads the model as a user of its own: the file and
the folders above it must be readable for all.
"""

from __future__ import annotations

import math
import re

from msgspec import structs

from edgekit.config import RuntimeEntry
from edgekit.errors import InputError, RemoteError
from edgekit.parse.benchmark_logcat import parse_benchmark_logcat
from edgekit.runtimes.base import Bundle, LibcFacts, make_bundle
from edgekit.runtimes.benchmark_model import FLAGS, MEASURES, BenchmarkModelRuntime, check_flags, result_of
from edgekit.runtimes.result import last_line
from edgekit.runtimes.tool import (
    ToolCommand,
    ToolJob,
    ToolOutput,
    ToolResult,
    Verified,
    check_ended,
    check_job,
    program_of,
)

ACTIVITY = "org.tensorflow.lite.benchmark/.BenchmarkModelActivity"
_PART = re.compile(r"[A-Za-z0-9_./:=,@+-]+")
"""What a flag may consist of: the app takes all of them as one text and cuts it at blanks."""
_TOO_LATE, _NOT_STARTED = 124, 125
_SCRIPT = """
app=${1%%/*} log= last= n=0
am force-stop "$app" >&2
said=$(am start -W -n "$1" --es args "$2" 2>&1) || { echo "$said" >&2; exit 125; }
case $said in *Error*) echo "$said" >&2; am force-stop "$app" >&2; exit 125;; esac
while [ "$n" -lt "$3" ]; do
  now=$(pidof "$app") && last=${now%% *}
  if [ -n "$last" ]; then
    log=$(logcat -d -v threadtime --pid="$last" -s tflite)
    case $log in *"nference timings in us"*) printf '%s\\n' "$log"; am force-stop "$app" >&2; exit 0;; esac
    if [ -z "$now" ]; then printf '%s\\n' "$log"; echo "the app ended before its run did" >&2; exit 125; fi
  fi
  sleep 1
  n=$((n + 1))
done
am force-stop "$app" >&2
printf '%s\\n' "$log"
exit 124
"""
"""$1: package and activity, $2: the flags, $3: seconds. Its exit codes are `read`'s."""


class BenchmarkAppRuntime:
    """Never run by edgekit's tests: Android's runtime is not to be had there. Its log is replayed."""

    name: str = "benchmark-app"
    version: str | None = None
    formats: tuple[str, ...] = ("tflite",)
    accelerators: tuple[str, ...] = ("cpu", "gpu", "nnapi", "hexagon")
    raw_samples: bool = False
    op_profile: bool = False
    outputs: bool = False
    verified: Verified = "replayed"

    def __init__(self, activity: str = ACTIVITY, version: str | None = None) -> None:
        self._activity = activity
        self.version = version

    @classmethod
    def configured(cls, entry: RuntimeEntry) -> BenchmarkAppRuntime:
        """As edgekit.yaml says; `program` is PACKAGE/ACTIVITY. Raises InputError E_TOOL_OPTION."""
        activity = program_of(cls.name, entry, ACTIVITY)
        if not re.fullmatch(r"[A-Za-z0-9_.]+/[A-Za-z0-9_.$]+", activity):
            raise InputError(
                f"runtimes.{cls.name}: '{activity[:80]}' names no activity of an app",
                code="E_TOOL_OPTION",
                hint=f"like {ACTIVITY}",
            )
        return cls(activity, entry.version)

    def bundle(self, abi: str, libc: LibcFacts) -> Bundle:
        """Nothing: the app is on the phone."""
        return make_bundle(self.name, self.version or "unknown", [])

    def command(self, bundle: Bundle, bundle_dir: str, job: ToolJob) -> ToolCommand:
        check_job(self, job, FLAGS["tflite"])
        flags = BenchmarkModelRuntime().command(bundle, bundle_dir, job).argv[1:]
        for flag in flags:
            if flag != "--graph=" and not _PART.fullmatch(flag):
                raise InputError(
                    f"the app takes its flags as one text, in which '{flag[:80]}' cannot stand",
                    code="E_TOOL_OPTION",
                    hint="leave out blanks and quotes: another --name, or another root for the device in edgekit.yaml",
                )
        seconds = str(math.ceil(job.max_seconds))
        return ToolCommand(argv=("sh", "-c", _SCRIPT, "edgekit", self._activity, " ".join(flags), seconds))

    def read(self, job: ToolJob, output: ToolOutput) -> ToolResult:
        if output.exit_code in (_TOO_LATE, _NOT_STARTED):
            said = output.stderr.decode("utf-8", "replace")
            late = output.exit_code == _TOO_LATE
            raise RemoteError(
                f"the app told no run within {job.max_seconds:g} s"
                if late
                else f"the app did not run: {last_line(said)[:200]}",
                code="E_RUNNER_TIMEOUT" if late else "E_TOOL_FAILED",
                status=output.exit_code,
                stdout=output.stdout[-2000:].decode("utf-8", "replace"),
                stderr=said,
                hint="is the app installed (adb install -r -d -g APK), and may it read the model?",
            )
        check_ended(self.name, output)
        run = parse_benchmark_logcat(output.stdout.decode("utf-8", "replace"))
        check_flags(run)
        found = result_of(run, job, self.name, self.version)
        unknown = "what the app took of memory and processors is not known, but for what it tells"
        return structs.replace(
            found, measures=f"{MEASURES}, in an app", own_process=False, notes=(*found.notes, unknown)
        )
