"""A TFLite file's operators and tensors, as far as recipes are concerned with them. Pure, but for LiteRT's schema classes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need
from edgekit.conversion.targets.tflite_file import damage

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_WHAT = "quantizing a TFLite model"
_WEIGHTS_AT = {
    "CONV_2D": (1, 2), "DEPTHWISE_CONV_2D": (1, 2), "FULLY_CONNECTED": (1, 2), "TRANSPOSE_CONV": (1, 3),
    "EMBEDDING_LOOKUP": (1, None), "BATCH_MATMUL": (1, None),
}  # fmt: skip
"""Where an operator has its weights among its inputs, and its bias."""
MOVES = ("QUANTIZE", "DEQUANTIZE")
"""What a quantizer puts between operators."""


@dataclass(frozen=True)
class Tensor:
    """`kind`: the dtype as TFLite calls it, in lower case. `zero`, `scale`: empty where it is not quantized."""

    name: str
    kind: str
    shape: tuple[int, ...]
    raw: Any
    data: Any

    @property
    def constant(self) -> bool:
        return self.data is not None and len(self.data) > 0

    @cached_property
    def scale(self) -> Array:
        import numpy as np

        found = self.raw.quantization.scale if self.raw.quantization is not None else None
        return np.asarray([] if found is None else found, dtype=np.float64)

    @cached_property
    def zero(self) -> Array:
        import numpy as np

        found = self.raw.quantization.zeroPoint if self.raw.quantization is not None else None
        return np.asarray([0] if found is None or not len(found) else found, dtype=np.int64)

    @property
    def axis(self) -> int:
        return int(self.raw.quantization.quantizedDimension) if self.raw.quantization is not None else 0

    @property
    def blocks(self) -> Any:
        """BlockwiseQuantization where that is how it is stored."""
        quantization = self.raw.quantization
        return quantization.details if quantization is not None and quantization.detailsType == 2 else None

    def values(self) -> Array:
        """Stored values of a constant, int4 and int2 unpacked."""
        import numpy as np

        data = np.asarray(self.data, dtype=np.uint8)
        bits = {"int4": 4, "int2": 2}.get(self.kind)
        if bits is None:
            return data.view(_DTYPES[self.kind]).reshape(self.shape)
        per_byte = 8 // bits
        parts = np.stack([(data >> (bits * i)) & (2**bits - 1) for i in range(per_byte)], axis=-1).reshape(-1)
        signed = parts.astype(np.int8)
        signed[signed >= 2 ** (bits - 1)] -= 2**bits
        return signed[: int(np.prod(self.shape))].reshape(self.shape)


@dataclass(frozen=True)
class Operator:
    """`number`: its place among all operators of its subgraph. `inputs` may have -1 for one that is not given."""

    name: str
    code: int
    subgraph: int
    number: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    raw: Any


@dataclass(frozen=True)
class Graph:
    """One subgraph."""

    number: int
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @cached_property
    def makers(self) -> dict[int, Operator]:
        """The operator that makes a tensor, by the tensor's number."""
        return {made: operator for operator in self.operators for made in operator.outputs}

    def weight(self, operator: Operator) -> Tensor | None:
        """The constant that holds the operator's weights, followed back through a DEQUANTIZE."""
        at = _WEIGHTS_AT.get(operator.name)
        return self._constant(operator, at[0]) if at else None

    def bias(self, operator: Operator) -> Tensor | None:
        at = _WEIGHTS_AT.get(operator.name)
        return self._constant(operator, at[1]) if at and at[1] is not None else None

    def _constant(self, operator: Operator, place: int) -> Tensor | None:
        number = operator.inputs[place] if place < len(operator.inputs) else -1
        if number < 0:
            return None
        maker = self.makers.get(number)
        if maker is not None and maker.name in MOVES:
            number = maker.inputs[0] if maker.inputs else -1
        if number < 0:  # a file can say so, though no kernel takes it
            return None
        tensor = self.tensors[number]
        return tensor if tensor.constant else None

    def named(self, operator: Operator) -> tuple[str, ...]:
        """What the operator's layer may be called: its outputs."""
        return tuple(self.tensors[number].name for number in operator.outputs if number >= 0)


def read_graphs(data: bytes) -> tuple[Graph, ...]:
    """Raises ModelError E_MODEL_CORRUPT, MissingExtra."""
    schema = need("ai_edge_litert.schema_py_generated", "litert", _WHAT)
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    kinds = {v: k.lower() for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
    with damage():
        model = schema.ModelT.InitFromPackedBuf(data)
        return tuple(
            _graph(number, graph, model, data, names, kinds) for number, graph in enumerate(model.subgraphs)
        )


def _contents(buffer: Any, data: bytes) -> Any:
    """A buffer's bytes: in it, or behind the model in the file (offsets 0 and 1 mean neither)."""
    import numpy as np

    if buffer.offset > 1 and buffer.size:
        return np.frombuffer(data, dtype=np.uint8, count=buffer.size, offset=buffer.offset)
    return buffer.data


def _graph(
    number: int, graph: Any, model: Any, data: bytes, names: dict[int, str], kinds: dict[int, str]
) -> Graph:
    tensors = tuple(
        Tensor(
            name=tensor.name.decode(errors="replace") if tensor.name else "",
            kind=kinds.get(tensor.type, str(tensor.type)),
            shape=tuple(int(dim) for dim in (() if tensor.shape is None else tensor.shape)),
            raw=tensor,
            data=_contents(model.buffers[tensor.buffer], data),
        )
        for tensor in graph.tensors
    )
    operators = []
    for place, operator in enumerate(graph.operators or ()):
        code = model.operatorCodes[operator.opcodeIndex]
        builtin = max(int(code.builtinCode), int(code.deprecatedBuiltinCode))
        operators.append(
            Operator(
                name=names.get(builtin, str(builtin)),
                code=builtin,
                subgraph=number,
                number=place,
                inputs=_numbers(operator.inputs),
                outputs=_numbers(operator.outputs),
                raw=operator,
            )
        )
    return Graph(number, tensors, tuple(operators), _numbers(graph.inputs), _numbers(graph.outputs))


def _numbers(values: Any) -> tuple[int, ...]:
    return () if values is None else tuple(int(value) for value in values)


_DTYPES = {
    "float32": "<f4", "float16": "<f2", "int8": "<i1", "uint8": "<u1", "int16": "<i2", "int32": "<i4", "int64": "<i8",
    "bool": "?",
}  # fmt: skip
