"""Whether an edited .tflite file computes what it computed: LiteRT runs both.

1. Every constant that was expanded equals what LiteRT's own operators make of it: bit for bit where no arithmetic is
   needed (float16, sparse), within the rounding of one multiplication for integers. That does not depend on inputs.
2. The outputs of both files on made-up inputs are the same: bit for bit where nothing but names changed; within
   rounding where constants were expanded, because a kernel may add in another order when its weights are constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need, quiet
from edgekit.conversion.hosts.tflite import TfliteHost
from edgekit.conversion.targets.takeable import Edited, NotTakeable
from edgekit.conversion.targets.tflite_file import code_of, listed, packed, unpacked
from edgekit.conversion.targets.tflite_folding import FOLDED_OPERATORS
from edgekit.conversion.verify import TOLERANCES
from edgekit.errors import ModelError
from edgekit.models.info import ModelInfo

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

ROUNDING = TOLERANCES["float32"]
"""Largest difference as a share of the largest output, as for every conversion that computes in float32."""
_ONE_ROUNDING = 2.5e-7
"""Two units in the last place of the largest value."""
SAMPLES = 3


@dataclass(frozen=True)
class Proof:
    """`apart`: largest difference of an output as a share of its largest value; 0 is bit for bit. `constants`: how
    many were compared with LiteRT's own, `constants_apart`: their largest difference in the same way."""

    apart: float
    samples: int
    constants: int
    constants_apart: float

    def words(self) -> str:
        """For a manifest's notes."""
        constants = (
            f"{self.constants} expanded constants {_equal(self.constants_apart)} to what LiteRT makes of them, "
            if self.constants
            else ""
        )
        outputs = f"outputs {_equal(self.apart)} on {self.samples} made-up inputs"
        return f"nothing else changed: {constants}{outputs}"


def _equal(apart: float) -> str:
    return "bit for bit equal" if apart == 0 else f"within {apart:.1e} of the largest value equal"


def prove(before: bytes, info: ModelInfo, edited: Edited, samples: Sequence[Sequence[Array]]) -> Proof:
    """Compare a file with its edit. `info`: of the file as it was; `samples`: stored values, in its order.

    Raises NotTakeable where anything differs, or where that cannot be found out; MissingExtra.
    """
    if info.signature is None or edited.info.signature is None:
        raise NotTakeable("it has no inputs or no outputs")
    constants_apart = _compare_constants(before, edited)
    try:
        old = TfliteHost(before, info.signature, "the model")
        new = TfliteHost(edited.data, edited.info.signature, "the edited model")
        apart = 0.0
        for sample in samples:
            for spec, a, b in zip(info.signature.outputs, old.run(sample), new.run(sample), strict=True):
                found = difference(a, b)
                if found is None or found > (ROUNDING if edited.expanded else 0.0):
                    raise NotTakeable(f"output '{spec.name}' of the edited file is another one")
                apart = max(apart, found)
    except ModelError as error:
        raise NotTakeable(
            f"whether the edited file computes the same cannot be told: {error.message}"
        ) from error
    return Proof(apart, len(samples), len(edited.folding.constants), constants_apart)


def difference(before: Array, after: Array) -> float | None:
    """Largest difference over the largest finite magnitude; 0 where both are the same bit for bit (NaN included), None
    where shapes, types or what is not finite differ. Pure."""
    import numpy as np

    if before.shape != after.shape or before.dtype != after.dtype:
        return None
    if before.tobytes() == after.tobytes():
        return 0.0
    if before.dtype.kind != "f":
        return None
    a, b = before.astype(np.float64), after.astype(np.float64)
    finite = np.isfinite(a)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(b[finite]).all():
        return None
    largest = float(np.abs(a[finite]).max(initial=0.0))
    apart = float(np.abs(a[finite] - b[finite]).max(initial=0.0))
    return apart / largest if largest else (0.0 if apart == 0 else None)


def _compare_constants(before: bytes, edited: Edited) -> float:
    """The largest difference of all expanded constants. Raises NotTakeable."""
    module = need("ai_edge_litert.interpreter", "litert", "running a TFLite model on this host")
    constants, apart = edited.folding.constants, 0.0
    for number in sorted({constant.subgraph for constant in constants}):
        mine = [constant for constant in constants if constant.subgraph == number]
        try:
            with quiet():
                interpreter = module.Interpreter(
                    model_content=_constants_only(before, number, [one.tensor for one in mine]),
                    experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                    num_threads=1,
                )
                interpreter.allocate_tensors()
                interpreter.invoke()
                made = [
                    interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()
                ]
        except (ValueError, RuntimeError, ModelError) as error:
            raise NotTakeable(f"LiteRT does not expand its constants: {error}") from error
        for constant, theirs in zip(mine, made, strict=True):
            found = difference(theirs, constant.values)
            if found is None or found > (0.0 if constant.exact else _ONE_ROUNDING):
                raise NotTakeable(f"constant '{constant.name}' was expanded to other values than LiteRT's")
            apart = max(apart, found)
    return apart


def _constants_only(data: bytes, number: int, tensors: Sequence[int]) -> bytes:
    """A file with nothing but the operators that expand these tensors of one graph, which are its outputs."""
    model = unpacked(data)
    graph = model.subgraphs[number]
    wanted, kept = set(tensors), []
    for operator in reversed(listed(graph.operators)):
        if wanted.intersection(listed(operator.outputs)) and code_of(model, operator) in FOLDED_OPERATORS:
            wanted |= set(listed(operator.inputs))
            kept.append(operator)
    graph.operators = kept[::-1]
    graph.inputs, graph.outputs = [], list(tensors)
    model.subgraphs, model.signatureDefs, model.metadata = [graph], None, None
    return packed(model, len(data))
