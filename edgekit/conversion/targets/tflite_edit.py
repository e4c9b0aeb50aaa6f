"""Edits of a .tflite file, bytes to bytes: names of its inputs and outputs, and the order of their dimensions.

The same input gives the same bytes.

Names are those of the file's signature where it has one, else of its tensors. TRANSPOSE's versions are those that
TensorFlow 2.21's converter writes: 1; int8 and int16 2; bool 3; five dimensions 4; six 6.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.conversion.targets.tflite_file import (
    code_of,
    constant_of,
    listed,
    packed,
    schema,
    text,
    unpacked,
)
from edgekit.errors import InputError, ModelError

SIGNATURE = "serving_default"
_TRANSPOSE = 39
_INT32 = 2
_INT8, _INT16, _BOOL = 9, 7, 6
_NONE = -1

Perm = tuple[int, ...]


def renamed(
    data: bytes, inputs: Mapping[str, str] | Sequence[str], outputs: Mapping[str, str] | Sequence[str]
) -> bytes:
    """The same model with other names for its inputs and outputs, of tensors and in its signature.

    A sequence names all in the model's own order; a mapping goes from old names to new. A model without a signature
    gets one, "serving_default". Another tensor that has a new name already gets one with a number behind it.
    Raises ModelError (damaged, E_MODEL_LARGE, E_MODEL_SIGNATURES), InputError E_NAMES, MissingExtra.
    """
    edit = _Edit(data)
    edit.rename(edit.graph.inputs, _new_names(edit.names_in, inputs), edit.names_in)
    edit.rename(edit.graph.outputs, _new_names(edit.names_out, outputs), edit.names_out)
    return edit.packed()


def permuted(data: bytes, inputs: Mapping[str, Perm], outputs: Mapping[str, Perm]) -> bytes:
    """The same model with dimensions of inputs and outputs in another order: dimension `i` of the result is
    `perm[i]` of what it was, as in numpy.transpose. (0, 2, 3, 1) makes NHWC of NCHW.

    A TRANSPOSE is put behind an input or before an output, or one that is there is changed or dropped. Names and
    quantization stay. Raises ModelError (damaged, E_MODEL_LARGE, E_MODEL_SIGNATURES), InputError E_NAMES,
    InputError E_PERMUTATION, MissingExtra.
    """
    edit = _Edit(data)
    for name, perm in inputs.items():
        edit.permute_input(_place(name, edit.names_in), perm, name)
    for name, perm in outputs.items():
        edit.permute_output(_place(name, edit.names_out), perm, name)
    return edit.packed()


def unmade_tensors(data: bytes) -> tuple[str, ...]:
    """Names of tensors that an operator reads but that are no input, constant, variable or result of another: such
    a file loads and then fails. Raises as `renamed`."""
    found = []
    edit = _Edit(data)
    for graph in edit.model.subgraphs:
        operators = listed(graph.operators)
        made = {*listed(graph.inputs)}.union(*(listed(operator.outputs) for operator in operators))
        for index in sorted({index for operator in operators for index in listed(operator.inputs)} - made):
            tensor = graph.tensors[index] if index != _NONE else None
            if tensor is None or tensor.isVariable or 0 in listed(tensor.shape):
                continue
            if constant_of(edit.model, tensor) is None:
                found.append(text(tensor.name))
    return tuple(found)


def _new_names(old: Sequence[str], given: Mapping[str, str] | Sequence[str]) -> list[str]:
    if isinstance(given, Mapping):
        for name in given:
            _place(name, old)
        new = [given.get(name, name) for name in old]
    else:
        new = list(given)
    if len(new) != len(old) or len(set(new)) != len(new) or not all(new):
        raise InputError(
            f"the model has {len(old)} tensors there ({', '.join(old)}), the names for them are {new}",
            code="E_NAMES",
            hint="give one name for each, all different",
        )
    return new


def _place(name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise InputError(
            f"the model has no '{name}' there; it has {', '.join(names) or 'none'}", code="E_NAMES"
        )
    return list(names).index(name)


class _Edit:
    """A model taken apart: `graph` is the subgraph that the signature is about, `names_in` and `names_out` go with
    its inputs and outputs in order."""

    def __init__(self, data: bytes) -> None:
        self.model = unpacked(data)
        self.schema = schema()
        self.size = len(data)
        definitions = self.model.signatureDefs or []
        if len(definitions) > 1:
            raise ModelError(
                f"the model has {len(definitions)} signatures; only one is supported",
                code="E_MODEL_SIGNATURES",
                hint="export the model with the one signature that shall run on the device",
            )
        self.definition = definitions[0] if definitions else None
        self.graph = self.model.subgraphs[self.definition.subgraphIndex if self.definition else 0]
        self.graph.operators = listed(self.graph.operators)
        for part in (self.graph, *self.graph.operators):
            part.inputs, part.outputs = listed(part.inputs), listed(part.outputs)
        self.names_in = self._names(self.graph.inputs, "inputs")
        self.names_out = self._names(self.graph.outputs, "outputs")

    def _names(self, tensors: Sequence[int], kind: str) -> list[str]:
        entries = (getattr(self.definition, kind) or []) if self.definition else []
        by_tensor = {int(entry.tensorIndex): text(entry.name) for entry in entries}
        return [by_tensor.get(index) or text(self.graph.tensors[index].name) for index in tensors]

    def packed(self) -> bytes:
        """The model's bytes, its signature made from `names_in` and `names_out`."""
        if self.definition is None:
            self.definition = self.schema.SignatureDefT()
            self.definition.signatureKey = SIGNATURE
            self.definition.subgraphIndex = self.model.subgraphs.index(self.graph)
            self.model.signatureDefs = [self.definition]
        for kind, names in (("inputs", self.names_in), ("outputs", self.names_out)):
            maps = []
            for name, index in zip(names, getattr(self.graph, kind), strict=True):
                entry = self.schema.TensorMapT()
                entry.name, entry.tensorIndex = name, index
                maps.append(entry)
            setattr(self.definition, kind, maps)
        return packed(self.model, self.size)

    def rename(self, tensors: Sequence[int], new: Sequence[str], names: list[str]) -> None:
        for index, name in zip(tensors, new, strict=True):
            self._make_way(name, index)
            self.graph.tensors[index].name = name
        names[:] = new

    def _make_way(self, name: str, keeper: int) -> None:
        """No two tensors shall have one name: quantizers look them up by it."""
        for index, tensor in enumerate(self.graph.tensors):
            if index != keeper and text(tensor.name) == name:
                tensor.name = self._free_name(name)

    def _free_name(self, name: str) -> str:
        taken = {text(tensor.name) for tensor in self.graph.tensors} | {*self.names_in, *self.names_out}
        return next(free for number in range(1, len(taken) + 2) if (free := f"{name}_{number}") not in taken)

    def permute_input(self, place: int, perm: Perm, name: str) -> None:
        inner = self.graph.inputs[place]
        _check_perm(perm, self.graph.tensors[inner], name)
        outer = self._permuted_tensor(inner, perm)
        self.graph.inputs[place] = outer
        inverse = _inverse(perm)
        readers = [op for op in self.graph.operators if inner in op.inputs]
        old = self._perm_of(readers[0]) if len(readers) == 1 and inner not in self.graph.outputs else None
        if old is None:
            self.graph.operators.insert(0, self._transpose(outer, inner, inverse))
            return
        result = readers[0].outputs[0]
        after = tuple(inverse[dim] for dim in old)
        if after == tuple(range(len(perm))) and result not in self.graph.outputs:
            self.graph.operators.remove(readers[0])
            self._replace_input(result, outer)
        else:
            at = self.graph.operators.index(readers[0])
            self.graph.operators[at] = self._transpose(outer, result, after)

    def permute_output(self, place: int, perm: Perm, name: str) -> None:
        inner = self.graph.outputs[place]
        _check_perm(perm, self.graph.tensors[inner], name)
        read = any(inner in op.inputs for op in self.graph.operators)
        shared = read or self.graph.outputs.count(inner) > 1 or inner in self.graph.inputs
        maker = next((op for op in self.graph.operators if inner in op.outputs), None)
        old = self._perm_of(maker) if maker is not None and not shared else None
        if maker is None or old is None:
            outer = self._permuted_tensor(inner, perm)
            self.graph.operators.append(self._transpose(inner, outer, perm))
        else:
            source = maker.inputs[0]
            after = tuple(old[dim] for dim in perm)
            bound = source in self.graph.inputs or source in self.graph.outputs
            if after == tuple(range(len(perm))) and not bound:
                self.graph.operators.remove(maker)
                outer = source
                self._swap_names(inner, outer)
            else:
                outer = self._permuted_tensor(inner, perm)
                self.graph.operators[self.graph.operators.index(maker)] = self._transpose(
                    source, outer, after
                )
        self.graph.outputs[place] = outer

    def _replace_input(self, old: int, new: int) -> None:
        for operator in self.graph.operators:
            operator.inputs = [new if index == old else index for index in operator.inputs]

    def _swap_names(self, first: int, second: int) -> None:
        a, b = self.graph.tensors[first], self.graph.tensors[second]
        a.name, b.name = b.name, a.name

    def _permuted_tensor(self, inner: int, perm: Perm) -> int:
        """A tensor like another with its dimensions permuted; it takes the name, the other gets a new one."""
        old = self.graph.tensors[inner]
        new = copy.deepcopy(old)
        new.shape = [int(old.shape[dim]) for dim in perm]
        if old.shapeSignature is not None and len(old.shapeSignature):
            new.shapeSignature = [int(old.shapeSignature[dim]) for dim in perm]
        new.buffer, new.isVariable = 0, False
        if new.quantization is not None and len(listed(new.quantization.scale)) > 1:
            new.quantization.quantizedDimension = perm.index(new.quantization.quantizedDimension)
        old.name = self._free_name(f"{text(old.name)}_inner")
        self.graph.tensors.append(new)
        return len(self.graph.tensors) - 1

    def _transpose(self, source: int, result: int, perm: Perm) -> Any:
        operator = self.schema.OperatorT()
        operator.opcodeIndex = self._code(_version(self.graph.tensors[source]))
        operator.inputs, operator.outputs = [source, self._constant(perm)], [result]
        return operator

    def _code(self, version: int) -> int:
        for index, code in enumerate(self.model.operatorCodes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == _TRANSPOSE and code.version == version:
                return index
        code = self.schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = _TRANSPOSE
        code.version = version
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def _constant(self, perm: Perm) -> int:
        import numpy as np

        buffer, tensor = self.schema.BufferT(), self.schema.TensorT()
        buffer.data = np.frombuffer(np.asarray(perm, "<i4").tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        tensor.shape, tensor.type, tensor.buffer = [len(perm)], _INT32, len(self.model.buffers) - 1
        tensor.name = self._free_name("permutation")
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def _perm_of(self, operator: Any) -> Perm | None:
        """The permutation of a TRANSPOSE with a constant one; None for any other operator."""
        import numpy as np

        if code_of(self.model, operator) != _TRANSPOSE or len(operator.inputs) != 2:
            return None
        tensor = self.graph.tensors[operator.inputs[1]]
        data = self.model.buffers[tensor.buffer].data
        if tensor.type != _INT32 or data is None or len(data) % 4 or operator.inputs[1] == _NONE:
            return None
        perm = tuple(int(dim) for dim in np.frombuffer(bytes(data), "<i4"))
        same_rank = len(perm) == len(listed(self.graph.tensors[operator.inputs[0]].shape))
        return perm if same_rank and sorted(perm) == list(range(len(perm))) else None


def _check_perm(perm: Perm, tensor: Any, name: str) -> None:
    rank = len(listed(tensor.shape))
    if sorted(perm) != list(range(rank)) or not 1 <= rank <= 6:
        raise InputError(f"'{name}' has {rank} dimensions, {perm} is no order of them", code="E_PERMUTATION")


def _inverse(perm: Perm) -> Perm:
    return tuple(perm.index(dim) for dim in range(len(perm)))


def _version(tensor: Any) -> int:
    rank = len(tensor.shape)
    by_rank = 6 if rank > 5 else 4 if rank == 5 else 1
    return max(by_rank, {_INT8: 2, _INT16: 2, _BOOL: 3}.get(tensor.type, 1))
