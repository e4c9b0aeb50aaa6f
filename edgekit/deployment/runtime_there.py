"""A runtime on a device: choosing it, putting its files there, starting one launch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.agent import requests
from edgekit.agent.transfer import PutSpec, source_size
from edgekit.deployment.put_files import link_to, put_files, zstd_ratio
from edgekit.devices import Device
from edgekit.devices.files import stat_many
from edgekit.errors import InputError, ModelError, RemoteError, ToolError
from edgekit.events import Sink
from edgekit.profiles.capabilities import TARGET_OF_FORMAT
from edgekit.registry import load, plugins
from edgekit.runtimes.base import Bundle, RunnerJob, Runtime, libc_facts
from edgekit.runtimes.result import RunnerResult, check_launch

if TYPE_CHECKING:
    from edgekit.agent.answers import FileStat, RunResult
    from edgekit.profiles import Profile

DEFAULT_ORDER = ("litert", "onnxruntime", "litert-python", "onnxruntime-python", "executorch-python")
"""Natively first: that needs nothing on the device."""
START_SECONDS = 30.0
"""What a launch may take beyond its own --max-seconds: loading the library and the model on a slow board."""


@dataclass(frozen=True)
class Installed:
    """A runtime whose files are on the device, each checked there by its hash."""

    runtime: Runtime
    bundle: Bundle
    folder: str


@dataclass(frozen=True)
class Launched:
    """One launch that ended well."""

    result: RunnerResult
    process: RunResult
    argv: tuple[str, ...]
    env: dict[str, str]


def choose(
    device: Device, model_format: str, profile: Profile | None, wanted: str | None
) -> tuple[Runtime, Bundle]:
    """The first runtime, in the profile's order, that takes the format and exists for the device's ABI. Where none of
    the profile's takes the format at all, those are asked that edgekit has.

    Raises InputError E_NO_RUNTIME with the reason for each that was passed over; with `wanted`, only that one
    is tried and its own error is raised.
    """
    libc = libc_facts(device.description.getconf, device.description.libstdcxx)
    target = TARGET_OF_FORMAT.get(model_format, model_format)
    if wanted is not None:
        runtime: Runtime = load("runtimes", wanted)()
        _require_format(runtime, target)
        return runtime, runtime.bundle(device.abi, libc)
    passed_over: dict[str, str] = {}
    for name in _candidates(profile, target):
        if name not in plugins("runtimes"):
            passed_over[name] = "not part of this edgekit"
            continue
        runtime = load("runtimes", name)()
        try:
            _require_format(runtime, target)
            return runtime, runtime.bundle(device.abi, libc)
        except (InputError, ToolError) as error:
            passed_over[name] = error.message
    reasons = "; ".join(f"{name}: {why}" for name, why in passed_over.items())
    raise InputError(
        f"no runtime can run a {target} model on this device ({reasons})",
        code="E_NO_RUNTIME",
        device=device.address,
        hint="convert it to another format, or name one with --runtime",
    )


def _candidates(profile: Profile | None, target: str) -> tuple[str, ...]:
    own = profile.runtimes if profile is not None else ()
    known = [load("runtimes", name)() for name in own if name in plugins("runtimes")]
    if any(target in runtime.formats for runtime in known):
        return own
    return (*own, *(name for name in DEFAULT_ORDER if name not in own))


def _require_format(runtime: Runtime, target: str) -> None:
    if target not in runtime.formats:
        raise InputError(
            f"{runtime.name} runs {', '.join(runtime.formats)}, not {target}", code="E_NO_RUNTIME"
        )


def install(device: Device, runtime: Runtime, bundle: Bundle, sink: Sink) -> Installed:
    """Put what is missing or damaged; nothing is sent where every file has its hash."""
    return Installed(runtime, bundle, put_bundle(device, bundle, sink))


def put_bundle(device: Device, bundle: Bundle, sink: Sink) -> str:
    """Have all files of a bundle on the device, each checked there by its hash; gives their folder."""
    folder = device.layout.runtime(bundle.name, bundle.sha256)
    paths = {f"{folder}/{file.name}": file for file in bundle.files}
    there = stat_many(device.agent, list(paths), sha256=True)
    missing = {path: file for path, file in paths.items() if _sha256(there[path]) != file.sha256}
    if missing:
        link = link_to(device)
        ratios = {path: zstd_ratio(file.path, source_size(file.path), link) for path, file in missing.items()}
        specs = [
            PutSpec(
                source=file.path,
                remote=path,
                mode=file.mode,
                sha256=file.sha256,
                encoding="zstd" if ratios[path] else "raw",
            )
            for path, file in missing.items()
        ]
        wire_bytes = sum(round(source_size(f.path) / (ratios[path] or 1.0)) for path, f in missing.items())
        began = [requests.mkdir(folder)]
        put_files(device, specs, f"put {bundle.name} {bundle.version}", wire_bytes, sink, before=began)
    return folder


def _sha256(stat: FileStat | None) -> str | None:
    return stat.sha256 if stat is not None else None


def launch(
    device: Device, installed: Installed, job: RunnerJob, *, cwd: str, nice: int | None = None
) -> Launched:
    """Start one process and wait for it. `nice`: its priority, -20 to 19.

    Raises ModelError where the runtime refuses the model, RemoteError where the process failed.
    """
    argv, env = installed.runtime.command(installed.bundle, installed.folder, job)
    deadline_s = job.max_seconds + START_SECONDS
    try:
        process = device.agent.run(argv, env=env, cwd=cwd, nice=nice, deadline_s=deadline_s)
    except RemoteError as error:
        raise _no_program(error, argv, device.address) from error
    return read_launched(device, installed, argv, env, process, deadline_s)


def read_launched(
    device: Device,
    installed: Installed,
    argv: Sequence[str],
    env: dict[str, str],
    process: RunResult,
    deadline_s: float,
) -> Launched:
    """What a process that has ended says. Raises as `launch`."""
    try:
        result = check_launch(
            process.status,
            process.stdout,
            process.stderr.decode("utf-8", "replace"),
            argv=argv,
            device=device.address,
        )
    except (ModelError, RemoteError) as error:
        if process.timed_out:
            raise RemoteError(
                f"a launch did not end within {deadline_s:g} s",
                code="E_RUNNER_TIMEOUT",
                argv=argv,
                device=device.address,
                hint="lower --min-seconds or --iterations, or look at the device's load",
            ) from error
        raise
    return Launched(result, process, tuple(argv), dict(env))


def _no_program(error: RemoteError, argv: Sequence[str], device: str) -> RemoteError:
    """What did not start, as the runner itself says it where its runtime is missing: a program of the device's PATH
    (python3) is the device's business, a file of the bundle is not."""
    if error.status != 127 or "/" in argv[0]:
        return error
    return RemoteError(
        f"there is no {argv[0]} on the device",
        code="E_RUNNER_LIBRARY",
        status=127,
        argv=argv,
        device=device,
        hint="install it there, or name another runtime: --runtime",
    )
