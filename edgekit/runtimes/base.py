"""What every runtime offers: the files it needs on a device, the command of one launch, the reading of its answer.

One launch is one process (docs/runner.md). Nothing here talks to a device.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from msgspec import Struct, structs

from edgekit.cache import sha256_file
from edgekit.errors import InputError
from edgekit.parse.op_profile import OpProfile
from edgekit.runtimes.result import RunnerResult

EXECUTABLE = 0o755
READABLE = 0o644


class LibcFacts(Struct, frozen=True, kw_only=True):
    """The C and C++ libraries of a device; None is "not known", and on Android there is no glibc at all.

    `glibc` is (2, 36); `libstdcxx` is the number in the name of the real file, (6, 0, 30) for
    libstdc++.so.6.0.30, which offers GLIBCXX_3.4.30.
    """

    glibc: tuple[int, ...] | None = None
    libstdcxx: tuple[int, ...] | None = None


LIBC_VERSION_ARGV = ("getconf", "GNU_LIBC_VERSION")
"""What to run on a device for the first argument of `libc_facts`."""

_TRIPLETS = {
    "x86_64": "x86_64-linux-gnu",
    "arm64-v8a": "aarch64-linux-gnu",
    "armeabi-v7a": "arm-linux-gnueabihf",
}


def libstdcxx_folders(abi: str) -> tuple[str, ...]:
    """Folders of a device whose file names are the second argument of `libc_facts`; some will not be there."""
    triplet = _TRIPLETS.get(abi)
    multiarch = (f"/usr/lib/{triplet}", f"/lib/{triplet}") if triplet else ()
    return (*multiarch, "/usr/lib64", "/lib64", "/usr/lib", "/lib")


def libc_facts(getconf: str | None, libstdcxx_names: Iterable[str] = ()) -> LibcFacts:
    """Facts from `getconf GNU_LIBC_VERSION` ("glibc 2.36") and the names of libstdc++'s files on the device.

    Pure. Anything else than what glibc's getconf prints (nothing, musl's or bionic's words) gives None.
    """
    version = re.fullmatch(r"glibc (\d+(?:\.\d+)+)\s*", getconf or "")
    names = (re.search(r"libstdc\+\+\.so\.(\d+\.\d+\.\d+)$", name.strip()) for name in libstdcxx_names)
    return LibcFacts(
        glibc=_numbers(version[1]) if version else None,
        libstdcxx=max((_numbers(found[1]) for found in names if found), default=None),
    )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


class BundleFile(Struct, frozen=True, kw_only=True):
    """One file of a bundle: where it is on this host, what it is called in the folder on the device."""

    path: Path
    name: str
    sha256: str
    size_bytes: int
    mode: int


def bundle_file(path: Path, name: str, mode: int) -> BundleFile:
    """A file as it is now; its hash is computed from its bytes."""
    return BundleFile(
        path=path, name=name, sha256=sha256_file(path), size_bytes=path.stat().st_size, mode=mode
    )


class Bundle(Struct, frozen=True, kw_only=True):
    """All files that a runtime needs on a device. `sha256` is of the sorted manifest and names its folder.

    `loader` is the name of the dynamic loader to start the runner through, None for the device's own.
    """

    name: str
    version: str
    sha256: str
    files: tuple[BundleFile, ...]
    loader: str | None = None

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def manifest(files: Iterable[BundleFile]) -> bytes:
    """One line per file, "sha256 mode name", sorted by name."""
    ordered = sorted(files, key=lambda file: file.name)
    return "".join(f"{file.sha256} {file.mode:o} {file.name}\n" for file in ordered).encode()


def make_bundle(name: str, version: str, files: Sequence[BundleFile], loader: str | None = None) -> Bundle:
    """A bundle of these files, in the order of their names."""
    return Bundle(
        name=name,
        version=version,
        sha256=hashlib.sha256(manifest(files)).hexdigest(),
        files=tuple(sorted(files, key=lambda file: file.name)),
        loader=loader,
    )


class RunnerJob(Struct, frozen=True, kw_only=True):
    """One launch; all paths are on the device. The fields are the runner's options (docs/runner.md).

    `op_profile`: a file for the operators' times, in the runtime's own form (`Runtime.read_op_profile`). Timing them
    slows the run, so the samples of such a launch are no latencies: `profiled` makes one from a job that measures.
    """

    model: str
    samples: str
    threads: int = 1
    warmup_iterations: int = 1
    iterations: int = 1
    min_seconds: float = 0.0
    max_seconds: float = 600.0
    inputs: str | None = None
    outputs: str | None = None
    seed: int = 0
    cpus: str | None = None
    barrier: str | None = None
    """A file in which `streams` processes tell that they are ready; they begin to warm up together."""
    streams: int = 1
    empty_body: bool = False
    op_profile: str | None = None


PROFILED_ITERATIONS = 30
"""Enough for medians. A profile grows with every inference: ONNX Runtime's by some 700 bytes for each node."""


def profiled(job: RunnerJob, path: str) -> RunnerJob:
    """The launch that times the operators of the model that `job` measures, on the same inputs; it writes `path`."""
    return structs.replace(
        job,
        op_profile=path,
        iterations=PROFILED_ITERATIONS,
        warmup_iterations=1,
        min_seconds=0.0,
        outputs=None,
        barrier=None,
        streams=1,
        empty_body=False,
    )


def runner_arguments(job: RunnerJob) -> list[str]:
    """The options that every runner understands, as an argument list."""
    arguments = ["--model", job.model, "--samples", job.samples]
    arguments += ["--threads", str(job.threads), "--seed", str(job.seed)]
    arguments += ["--warmup-iterations", str(job.warmup_iterations), "--iterations", str(job.iterations)]
    arguments += ["--min-seconds", f"{job.min_seconds:.9g}", "--max-seconds", f"{job.max_seconds:.9g}"]
    for option, value in (
        ("--inputs", job.inputs),
        ("--outputs", job.outputs),
        ("--cpus", job.cpus),
        ("--op-profile", job.op_profile),
    ):
        if value is not None:
            arguments += [option, value]
    if job.barrier is not None:
        arguments += ["--barrier", job.barrier, "--streams", str(job.streams)]
    return [*arguments, "--empty-body"] if job.empty_body else arguments


@runtime_checkable
class Runtime(Protocol):
    """Something that runs a model on a device. Implementations hold no state."""

    name: str
    version: str | None
    """Version of the library that is put on the device; None where the board brings its own."""
    formats: tuple[str, ...]
    """Model formats that it runs: "tflite"."""
    accelerators: tuple[str, ...]
    """What it can be asked to run on: "cpu"."""
    raw_samples: bool
    """Whether every sample comes back, or only a summary (docs/runtimes.md)."""
    op_profile: bool
    """Whether it can tell the time of each operator; where not, its runner refuses `--op-profile` (E_RUNNER_USAGE)."""
    outputs: bool
    """Whether it can be given inputs and gives back the model's outputs."""

    def bundle(self, abi: str, libc: LibcFacts) -> Bundle:
        """The files for a device of this ABI ("x86_64", "arm64-v8a", "armeabi-v7a") with this C library.

        Raises ToolError where there is no such build here, HostNetwork where a library must be fetched and
        cannot be, VerificationError E_HASH where what came is not what is pinned.
        """

    def command(self, bundle: Bundle, bundle_dir: str, job: RunnerJob) -> tuple[list[str], dict[str, str]]:
        """Argument list and additional environment of one launch; `bundle_dir` is where the bundle is."""

    def parse(self, stdout: bytes) -> RunnerResult:
        """What the runner said. Raises ModelError for its E_MODEL_* codes, RemoteError for all others."""

    def read_op_profile(self, data: bytes) -> OpProfile:
        """What a launch wrote to `RunnerJob.op_profile`.

        Raises ParseError where it is not whole, InputError E_TOOL_OPTION where `op_profile` is False.
        """


def no_op_profile(runtime: str) -> InputError:
    """The error of a runtime that cannot time the operators."""
    return InputError(
        f"{runtime} cannot time the operators",
        code="E_TOOL_OPTION",
        hint="use a runtime that can: docs/runtimes.md",
    )
