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
from edgekit.runtimes.pins import (
    LITERT_LICENSE_MEMBER,
    LITERT_MEMBER,
    LITERT_PACKAGE,
    LITERT_PYTHON,
    LITERT_VERSION,
    Pin,
)

DOWNLOAD_SECONDS = 600.0
_HINT = "with a network: edgekit cache prefetch; EDGEKIT_INDEX_URL or pip's own settings name another index"


def litert_library(abi: str, pin: Pin, sink: Sink = ignore, *, timeout: float = DOWNLOAD_SECONDS) -> Path:
    """Path on this host of libLiteRt.so for `abi`; its bytes have the pinned hash.

    Raises HostNetwork (the index cannot be reached or has no such wheel), VerificationError E_HASH (the
    wheel or the library is not the pinned one), ToolError (pip is missing or broken).
    """
    cached = cache_dir("runtimes", f"litert-{LITERT_VERSION}", abi) / "libLiteRt.so"
    for candidate in (cached, _installed()):
        if candidate is not None and candidate.is_file() and sha256_file(candidate) == pin.library_sha256:
            return candidate
    return download_litert(abi, pin, cached, sink, timeout=timeout)


def _installed() -> Path | None:
    """The library of an installed ai_edge_litert, without importing it."""
    try:
        spec = find_spec("ai_edge_litert")
    except (ImportError, ValueError):  # a half-removed package
        return None
    places = (spec.submodule_search_locations if spec else None) or []
    return next((Path(place) / "libLiteRt.so" for place in places), None)


def download_litert(abi: str, pin: Pin, target: Path, sink: Sink, *, timeout: float) -> Path:
    """Fetch the wheel, check it, and put the library and its licence at `target` and beside it."""
    sink(Event("runtimes", f"fetching {LITERT_PACKAGE} {LITERT_VERSION} for {abi}"))
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as folder:
        run_pip(download_command(pin, folder), timeout=timeout)
        wheel = Path(folder) / pin.wheel
        if not wheel.is_file():
            names = ", ".join(sorted(entry.name for entry in Path(folder).iterdir())) or "nothing"
            raise VerificationError(f"the package index gave {names} instead of {pin.wheel}", code="E_HASH")
        check_hash(wheel, sha256_file(wheel), pin.wheel_sha256)
        with zipfile.ZipFile(wheel) as archive:
            library, licence = archive.read(LITERT_MEMBER), archive.read(LITERT_LICENSE_MEMBER)
    atomic_write(target.parent / "LICENSE", licence)
    atomic_write(target, library)
    check_hash(target, sha256_file(target), pin.library_sha256)
    return target


def download_command(pin: Pin, folder: str) -> list[str]:
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
    command += ["--python-version", LITERT_PYTHON, "--abi", f"cp{LITERT_PYTHON}", "--dest", folder]
    if index := os.environ.get("EDGEKIT_INDEX_URL"):
        command += ["--index-url", index]
    return [*command, f"{LITERT_PACKAGE}=={LITERT_VERSION}"]


def run_pip(command: list[str], *, timeout: float) -> None:
    """Run pip to its end. Raises HostNetwork with what it said last, ToolError where there is no pip."""
    with host_errors(command[0]):
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise HostNetwork(
                f"the package index did not deliver {LITERT_PACKAGE} within {timeout:g} s",
                hint=_HINT,
            ) from error
    words = done.stderr.decode(errors="replace").strip()
    if done.returncode == 0:
        return
    if "No module named pip" in words:
        raise ToolError("this Python has no pip", hint=f"{sys.executable} -m ensurepip")
    errors = [line for line in words.splitlines() if line.startswith("ERROR:")]
    reason = errors[-1] if errors else words[-300:] or f"pip ended with {done.returncode}"
    raise HostNetwork(f"{LITERT_PACKAGE} {LITERT_VERSION} cannot be downloaded: {reason}", hint=_HINT)


def check_hash(path: Path, actual: str, wanted: str) -> None:
    """Raises VerificationError E_HASH where the two differ."""
    if actual != wanted:
        raise VerificationError(
            f"{path.name} has sha256 {actual}, but {wanted} is pinned",
            code="E_HASH",
            hint="the package index serves another build: point EDGEKIT_INDEX_URL at one that mirrors PyPI",
        )
