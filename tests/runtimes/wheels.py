"""The pinned wheels themselves, fetched once for all tests."""

from __future__ import annotations

import tempfile
from pathlib import Path

from edgekit.cache import cache_dir, sha256_file
from edgekit.runtimes.fetch import download_command, run_pip
from edgekit.runtimes.pins import Package


def pinned_wheel(package: Package, abi: str) -> Path:
    """This package's wheel on this host, from the index that pip is set up for."""
    pin = package.pins[abi]
    kept = cache_dir("test-wheels") / pin.wheel
    if not kept.is_file() or sha256_file(kept) != pin.wheel_sha256:
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            command = download_command(package, pin, folder)
            if "--index-url" in command:  # a test may have set it for the product
                at = command.index("--index-url")
                del command[at : at + 2]
            run_pip(package, command, timeout=300)
            (Path(folder) / pin.wheel).rename(kept)
    return kept
