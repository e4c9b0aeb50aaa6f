"""What the types of single fields cannot say: one value against another."""

from __future__ import annotations

from edgekit.errors import Finding
from edgekit.profiles.nodes import ListNode, MapNode, Node
from edgekit.profiles.schema import Document


def cpu_numbers(text: str) -> tuple[int, ...]:
    """ "0-3,6" -> (0, 1, 2, 3, 6). `text` has the form of schema.CPU_LIST_PATTERN; a range that runs
    backwards has no CPUs."""
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return tuple(numbers)


def check_rules(document: Document, tree: Node) -> list[Finding]:
    """Findings about a document whose single values are all right; `tree` gives the lines."""
    problems = [*_precisions(document), *_cpus(document), *_heat(document), *_battery(document)]
    problems += _matching(document)
    return [_finding(tree, path, message) for path, message in problems]


def _precisions(document: Document) -> list[tuple[str, str]]:
    return [
        (f"precisions.{runtime}", f"'{runtime}' is not among this profile's runtimes")
        for runtime in document.precisions
        if runtime not in document.runtimes
    ]


def _cpus(document: Document) -> list[tuple[str, str]]:
    problems = []
    known: set[int] = set()
    for index, core in enumerate(document.device.cores):
        numbers = cpu_numbers(core.cpus) if core.cpus else ()
        if core.cpus and not numbers:
            problems.append((f"device.cores[{index}].cpus", f"'{core.cpus}' runs backwards"))
        if twice := known.intersection(numbers):
            problems.append((f"device.cores[{index}].cpus", f"CPU {min(twice)} is in two clusters"))
        known.update(numbers)
    complete = bool(document.device.cores) and all(core.cpus for core in document.device.cores)
    if document.bench.cpus is not None:
        wanted = set(cpu_numbers(document.bench.cpus))
        if not wanted:
            problems.append(("bench.cpus", f"'{document.bench.cpus}' runs backwards"))
        if complete and (missing := wanted - known):
            problems.append(("bench.cpus", f"CPU {min(missing)} is in no cluster of device.cores"))
        if wanted and document.bench.threads is not None and document.bench.threads > len(wanted):
            problems.append(("bench.threads", f"{document.bench.threads} threads on {len(wanted)} CPUs"))
    return problems


def _heat(document: Document) -> list[tuple[str, str]]:
    cool, limit = document.bench.cool_to_mc, document.limits.temperature_mc
    if cool is not None and limit is not None and cool >= limit:
        return [("bench.cool_to", "must be cooler than limits.temperature")]
    return []


def _battery(document: Document) -> list[tuple[str, str]]:
    least = document.bench.min_battery
    if least is not None and not 0 <= least <= 1:
        return [("bench.min_battery", "no battery has it: at most 100% can be asked for")]
    return []


def _matching(document: Document) -> list[tuple[str, str]]:
    if document.export_only and any(
        getattr(document.match, name) for name in document.match.__struct_fields__
    ):
        return [("match", "a profile that is export_only matches no device; remove one of the two")]
    return []


def _finding(tree: Node, path: str, message: str) -> Finding:
    node = tree
    for step in path.replace("[", ".[").split("."):
        child: Node | None = None
        if step.startswith("[") and isinstance(node, ListNode):
            child = node.items[int(step[1:-1])]
        elif isinstance(node, MapNode) and step in node.items:
            child = node.items[step][1]
        if child is None:
            break
        node = child
    return Finding(node.file, node.line, path, message)
