"""Bringing files into the store: edgekit's own, which come back exactly, and what other tools wrote."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from edgekit.cache import host_errors
from edgekit.errors import InputError
from edgekit.records import Samples, encode
from edgekit.results import foreign
from edgekit.results.frames import read_parquet
from edgekit.results.interchange import junit_records
from edgekit.results.lines import read_line
from edgekit.results.naming import checked_id

ImportFormat = Literal["jsonl", "json", "parquet", "csv", "junit", "google-benchmark", "litert"]
IMPORT_FORMATS: tuple[ImportFormat, ...] = (
    "jsonl",
    "json",
    "parquet",
    "csv",
    "junit",
    "google-benchmark",
    "litert",
)
MAX_FILE_BYTES = 1 << 30
"""Of a file that is read as a whole; lines of JSON and Parquet are not."""
_BY_ENDING: dict[str, ImportFormat] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".csv": "csv",
    ".xml": "junit",
    ".pb": "litert",
    ".binarypb": "litert",
}
Entries = Iterator[tuple[bytes, Samples | None]]


class _Named(msgspec.Struct):
    id: str


def read_runs(source: Path, format: ImportFormat | None = None, *, model: str | None = None) -> Entries:  # noqa: A002
    """Runs of a file, as `Store.add_many` takes them. `format` None: by the file's ending, of .json by what is in it.
    `model`: of a LiteRT result, which does not name it (else the file's name).

    Raises InputError E_IMPORT, E_RECORD or E_RUN_ID, VerificationError E_SEAL, HostError.
    """
    return _named(_read(source, format, model))


def _named(entries: Entries) -> Entries:
    """Runs whose ids can be typed. What has no id is no record: whoever takes it says so."""
    for data, samples in entries:
        try:
            found = msgspec.json.decode(data, type=_Named).id
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = None
        if found is not None:
            checked_id(found)
        yield data, samples


def _read(source: Path, format: ImportFormat | None, model: str | None) -> Entries:  # noqa: A002
    chosen = format or _BY_ENDING.get(source.suffix.lower())
    if chosen == "jsonl":
        return _lines(source)
    if chosen == "parquet":
        return read_parquet(source)
    data = _whole(source)
    if chosen is None:
        chosen = _guessed(source, data)
    if chosen == "json":
        return _document(data)
    if chosen == "junit":
        return ((one, None) for one in junit_records(data))
    if chosen == "google-benchmark":
        return ((encode(one), None) for one in foreign.google_benchmark_records(data))
    if chosen == "csv":
        return ((encode(one), None) for one in foreign.csv_records(_text(data)))
    at = datetime.fromtimestamp(source.stat().st_mtime, UTC)
    return iter([(encode(foreign.litert_result_record(data, model or source.stem, at)), None)])


def _lines(source: Path) -> Entries:
    with host_errors(source), source.open("rb") as file:
        for line in file:
            if line.strip() and not line.startswith(b'{"edgekit_baselines":'):
                _, data, samples = read_line(line.rstrip(b"\r\n"))
                yield data, samples


def _document(data: bytes) -> Entries:
    """`{"records": [...]}`, or one record. Raises InputError E_RECORD."""

    class Document(msgspec.Struct):
        records: list[msgspec.Raw]

    try:
        found = [bytes(raw) for raw in msgspec.json.decode(data, type=Document).records]
    except (msgspec.DecodeError, RecursionError):
        found = [data.strip()]
    for one in found:
        _, record, samples = read_line(one)
        yield record, samples


def _guessed(source: Path, data: bytes) -> ImportFormat:
    start = data[:4096].lstrip()
    if start.startswith(b"{"):
        return "google-benchmark" if b'"context"' in start and b'"schema"' not in start else "json"
    if start.startswith(b"<"):
        return "junit"
    raise InputError(
        f"it is not plain what {source} is", code="E_IMPORT", hint=f"--format {'|'.join(IMPORT_FORMATS)}"
    )


def _whole(source: Path) -> bytes:
    with host_errors(source), source.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"{source} is larger than {MAX_FILE_BYTES} bytes", code="E_IMPORT")
    return data


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8: {error}", code="E_IMPORT") from error
