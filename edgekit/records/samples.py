"""What lies beside a record: every latency of every launch, and the telemetry. NumPy loads when used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from edgekit.errors import InputError
from edgekit.records.packed import pack, unpack

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

MAX_UNPACKED_BYTES = 1 << 30
"""A blob that says it is larger is damaged or hostile."""


class TelemetryPoint(NamedTuple):
    """One reading: `t_us` on the device's clock (as `Launch.start_us`); `value` is NaN where unreadable."""

    t_us: float
    name: str
    value: float
    unit: str
    path: str = ""


@dataclass(frozen=True, eq=False)
class Series:
    """One quantity over time: `t_us` and `value` are float64 of one length, NaN where not readable."""

    name: str
    unit: str
    path: str
    t_us: Floats
    value: Floats

    def points(self) -> list[TelemetryPoint]:
        return [
            TelemetryPoint(t, self.name, value, self.unit, self.path)
            for t, value in zip(self.t_us.tolist(), self.value.tolist(), strict=True)
        ]


@dataclass(frozen=True, eq=False)
class Samples:
    """`launches[i]` belongs to `record.launches[i]`: float64 microseconds, one per iteration, in order."""

    launches: tuple[Floats, ...] = ()
    telemetry: tuple[Series, ...] = ()

    @classmethod
    def of(cls, launches: Sequence[ArrayLike], telemetry: Iterable[TelemetryPoint] = ()) -> Samples:
        """From arrays (or lists) and points in any order."""
        import numpy as np

        arrays = tuple(np.ascontiguousarray(launch, dtype=np.float64) for launch in launches)
        return cls(launches=arrays, telemetry=series_of(telemetry))


def series_of(points: Iterable[TelemetryPoint]) -> tuple[Series, ...]:
    """Group points by name, path and unit, each series sorted by time."""
    import numpy as np

    groups: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for point in points:
        groups.setdefault((point.name, point.path, point.unit), []).append((point.t_us, point.value))
    series = []
    for (name, path, unit), pairs in groups.items():
        table = np.array(sorted(pairs, key=lambda pair: pair[0]), dtype=np.float64)
        series.append(
            Series(name=name, unit=unit, path=path, t_us=table[:, 0].copy(), value=table[:, 1].copy())
        )
    return tuple(series)


def pack_floats(values: ArrayLike) -> bytes:
    """Little-endian float64, packed; exact."""
    import numpy as np

    return pack(np.ascontiguousarray(values, dtype="<f8").tobytes())


def unpack_floats(blob: bytes) -> Floats:
    """The inverse of `pack_floats`. Raises InputError (E_SAMPLES) for damaged bytes."""
    import numpy as np

    try:
        raw = unpack(blob, MAX_UNPACKED_BYTES)
    except ValueError as error:
        raise InputError(f"damaged samples: {error}", code="E_SAMPLES") from error
    if len(raw) % 8:
        raise InputError("damaged samples: wrong length", code="E_SAMPLES")
    return np.frombuffer(raw, dtype="<f8").astype(np.float64)
