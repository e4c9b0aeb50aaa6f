"""A .tflite file made such that ai-edge-quantizer takes it, without a change in what it computes.

The quantizer wants a SignatureDef (for calibration), names that differ, and weights that are float32 constants of
the operators that use them. What can be put right is; what was done is proven by running both files
(`takeable_proof.py`). Docs: docs/adr/0005-quantizer.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.conversion.targets.tflite_edit import SIGNATURE
from edgekit.conversion.targets.tflite_file import listed, packed, schema, text, unpacked
from edgekit.conversion.targets.tflite_folding import NOTHING, Folding, fold
from edgekit.errors import ModelError
from edgekit.models.info import ModelInfo, Signature
from edgekit.models.inspect import inspect_tflite

_CONSTANTS_ONLY = ("DEQUANTIZE", "DENSIFY")


@dataclass(frozen=True)
class Edited:
    """A file that the quantizer takes. `data` is what it was where nothing had to be done; `done`: what was, in words;
    `folding`: the constants that were expanded."""

    data: bytes
    info: ModelInfo
    done: tuple[str, ...] = ()
    folding: Folding = NOTHING

    @property
    def expanded(self) -> bool:
        return bool(self.folding.constants)


class NotTakeable(Exception):
    """The file cannot be made such; says why, to be read behind "the quantizer cannot take it: "."""


def made_takeable(data: bytes, info: ModelInfo) -> Edited:
    """The edits that a file needs, if any. `info`: what `inspect_tflite` says of it.

    Raises NotTakeable, MissingExtra.
    """
    if info.signature is None:
        raise NotTakeable("it has no inputs or no outputs")
    folds = any(info.operators.get(name) for name in _CONSTANTS_ONLY)
    if not folds and (reason := remains(info, NOTHING)):
        raise NotTakeable(reason)
    if info.signature.key is not None and not folds:
        return Edited(data, info)  # the most usual case, without taking the file apart
    try:
        return _edited(data, info, info.signature)
    except ModelError as error:
        raise NotTakeable(error.message) from error


def _edited(data: bytes, info: ModelInfo, signature: Signature) -> Edited:
    model = unpacked(data)
    done = []
    folding = fold(model, len(data))
    if folding.constants:
        done.append(_folded_words(folding))
    if signature.key is None:
        _add_signature(model, signature)
        done.append(f"the file has no SignatureDef: '{SIGNATURE}' was added, with the names of its tensors")
    renamed = _rename_twins(model)
    if renamed:
        done.append(f"{renamed} tensors had the name of another or none: their names were made to differ")
    if not done:
        if reason := remains(info, folding):
            raise NotTakeable(reason)
        return Edited(data, info)
    for code in model.operatorCodes:  # the quantizer reads the new field only
        code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
    edited = packed(model, len(data) + folding.size_bytes)
    after = inspect_tflite(edited, "the edited model")
    if reason := remains(after, folding):
        raise NotTakeable(reason)
    return Edited(edited, after, tuple(done), folding)


def remains(after: ModelInfo, folding: Folding) -> str:
    """What of a model is quantized still, when all constants were expanded; "" for nothing. Pure."""
    quantization = after.quantization
    if quantization is None or quantization.kind == "float32":
        return ""
    skipped = f"; it has {', '.join(folding.skipped)}" if folding.skipped else ""
    if quantization.kind == "float16" or folding.skipped:
        return f"its weights could not be expanded{skipped}"
    if quantization.kind == "int8-dynamic":
        return f"its operators quantize their inputs while they run, which is more than weights{skipped}"
    if quantization.kind in ("int8-static", "int16x8"):
        return f"its activations are integers, their float values are lost{skipped}"
    return f"part of it computes with integers ({quantization.summary}), whose float values are lost{skipped}"


def _folded_words(folding: Folding) -> str:
    kinds = dict(folding.stored_as)
    sparse = kinds.pop("sparse", 0)
    parts = [f"{count:,} {dtype}" for dtype, count in sorted(kinds.items())]
    dense = f", {sparse:,} of them sparse" if sparse else ""
    return f"weights kept behind DEQUANTIZE operators were expanded to float32 ({' and '.join(parts)} values{dense})"


def _add_signature(model: Any, signature: Signature) -> None:
    """A SignatureDef for the first graph, with the names by which edgekit knows its inputs and outputs."""
    classes, graph = schema(), model.subgraphs[0]
    definition = classes.SignatureDefT()
    definition.signatureKey, definition.subgraphIndex = SIGNATURE, 0
    ends = (("inputs", signature.inputs), ("outputs", signature.outputs))
    for kind, specs in ends:
        entries = []
        for spec, index in zip(specs, listed(getattr(graph, kind)), strict=True):
            entry = classes.TensorMapT()
            entry.name, entry.tensorIndex = spec.name, index
            entries.append(entry)
        setattr(definition, kind, entries)
    model.signatureDefs = [definition]


def _rename_twins(model: Any) -> int:
    """Give tensors that share a name, or have none, one of their own: the quantizer knows tensors by name.

    Inputs and outputs keep theirs where they can. Gives how many were renamed.
    """
    places = [(graph, index) for graph in model.subgraphs for index in _ends_first(graph)]
    names = [text(graph.tensors[index].name) for graph, index in places]
    taken, seen, renamed = set(names), set(), 0
    for (graph, index), name in zip(places, names, strict=True):
        if name and name not in seen:
            seen.add(name)
            continue
        number = renamed + 1
        while (free := f"{name or 'tensor'}_{number}") in taken:
            number += 1
        graph.tensors[index].name = free
        taken.add(free)
        renamed += 1
    return renamed


def _ends_first(graph: Any) -> Sequence[int]:
    ends = dict.fromkeys((*listed(graph.inputs), *listed(graph.outputs)))
    return [*ends, *(index for index in range(len(graph.tensors)) if index not in ends)]
