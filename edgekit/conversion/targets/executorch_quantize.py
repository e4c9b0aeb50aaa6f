"""A PyTorch program quantized as planned: torchao's pt2e with XNNPACK's quantizer, ranges by edgekit's own observers; and the
quantized program read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need
from edgekit.conversion.ranges import Gatherer, Range
from edgekit.conversion.recipes.schema import FLOAT_SCHEME, Scheme
from edgekit.conversion.targets.base import Stream
from edgekit.conversion.targets.executorch_plan import Plan, Planned
from edgekit.errors import VerificationError
from edgekit.events import Event, Sink

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_WHAT = "quantizing for ExecuTorch"
_EVERY = 50
_HALF_STEP = 0.502
_WIDER = 1.05
_SHOWN = 3
_SMALLEST_STEP = 2**-12
"""What XNNPACK's quantizer asks of its observers."""


@dataclass(frozen=True)
class Quantized:
    """`module`: torch.fx.GraphModule with quantize and dequantize operators. `stored`: what each integer activation can
    hold, half a step beyond its range included."""

    module: Any
    gatherer: Gatherer
    stored: Mapping[str, tuple[float, float]]


def quantize(module: Any, example: Sequence[Any], plan: Plan, samples: Stream, sink: Sink) -> Quantized:
    """`module`: of the program that `plan` was made for. It is changed. `example`: tensors that it takes.

    Raises MissingExtra, InputError E_DATA_VALUES, VerificationError (E_NOTHING_QUANTIZED, E_RECIPE_NOT_MET); what torch
    raises is passed on.
    """
    torch = need("torch", "torch", _WHAT)
    pt2e = need("torchao.quantization.pt2e.quantize_pt2e", "executorch", _WHAT)
    gatherer = Gatherer(plan.recipe.ranges.method, plan.recipe.ranges.percentile)
    watch = _Watch(gatherer)
    prepared = pt2e.prepare_pt2e(module, _quantizer(plan, watch))
    weights = _weights(prepared, plan)
    if any(scheme.activations.mode == "static" for scheme in plan.schemes):
        _run(torch, prepared, watch, samples, sink)
    else:
        # The observers of weights see them when the model runs: without that they would have one made-up scale.
        with torch.no_grad():
            prepared(*example)
    names = watch.named(prepared)
    converted = convert(prepared)
    found = {names[key]: r for key, r in watch.ranges().items() if key in names}
    stored = check(converted, plan, weights, found)
    gatherer.found = {names[key]: h for key, h in gatherer.found.items() if key in names}
    return Quantized(converted, gatherer, stored)


def convert(prepared: Any) -> Any:
    """Observers become quantize and dequantize operators, weights their integers."""
    return need("torchao.quantization.pt2e.quantize_pt2e", "executorch", _WHAT).convert_pt2e(prepared)


def _run(torch: Any, prepared: Any, watch: _Watch, samples: Stream, sink: Sink) -> None:
    total = len(samples)
    with torch.no_grad():
        for index, sample in enumerate(samples):
            watch.sample = index
            prepared(*(torch.from_numpy(array.copy()) for array in sample))
            if index % _EVERY == 0:
                sink(Event("calibrate", done=index + 1, total=total, unit="samples"))
    sink(Event("calibrate", done=total, total=total, unit="samples"))


class _Watch:
    """The observers of one model, which share one gatherer. A key is an observer's number."""

    def __init__(self, gatherer: Gatherer) -> None:
        self.gatherer, self.sample = gatherer, 0
        self.observers: dict[str, Any] = {}
        self.symmetric: dict[str, bool] = {}

    def ranges(self) -> dict[str, Range]:
        return self.gatherer.ranges({key: (8, symmetric) for key, symmetric in self.symmetric.items()})

    def named(self, prepared: Any) -> dict[str, str]:
        """The node that each observer is behind; one that several share has the first."""
        by_observer = {id(observer): key for key, observer in self.observers.items()}
        found: dict[str, str] = {}
        for node in prepared.graph.nodes:
            if node.op == "call_module":
                key = by_observer.get(id(getattr(prepared, node.target)))
                if key is not None:
                    found.setdefault(key, node.args[0].name)
        return found

    def observer(self) -> Any:
        """A class as torchao wants it: its instances gather, and tell scale and zero point from edgekit's ranges."""
        torch = need("torch", "torch", _WHAT)
        base = need("torchao.quantization.pt2e.observer", "executorch", _WHAT).UniformQuantizationObserverBase
        watch = self

        class Observer(base):  # type: ignore[misc, valid-type]
            def __init__(self, **given: Any) -> None:
                super().__init__(**given)
                self.key = str(len(watch.observers))
                watch.observers[self.key] = self
                watch.symmetric[self.key] = given.get("qscheme") == torch.per_tensor_symmetric

            def forward(self, values: Any) -> Any:
                if values.numel() and values.is_floating_point():
                    watch.gatherer.add(self.key, values.detach().float().numpy(), watch.sample)
                return values

            def calculate_qparams(self) -> Any:
                found = watch.ranges().get(self.key, Range(0.0, 0.0, 0.0, 0.0))
                return self._calculate_qparams(torch.tensor(found.low), torch.tensor(found.high))

        return Observer


def _quantizer(plan: Plan, watch: _Watch) -> Any:
    """XNNPACK's quantizer once for each scheme, each for its own operators."""
    module = need("executorch.backends.xnnpack.quantizer.xnnpack_quantizer", "executorch", _WHAT)
    compose = need("torchao.quantization.pt2e.quantizer.composable_quantizer", "executorch", _WHAT)
    planned = {p.name: p for p in plan.planned}

    def fits(scheme: Scheme) -> Any:
        def fit(node: Any) -> bool:
            found = planned.get(node.name)
            # A ReLU belongs to what it is behind, unless a rule says that it stays as it is.
            return found is None or found.scheme == scheme or not (found.made or found.ruled)

        return fit

    return compose.ComposableQuantizer(
        [
            module.XNNPACKQuantizer().set_global(_config(scheme, watch)).set_filter_function(fits(scheme))
            for scheme in plan.schemes
        ]
    )


def _config(scheme: Scheme, watch: _Watch) -> Any:
    torch = need("torch", "torch", _WHAT)
    module = need("executorch.backends.xnnpack.quantizer.xnnpack_quantizer", "executorch", _WHAT)
    parts = need("torchao.quantization.pt2e.quantizer", "executorch", _WHAT)
    config = module.get_symmetric_quantization_config(
        is_per_channel=scheme.weights.granularity == "channel",
        is_dynamic=scheme.activations.mode == "dynamic",
    )
    if scheme.activations.mode == "dynamic":
        return config
    activation = parts.QuantizationSpec(
        dtype=torch.int8,
        quant_min=-128,
        quant_max=127,
        qscheme=torch.per_tensor_symmetric if scheme.activations.symmetric else torch.per_tensor_affine,
        observer_or_fake_quant_ctr=watch.observer().with_args(eps=_SMALLEST_STEP),
    )
    return parts.QuantizationConfig(activation, activation, config.weight, config.bias, config.is_qat)


def _weights(prepared: Any, plan: Plan) -> dict[str, Array]:
    """The float weights of what has any, by the operator's name; normalization that comes behind is in them by now."""
    nodes = {node.name: node for node in prepared.graph.nodes}
    found = {}
    for planned in plan.planned:
        if planned.weighted and planned.name in nodes:
            given = nodes[planned.name].args[1]
            source = given.args[0] if given.op == "call_module" else given
            found[planned.name] = _attribute(prepared, source.target).detach().float().numpy().copy()
    return found


def _attribute(module: Any, path: str) -> Any:
    for part in path.split("."):
        module = getattr(module, part)
    return module


def check(
    module: Any, plan: Plan, weights: Mapping[str, Array], ranges: Mapping[str, Range]
) -> dict[str, tuple[float, float]]:
    """The quantized program against the plan, the float weights and the ranges found. It is what the file is lowered from: a
    .pte keeps its weights in XNNPACK's own form, which is not read here."""
    nodes = {node.name: node for node in module.graph.nodes}
    wanted = [p for p in plan.planned if p.scheme != FLOAT_SCHEME and p.made]
    if not any(_dequantized(nodes[p.name].args[0]) for p in wanted if p.name in nodes and p.weighted):
        raise VerificationError(
            f"no operator became what recipe {plan.recipe.name} says: nothing was quantized",
            code="E_NOTHING_QUANTIZED",
            hint="the model has no operators that this recipe quantizes; use --recipe float32",
        )
    wrong = [problem for p in plan.planned if p.weighted for problem in _weight(p, nodes, module, weights)]
    stored: dict[str, tuple[float, float]] = {}
    clips = plan.recipe.ranges.method != "min-max"
    for node in module.graph.nodes:
        if str(node.target) != "quantized_decomposed.quantize_per_tensor.default":
            continue
        scale, zero, least, most = (float(value) for value in node.args[1:5])
        low, high = (least - zero) * scale, (most - zero) * scale
        name = node.args[0].name
        stored[name] = (low - scale / 2, high + scale / 2)
        found = ranges.get(name)
        if found is None:
            continue
        outside = found.low < low - scale or found.high > high + scale
        needed = 2 * max(-found.low, found.high) if zero == 0 else found.high - found.low
        if outside and not clips:
            wrong.append(f"{name}: stored from {low:.4g} to {high:.4g}, calibration found {found.low:.4g} to {found.high:.4g}")  # fmt: skip
        elif scale > _SMALLEST_STEP * 1.01 and scale * 255 > needed * _WIDER + 1e-4:
            wrong.append(
                f"{name}: a step is {scale:.4g}, {needed / 255:.4g} is enough for what calibration found"
            )
    if wrong:
        more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise VerificationError(
            f"the program is not what recipe {plan.recipe.name} says: {'; '.join(wrong[:_SHOWN])}{more}",
            code="E_RECIPE_NOT_MET",
            hint="the quantizer reported success; try another --recipe, and please report it",
        )
    return stored


def _dequantized(node: Any) -> bool:
    return str(getattr(node, "target", "")).startswith("quantized_decomposed.dequantize")


def _weight(planned: Planned, nodes: Mapping[str, Any], module: Any, weights: Mapping[str, Array]) -> Iterator[str]:  # fmt: skip
    import numpy as np

    name = f"{planned.op} {planned.name}"
    node = nodes.get(planned.name)
    if node is None:
        yield f"{name} is gone"
        return
    given = node.args[1]
    integers = planned.scheme != FLOAT_SCHEME
    if _dequantized(given) != integers:
        yield f"{name}: its weights {'stayed float' if integers else 'are integers, it was to stay float'}"
        return
    if not integers:
        return
    if not _dequantized(node.args[0]):
        yield f"{name}: its input stayed float"
    stored = _attribute(module, given.args[0].target).numpy().astype(np.float64)
    real = weights[planned.name]
    per_channel = "per_channel" in str(given.target)
    if per_channel != (planned.scheme.weights.granularity == "channel"):
        yield f"{name}: weights have {'a scale for each channel' if per_channel else 'one scale'}, the recipe says per {planned.scheme.weights.granularity}"  # fmt: skip
        return
    steps: Any = given.args[1]
    if per_channel:
        axis = int(given.args[3])
        steps = _attribute(module, steps.target).numpy().astype(np.float64)
        if steps.size != real.shape[axis]:
            yield f"{name}: weights have {steps.size} scales for {real.shape[axis]} channels"
            return
        steps = steps.reshape([-1 if i == axis else 1 for i in range(real.ndim)])
    error = np.abs(stored * steps - real)
    if (error > _HALF_STEP * np.asarray(steps) + 1e-12).any():
        yield f"{name}: weights are off by up to {error.max():.3g}"
