"""Gets a pinned library out of its wheel: from the cache, an installed package, or the package index.

The index is asked through pip, so that everything a user has set up for pip (a private index, proxy,
certificates, netrc, no index at all) counts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

from edgekit.cache import atomic_write, cache_dir, host_errors, sha256_file
from edgekit.errors import HostNetwork, ToolError, VerificationError
from edgekit.events import Event, Sink, ignore
from edgekit.runtimes.pins import Package, Pin

DOWNLOAD_SECONDS = 600.0
_HINT = "with a network: edgekit cache prefetch; EDGEKIT_INDEX_URL or pip's own settings name another index"


def library_of(package: Package, abi: str, sink: Sink = ignore, *, timeout: float = DOWNLOAD_SECONDS) -> Path:
    """Path on this host of the package's library for `abi`, one of its pins; its bytes have the pinned hash.

    Raises HostNetwork (the index cannot be reached or has no such wheel), VerificationError E_HASH (the
    wheel or the library is not the pinned one), ToolError (pip is missing or broken).
    """
    pin = package.pins[abi]
    cached = cache_dir("runtimes", f"{package.runtime}-{package.version}", abi) / package.library
    for candidate in (cached, _installed(package)):
        if candidate is not None and candidate.is_file() and sha256_file(candidate) == pin.library_sha256:
            return candidate
    return _download(package, abi, pin, cached, sink, timeout=timeout)


def _installed(package: Package) -> Path | None:
    """The library of an installed package, without importing it."""
    try:
        spec = find_spec(package.module)
    except (ImportError, ValueError):  # a half-removed package
        return None
    places = (spec.submodule_search_locations if spec else None) or []
    within = Path(package.member).relative_to(package.module)
    return next((Path(place) / within for place in places), None)


def _download(package: Package, abi: str, pin: Pin, target: Path, sink: Sink, *, timeout: float) -> Path:
    """Fetch the wheel, check it, and put the library and its licence at `target` and beside it."""
    sink(Event("runtimes", f"fetching {package.name} {package.version} for {abi}"))
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as folder:
        run_pip(package, download_command(package, pin, folder), timeout=timeout)
        wheel = Path(folder) / pin.wheel
        if not wheel.is_file():
            names = ", ".join(sorted(entry.name for entry in Path(folder).iterdir())) or "nothing"
            raise VerificationError(f"the package index gave {names} instead of {pin.wheel}", code="E_HASH")
        check_hash(wheel, sha256_file(wheel), pin.wheel_sha256)
        with zipfile.ZipFile(wheel) as archive:
            library, licence = archive.read(package.member), archive.read(package.license_member)
    atomic_write(target.parent / "LICENSE", licence)
    atomic_write(target, library)
    check_hash(target, sha256_file(target), pin.library_sha256)
    return target


def download_command(package: Package, pin: Pin, folder: str) -> list[str]:
    """The command that downloads one wheel for another platform. EDGEKIT_INDEX_URL overrides pip's index."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ]
    command += ["--no-deps", "--only-binary=:all:", "--platform", pin.platform, "--implementation", "cp"]
    command += ["--python-version", package.python, "--abi", f"cp{package.python}", "--dest", folder]
    if index := os.environ.get("EDGEKIT_INDEX_URL"):
        command += ["--index-url", index]
    return [*command, f"{package.name}=={package.version}"]


def run_pip(package: Package, command: list[str], *, timeout: float) -> None:
    """Run pip to its end. Raises HostNetwork with what it said last, ToolError where there is no pip."""
    with host_errors(command[0]):
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise HostNetwork(
                f"the package index did not deliver {package.name} within {timeout:g} s",
                hint=_HINT,
            ) from error
    words = done.stderr.decode(errors="replace").strip()
    if done.returncode == 0:
        return
    if "No module named pip" in words:
        raise ToolError("this Python has no pip", hint=f"{sys.executable} -m ensurepip")
    errors = [line for line in words.splitlines() if line.startswith("ERROR:")]
    reason = errors[-1] if errors else words[-300:] or f"pip ended with {done.returncode}"
    raise HostNetwork(f"{package.name} {package.version} cannot be downloaded: {reason}", hint=_HINT)


def check_hash(path: Path, actual: str, wanted: str) -> None:
    """Raises VerificationError E_HASH where the two differ."""
    if actual != wanted:
        raise VerificationError(
            f"{path.name} has sha256 {actual}, but {wanted} is pinned",
            code="E_HASH",
            hint="the package index serves another build: point EDGEKIT_INDEX_URL at one that mirrors PyPI",
        )
