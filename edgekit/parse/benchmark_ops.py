"""Operator profile of `benchmark_model` (`--enable_op_profiling`, LiteRT: `--use_profiler`), as text and as CSV.

Form: xla/tsl/util/stats_calculator.cc and tensorflow/lite/profiling/profile_summary_formatter.cc. Sections follow
each other: of the initialization (left out here), of the graph, of further subgraphs, of the inside of delegates;
each has the tables "Run Order" (taken), "Top by Computation Time" and "Summary by node type". Columns are read by
their titles: builds before 2021 have [start] too. Times in milliseconds.

In CSV a comma in a node's name is a tab, but one in its type is kept: "Fully Connected (NC, F32) GEMM" has one. So
rows are taken apart from the right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from msgspec import structs

from edgekit.parse import fail, lines_of
from edgekit.parse.benchmark_run import decimal, whole_count
from edgekit.parse.op_profile import OpProfile, OpRow, op_profile, unit_of_tflite

TOOL: Final = "benchmark_model's operator profile"
MAX_ROWS: Final = 100_000
_PREFIX: Final = re.compile(r"(?:INFO|VERBOSE|WARNING): (?:\[[^\]\s]{1,200}:\d{1,6}\] )?", re.ASCII)
_RUN_ORDER: Final = "Run Order"
_NODES: Final = re.compile(r"Number of nodes executed: (\d{1,9})", re.ASCII)
_TIMINGS: Final = re.compile(r"Timings \(microseconds\): count=(\d{1,12})(?: .*)?", re.ASCII)
_TABLE: Final = re.compile(r"=+ ([A-Za-z ]{1,60}) =+", re.ASCII)
_INDEX: Final = re.compile(r"(?s)(.*):(\d{1,9})", re.ASCII)
_TITLES: Final = {
    "node type": "type",
    "start": "start",
    "first": "first",
    "avg ms": "avg",
    "avg_ms": "avg",
    "%": "share",
    "cdf%": "cdf",
    "mem kb": "memory",
    "times called": "calls",
    "name": "name",
}
_NEEDED: Final = frozenset({"type", "avg", "calls", "name"})


@dataclass
class _Section:
    """One set of tables. `kind`: "init", "graph" or "inner"."""

    kind: str
    rows: list[OpRow] = field(default_factory=list)
    columns: list[str] | None = None
    csv: bool = False
    nodes: int | None = None
    runs: int | None = None


def parse_op_profile(text: str) -> OpProfile:
    """Of stdout, with whatever else is in it, or of the file that `--op_profiling_output_file` names.

    Raises ParseError where there is no profile of the runs, a row does not fit the titles, or the number of rows is
    not what the tool says it is (then the text was cut).
    """
    sections: list[_Section] = []
    kind, reading = "graph", False
    for number, raw in enumerate(lines_of(TOOL, text), start=1):
        match = _PREFIX.match(raw)
        line = raw[match.end() :] if match else raw
        if found := _kind_of(line):
            kind, reading = found, False
        elif table := _TABLE.fullmatch(line.strip()):
            reading = table[1] == _RUN_ORDER
            if reading:
                sections.append(_Section(kind))
        elif sections and (found_nodes := _NODES.fullmatch(line.strip())):
            sections[-1].nodes = int(found_nodes[1])
        elif sections and (found_runs := _TIMINGS.fullmatch(line.strip())):
            sections[-1].runs = int(found_runs[1])
        elif reading and line.strip():
            _row_or_titles(sections[-1], number, line)
        else:
            reading = False if not line.strip() and sections and sections[-1].rows else reading
    return _profile(sections)


def _kind_of(line: str) -> str | None:
    if line.startswith("Profiling Info for Benchmark Initialization"):
        return "init"
    if line.startswith(("Operator-wise Profiling Info", "Primary graph")):
        return "graph"
    if line.startswith("Delegate internal") or (line.startswith("Subgraph (") and "observed" not in line):
        return "inner"
    return None


def _row_or_titles(section: _Section, number: int, line: str) -> None:
    if section.columns is None:
        section.csv = "\t" not in line
        cells = line.split(",") if section.csv else line.strip("\t").split("\t")
        names = [_TITLES.get(cell.strip().strip("[]").lower(), "") for cell in cells]
        if not set(names) >= _NEEDED or len(set(names)) != len(names) or "" in names:
            fail(TOOL, "the table's titles are not known", number)
        if names[0] != "type" or names[-1] != "name":
            fail(TOOL, "the table's titles are out of order", number)
        section.columns = names
        return
    if len(section.rows) >= MAX_ROWS:
        fail(TOOL, "more operators than any graph has", number)
    section.rows.append(_row(section, number, line))


def _row(section: _Section, number: int, line: str) -> OpRow:
    columns = section.columns or []
    cells = line.rsplit(", ", len(columns) - 1) if section.csv else line.removeprefix("\t").split("\t")
    if len(cells) != len(columns):
        fail(TOOL, f"{len(cells)} values for {len(columns)} titles", number)
    cell = {name: value.strip() for name, value in zip(columns, cells, strict=True)}
    avg_ms = decimal(TOOL, cell["avg"], number)
    node = cell["name"].replace("\t", ",") if section.csv else cell["name"]
    index = None
    if match := _INDEX.fullmatch(node):
        node, index = match[1], int(match[2])
    op = cell["type"]
    if not op:
        fail(TOOL, "an operator without a type", number)
    return OpRow(
        op=op,
        node=node.removeprefix("[").removesuffix("]") or None,
        index=index,
        unit=unit_of_tflite(op),
        calls=float(whole_count(TOOL, cell["calls"], number)),
        avg_us=None if avg_ms is None else round(avg_ms * 1000, 6),
    )


def _profile(sections: list[_Section]) -> OpProfile:
    for section in sections:
        if section.columns is None or section.nodes != len(section.rows):
            fail(TOOL, f"{len(section.rows)} operators of {section.nodes}: it is cut short")
    graphs = [section for section in sections if section.kind == "graph"]
    if len(graphs) != 1:
        fail(TOOL, "it has no profile of the runs" if not graphs else f"profiles of {len(graphs)} runs")
    rows = _per_inference(graphs[0].rows)
    inner = [row for section in sections if section.kind == "inner" for row in section.rows]
    return op_profile(rows, _per_inference(inner), graphs[0].runs or None)


def _per_inference(rows: list[OpRow]) -> list[OpRow]:
    """Builds of 2018 say 0 calls of everything: unknown. Where others were called, 0 is what ran once, before."""
    if all(not row.calls for row in rows):
        return [structs.replace(row, calls=None) for row in rows]
    return [structs.replace(row, avg_us=None) if not row.calls else row for row in rows]
