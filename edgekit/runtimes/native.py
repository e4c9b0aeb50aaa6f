"""What the runtimes with a native runner share: its files, its command, the choice of the C library."""

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
from edgekit.runtimes.fetch import library_of
from edgekit.runtimes.pins import LITERT, ONNXRUNTIME, Package, Pin

PACKAGES = {package.runtime: package for package in (LITERT, ONNXRUNTIME)}
"""The packages whose libraries a native runner opens, by the name of the runtime."""


def runner_name(package: Package) -> str:
    """What the runner is called, in this installation and on a device."""
    return f"edgekit-runner-{package.runtime}"


def native_bundle(package: Package, abi: str, libc: LibcFacts, *, instead: str) -> Bundle:
    """Runner and library; with their own loader and C library where the device's will not do.

    `instead` is the hint where there is no such library for the ABI. Raises as `Runtime.bundle`.
    """
    pin = pin_of(package, abi, instead=instead)
    files = [bundle_file(_runner(package, abi), runner_name(package), EXECUTABLE)]
    own = needs_own_libc(pin, libc)
    if own:
        files += libc_set(abi, pin)
    files.append(bundle_file(library_of(package, abi), package.library, READABLE))
    return make_bundle(package.runtime, package.version, files, loader=pin.loader if own else None)


def native_command(
    package: Package, bundle: Bundle, bundle_dir: str, job: RunnerJob
) -> tuple[list[str], dict[str, str]]:
    """Through the bundle's loader where it has one: a glibc program has no business with another libc."""
    argv = [f"{bundle_dir}/{runner_name(package)}", "--library", f"{bundle_dir}/{package.library}"]
    argv += runner_arguments(job)
    environment = {"EDGEKIT_RUNTIME_VERSION": bundle.version}
    if bundle.loader is None:
        return argv, environment
    # a library that the device preloads (Termux does) is of its own libc and would not load; an empty
    # value counts as none
    through = [f"{bundle_dir}/{bundle.loader}", "--inhibit-cache", "--library-path", bundle_dir]
    return [*through, *argv], {**environment, "LD_PRELOAD": ""}


def pin_of(package: Package, abi: str, *, instead: str) -> Pin:
    """Raises InputError E_ABI, with the hint `instead`, where there is no library for this ABI."""
    try:
        return package.pins[abi]
    except KeyError:
        raise InputError(
            f"there is no native {package.runtime} for {abi} (there is for: {', '.join(sorted(package.pins))})",
            code="E_ABI",
            hint=instead,
        ) from None


def needs_own_libc(pin: Pin, libc: LibcFacts) -> bool:
    """Whether the device's C and C++ libraries are too old, not known, or not there. Pure."""
    if libc.glibc is None or libc.libstdcxx is None:
        return True
    return libc.glibc < pin.glibc or libc.libstdcxx < pin.libstdcxx


def _built(abi: str) -> Path:
    import edgekit.agent

    return Path(str(edgekit.agent.__file__)).parent / "bin" / abi


def _runner(package: Package, abi: str) -> Path:
    path = _built(abi) / runner_name(package)
    if not path.is_file():
        raise ToolError(
            f"this installation has no {package.runtime} runner for {abi}",
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


def prefetch(runtimes: Sequence[str], abis: Sequence[str], sink: Sink = ignore) -> list[Path]:
    """Have the libraries of these runtimes for these ABIs on this host; nothing needs the network afterwards.

    Raises as `fetch.library_of`.
    """
    return [library_of(PACKAGES[runtime], abi, sink) for runtime in runtimes for abi in abis]
