"""edgekit: take a trained model to a phone or a board and come back with numbers one can trust.

    import edgekit
    profile = edgekit.load_profile("raspberry-pi-5")
    artifact = edgekit.convert("model.tflite", profile=profile, calibration="calibration.npz")
    with edgekit.connect("ssh://pi@rpi5") as device:
        release = edgekit.push(artifact, device, name="detector")
        record = edgekit.bench(release, device)
    print(record.latency.median, record.verdict)

Names are imported when they are first used: `import edgekit` alone costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit._version import __version__

if TYPE_CHECKING:
    from edgekit.api import (
        bench,
        bench_threads,
        calibrate_power,
        compare,
        connect,
        convert,
        gc,
        inspect,
        load_profile,
        power_meters,
        push,
        releases,
        remove,
        rerun,
        rollback,
        run,
    )
    from edgekit.errors import EdgekitError

__all__ = [
    "EdgekitError",
    "__version__",
    "bench",
    "bench_threads",
    "calibrate_power",
    "compare",
    "connect",
    "convert",
    "gc",
    "inspect",
    "load_profile",
    "power_meters",
    "push",
    "releases",
    "remove",
    "rerun",
    "rollback",
    "run",
]


def __getattr__(name: str) -> Any:
    if name == "EdgekitError":
        from edgekit.errors import EdgekitError

        return EdgekitError
    if name in __all__:
        import edgekit.api

        return getattr(edgekit.api, name)
    raise AttributeError(f"module 'edgekit' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
