"""Reads a .pt2 file (torch.export) without PyTorch: signature, operators, and what in it would run code when loaded.

The format is that of torch/export/pt2_archive: a zip with models/NAME.json (the program) and data/ (weights). What
is said here about trust was read and tried with torch 2.13.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from zipfile import ZipFile

import msgspec

from edgekit.errors import ModelError
from edgekit.models.archives import open_zip, read_member
from edgekit.models.flat import Damaged
from edgekit.models.info import Signature, TensorSpec
from edgekit.models.json_tree import read_json
from edgekit.models.limits import MAX_INPUTS, as_error, checked, count, tensor_bytes
from edgekit.models.pt2_schema import DTYPES, Argument, Graph, PayloadConfig, Program, TensorMeta
from edgekit.models.pt2_trust import unsafe_members, unsafe_pickle, unsafe_program

MAX_PROGRAM_BYTES = 64 << 20
_MAX_CONFIG_BYTES = 64 << 20
_MAX_SAMPLES_BYTES = 256 << 20
_CONFIGS = ("_weights_config.json", "_constants_config.json")
_MAX_DEPTH = 50
_KNOWN = frozenset({"aten", "prims", "higher_order", "_operator", "math", "torch", "quantized_decomposed"})
"""Where operators of PyTorch itself are; other libraries have to be there when the model is loaded."""
_T = TypeVar("_T")
_OLD_PROGRAM = "serialized_exported_program.json"


@dataclass(frozen=True)
class Pt2Facts:
    """What the file says; see ModelInfo for the meaning of the fields they share.

    `operators` by target without "torch.ops." ("aten.conv2d.default"), over all subgraphs. `trust`: why
    `torch.export.load` would run code that this file brings; see pt2_trust. `pickles`: see `pickles_in`.
    """

    signature: Signature
    operators: dict[str, int]
    custom_operators: tuple[str, ...]
    parameters: int
    dtypes: dict[str, int]
    subgraphs: int
    torch_version: str
    opsets: dict[str, int]
    trust: tuple[str, ...]
    pickles: tuple[str, ...]


def read_pt2(path: str | Path) -> Pt2Facts:
    """Read a .pt2 file.

    Raises ModelError: E_MODEL_TRUNCATED, E_MODEL_ARCHIVE, E_MODEL_CORRUPT; E_MODEL_FORMAT where it holds no
    exported program (compiled models are such).
    """
    place = Path(path)
    try:
        with open_zip(place) as archive:
            names = archive.namelist()
            name = _program_name(place, names)
            document = read_json(read_member(archive, name, MAX_PROGRAM_BYTES), f"{place}: {name}")
            program = _converted(document, Program, f"{place}: {name}")
            configs = [_config(archive, place, name) for name in names if name.endswith(_CONFIGS)]
            trust = (
                *unsafe_members(names, configs),
                *unsafe_program(document),
                *_unsafe_samples(archive, names),
            )
            return _facts(program, configs, trust, pickle_members(archive, configs))
    except Damaged as damage:
        raise as_error(damage, place.stat().st_size, str(place)) from damage


def pickles_in(path: str | Path) -> tuple[str, ...]:
    """Names of the members of a .pt2 file that are pickles, sorted. Raises as read_pt2."""
    return read_pt2(path).pickles


def pickle_members(archive: ZipFile, configs: list[PayloadConfig]) -> tuple[str, ...]:
    """Members that torch gives to an unpickler: by their places in the archive, and what the configs say is pickled."""
    prefixes = ("custom_obj_", "opaque_obj_")
    pickled = {meta.path_name for config in configs for meta in config.config.values() if meta.use_pickle}
    found = set()
    for name in archive.namelist():
        last = name.rpartition("/")[2]
        if last in pickled or last.endswith((".pt", ".pkl")) or last.startswith(prefixes):
            found.add(name)
    return tuple(sorted(found))


def _facts(
    program: Program, configs: list[PayloadConfig], trust: tuple[str, ...], pickles: tuple[str, ...]
) -> Pt2Facts:
    graph = program.graph_module.graph
    operators: dict[str, int] = {}
    dtypes: dict[str, int] = {}
    graphs = list(_graphs(graph, 0))
    for each in graphs:
        for node in each.nodes:
            count(operators, node.target.removeprefix("torch.ops.")[:500])
        for meta in each.tensor_values.values():
            dtype = _dtype(meta)
            dtypes[dtype] = dtypes.get(dtype, 0) + 1
    return Pt2Facts(
        signature=_signature(program),
        operators=dict(sorted(operators.items())),
        custom_operators=tuple(name for name in sorted(operators) if _is_custom(name)),
        parameters=_parameters(configs),
        dtypes=dict(sorted(dtypes.items())),
        subgraphs=len(graphs),
        torch_version=program.torch_version[:100],
        opsets=dict(sorted(program.opset_version.items())),
        trust=trust,
        pickles=pickles,
    )


def _graphs(graph: Graph, depth: int) -> Iterator[Graph]:
    """A graph and those that its nodes take as arguments (branches, loop bodies)."""
    if depth > _MAX_DEPTH:
        raise Damaged(f"its graphs are nested more than {_MAX_DEPTH} deep")
    yield graph
    for node in graph.nodes:
        for given in node.inputs:
            if given.arg.as_graph is not None:
                yield from _graphs(given.arg.as_graph.graph, depth + 1)


def _signature(program: Program) -> Signature:
    graph, said = program.graph_module.graph, program.graph_module.signature
    ins = [spec.user_input.arg for spec in said.input_specs if spec.user_input is not None]
    outs = [spec.user_output.arg for spec in said.output_specs if spec.user_output is not None]
    if max(len(ins), len(outs)) > MAX_INPUTS:
        raise Damaged(f"more than {MAX_INPUTS} inputs or outputs")
    return Signature(key=None, inputs=_specs(graph, ins), outputs=_specs(graph, outs))


def _specs(graph: Graph, arguments: list[Argument]) -> tuple[TensorSpec, ...]:
    """Tensors; constants that the model was exported with are no inputs."""
    specs = []
    for argument in arguments:
        if argument.as_tensor is None:
            continue
        name = argument.as_tensor.name
        if (meta := graph.tensor_values.get(name)) is None:
            raise Damaged(f"it does not tell what the tensor '{name[:200]}' is")
        shape = tuple(-1 if (size := dim.as_int) is None else size for dim in meta.sizes)
        if any(dim.as_int is not None and dim.as_int < 0 for dim in meta.sizes):
            raise Damaged(f"the tensor '{name[:200]}' has the shape {list(shape)}")
        specs.append(checked(TensorSpec(name=name, dtype=_dtype(meta), shape=shape, tensor=name)))
    return tuple(specs)


def _parameters(configs: list[PayloadConfig]) -> int:
    """Elements of the weights. A tensor whose bytes would be absurd is refused."""
    total = 0
    for config in configs:
        for name, meta in config.config.items():
            if (tensor := meta.tensor_meta) is None:
                continue
            elements = 1
            for dim in tensor.sizes:
                if dim.as_int is None or dim.as_int < 0:
                    raise Damaged(f"the weight '{name[:200]}' has no fixed shape")
                elements *= dim.as_int
            shape = tuple(dim.as_int or 0 for dim in tensor.sizes)
            tensor_bytes(shape, _dtype(tensor), name)
            total += elements if meta.is_param else 0
    return total


def _is_custom(name: str) -> bool:
    return name.partition(".")[0] not in _KNOWN


def _dtype(meta: TensorMeta) -> str:
    if (name := DTYPES.get(meta.dtype)) is None:
        raise Damaged(f"tensor type {meta.dtype}")
    return name


def _program_name(path: Path, names: list[str]) -> str:
    """The one program; torch.export.load takes "model" where there are several."""
    found = sorted(n for n in names if _below_models(n) or n == _OLD_PROGRAM)
    preferred = [name for name in found if name.endswith("models/model.json")]
    if not found:
        raise ModelError(
            f"{path} is a PyTorch archive without an exported program",
            code="E_MODEL_FORMAT",
            hint="write it with torch.export.save; packages of compiled code cannot be converted",
        )
    return (preferred or found)[0]


def _below_models(name: str) -> bool:
    parts = name.split("/")
    return name.endswith(".json") and "models" in parts[:-1][-1:]


def _config(archive: ZipFile, path: Path, name: str) -> PayloadConfig:
    what = f"{path}: {name}"
    return _converted(read_json(read_member(archive, name, _MAX_CONFIG_BYTES), what), PayloadConfig, what)


def _converted(document: Any, kind: type[_T], what: str) -> _T:
    try:
        return msgspec.convert(document, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ModelError(
            f"{what} is damaged: {error}", code="E_MODEL_CORRUPT", hint="export it again"
        ) from error


def _unsafe_samples(archive: ZipFile, names: list[str]) -> Iterator[str]:
    for name in names:
        if "data/sample_inputs/" in name and name.endswith(".pt"):
            if archive.getinfo(name).file_size > _MAX_SAMPLES_BYTES:
                yield f"{name[:200]} is a pickle of more than {_MAX_SAMPLES_BYTES} bytes"
            elif reason := unsafe_pickle(read_member(archive, name, _MAX_SAMPLES_BYTES), name[:200]):
                yield reason
