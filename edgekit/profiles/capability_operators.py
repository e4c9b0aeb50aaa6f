"""A model's operators and opsets against a runtime's table. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from edgekit.profiles.capability_model import ModelFacts
from edgekit.profiles.capability_tables import CUSTOM, Table, load_table, table_names
from edgekit.profiles.capability_types import CapabilityFinding
from edgekit.profiles.rules import cpu_numbers

MAIN_DOMAIN = "ai.onnx"


def too_new_opsets(runtime: str, table: Table, info: ModelFacts) -> Iterator[CapabilityFinding]:
    """ONNX: an opset that is newer than the runtime's newest."""
    for domain, opset in sorted(info.opsets.items()):
        newest = table.opsets.get(domain or MAIN_DOMAIN)
        if newest is not None and opset > newest:
            yield CapabilityFinding(
                runtime,
                "opset",
                True,
                f"{runtime} {table.version} knows {domain or MAIN_DOMAIN} up to opset {newest}, the model uses {opset}",
                f"export it again with opset {newest} or lower",
            )


def missing_operators(
    runtime: str, table: Table, target: str, info: ModelFacts
) -> Iterator[CapabilityFinding]:
    """Operators that the runtime does not have, and those that it has at other opsets than the model's."""
    if not info.operators:
        message = f"the operators of the model are not known, so {runtime} was not asked for them"
        yield CapabilityFinding(runtime, "unknown", False, message)
        return
    absent, elsewhere = [], []
    for operator in sorted(info.operators):
        key, opset = _key(table, target, info, operator)
        if _is_own_function(table, target, info, operator):
            continue
        if not table.has(key) and key not in table.delegates:
            absent.append(operator)
        elif opset is not None and not table.has(key, opset):
            elsewhere.append((operator, opset, table.operators[key]))
    if absent:
        yield _absent(runtime, table, target, info, absent)
    if elsewhere:
        which = ", ".join(f"{name} of opset {opset} (it has {spans})" for name, opset, spans in elsewhere)
        yield CapabilityFinding(
            runtime,
            "opset",
            True,
            f"{runtime} {table.version} does not have {which}",
            _other_opset(elsewhere),
        )


def _key(table: Table, target: str, info: ModelFacts, operator: str) -> tuple[str, int | None]:
    """The name in the table, and the opset that the model means it in, None where that is not known."""
    if target == "tflite":
        return (f"{CUSTOM}{operator}" if operator in info.custom_operators else operator), None
    if target == "executorch":
        return operator.removeprefix("delegate::"), None
    if target != "onnx":
        return operator, None
    domain, _, name = operator.rpartition("::")
    if domain in ("", MAIN_DOMAIN):
        return name, info.opsets.get(MAIN_DOMAIN)
    return operator, info.opsets.get(domain)


def _is_own_function(table: Table, target: str, info: ModelFacts, operator: str) -> bool:
    """ONNX: a function that the model itself brings; what it is made of is among the operators too."""
    domain = operator.rpartition("::")[0] if target == "onnx" else ""
    return bool(domain) and domain not in table.opsets and operator not in info.custom_operators


def _absent(
    runtime: str, table: Table, target: str, info: ModelFacts, absent: list[str]
) -> CapabilityFinding:
    custom = [name for name in absent if name in info.custom_operators]
    what = "the operator" if len(absent) == 1 else "the operators"
    names = ", ".join(f"{name} (custom)" if name in custom else name for name in absent)
    message = f"{runtime} ({table.package} {table.version}) does not have {what} {names}"
    hint = _absent_hint(table, target, info, absent, custom)
    return CapabilityFinding(runtime, "operator", True, message, hint)


def _absent_hint(table: Table, target: str, info: ModelFacts, absent: list[str], custom: list[str]) -> str:
    others = [
        other.package
        for other in map(load_table, table_names())
        if other is not None
        and target in other.formats
        and other.package != table.package
        and all(other.has(_key(other, target, info, name)[0]) for name in absent)
    ]
    if others:
        return f"use a runtime that has it: {', '.join(sorted(set(others)))}"
    if any(name.startswith("Flex") for name in custom):
        return "Flex operators are TensorFlow's own: convert with built-in operators only, or replace those"
    replace = f"replace {', '.join(absent)} in the model by operators that docs/runtimes.md lists"
    if custom:
        return f"no runtime here has custom operators of a model: {replace}"
    return f"{replace}, or convert for another runtime with --to"


def _other_opset(elsewhere: list[tuple[str, int, str]]) -> str:
    """An opset that all of these are to be had in, the highest below the model's where there is one."""
    common = set.intersection(*(set(cpu_numbers(spans)) for _, _, spans in elsewhere))
    if not common:
        return f"replace {', '.join(name for name, _, _ in elsewhere)} in the model"
    used = max(opset for _, opset, _ in elsewhere)
    lower = [opset for opset in common if opset < used]
    return f"export the model again with opset {max(lower) if lower else min(common)}"
