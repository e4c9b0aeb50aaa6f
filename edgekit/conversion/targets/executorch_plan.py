"""Which operator of an exported PyTorch program gets which scheme, for XNNPACK. The recipe's rules are applied here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.conversion.recipes.rules import Planner
from edgekit.conversion.recipes.schema import FLOAT_SCHEME, Recipe, Scheme, kind_of
from edgekit.errors import InputError

_WITH_WEIGHTS = (
    "aten.linear.default", "aten.conv1d.default", "aten.conv2d.default", "aten.convolution.default",
    "aten.conv_transpose1d.default", "aten.conv_transpose2d.input",
)  # fmt: skip
_MADE = {
    "int8-static": (
        *_WITH_WEIGHTS, "aten.add.Tensor", "aten.add_.Tensor", "aten.mul.Tensor", "aten.mul_.Tensor",
        "aten.cat.default", "aten.adaptive_avg_pool2d.default",
    ),
    "int8-dynamic": ("aten.linear.default",),
}  # fmt: skip
"""What XNNPACK's quantizer annotates of each. It knows dynamic convolutions too; the partitioner leaves them to portable
kernels, which are many times slower."""


@dataclass(frozen=True)
class Planned:
    """One operator, by its node's name. `weighted`: its second argument is a constant."""

    name: str
    op: str
    scheme: Scheme
    weighted: bool
    ruled: bool
    why: str = ""

    @property
    def made(self) -> bool:
        return any(self.op in ops for ops in _MADE.values())


@dataclass(frozen=True)
class Plan:
    recipe: Recipe
    planned: tuple[Planned, ...]

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        return tuple({p.scheme: None for p in self.planned if p.scheme != FLOAT_SCHEME and p.made})

    def notes(self) -> tuple[str, ...]:
        """What stays float though the recipe says otherwise, by reason."""
        left = Counter((p.why, p.op) for p in self.planned if p.why)
        return tuple(
            f"stays float, {why}: {op if count == 1 else f'{op} ({count})'}"
            for (why, op), count in sorted(left.items())
        )


def plan_for(recipe: Recipe, nodes: Sequence[Any]) -> Plan:
    """`nodes`: of the program's graph (torch.fx.Node). Raises InputError E_RECIPE_RULE."""
    planner = Planner(recipe, "executorch")
    planned = []
    for node in nodes:
        if node.op != "call_function":
            continue
        op = str(node.target)
        scheme, place = planner.scheme(op, _names(node))
        problem = ""
        if scheme != FLOAT_SCHEME and op not in _MADE.get(kind_of(scheme), ()):
            problem = f"XNNPACK's quantizer makes no {kind_of(scheme)} of it"
            if place is not None and op in recipe.rules[place - 1].operators:
                raise InputError(
                    f"recipe {recipe.name}, rule {place}: {op} is not made {kind_of(scheme)}, {problem}",
                    code="E_RECIPE_RULE",
                    hint="give it another scheme, or scheme: float",
                )
        weighted = op in _WITH_WEIGHTS and len(node.args) > 1 and node.args[1].op == "get_attr"
        planned.append(
            Planned(
                name=node.name,
                op=op,
                scheme=FLOAT_SCHEME if problem else scheme,
                weighted=weighted,
                ruled=place is not None,
                why=problem if op in _WITH_WEIGHTS or op == "aten.lstm.input" else "",
            )
        )
    planner.require_all([p.op for p in planned])
    return Plan(recipe, tuple(planned))


def _names(node: Any) -> tuple[str, ...]:
    """The node, and the modules that it is in, the innermost last: layers.0.query."""
    modules = [str(path) for path, _ in node.meta.get("nn_module_stack", {}).values()]
    return (node.name, *(path for path in modules if path))
