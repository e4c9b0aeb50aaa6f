"""What other tools measured, as records. Pure.

Nothing of the device's conditions is in such a file, so the verdict is `suspect` and says so; what was not told is null. A
record's id is made of its content: the same file twice is the same run.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from statistics import fmean
from typing import Any

import msgspec

from edgekit._version import __version__
from edgekit.errors import InputError
from edgekit.parse import ParseError
from edgekit.parse.benchmark_result import parse_benchmark_result
from edgekit.records import (
    Device,
    Latency,
    Launch,
    LoadTimes,
    Memory,
    Model,
    Plan,
    Profile,
    Record,
    Runtime,
    Verdict,
)
from edgekit.results.export import from_spreadsheet
from edgekit.results.rows import epoch_s

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_UNIT_US = {"ns": 1e-3, "us": 1.0, "ms": 1e3, "s": 1e6}
_UNKNOWN_CONDITIONS = "imported: nothing is known of the conditions it was measured under"
_TOLD = ("median", "mean", "p50", "p90", "p95", "p99", "p999", "min", "max", "stddev", "mad")
_NO_SAMPLES = "the file tells averages only"


class _Benchmark(msgspec.Struct):
    """One entry of Google Benchmark's JSON (github.com/google/benchmark, docs/user_guide.md, "Output Formats")."""

    name: str
    real_time: float
    iterations: int
    time_unit: str = "ns"
    run_name: str | None = None
    run_type: str = "iteration"
    threads: int | None = None
    error_occurred: bool = False


class _Context(msgspec.Struct):
    date: str
    host_name: str = "unknown"
    num_cpus: int | None = None
    library_version: str | None = None


class _GoogleFile(msgspec.Struct):
    context: _Context
    benchmarks: list[_Benchmark]


def google_benchmark_records(data: bytes) -> Iterator[Record]:
    """A run of each benchmark; its repetitions are launches. Raises InputError E_IMPORT."""
    try:
        file = msgspec.json.decode(data, type=_GoogleFile)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _refused(f"not Google Benchmark's JSON: {error}") from error
    groups: dict[str, list[_Benchmark]] = {}
    for one in file.benchmarks:
        if one.run_type == "iteration":
            groups.setdefault(one.run_name or one.name, []).append(one)
    for name, entries in groups.items():
        if unknown := {one.time_unit for one in entries} - set(_UNIT_US):
            raise _refused(f"a time in '{min(unknown)}'")
        means = [one.real_time * _UNIT_US[one.time_unit] for one in entries if not one.error_occurred]
        yield _record(
            started_at=_utc(file.context.date),
            model=Model(name=name),
            device=Device(address=f"host:{file.context.host_name}", cpu_count=file.context.num_cpus),
            runtime=Runtime(name="google-benchmark", version=file.context.library_version),
            plan=Plan(launches=len(entries), threads=entries[0].threads),
            latency=_averages(means, sum(one.iterations for one in entries)),
            launches=tuple(
                Launch(
                    index=i,
                    ok=not one.error_occurred,
                    mean_us=one.real_time * _UNIT_US[one.time_unit],
                    count=one.iterations,
                    sampled=False,
                )
                for i, one in enumerate(entries)
            ),
        )


def litert_result_record(data: bytes, model: str, at: datetime) -> Record:
    """LiteRT's BenchmarkResult (`benchmark_model --result_file_path`): one launch. `model`, `at`: the file tells neither.
    Raises InputError E_IMPORT."""
    try:
        run = parse_benchmark_result(data)
    except ParseError as error:
        raise _refused(str(error)) from error
    told = run.inference
    unavailable = {} if told.median_us is not None else {"median": "the tool did not tell it"}
    return _record(
        started_at=at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        model=Model(name=model),
        device=Device(address="unknown:"),
        runtime=Runtime(name="benchmark-model"),
        plan=Plan(launches=1),
        latency=Latency(
            source="summaries",
            resolution_us=told.resolution_us,
            ci95_of="median" if told.median_us is not None else "mean",
            count=told.count or 0,
            median=told.median_us,
            mean=told.avg_us,
            min=told.min_us,
            max=told.max_us,
            stddev=told.std_us,
            load=run.init_us,
            first_inference=run.first_inference_us,
            launches=1,
            outliers=None,
            unavailable={**unavailable, "ci95": "one launch"},
        ),
        memory=Memory(peak_rss=run.peak_rss_bytes),
        launches=(
            Launch(
                index=0,
                load=LoadTimes(),
                load_us=run.init_us,
                first_inference_us=run.first_inference_us,
                median_us=told.median_us,
                mean_us=told.avg_us,
                count=told.count or 0,
                sampled=False,
            ),
        ),
    )


def csv_records(text: str) -> Iterator[Record]:
    """Rows of `edgekit results export --format csv`: what and where, and the metrics of latency and memory. The rest of a
    record is not in a table of this kind. Raises InputError E_IMPORT."""
    try:
        rows = list(csv.DictReader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise _refused(f"not CSV: {error}") from error
    for row in rows:
        if None in row.values():
            raise _refused("not a row of edgekit's CSV: it ends early")
        try:
            yield _of_row(row)
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise _refused(f"not a row of edgekit's CSV: {error!r}") from error


def _of_row(row: Mapping[str, str]) -> Record:
    def word(name: str) -> str | None:
        return from_spreadsheet(row[name]) or None

    def number(name: str) -> float | None:
        return float(row[name]) if row.get(name) else None

    rss, size = number("peak_rss_bytes"), number("model_size_bytes")
    epoch_s(row["started_at"])
    return Record(
        id=from_spreadsheet(row["run"]),
        started_at=row["started_at"],
        edgekit_version=__version__,
        model=Model(
            name=word("model") or "unknown",
            version=word("model_version"),
            recipe=word("recipe"),
            size_bytes=None if size is None else int(size),
        ),
        profile=Profile(name=profile) if (profile := word("profile")) else None,
        device=Device(address=word("device") or "unknown:", model=word("device_model")),
        runtime=Runtime(name=word("runtime") or "unknown"),
        plan=Plan(launches=int(row["launches"])),
        latency=msgspec.convert(
            {
                **{name: number(f"{name}_latency_us") for name in _TOLD},
                "launches": int(row["launches"]),
                "count": int(row["count"]),
                "outliers": None,
                "first_inference": number("first_inference_us"),
                "load": number("load_us"),
                "between_launch_cv": number("between_launch_cv"),
            },
            Latency,
        ),
        memory=Memory(peak_rss=None if rss is None else int(rss)),
        verdict=msgspec.convert({"state": row["verdict"]}, Verdict),
        notes=("read from a table: samples, launches and conditions are not in it",),
    )


def _averages(means: list[float], count: int) -> Latency:
    return Latency(
        source="summaries",
        ci95_of="mean",
        count=count,
        mean=fmean(means) if means else None,
        min=None,
        launches=len(means),
        outliers=None,
        unavailable={"median": _NO_SAMPLES, "ci95": _NO_SAMPLES},
    )


def _record(**parts: Any) -> Record:
    verdict = Verdict(state="suspect", reasons=(_UNKNOWN_CONDITIONS,))
    record = Record(id="", edgekit_version=__version__, verdict=verdict, **parts)
    digest = int.from_bytes(hashlib.sha256(msgspec.json.encode(record)).digest()[:8], "big")
    moment = datetime.fromtimestamp(epoch_s(record.started_at), UTC)
    tail = "".join(_ALPHABET[digest >> (5 * i) & 31] for i in range(6))
    run_id = f"{moment:%Y%m%d-%H%M%S}{moment.microsecond // 1000:03d}-{tail}"
    return msgspec.structs.replace(record, id=run_id)


def _utc(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _refused(f"no date: {text!r}") from error
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _refused(why: str) -> InputError:
    return InputError(why, code="E_IMPORT", hint="edgekit results import --help names the formats")
