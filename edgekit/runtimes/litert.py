"""LiteRT through the native runner: the same library and kernels as ai-edge-litert's Interpreter, no Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgekit.errors import InputError, ToolError
from edgekit.events import Sink, ignore
from edgekit.runtimes.base import (
    EXECUTABLE,
    READABLE,
    Bundle,
    BundleFile,
    LibcFacts,
    RunnerJob,
    bundle_file,
    make_bundle,
    runner_arguments,
)
from edgekit.runtimes.fetch import litert_library
from edgekit.runtimes.pins import LITERT, LITERT_VERSION, Pin
from edgekit.runtimes.result import RunnerResult, parse_result

RUNNER = "edgekit-runner-litert"
LIBRARY = "libLiteRt.so"


class LiteRtRuntime:
    """Runs .tflite models on the processor, with XNNPACK."""

    name: str = "litert"
    version: str | None = LITERT_VERSION
    formats: tuple[str, ...] = ("tflite",)
    accelerators: tuple[str, ...] = ("cpu",)
    raw_samples: bool = True
    op_profile: bool = False
    outputs: bool = True

    def bundle(self, abi: str, libc: LibcFacts) -> Bundle:
        """Runner and library; with their own loader and C library where the device's will not do."""
        pin = pin_of(abi)
        files = [bundle_file(_runner(abi), RUNNER, EXECUTABLE)]
        own = needs_own_libc(pin, libc)
        if own:
            files += libc_set(abi, pin)
        files.append(bundle_file(litert_library(abi, pin), LIBRARY, READABLE))
        return make_bundle(self.name, LITERT_VERSION, files, loader=pin.loader if own else None)

    def command(self, bundle: Bundle, bundle_dir: str, job: RunnerJob) -> tuple[list[str], dict[str, str]]:
        """Through the bundle's loader where it has one: a glibc program has no business with another libc."""
        argv = [f"{bundle_dir}/{RUNNER}", "--library", f"{bundle_dir}/{LIBRARY}", *runner_arguments(job)]
        environment = {"EDGEKIT_RUNTIME_VERSION": bundle.version}
        if bundle.loader is None:
            return argv, environment
        # a library that the device preloads (Termux does) is of its own libc and would not load; an empty
        # value counts as none
        through = [f"{bundle_dir}/{bundle.loader}", "--inhibit-cache", "--library-path", bundle_dir]
        return [*through, *argv], {**environment, "LD_PRELOAD": ""}

    def parse(self, stdout: bytes) -> RunnerResult:
        return parse_result(stdout)


def pin_of(abi: str) -> Pin:
    """Raises InputError E_ABI where there is no LiteRT library for this ABI."""
    try:
        return LITERT[abi]
    except KeyError:
        raise InputError(
            f"there is no native LiteRT for {abi} (there is for: {', '.join(sorted(LITERT))})",
            code="E_ABI",
            hint="use the runtime litert-python, which runs with the board's own Python",
        ) from None


def needs_own_libc(pin: Pin, libc: LibcFacts) -> bool:
    """Whether the device's C and C++ libraries are too old, not known, or not there. Pure."""
    if libc.glibc is None or libc.libstdcxx is None:
        return True
    return libc.glibc < pin.glibc or libc.libstdcxx < pin.libstdcxx


def _built(abi: str) -> Path:
    import edgekit.agent

    return Path(str(edgekit.agent.__file__)).parent / "bin" / abi


def _runner(abi: str) -> Path:
    path = _built(abi) / RUNNER
    if not path.is_file():
        raise ToolError(
            f"this installation has no runner for {abi}",
            code="E_NOT_BUILT",
            hint="in a source checkout: python scripts/build_native",
        )
    return path


def libc_set(abi: str, pin: Pin) -> list[BundleFile]:
    """Loader and libraries that come with edgekit. Raises ToolError E_NOT_BUILT where they were not built in."""
    folder = _built(abi) / "libc"
    if not (folder / pin.loader).is_file():
        raise ToolError(
            f"this installation has no C library for {abi} devices with none, or too old a one, of their own",
            code="E_NOT_BUILT",
            hint="in a source checkout: python scripts/fetch_libc",
        )
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file() and ".so" in entry.name)
    return [
        bundle_file(folder / name, name, EXECUTABLE if name == pin.loader else READABLE) for name in names
    ]


def prefetch(abis: Sequence[str], sink: Sink = ignore) -> list[Path]:
    """Have the libraries for these ABIs on this host; nothing needs the network afterwards.

    Raises as `fetch.litert_library`.
    """
    return [litert_library(abi, pin_of(abi), sink) for abi in abis]
