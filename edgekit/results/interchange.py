"""Runs as other tools read them: Google Benchmark's JSON, and JUnit XML, which carries whole records. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from xml.etree.ElementTree import Element, ParseError, SubElement, fromstring, tostring

import msgspec

from edgekit.errors import InputError
from edgekit.records import METRICS, Record, decode, value_of
from edgekit.records.metrics import column_of

_PROPERTY = "edgekit.record"


def google_benchmark(records: Iterable[Record]) -> str:
    """Each run a benchmark, each launch a repetition of it; metrics are counters. The first run's host stands for all."""
    found = list(records)
    first = found[0] if found else None
    context = {
        "date": first.started_at if first else "1970-01-01T00:00:00Z",
        "host_name": first.device.address if first else "unknown",
        "executable": "edgekit",
        "num_cpus": (first.device.cpu_count if first else None) or 0,
        "library_version": first.edgekit_version if first else "",
    }
    benchmarks = [entry for record in found for entry in _entries(record)]
    return (
        msgspec.json.format(
            msgspec.json.encode({"context": context, "benchmarks": benchmarks}), indent=2
        ).decode()
        + "\n"
    )


def _entries(record: Record) -> Iterator[dict[str, object]]:
    name = f"{record.model.name}/{record.device.address}/{record.id}"
    values = {column_of(metric): value_of(record, metric) for metric in METRICS.values()}
    counters = {name: value for name, value in values.items() if value is not None}
    launches = [one for one in record.launches if one.ok and (one.mean_us or one.median_us) is not None]
    for index, launch in enumerate(launches):
        time_us = launch.mean_us if launch.mean_us is not None else launch.median_us
        yield {
            "name": name,
            "run_name": name,
            "run_type": "iteration",
            "repetitions": len(launches),
            "repetition_index": index,
            "threads": record.plan.threads or 1,
            "iterations": launch.count,
            "real_time": time_us,
            "cpu_time": time_us,
            "time_unit": "us",
            **counters,
        }


def junit(entries: Iterable[bytes]) -> str:
    """A suite a run, with a case for its verdict: an invalid one fails. `entries`: records' JSON, which is in it as base64, so
    that it comes back byte for byte."""
    root = Element("testsuites", name="edgekit")
    for data in entries:
        record = decode(data)
        failed = record.verdict.state == "invalid"
        suite = SubElement(
            root,
            "testsuite",
            name=_xml(f"{record.model.name} on {record.device.address}"),
            tests="1",
            failures=str(int(failed)),
            errors="0",
            skipped="0",
            timestamp=_xml(record.started_at),
        )
        properties = SubElement(suite, "properties")
        SubElement(properties, "property", name=_PROPERTY, value=base64.b64encode(data).decode())
        for metric in METRICS.values():
            if (value := value_of(record, metric)) is not None:
                SubElement(properties, "property", name=column_of(metric), value=repr(value))
        case = SubElement(suite, "testcase", classname="edgekit.verdict", name=_xml(record.id))
        text = _xml("; ".join((*record.verdict.reasons, *record.verdict.notes)))
        if failed:
            SubElement(case, "failure", message=record.verdict.state).text = text
        elif text:
            SubElement(case, "system-out").text = text
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def junit_records(data: bytes) -> Iterator[bytes]:
    """The records in a file that `junit` made. Raises InputError E_IMPORT for other XML, and for one with entities."""
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:  # entities that unfold into more than memory holds
        raise _refused("XML with a document type")
    try:
        root = fromstring(data)  # noqa: S314
        properties = [one for one in root.iter("property") if one.get("name") == _PROPERTY]
        found = [base64.b64decode(one.get("value", ""), validate=True) for one in properties]
    except (ParseError, binascii.Error) as error:
        raise _refused(f"not JUnit of edgekit's: {error}") from error
    if not found:
        raise _refused("no run of edgekit's is in this JUnit file")
    yield from found


def _xml(text: str) -> str:
    """Without what XML 1.0 has no room for."""
    return "".join(
        c if c in "\t\n" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff" else "?"
        for c in text
    )


def _refused(why: str) -> InputError:
    return InputError(why, code="E_IMPORT", hint="edgekit results import --help names the formats")
