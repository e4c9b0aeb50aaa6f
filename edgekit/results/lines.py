"""A run as one line of JSON that comes back byte for byte: the record as it was kept, its samples, and their seals.

    {...the record's own keys..., "samples": {"unit", "launches", "telemetry"}, "seal": {"record_sha256", "samples_sha256"}}

Without samples the line is the record, and its sha256 the seal.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from edgekit.errors import InputError, VerificationError
from edgekit.records import Record, Samples, Series, decode, encode
from edgekit.results.rows import samples_seal

_SAMPLES = b',"samples":{"unit":"us"'


def one_line(data: bytes) -> bytes:
    """A record's JSON as it can be a line: as it is, or, where it has several lines or blanks at its end, without blanks."""
    if data.endswith(b"}") and b"\n" not in data:
        return data
    return msgspec.json.format(data, indent=-1)


def line_of(data: bytes, samples: Samples | None) -> bytes:
    """`data`: the record's JSON. No line end."""
    data = one_line(data)  # stores of older edgekits may hold several lines
    if samples is None:
        return data
    seal = {"record_sha256": hashlib.sha256(data).hexdigest(), "samples_sha256": samples_seal(samples)}
    return b"".join(
        (
            data[:-1],
            b',"samples":',
            msgspec.json.encode(plain(samples)),
            b',"seal":',
            msgspec.json.encode(seal),
            b"}",
        )
    )


def plain(samples: Samples) -> dict[str, Any]:
    """Samples as JSON has them; a reading that failed, NaN, is null."""
    return {
        "unit": "us",
        "launches": [launch.tolist() for launch in samples.launches],
        "telemetry": [
            {
                "name": series.name,
                "unit": series.unit,
                "path": series.path,
                "t_us": series.t_us.tolist(),
                "value": series.value.tolist(),
            }
            for series in samples.telemetry
        ],
    }


def read_line(line: bytes) -> tuple[Record, bytes, Samples | None]:
    """A record, its bytes (those that were sealed, where the line has them), and its samples.

    Raises InputError E_RECORD for what is no record, VerificationError E_SEAL where bytes are not those that were sealed.
    """
    begin = line.rfind(_SAMPLES)
    if begin < 0:
        return decode(line), line, None
    try:
        found = msgspec.json.decode(line)
        rest, seal = found["samples"], found.get("seal")
        samples = samples_from(rest)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"not a record with samples: {error}", code="E_RECORD") from error
    data = line[:begin] + b"}"
    if seal is None:
        record = decode(data)
        return record, encode(record), samples
    if not isinstance(seal, dict) or hashlib.sha256(data).hexdigest() != seal.get("record_sha256"):
        raise broken_seal(found.get("id"), "record")
    if samples_seal(samples) != seal.get("samples_sha256"):
        raise broken_seal(found.get("id"), "samples")
    return decode(data), data, samples


def samples_from(found: Any) -> Samples:
    """The inverse of `plain`. Raises KeyError, TypeError, ValueError."""
    return Samples(
        launches=tuple(_floats(launch) for launch in found["launches"]),
        telemetry=tuple(
            Series(
                name=str(one["name"]),
                unit=str(one["unit"]),
                path=str(one["path"]),
                t_us=_floats(one["t_us"]),
                value=_floats(one["value"]),
            )
            for one in found["telemetry"]
        ),
    )


def broken_seal(run: object, what: str) -> VerificationError:
    return VerificationError(
        f"the {what} of run {run} are not the bytes that were sealed"
        if what == "samples"
        else f"the {what} of run {run} is not what was sealed",
        code="E_SEAL",
        hint="the file was changed or damaged after it was written: get it again",
    )


def _floats(values: Any) -> Any:
    import numpy as np

    return np.array([float("nan") if value is None else value for value in values], dtype=np.float64)
