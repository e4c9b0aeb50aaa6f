"""Which operator of a TFLite model gets which scheme, and how ai-edge-quantizer is told so.

The recipe's rules are applied here, operator by operator, and the quantizer gets the outcome by the exact names of
operators: its own rules are overridden by later ones, and skip silently what it does not make.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from edgekit.conversion.extras import need
from edgekit.conversion.recipes.rules import Planner
from edgekit.conversion.recipes.schema import FLOAT_SCHEME, Recipe, Scheme, kind_of
from edgekit.conversion.targets.tflite_graph import MOVES, Graph, Operator
from edgekit.errors import InputError

_WHAT = "quantizing a TFLite model"
_NO_WEIGHTS = "it has no weights"
_GRANULARITY = {"tensor": "TENSORWISE", "channel": "CHANNELWISE"}


@dataclass(frozen=True)
class Planned:
    """One operator and what is done to it. `scheme` is FLOAT_SCHEME where nothing is; `why` then says the reason, empty
    where the recipe itself says so."""

    operator: Operator
    scheme: Scheme
    why: str = ""


@dataclass(frozen=True)
class Plan:
    recipe: Recipe
    planned: tuple[Planned, ...]

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        return tuple({p.scheme: None for p in self.planned if p.scheme != FLOAT_SCHEME})

    def notes(self) -> tuple[str, ...]:
        """What stays float though the recipe says otherwise, by reason."""
        left = Counter((p.why, p.operator.name) for p in self.planned if p.why)
        by_reason: dict[str, list[str]] = {}
        for (why, name), count in sorted(left.items()):
            by_reason.setdefault(why, []).append(name if count == 1 else f"{name} ({count})")
        return tuple(f"stays float, {why}: {', '.join(names)}" for why, names in by_reason.items())


def plan_for(recipe: Recipe, graphs: Sequence[Graph]) -> Plan:
    """Raises InputError E_RECIPE_RULE where a rule fits nothing or asks for what TFLite does not make of its operators."""
    planner, planned = Planner(recipe, "tflite"), []
    for graph in graphs:
        for operator in graph.operators:
            if operator.name in MOVES:
                continue
            weight = graph.weight(operator)
            count = prod(weight.shape) if weight is not None else None
            scheme, place = planner.scheme(operator.name, graph.named(operator), count)
            problem = "" if scheme == FLOAT_SCHEME else _problem(scheme, operator, graph)
            named = place is not None and operator.name in recipe.rules[place - 1].operators
            if named and problem not in ("", _NO_WEIGHTS):
                raise InputError(
                    f"recipe {recipe.name}, rule {place}: {operator.name} is not made {kind_of(scheme)}, {problem}",
                    code="E_RECIPE_RULE",
                    hint="give it another scheme, or scheme: float",
                )
            if not problem:
                planned.append(Planned(operator, scheme))
                continue
            # A reshape without weights is float because there is nothing to store otherwise: no news.
            news = scheme.activations.mode == "static" or weight is not None
            planned.append(Planned(operator, FLOAT_SCHEME, problem if news else ""))
    planner.require_all([p.operator.name for p in planned])
    return Plan(recipe, tuple(planned))


def _problem(scheme: Scheme, operator: Operator, graph: Graph) -> str:
    """Why an operator cannot have a scheme; empty where it can."""
    kind = kind_of(scheme)
    name = _quantizer_name(operator.code)
    if name is None or not _takes(scheme, name):
        return f"the quantizer makes no {kind} of it"
    weight = graph.weight(operator)
    if scheme.activations.mode != "static":
        if weight is None:
            return _NO_WEIGHTS
        if weight.kind != "float32":
            return f"its weights are {weight.kind}"
    if scheme.weights.granularity.startswith("block") and weight is not None:
        size = int(scheme.weights.granularity.partition("-")[2])
        if weight.shape[-1] % size:
            return f"its {weight.shape[-1]} columns are no multiple of {size}"
    return ""


def _quantizer_name(code: int) -> Any:
    names = need("ai_edge_quantizer.utils.tfl_flatbuffer_utils", "litert", _WHAT).TFL_OP_CODE_TO_NAME
    return names.get(code)


def _takes(scheme: Scheme, name: Any) -> bool:
    """Whether the quantizer knows this scheme for this operator."""
    manager = need("ai_edge_quantizer.algorithm_manager", "litert", _WHAT)
    algorithm, config = _configured(scheme)
    if not manager.is_op_registered(algorithm, name):
        return False
    try:
        manager.check_op_quantization_config(algorithm, name, config)
    except ValueError:
        return False
    return True


def _configured(scheme: Scheme) -> tuple[Any, Any]:
    """The quantizer's algorithm and configuration of a scheme."""
    types = need("ai_edge_quantizer.qtyping", "litert", _WHAT)
    algorithms = need("ai_edge_quantizer.algorithm_manager", "litert", _WHAT).AlgorithmName
    weights, activations = scheme.weights, scheme.activations
    half = weights.type == "float"
    granularity = _GRANULARITY.get(
        weights.granularity, weights.granularity.upper().replace("BLOCK-", "BLOCKWISE_")
    )
    weight = types.TensorQuantizationConfig(
        num_bits=weights.bits,
        symmetric=weights.symmetric,
        granularity=types.QuantGranularity.CHANNELWISE if half else types.QuantGranularity[granularity],
        dtype=types.TensorDataType.FLOAT if half else types.TensorDataType.INT,
    )
    activation = None
    if activations.mode == "static":
        activation = types.TensorQuantizationConfig(
            num_bits=activations.bits, symmetric=activations.symmetric
        )
    expand = activations.mode == "float"
    config = types.OpQuantizationConfig(
        activation_tensor_config=activation,
        weight_tensor_config=weight,
        compute_precision=types.ComputePrecision.FLOAT if expand else types.ComputePrecision.INTEGER,
        explicit_dequantize=expand,
    )
    by_ranges = {
        "min-max": algorithms.MIN_MAX_UNIFORM_QUANT,
        "mse": algorithms.MSE,
        "octav": algorithms.OCTAV,
    }
    return (algorithms.FLOAT_CASTING if half else by_ranges[weights.ranges]), config


def quantizer_rules(plan: Plan, graphs: Sequence[Graph]) -> Any:
    """The plan in the quantizer's own form: the most common scheme for all, then exceptions by name."""
    manager = need("ai_edge_quantizer.recipe_manager", "litert", _WHAT).RecipeManager()
    operators = need("ai_edge_quantizer.qtyping", "litert", _WHAT).TFLOperationName
    algorithms = need("ai_edge_quantizer.algorithm_manager", "litert", _WHAT).AlgorithmName
    base = plan.recipe.base
    if base != FLOAT_SCHEME:
        algorithm, config = _configured(base)
        manager.add_quantization_config(".*", operators.ALL_SUPPORTED, config, algorithm)
    others: dict[Scheme, list[str]] = {}
    for planned in plan.planned:
        if planned.scheme != base and (base != FLOAT_SCHEME or planned.scheme != FLOAT_SCHEME):
            scope = "".join(f"{name};" for name in graphs[planned.operator.subgraph].named(planned.operator))
            others.setdefault(planned.scheme, []).append(re.escape(scope))
    for scheme, scopes in others.items():
        pattern = f"^(?:{'|'.join(scopes)})$"
        # Nothing first: what the scheme does not make must not fall back to the base.
        manager.add_quantization_config(
            f"(?:{pattern})", operators.ALL_SUPPORTED, algorithm_key=algorithms.NO_QUANTIZE
        )
        if scheme != FLOAT_SCHEME:
            algorithm, config = _configured(scheme)
            manager.add_quantization_config(pattern, operators.ALL_SUPPORTED, config, algorithm)
    if plan.recipe.boundary == "float":
        # Inputs and outputs keep their types: the application around the model does not have to change.
        for end in (operators.INPUT, operators.OUTPUT):
            manager.add_quantization_config("(?:.*)", end, algorithm_key=algorithms.NO_QUANTIZE)
    return manager.get_quantization_recipe()
