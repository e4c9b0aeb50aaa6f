"""A runtime on a device: choosing it, and putting its files there. Runners and tools of the user's alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgekit.agent import requests
from edgekit.agent.transfer import PutSpec, source_size
from edgekit.deployment.put_files import link_to, put_files, zstd_ratio
from edgekit.devices import Device
from edgekit.devices.files import stat_many
from edgekit.errors import InputError, ToolError
from edgekit.events import Sink
from edgekit.profiles.capabilities import TARGET_OF_FORMAT
from edgekit.registry import load, plugins
from edgekit.runtimes.base import Bundle, LibcFacts, libc_facts
from edgekit.runtimes.named import AnyRuntime, runtime_named
from edgekit.runtimes.tool import ToolJob, ToolRuntime

if TYPE_CHECKING:
    from edgekit.agent.answers import FileStat
    from edgekit.config import RuntimeEntry
    from edgekit.profiles import Profile

DEFAULT_ORDER = ("litert", "onnxruntime", "litert-python", "onnxruntime-python", "executorch-python")
"""Natively first: that needs nothing on the device."""


@dataclass(frozen=True)
class RuntimeWish:
    """What a caller wants of the runtime. `name` None: the profile's first that can.

    `accelerator` None: the CPU, or what the runtime has where that is none. `required`: a launch that did not run
    there, all of it and proven, is an error. `flags`: the user's own, for a tool. `settings`: of tools, by name.
    """

    name: str | None = None
    accelerator: str | None = None
    required: bool = False
    flags: tuple[str, ...] = ()
    settings: Mapping[str, RuntimeEntry] = field(default_factory=dict)
    outputs: bool = False
    """Only one that takes inputs and gives outputs will do."""


@dataclass(frozen=True)
class Chosen:
    """A runtime that takes the model, with its files for the device and what it is asked to run on."""

    runtime: AnyRuntime
    bundle: Bundle
    accelerator: str
    required: bool = False
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Installed(Chosen):
    """The same, with its files (if it has any) in `folder` on the device, each checked there by its hash."""

    folder: str = ""


def choose(
    device: Device, model_format: str, profile: Profile | None, wish: RuntimeWish = RuntimeWish()
) -> Chosen:
    """The first runtime, in the profile's order, that takes the format, can do what is wished for and exists for the
    device's ABI. Where none of the profile's takes the format at all, those are asked that edgekit has.

    Raises InputError E_NO_RUNTIME with the reason for each that was passed over; where `wish` names one, only that one
    is tried and its own error is raised.
    """
    libc = libc_facts(device.description.getconf, device.description.libstdcxx)
    target = TARGET_OF_FORMAT.get(model_format, model_format)
    if wish.name is not None:
        return _chosen(wish.name, device.abi, libc, target, wish)
    passed_over: dict[str, str] = {}
    for name in _candidates(profile, target, wish):
        if name not in plugins("runtimes"):
            passed_over[name] = "not part of this edgekit"
            continue
        try:
            return _chosen(name, device.abi, libc, target, wish)
        except (InputError, ToolError) as error:
            passed_over[name] = error.message
    reasons = "; ".join(f"{name}: {why}" for name, why in passed_over.items())
    raise InputError(
        f"no runtime can run {target} models on this device ({reasons})",
        code="E_NO_RUNTIME",
        device=device.address,
        hint="convert it to another format, or name one with --runtime",
    )


def _candidates(profile: Profile | None, target: str, wish: RuntimeWish) -> tuple[str, ...]:
    own = profile.runtimes if profile is not None else ()
    known = [load("runtimes", name) for name in own if name in plugins("runtimes")]
    if any(target in runtime.formats and (runtime.outputs or not wish.outputs) for runtime in known):
        return own
    return (*own, *(name for name in DEFAULT_ORDER if name not in own))


def _chosen(name: str, abi: str, libc: LibcFacts, target: str, wish: RuntimeWish) -> Chosen:
    runtime = runtime_named(name, wish.settings.get(name))
    if target not in runtime.formats:
        raise InputError(
            f"{runtime.name} runs {', '.join(runtime.formats)}, not {target}", code="E_NO_RUNTIME"
        )
    if wish.outputs and not runtime.outputs:
        raise InputError(f"{runtime.name} makes its own inputs, and gives no outputs", code="E_NO_RUNTIME")
    accelerator = wish.accelerator or ("cpu" if "cpu" in runtime.accelerators else runtime.accelerators[0])
    if accelerator not in runtime.accelerators:
        raise InputError(
            f"{runtime.name} has no accelerator '{accelerator}' (there are: {', '.join(runtime.accelerators)})",
            code="E_TOOL_OPTION",
            hint="choose one of these, or another --runtime: docs/runtimes.md",
        )
    if wish.flags and not isinstance(runtime, ToolRuntime):
        raise InputError(
            f"{runtime.name} has no flags of its own, and was given '{wish.flags[0][:60]}'",
            code="E_TOOL_FLAG",
            hint="options of edgekit set what it can; --runtime-flag is for tools: docs/runtimes.md",
        )
    bundle = runtime.bundle(abi, libc)
    if isinstance(runtime, ToolRuntime):  # what it cannot do is told now, not at the first launch
        runtime.command(bundle, "", ToolJob(model="", scratch="", accelerator=accelerator, flags=wish.flags))
    return Chosen(runtime, bundle, accelerator, wish.required, wish.flags)


def install(device: Device, chosen: Chosen, sink: Sink) -> Installed:
    """Put what is missing or damaged; nothing is sent where every file has its hash."""
    folder = put_bundle(device, chosen.bundle, sink) if chosen.bundle.files else device.layout.root
    return Installed(
        chosen.runtime, chosen.bundle, chosen.accelerator, chosen.required, chosen.flags, folder=folder
    )


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
