"""What one value of a recipe says against another, each finding with its line; which rule an operator falls under. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from edgekit.conversion.recipes.patterns import Budget, LayerPattern, PatternError
from edgekit.conversion.recipes.schema import (
    FLOAT,
    Activations,
    Document,
    Ranges,
    Recipe,
    Scheme,
    Weights,
)
from edgekit.errors import Finding, InputError
from edgekit.profiles.check import suggestion
from edgekit.profiles.nodes import ListNode, MapNode, Node

TARGETS = ("coreml", "executorch", "onnx", "tflite")
"""Those of edgekit; others may be installed elsewhere."""
_TELL_SIZES = ("onnx", "tflite")
"""Targets whose rules can go by the size of weights."""
_BITS = {"int": (2, 4, 8), "float": (16, 32), "palette": (1, 2, 4, 6, 8)}
_ACTIVATION_BITS = {"float": (32,), "dynamic": (8,), "static": (8, 16)}


def check_rules(
    document: Document, tree: MapNode, built_in: Mapping[str, Scheme], reserved: Sequence[str]
) -> list[Finding]:
    """Everything that is wrong in a document whose every value is right by itself. `built_in`: what rules may name beside
    the document's own schemes; `reserved`: names that no recipe can have."""
    found: list[Finding] = []
    known = {FLOAT: Scheme(), **document.schemes, **built_in}

    def bad(path: Sequence[str | int], message: str) -> None:
        node = _at(tree, path)
        found.append(Finding(node.file, node.line, _dotted(path), message))

    if document.name in reserved:
        bad(["name"], f"'{document.name}' is not for files: it has a meaning of its own")
    for message, path in _scheme(document.weights, document.activations, ()):
        bad(path, message)
    for name, scheme in document.schemes.items():
        if name in reserved or name in built_in:
            bad(["schemes", name], f"'{name}' has a meaning of its own")
        for message, path in _scheme(scheme.weights, scheme.activations, ("schemes", name)):
            bad(path, message)
    ranges = document.ranges
    if (ranges.method == "percentile") != (ranges.percentile is not None):
        bad(["ranges"], "percentile goes with method: percentile, and the other way round")
    named = {rule.scheme for rule in document.rules}
    used = (document.activations, *(known[name].activations for name in named if name in known))
    if ranges != Ranges() and all(activations.mode != "static" for activations in used):
        bad(["ranges"], "they are of static activations, and nothing here has such")
    for index, rule in enumerate(document.rules):
        if not rule.operators and rule.layer is None and rule.weights_below is None:
            bad(["rules", index], "a rule needs op, layer or weights_below, or several of them")
        if rule.weights_below is not None and not (rule.targets and set(rule.targets) <= set(_TELL_SIZES)):
            names = " or ".join(_TELL_SIZES)
            bad(["rules", index, "weights_below"], f"such a rule is for target {names} only, and says so")
        if rule.scheme not in known:
            near = suggestion(rule.scheme, known)
            bad(
                ["rules", index, "scheme"], f"no scheme '{rule.scheme}' (there are: {', '.join(known)}){near}"
            )
        if rule.layer is not None and (problem := _not_a_pattern(rule.layer)):
            bad(["rules", index, "layer"], problem)
        for target in rule.targets:
            if target not in TARGETS and (near := suggestion(target, TARGETS)):
                bad(["rules", index, "target"], f"no target '{target}'{near}")
    for name in document.schemes:
        if name not in named:
            bad(["schemes", name], f"no rule names the scheme '{name}'")
    return sorted(found, key=lambda one: one.line or 0)


def _scheme(
    weights: Weights, activations: Activations, at: tuple[str, ...]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    if weights.bits not in _BITS[weights.type]:
        allowed = ", ".join(map(str, _BITS[weights.type]))
        yield f"weights of type {weights.type} have {allowed} bits, not {weights.bits}", (*at, "weights")
    if activations.bits not in _ACTIVATION_BITS[activations.mode]:
        allowed = " or ".join(map(str, _ACTIVATION_BITS[activations.mode]))
        yield (
            f"{activations.mode} activations have {allowed} bits, not {activations.bits}",
            (*at, "activations"),
        )
    if activations.mode != "float" and weights.type != "int":
        yield (
            f"{activations.mode} activations need weights of type int, these are {weights.type}",
            (*at, "activations"),
        )
    if weights.type == "float" and (weights.ranges != "min-max" or not weights.symmetric):
        yield "weights of type float have no ranges and no zero points", (*at, "weights")
    if not 0 <= weights.sparsity < 1:
        yield f"sparsity is a share from 0 to less than 1, not {weights.sparsity:g}", (*at, "weights")


def _not_a_pattern(text: str) -> str:
    """What is wrong with a rule's regular expression; empty where nothing is."""
    try:
        LayerPattern(text)
    except PatternError as error:
        return str(error)
    return ""


def _at(tree: Node, path: Sequence[str | int]) -> Node:
    """The node of a path, or the nearest above it that the file has."""
    for part in path:
        if isinstance(tree, MapNode) and part in tree.items:
            tree = tree.items[str(part)][1]
        elif isinstance(tree, ListNode) and isinstance(part, int):
            tree = tree.items[part]
        else:
            break
    return tree


def _dotted(path: Sequence[str | int]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


class Planner:
    """Says which scheme each operator of a model gets, and which rules fitted none. `scheme` raises InputError E_RECIPE_RULE where
    patterns take too long for the names."""

    def __init__(self, recipe: Recipe, target: str) -> None:
        self._recipe = recipe
        budget = Budget()
        self._rules = [
            (place, rule, LayerPattern(rule.layer, budget) if rule.layer is not None else None)
            for place, rule in recipe.rules_for(target)
        ]
        self._fitted: set[int] = set()

    def scheme(self, op: str, names: Sequence[str], weights: int | None = None) -> tuple[Scheme, int | None]:
        """The scheme of one operator and the place of the rule that gave it, None for the recipe's own. `names`: of
        the operator, as its layer may be called: its node, its outputs. `weights`: how many it has, None for none."""
        for place, rule, pattern in self._rules:
            if rule.operators and op not in rule.operators:
                continue
            if pattern is not None and not any(pattern.search(name) for name in names):
                continue
            if rule.weights_below is not None and (weights is None or weights >= rule.weights_below):
                continue
            self._fitted.add(place)
            return self._recipe.scheme_of(rule), place
        return self._recipe.base, None

    def unfitted(self) -> tuple[int, ...]:
        """Rules that have to fit something and did not. A rule whose operators all fell under earlier ones counts
        as such too."""
        return tuple(p for p, rule, _ in self._rules if p not in self._fitted and not rule.optional)

    def require_all(self, seen: Sequence[str]) -> None:
        """`seen`: the operator types of the model. Raises InputError E_RECIPE_RULE for rules that fitted nothing."""
        if not (left := self.unfitted()):
            return
        rules = {place: rule for place, rule, _ in self._rules}
        told = "; ".join(f"rule {place} ({describe(rules[place])})" for place in left)
        types = sorted(set(seen))
        wanted = [op for place in left for op in rules[place].operators if op not in types]
        near = suggestion(wanted[0], types) if wanted else ""
        raise InputError(
            f"recipe {self._recipe.name}: {told} fits no operator of the model{near}",
            code="E_RECIPE_RULE",
            hint=f"its operators are {', '.join(types)}; mark a rule `optional: true` where it need not fit",
        )


def describe(rule: object) -> str:
    """A rule in few words."""
    op, layer = getattr(rule, "operators", ()), getattr(rule, "layer", None)
    parts = [f"op {', '.join(op)}"] if op else []
    parts += [f"layer {layer}"] if layer is not None else []
    below = getattr(rule, "weights_below", None)
    parts += [f"weights_below {below}"] if below is not None else []
    return ", ".join(parts) or FLOAT
