"""Records (and samples) as text for other tools: JSON, JSON lines or CSV. Streams; nothing is rounded."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from edgekit.errors import InputError
from edgekit.records import METRICS, Record, Samples, decode, value_of
from edgekit.records.metrics import column_of
from edgekit.results.interchange import google_benchmark, junit
from edgekit.results.lines import line_of

Format = Literal["jsonl", "csv", "json", "google-benchmark", "junit"]
FORMATS: tuple[Format, ...] = ("jsonl", "csv", "json", "google-benchmark", "junit")
Entry = tuple[bytes, Samples | None]
"""A record's JSON, as it was kept."""

_SAMPLE_COLUMNS = ("run", "kind", "launch", "index", "t_us", "name", "value", "unit", "path")
# A spreadsheet takes a cell that begins so for a formula (CWE-1236), and device names are not ours.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def export(entries: Iterable[Entry], format: Format) -> Iterator[str]:  # noqa: A002
    """Pieces of text that make one document, in the order given.

    - `jsonl`: one record per line, byte for byte as it was kept; with samples it has two more keys (see
      `edgekit.results.lines`).
    - `google-benchmark`: launches as repetitions; `junit`: a suite a run, with the record in it. Neither has samples.
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
    if format == "google-benchmark":
        return iter([google_benchmark(decode(data) for data, _ in entries)])
    if format == "junit":
        return iter([junit(data for data, _ in entries)])
    raise InputError(f"no export format called '{format}'", hint=f"there are: {', '.join(FORMATS)}")


def _json(data: bytes, samples: Samples | None) -> str:
    return line_of(data, samples).decode()


def _json_document(entries: Iterable[Entry]) -> Iterator[str]:
    before = '{"records": [\n'
    for entry in entries:
        yield before + _json(*entry)
        before = ",\n"
    yield "\n]}\n" if before == ",\n" else '{"records": []}\n'


def _csv(entries: Iterable[Entry]) -> Iterator[str]:
    first = True
    for data, samples in entries:
        record = decode(data)
        if first:
            yield _line(_SAMPLE_COLUMNS if samples is not None else _record_columns())
            first = False
        if samples is None:
            yield _line(_record_row(record))
        else:
            yield from _sample_lines(spreadsheet_safe(record.id), samples)


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
    return [*map(spreadsheet_safe, identity), record.latency.launches, record.latency.count, *values]


def _sample_lines(run: str | None, samples: Samples) -> Iterator[str]:
    for i, launch in enumerate(samples.launches):
        rows = ((run, "latency", i, k, None, "latency", x, "us", None) for k, x in enumerate(launch.tolist()))
        yield _lines(rows)
    for series in samples.telemetry:
        yield _lines(
            (
                run,
                "telemetry",
                None,
                k,
                p.t_us,
                spreadsheet_safe(p.name),
                _number(p.value),
                spreadsheet_safe(p.unit),
                spreadsheet_safe(p.path),
            )
            for k, p in enumerate(series.points())
        )


def _number(value: float) -> float | None:
    return value if value == value else None


def spreadsheet_safe(text: str | None) -> str | None:
    """A text that a spreadsheet would take for a formula gets a ' before it."""
    return f"'{text}" if text is not None and text.startswith(_FORMULA_STARTS) else text


def from_spreadsheet(text: str) -> str:
    """The inverse of `spreadsheet_safe`."""
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA_STARTS) else text


def _line(row: Iterable[Any]) -> str:
    return _lines([row])


def _lines(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
