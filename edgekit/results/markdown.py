"""A report as Markdown, for issues, pull requests and wikis: the same numbers as the HTML page, without figures.

Names of devices, models and operators come from outside: what Markdown or HTML would take for markup is
escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from edgekit.cache import atomic_write
from edgekit.errors import InputError
from edgekit.records import METRICS, Record, value_of
from edgekit.results import wording as w
from edgekit.results.facets import device_of, recipe_of
from edgekit.results.overview import WARNING, against, versus
from edgekit.results.parts import centre_us, title_of

MAX_LAUNCHES = 40
MAX_OPERATORS = 60
"""So many rows are shown of each; all are in the record."""
MAX_TEXT = 300
_MARKUP = re.compile(r"([\\`*_\[\]<>|~&$]|^[-+#=]|^\d+(?=[.)](?:\s|$)))")
"""What has a meaning anywhere, and what has one where a line or a list's entry begins."""
_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+")


def write_markdown(records: Sequence[Record], path: Path) -> Path:
    """Write the report of one or several runs (whole or not at all) and return `path`.

    Raises InputError (E_NO_RUN) without a run, HostError and HostDiskFull for the file.
    """
    if not records:
        raise InputError("a report needs at least one run", code="E_NO_RUN", hint="edgekit results list")
    together = [_together(records)] if len(records) > 1 else []
    atomic_write(path, "\n".join([*together, *map(_run, records)]).encode("utf-8"))
    return path


def plain(value: object) -> str:
    """A text that Markdown shows as it is, on one line."""
    text = _BREAKS.sub(" ", str(value))[:MAX_TEXT]
    return _MARKUP.sub(_escaped, text.strip())


def _escaped(match: re.Match[str]) -> str:
    found = match[0]
    return f"{found}\u2060" if found.isdigit() else f"\\{found}"  # no backslash stands before a digit


def _together(records: Sequence[Record]) -> str:
    """One row a run; the first is what the others are compared with."""
    rows = [
        (
            record.id,
            record.model.name,
            recipe_of(record),
            device_of(record),
            record.runtime.name,
            record.verdict.state,
            w.time(centre_us(record)),
            "–" if record is records[0] else versus(against(records[0], record)),
        )
        for record in records
    ]
    head = ("Run", "Model", "Recipe", "Device", "Runtime", "Verdict", "Median", "Against the first")
    lines = [f"# {len(records)} runs side by side", "", *_table(head, rows), WARNING, ""]
    return "\n".join(lines)


def _run(record: Record) -> str:
    runtime = " ".join(filter(None, [record.runtime.name, record.runtime.version]))
    about = [("Run", record.id), ("Started", record.started_at), ("Device", record.device.address)]
    about += [("Runtime", runtime), ("Ran on", record.runtime.actual_accelerator or w.UNKNOWN)]
    if record.runtime.requested_accelerator is not None:
        about.append(("Asked for", record.runtime.requested_accelerator))
    lines = [
        f"# {plain(title_of(record))}",
        "",
        *_table(("", ""), about),
        *_verdict(record),
        *_metrics(record),
    ]
    lines += [*_launches(record), *_operators(record)]
    return "\n".join(lines) + "\n"


def _verdict(record: Record) -> list[str]:
    found = record.verdict
    lines = [f"**{found.state}**: {plain(w.VERDICTS[found.state][1])}", ""]
    lines += [f"- {plain(reason)}" for reason in found.reasons]
    lines += [f"- note: {plain(note)}" for note in (*found.notes, *record.notes)]
    return [*lines, ""]


def _metrics(record: Record) -> list[str]:
    latency = record.latency
    rows = [
        (one.title, w.metric_value(one, value))
        for one in METRICS.values()
        if (value := value_of(record, one)) is not None
    ]
    if latency.ci95_low is not None and latency.ci95_high is not None:
        interval = f"{w.time(latency.ci95_low)} to {w.time(latency.ci95_high)}"
        rows.append((f"95 % interval of the {latency.ci95_of}", interval))
    kept = "every one is kept" if latency.source == "samples" else "the tool keeps them"
    rows.append(("Samples", f"{w.count(latency.count)} in {latency.launches} launches; {kept}"))
    missing: dict[str, list[str]] = {}
    for name, why in latency.unavailable.items():
        missing.setdefault(why, []).append(name)
    rows += [(f"No {', '.join(names)}", why) for why, names in missing.items()]
    return ["## Numbers", "", *_table(("", ""), rows)]


def _launches(record: Record) -> list[str]:
    if not record.launches:
        return []
    rows = [
        (
            one.index + 1,
            "ended well" if one.ok else one.error or "failed",
            w.count(one.count),
            w.time(one.median_us),
            w.time(one.mean_us),
            w.time(one.load_us),
            w.size(one.memory.peak_rss_bytes),
        )
        for one in record.launches[:MAX_LAUNCHES]
    ]
    head = ("Launch", "", "Samples", "Median", "Mean", "Load", "Peak memory")
    return ["## Launches", "", *_table(head, rows), *_more(len(record.launches), len(rows), "launches")]


def _operators(record: Record) -> list[str]:
    found = record.operators
    if found is None:
        return []
    largest = sorted(range(len(found.rows)), key=lambda i: -(found.rows[i].share or 0.0))[:MAX_OPERATORS]
    rows = [
        (
            row.op,
            row.node or "–",
            row.unit or w.UNKNOWN,
            "–" if row.calls is None else w.significant(row.calls, 3),
            w.time(row.avg_us),
            w.time(row.median_us),
            w.percent(row.share),
            "–" if row.macs is None else w.count(row.macs),
            "–" if row.bytes is None else w.count(row.bytes),
        )
        for row in (found.rows[i] for i in sorted(largest))
    ]
    head = ("Operator", "Node", "Ran on", "Calls", "Average", "Median", "Share", "MACs", "Bytes")
    total = "" if found.total_us is None else f", {w.time(found.total_us)} in all"
    words = (
        f"As {plain(found.runtime)} tells, of a launch of its own{total}: timing each operator slows the run, so take"
        " shares from here."
    )
    return [
        "## Operators",
        "",
        words,
        "",
        *_table(head, rows),
        *_more(len(found.rows), len(rows), "operators"),
    ]


def _more(total: int, shown: int, what: str) -> list[str]:
    return [f"{shown} of {total} {what}.", ""] if shown < total else []


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [f"| {' | '.join(plain(cell) for cell in head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(plain(cell) for cell in row)} |" for row in rows]
    return [*lines, ""]
