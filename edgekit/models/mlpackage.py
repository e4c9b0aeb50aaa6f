"""Reads a Core ML package (.mlpackage) without coremltools: signature, MIL operators, size of the weights.

Format: a folder with Manifest.json that names the specification, a protobuf message CoreML.Specification.Model
(https://apple.github.io/coremltools/mlmodel/). Field numbers are those of the public schema; the tests compare what
is read here with coremltools.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgekit.errors import ModelError
from edgekit.models.flat import Damaged
from edgekit.models.formats import unreadable
from edgekit.models.info import Signature, TensorSpec
from edgekit.models.json_tree import read_json
from edgekit.models.limits import MAX_INPUTS, MAX_RANK, as_error, checked, count
from edgekit.models.wire import Message, Wire, number

_MAX_MANIFEST_BYTES = 1 << 20
_ARRAY_DTYPES = {65568: "float32", 65600: "float64", 65552: "float16", 131104: "int32", 131080: "int8"}
_SCALARS = {1: "int64", 2: "float64", 3: "string", 6: "dictionary", 7: "sequence"}
_CHANNELS = {10: 1, 20: 3, 30: 3, 40: 1}
_COLORS = {10: "uint8", 20: "uint8", 30: "uint8", 40: "float16"}
_PROGRAM = 502
_KINDS = {_PROGRAM: "ML program", 500: "neural network", 303: "neural network", 403: "neural network",
          200: "pipeline", 201: "pipeline", 202: "pipeline"}  # fmt: skip
_AGAIN = "copy the whole folder again, or export the model again"


@dataclass(frozen=True)
class CoremlFacts:
    """What the package says; see ModelInfo for the meaning of the fields they share.

    `operators` counts MIL operations, constants left out; it is empty for models that are no ML program. Images are
    given as (1, channels, height, width). `weight_bytes`: the files beside the specification.
    """

    signature: Signature
    operators: dict[str, int]
    specification_version: int
    kind: str
    weight_bytes: int
    subgraphs: int

    @property
    def description(self) -> str:
        return f"{self.kind}, specification {self.specification_version}"


def read_mlpackage(folder: str | Path) -> CoremlFacts:
    """Read a package.

    Raises ModelError: E_MODEL_MISSING; E_MODEL_TRUNCATED; E_MODEL_CORRUPT where it contradicts itself or names files
    outside of it.
    """
    place = Path(folder)
    size_bytes = 0
    specification = specification_path(place)
    try:
        size_bytes = specification.stat().st_size
        with open(specification, "rb") as file:
            return _read(Wire(file, size_bytes).root(), _weight_bytes(place, specification))
    except OSError as error:
        raise unreadable(specification, error) from error
    except Damaged as damage:
        raise as_error(damage, size_bytes, str(specification)) from damage


def specification_path(folder: Path) -> Path:
    """The .mlmodel file inside of a package, which Manifest.json names. Raises as read_mlpackage."""
    manifest = folder / "Manifest.json"
    try:
        with open(manifest, "rb") as file:
            data = file.read(_MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise unreadable(manifest, error) from error
    if len(data) > _MAX_MANIFEST_BYTES:
        raise _corrupt(f"{manifest} has more than {_MAX_MANIFEST_BYTES} bytes")
    said = read_json(data, str(manifest))
    try:
        entries = {str(key): str(item["path"]) for key, item in said["itemInfoEntries"].items()}
        root = entries[str(said["rootModelIdentifier"])]
    except (KeyError, TypeError, AttributeError) as error:
        raise _corrupt(f"{manifest} does not tell where the model is") from error
    for path in entries.values():
        _inside(folder, path)
    return _inside(folder, root)


def _inside(folder: Path, path: str) -> Path:
    parts = PurePosixPath(path).parts
    found = folder / "Data" / path
    try:
        climbs = not parts or path.startswith("/") or ".." in parts or "\\" in path
        if climbs or not found.resolve().is_relative_to(folder.resolve()):
            raise _corrupt(f"{folder / 'Manifest.json'} names a file outside of it: {path[:200]!r}")
    except (OSError, RuntimeError, ValueError) as error:
        raise _corrupt(f"{folder / 'Manifest.json'} names {path[:200]!r}: {error}") from error
    return found


def _weight_bytes(folder: Path, specification: Path) -> int:
    files = (p for p in (folder / "Data").rglob("*") if p.is_file() and not p.is_symlink())
    return sum(file.stat().st_size for file in files if file != specification)


def _read(model: Message, weight_bytes: int) -> CoremlFacts:
    version, kind = 0, "other"
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    operators: dict[str, int] = {}
    blocks = 0
    for found in model.fields():
        if found.number == 1:
            version = number(found)
        elif found.number == 2:
            inputs, outputs = _description(model.message(found))
        elif found.number in _KINDS:
            kind = _KINDS[found.number]
            if found.number == _PROGRAM:
                blocks = _program(model.message(found), operators)
    if version == 0:
        raise Damaged("it does not tell its version")
    return CoremlFacts(
        signature=Signature(key=None, inputs=inputs, outputs=outputs),
        operators=dict(sorted(operators.items())),
        specification_version=version,
        kind=kind,
        weight_bytes=weight_bytes,
        subgraphs=blocks,
    )


def _description(message: Message) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs; those of the default function where there are several functions."""
    specs: dict[int, list[TensorSpec]] = {1: [], 10: []}
    functions: dict[str, tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]] = {}
    default = ""
    for found in message.fields():
        if found.number in specs:
            specs[found.number].append(_feature(message.message(found)))
        elif found.number == 20:
            name, ins, outs = _function(message.message(found))
            functions[name] = (ins, outs)
        elif found.number == 21:
            default = message.text(found)
        if max(len(specs[1]), len(specs[10]), len(functions)) > MAX_INPUTS:
            raise Damaged(f"more than {MAX_INPUTS} inputs or outputs")
    if functions:
        return functions.get(default) or next(iter(functions.values()))
    return tuple(specs[1]), tuple(specs[10])


def _function(message: Message) -> tuple[str, tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    name, specs = "", {2: list[TensorSpec](), 3: list[TensorSpec]()}
    for found in message.fields():
        if found.number == 1:
            name = message.text(found)
        elif found.number in specs:
            specs[found.number].append(_feature(message.message(found)))
    return name, tuple(specs[2]), tuple(specs[3])


def _feature(message: Message) -> TensorSpec:
    name, dtype, shape = "", "unknown", tuple[int, ...]()
    for found in message.fields():
        if found.number == 1:
            name = message.text(found)
        elif found.number == 3:
            dtype, shape = _type(message.message(found))
    return checked(TensorSpec(name=name, dtype=dtype, shape=shape, tensor=name))


def _type(message: Message) -> tuple[str, tuple[int, ...]]:
    for found in message.fields():
        if found.number == 5:
            return _array(message.message(found))
        if found.number == 4:
            return _image(message.message(found))
        if found.number in _SCALARS:
            return _SCALARS[found.number], ()
    return "unknown", ()


def _array(message: Message) -> tuple[str, tuple[int, ...]]:
    dtype, dims = "unknown", list[int]()
    flexible: set[int] = set()
    for found in message.fields():
        if found.number == 1:
            dims += message.numbers(found, MAX_RANK)
        elif found.number == 2:
            dtype = _ARRAY_DTYPES.get(number(found), "unknown")
        elif found.number == 21:
            shapes = [_numbers(shape) for shape in message.message(found).messages(1)]
            flexible |= {axis for axis, sizes in enumerate(zip(*shapes, strict=False)) if len(set(sizes)) > 1}
        elif found.number == 31:
            flexible |= {a for a, r in enumerate(message.message(found).messages(1)) if _is_range(r)}
        if len(dims) > MAX_RANK:
            raise Damaged(f"an array has more than {MAX_RANK} dimensions")
    return dtype, tuple(-1 if axis in flexible else dim for axis, dim in enumerate(dims))


def _numbers(message: Message) -> list[int]:
    dims: list[int] = []
    for found in message.fields():
        if found.number == 1:
            dims += message.numbers(found, MAX_RANK)
            if len(dims) > MAX_RANK:
                raise Damaged(f"an array has more than {MAX_RANK} dimensions")
    return dims


def _is_range(message: Message) -> bool:
    """Whether a dimension may have more than one size."""
    bounds = {found.number: number(found) for found in message.fields() if found.number in (1, 2)}
    return bounds.get(1, 0) != bounds.get(2, 0)


def _image(message: Message) -> tuple[str, tuple[int, ...]]:
    said = {found.number: number(found) for found in message.fields() if found.number in (1, 2, 3)}
    color = said.get(3, 0)
    return _COLORS.get(color, "unknown"), (1, _CHANNELS.get(color, 1), said.get(2, 0), said.get(1, 0))


def _program(program: Message, operators: dict[str, int]) -> int:
    """Count the operations of all functions; gives the number of blocks."""
    blocks = 0
    for entry in program.messages(2):
        _, function = entry.pair()
        if function is not None:
            for specialization in function.messages(3):
                _, block = specialization.pair()
                blocks += 0 if block is None else _block(block, operators)
    return blocks


def _block(block: Message, operators: dict[str, int]) -> int:
    blocks = 1
    for operation in block.messages(3):
        for found in operation.fields():
            if found.number == 1:
                if (kind := operation.text(found)) != "const":
                    count(operators, kind)
            elif found.number == 4:
                blocks += _block(operation.message(found), operators)
    return blocks


def _corrupt(message: str) -> ModelError:
    return ModelError(message, code="E_MODEL_CORRUPT", hint=_AGAIN)
