"""Records (and samples) as text for other tools: JSON, JSON lines or CSV. Streams; nothing is rounded."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from edgekit.errors import InputError
from edgekit.records import METRICS, Record, Samples, to_builtins, value_of
from edgekit.records.metrics import column_of

Format = Literal["jsonl", "csv", "json"]
FORMATS: tuple[Format, ...] = ("jsonl", "csv", "json")
Entry = tuple[Record, Samples | None]

_SAMPLE_COLUMNS = ("run", "kind", "launch", "index", "t_us", "name", "value", "unit", "path")
# A spreadsheet takes a cell that begins so for a formula (CWE-1236), and device names are not ours.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def export(entries: Iterable[Entry], format: Format) -> Iterator[str]:  # noqa: A002
    """Pieces of text that make one document, in the order given.

    - `jsonl`: one record per line, as `edgekit bench --json` prints it; with samples it has one more key,
      "samples": {"unit": "us", "launches": [[...]], "telemetry": [{name, unit, path, t_us, value}]}.
    - `json`: {"records": [...]} of the same objects.
    - `csv`: without samples one row per record: what and where, then every metric in its unit; with samples
      one row per sample ("latency") or reading ("telemetry"). An unknown value is an empty cell. A text that
      a spreadsheet would take for a formula gets a ' before it.
    """
    if format == "jsonl":
        return (_json(*entry) + "\n" for entry in entries)
    if format == "json":
        return _json_document(entries)
    if format == "csv":
        return _csv(entries)
    raise InputError(f"no export format called '{format}'", hint=f"there are: {', '.join(FORMATS)}")


def _json(record: Record, samples: Samples | None) -> str:
    plain = to_builtins(record)
    if samples is not None:
        plain["samples"] = {
            "unit": "us",
            "launches": [launch.tolist() for launch in samples.launches],
            "telemetry": [
                {
                    "name": series.name,
                    "unit": series.unit,
                    "path": series.path,
                    "t_us": series.t_us.tolist(),
                    "value": series.value.tolist(),  # NaN becomes null
                }
                for series in samples.telemetry
            ],
        }
    return msgspec.json.encode(plain).decode()


def _json_document(entries: Iterable[Entry]) -> Iterator[str]:
    before = '{"records": [\n'
    for entry in entries:
        yield before + _json(*entry)
        before = ",\n"
    yield "\n]}\n" if before == ",\n" else '{"records": []}\n'


def _csv(entries: Iterable[Entry]) -> Iterator[str]:
    first = True
    for record, samples in entries:
        if first:
            yield _line(_SAMPLE_COLUMNS if samples is not None else _record_columns())
            first = False
        if samples is None:
            yield _line(_record_row(record))
        else:
            yield from _sample_lines(record.id, samples)


def _record_columns() -> list[str]:
    identity = ["run", "started_at", "model", "model_version", "recipe", "profile", "device", "device_model"]
    return [*identity, "runtime", "verdict", "launches", "count", *map(column_of, METRICS.values())]


def _record_row(record: Record) -> list[Any]:
    identity = [
        record.id,
        record.started_at,
        record.model.name,
        record.model.version,
        record.model.recipe,
        record.profile.name if record.profile else None,
        record.device.address,
        record.device.model,
        record.runtime.name,
        record.verdict.state,
    ]
    values = [value_of(record, name) for name in METRICS]
    return [*map(_safe, identity), record.latency.launches, record.latency.count, *values]


def _sample_lines(run: str, samples: Samples) -> Iterator[str]:
    for i, launch in enumerate(samples.launches):
        rows = ((run, "latency", i, k, None, "latency", x, "us", None) for k, x in enumerate(launch.tolist()))
        yield _lines(rows)
    for series in samples.telemetry:
        yield _lines(
            (run, "telemetry", None, k, p.t_us, _safe(p.name), _number(p.value), _safe(p.unit), _safe(p.path))
            for k, p in enumerate(series.points())
        )


def _number(value: float) -> float | None:
    return value if value == value else None


def _safe(text: str | None) -> str | None:
    return f"'{text}" if text is not None and text.startswith(_FORMULA_STARTS) else text


def _line(row: Iterable[Any]) -> str:
    return _lines([row])


def _lines(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
