"""A run on its way from one store to another: the record's JSON, byte for byte, and its samples, exactly. Pure.

One JSON object: {"record": {...}, "samples": {"launches": [F], "telemetry": [{"name", "unit", "path", "t_us": F, "value": F}]},
"labels": {...}} where F is Base64 of zlib of little-endian float64, which any language reads without edgekit; samples and
labels may be null or left out.
"""

from __future__ import annotations

import zlib

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from edgekit.errors import InputError
from edgekit.records import Samples, Series

MAX_SAMPLES_BYTES = 512 << 20
"""Of one run, unpacked: 64 million values."""
MAX_PARTS = 10_000
"""Launches or series."""


class SentSeries(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One quantity over time; times and values are of one length."""

    name: str
    unit: str
    path: str
    t_us: bytes
    value: bytes


class SentSamples(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Latencies of each launch in µs, and what was read meanwhile."""

    launches: tuple[bytes, ...] = ()
    telemetry: tuple[SentSeries, ...] = ()


class SentRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`record` stays the bytes that it came as: its seal is their sha256. `labels`: what the run has now, where they were
    changed since it was measured."""

    record: msgspec.Raw
    samples: SentSamples | None = None
    labels: dict[str, str] | None = None


def _floats(values: ArrayLike) -> bytes:
    return zlib.compress(np.ascontiguousarray(values, dtype="<f8").tobytes(), level=6)


def packed(record: bytes, samples: Samples, labels: dict[str, str] | None = None) -> bytes:
    """A run to send. `record`: its JSON as the store keeps it. `labels`: None where they are those of the record."""
    telemetry = tuple(
        SentSeries(one.name, one.unit, one.path, _floats(one.t_us), _floats(one.value))
        for one in samples.telemetry
    )
    sent = SentSamples(tuple(_floats(launch) for launch in samples.launches), telemetry)
    return msgspec.json.encode(SentRun(msgspec.Raw(record), sent, labels))


def unpacked(data: bytes) -> tuple[bytes, Samples, dict[str, str] | None]:
    """The record's JSON, the samples, and the labels where the record's are not those. Raises InputError E_SENT where this is no run, or one whose samples are larger than
    `MAX_SAMPLES_BYTES`."""
    try:
        sent = msgspec.json.decode(data, type=SentRun)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(f"not a run: {error}") from error
    samples = sent.samples or SentSamples()
    if max(len(samples.launches), len(samples.telemetry)) > MAX_PARTS:
        raise _refused(f"more than {MAX_PARTS} launches or series")
    left = _Budget(MAX_SAMPLES_BYTES)
    launches = tuple(left.floats(blob) for blob in samples.launches)
    telemetry = []
    for one in samples.telemetry:
        t_us, value = left.floats(one.t_us), left.floats(one.value)
        if t_us.size != value.size:
            raise _refused("a series has times and values of different length")
        telemetry.append(Series(one.name, one.unit, one.path, t_us, value))
    return bytes(sent.record), Samples(launches, tuple(telemetry)), sent.labels


class _Budget:
    """Unpacks blobs until together they are too large: a few bytes may say that they are gigabytes."""

    def __init__(self, limit_bytes: int) -> None:
        self.left_bytes = limit_bytes

    def floats(self, blob: bytes) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        inflate = zlib.decompressobj()
        try:
            raw = inflate.decompress(blob, self.left_bytes + 1)
        except zlib.error as error:
            raise _refused("samples are damaged") from error
        if len(raw) > self.left_bytes:
            raise _refused(f"samples are larger than {MAX_SAMPLES_BYTES >> 20} MiB")
        if not inflate.eof or inflate.unused_data or len(raw) % 8:
            raise _refused("samples are damaged: wrong length")
        self.left_bytes -= len(raw)
        return np.frombuffer(raw, dtype="<f8").astype(np.float64)


def _refused(message: str) -> InputError:
    return InputError(message, code="E_SENT")
