"""The report: one HTML file that needs nothing else, at most 1 MB for one run and 3 MB for several.

No script, no network, no font; figures are inline SVG in the page's colours, so light, dark and print all
work. What can be chosen in it (which runs are shown, with which one the others are compared) follows from rules of style.
Matplotlib is loaded when a report is written.
"""

from __future__ import annotations

import base64
import hashlib
import string
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TypeAlias

from edgekit.cache import atomic_write
from edgekit.errors import InputError
from edgekit.records import Record, Samples
from edgekit.results.chapter import chapter, heading, lead
from edgekit.results.facets import Facet, classes, facets, rules
from edgekit.results.markup import Child, Html, el
from edgekit.results.overview import overview, reference_rules
from edgekit.results.parts import badge, title_of
from edgekit.results.plots import Detail

Entry: TypeAlias = tuple[Record, Samples]
MAX_BYTES = 1_000_000
MAX_BYTES_OF_SEVERAL = 3_000_000
OPEN_CHAPTERS = 3
"""With more runs than that, chapters are folded until they are asked for."""


@dataclass(frozen=True)
class Level:
    """How much goes into a report. `detailed`: so many runs get their own chapter; `drawn`: so many of them
    with figures. `runs`: drawing takes a third of a second for each run, so it is not tried with more."""

    detail: Detail
    drawn: int
    detailed: int
    runs: int = 1000


LEVELS = (
    Level(Detail(450, True), 1000, 1000, runs=20),
    Level(Detail(300, True), 1000, 1000, runs=20),
    Level(Detail(240, False), 1000, 1000, runs=20),
    Level(Detail(240, True, few=True), 1000, 1000),
    Level(Detail(240, False, few=True), 1000, 1000),
    Level(Detail(240, False), 6, 60),
    Level(Detail(120, False), 2, 20),
    Level(Detail(60, False), 0, 3),
)
"""From everything to little; the first one that gives a small enough file is used, and the page says so."""


def write_report(records_with_samples: Sequence[Entry], path: Path) -> Path:
    """Write the report of one or several runs to `path` (whole or not at all) and return `path`.

    Raises InputError (E_NO_RUN) without a run, HostError and HostDiskFull for the file.
    """
    atomic_write(path, render(records_with_samples).encode("utf-8"))
    return path


def render(entries: Sequence[Entry]) -> str:
    """The whole page as text of at most 1 MB for one run, 3 MB for several. The order is kept; the first run is the one
    compared with until the reader picks another."""
    if not entries:
        raise InputError("a report needs at least one run", code="E_NO_RUN", hint="edgekit results list")
    limit = limit_bytes(len(entries))
    for level in LEVELS:
        last = level is LEVELS[-1]
        if not last and (len(entries) > level.runs or _expected_bytes(entries, level) > 1.2 * limit):
            continue
        page = _page(entries[: level.detailed] if last else entries, level, len(entries))
        if len(page.encode("utf-8")) <= limit:
            return page
    raise InputError(
        f"a report of {len(entries)} runs does not fit into {limit // 1_000_000} MB",
        code="E_REPORT_SIZE",
        hint="name fewer runs",
    )


def limit_bytes(runs: int) -> int:
    return MAX_BYTES if runs == 1 else MAX_BYTES_OF_SEVERAL


def _expected_bytes(entries: Sequence[Entry], level: Level) -> int:
    """The size of a page if all runs were like the first one."""
    if len(entries) < 3:
        return 0
    drawn = min(len(entries), level.drawn)
    plain = min(len(entries), level.detailed) - drawn
    first = entries[0]
    return drawn * len(chapter(*first, "r0", level.detail)) + plain * len(chapter(*first, "r0", None))


def _page(entries: Sequence[Entry], level: Level, total: int) -> str:
    several = len(entries) > 1
    found = _several(entries, level, total) if several else _single(entries[0], level)
    title = f"{total} runs side by side" if several else title_of(entries[0][0])
    body = [*found, _footer(level, total)]
    style = files("edgekit.results").joinpath("report.css").read_text(encoding="utf-8")
    if several:
        style += (
            rules(facets([record for record, _ in entries])) + "\n" + reference_rules(len(entries)) + "\n"
        )
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = [
        Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        Html('<meta name="referrer" content="no-referrer">'),
        el("title", f"{title} · edgekit"),
        el("style", Html(style)),
    ]
    document = el("html", el("head", head), "\n", el("body", el("main", body)), lang="en")
    return f"<!DOCTYPE html>\n{document}\n"


def run_names(count: int) -> list[str]:
    """A, B, ... Z, then numbers: short names that fit on an axis."""
    return list(string.ascii_uppercase[:count]) if count <= 26 else [str(i + 1) for i in range(count)]


def _single(entry: Entry, level: Level) -> list[Child]:
    detail = level.detail if level.drawn else None
    return [el("div", heading(entry[0]), chapter(*entry, "r0", detail))]


def _several(entries: Sequence[Entry], level: Level, total: int) -> list[Child]:
    records = [record for record, _ in entries]
    names = run_names(len(entries))
    every = facets(records)
    top = el("header", el("p", "edgekit report", class_="eyebrow"), el("h1", f"{total} runs side by side"))
    samples = [kept for _, kept in entries]
    linked = min(level.detailed, len(entries))
    body: list[Child] = [top, overview(records, samples, names, every, linked, level.detail)]
    for i, entry in enumerate(entries[:linked]):
        detail = level.detail if i < level.drawn else None
        body.append(_article(entry, names[i], i, detail, every, unfolded=len(entries) <= OPEN_CHAPTERS))
    return body


def _article(
    entry: Entry, name: str, number: int, detail: Detail | None, every: Sequence[Facet], *, unfolded: bool
) -> Html:
    record = entry[0]
    title = el("h2", f"{name}: {title_of(record)}")
    summary = el("summary", title, badge(record.verdict.state))
    content = el("div", lead(record), chapter(*entry, f"r{number}", detail), id=f"run-{number}")
    folded = el("details", summary, content, **({"open": ""} if unfolded else {}))
    return el("article", folded, class_=classes(every, number) or None)


def _footer(level: Level, total: int) -> Html:
    words = ["Written by edgekit. This page needs no network and loads nothing."]
    if level.detail.few:
        words.append("Of so many runs the main figures are drawn; a report of one of them has all.")
    if level.detailed < total or level.drawn < total:
        words.append(
            f"To stay below {limit_bytes(total) // 1_000_000} MB, of {total} runs {min(total, level.detailed)} have a"
            f" chapter and {min(total, level.drawn)} have figures."
        )
    return el("footer", " ".join(words))
