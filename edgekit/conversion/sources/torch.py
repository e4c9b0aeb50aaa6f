"""PyTorch: `.pt2` files (torch.export), `package.module:factory`, and TorchScript.

A factory takes no arguments and gives (module, example inputs): an nn.Module and a tuple of tensors. Inputs are named
like the parameters of `forward`, outputs like the keys of the dict it gives, else output_0, output_1, ...
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need, quiet, users_function, versions
from edgekit.conversion.naming import NCHW, fixed, layout_of, short, unique, unknown_shapes
from edgekit.conversion.sources.base import LoadedSource, LoadOptions, origin_of, untrusted
from edgekit.conversion.sources.handles import TorchModel
from edgekit.conversion.sources.torch_script import LOST, from_torchscript
from edgekit.errors import ModelError, ToolError
from edgekit.events import Event
from edgekit.models.info import Signature, TensorSpec
from edgekit.models.manifest import Origin

if TYPE_CHECKING:
    from edgekit.conversion.sources.base import Outputs, Sample

_WHAT = "converting a PyTorch model"
_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class TorchSource:
    name = "torch"
    formats = frozenset({"pt2", "torchscript"})

    def accepts(self, source: str) -> bool:
        return _FACTORY.fullmatch(source) is not None

    def load(self, source: str, options: LoadOptions) -> LoadedSource:
        """Raises ModelError (E_MODEL_LOAD, E_FACTORY, E_UNTRUSTED, E_DYNAMIC_SHAPE), ToolError (E_CONVERTER),
        MissingExtra (torch)."""
        path = Path(source)
        notes: tuple[str, ...] = ()
        names: list[str] | None = None
        own: Any = None
        shapes = options.shapes
        if not path.is_file() and not options.trust:
            raise untrusted(source, "is code, which would run here")
        torch = need("torch", "torch", _WHAT)
        options.sink(Event("convert", f"reading {path.name or source} with PyTorch {torch.__version__}"))
        if not path.is_file():
            name = source.rpartition(":")[2]
            own, example = _from_factory(torch, source)
            origin = Origin(name=source, format="torch", sha256=_hash_module(torch, own))
            program = _exported(torch, own, example, source)
        else:
            name, origin = path.stem, origin_of(path, options)
            if origin.format == "torchscript":
                script = from_torchscript(torch, path, options)
                program, names, notes, shapes = script.program, script.names, (LOST,), {}
                own = script.module
            else:
                program = _from_pt2(torch, path)
                own = program.module(check_guards=False)
        model, more = _fixed_model(torch, program, origin.name, shapes)
        signature = signature_of(torch, model, names)
        return LoadedSource(
            name=name,
            origin=origin,
            framework="torch",
            model=model,
            signature=signature,
            # The model as it came, not the program that is converted: what an export gets wrong shows too.
            run=_runner(torch, own, model.example),
            token_limits=_token_limits(model.program, signature),
            tools=versions("torch"),
            notes=(*notes, *more),
        )


def signature_of(torch: Any, model: TorchModel, names: Sequence[str] | None = None) -> Signature:
    """Names, dtypes and shapes of an exported program with fixed shapes; `names` of the inputs where they are known
    better than the program knows them."""
    program = model.program
    nodes = {node.name: node for node in program.graph.nodes}
    ins, outs = names or program.graph_signature.user_inputs, program.graph_signature.user_outputs
    if not outs or None in outs:
        raise ModelError(
            "the model gives None, or nothing",
            code="E_MODEL_OUTPUT",
            hint="return tensors only: wrap the model in a module that leaves the others out",
        )
    results = [nodes[name].meta["val"] if isinstance(name, str) else torch.as_tensor(name) for name in outs]
    called = unique(_output_keys(program.call_spec.out_spec), len(results))
    called = [f"{name}_out" if name in ins else name for name in called]
    return Signature(
        key=None,
        inputs=tuple(_spec(name, tensor) for name, tensor in zip(ins, model.example, strict=True)),
        outputs=tuple(_spec(name, value) for name, value in zip(called, results, strict=True)),
    )


def _spec(name: str, tensor: Any) -> TensorSpec:
    shape = tuple(int(size) for size in tensor.shape)
    dtype = str(tensor.dtype).removeprefix("torch.")
    layout = layout_of(shape, NCHW) if dtype.startswith("float") else None
    return TensorSpec(name=name, dtype=dtype, shape=shape, layout=layout)


def _output_keys(spec: Any) -> list[str]:
    """The keys where a model gives a flat dict, nothing where it gives anything else."""
    context = getattr(spec, "context", None)
    if getattr(spec, "type", None) is not dict or not isinstance(context, list | tuple):
        return []
    return [str(key) for key in context] if spec.num_leaves == len(context) else []


def _from_pt2(torch: Any, path: Path) -> Any:
    try:
        with quiet():
            program = torch.export.load(path)
            args, kwargs = program.example_inputs or ((), {})
    except Exception as error:  # torch raises zipfile's, pickle's and its own errors for a damaged file
        raise ModelError(
            f"{path} does not load: {short(error)}", code="E_MODEL_LOAD", hint="export the model again"
        ) from error
    if kwargs or not args:
        raise ModelError(
            f"{path} was exported {'with keyword inputs' if kwargs else 'without example inputs'}",
            code="E_MODEL_LOAD",
            hint="export it with torch.export.export(module, (tensor, ...)), positional inputs only",
        )
    _tensors(torch, args, str(path))
    return program


def _from_factory(torch: Any, source: str) -> tuple[Any, tuple[Any, ...]]:
    try:
        with users_function(source) as factory:
            module, example = factory()
    except (Exception, SystemExit) as error:  # the user's code: anything may come out of it
        raise ModelError(
            f"{source} failed: {type(error).__name__}: {short(error)}",
            code="E_FACTORY",
            hint="it must be importable from here, take no arguments and return (nn.Module, (tensor, ...))",
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"{source} gave {type(module).__name__}, not an nn.Module", code="E_FACTORY")
    return module.eval(), _tensors(torch, example, source)


def _tensors(torch: Any, example: Any, source: str) -> tuple[Any, ...]:
    values = tuple(example) if isinstance(example, tuple | list) else (example,)
    if not values or not all(isinstance(value, torch.Tensor) for value in values):
        raise ModelError(f"{source}: example inputs must be tensors", code="E_FACTORY")
    return values


def _hash_module(torch: Any, module: Any) -> str:
    """sha256 over the module's printed structure and all its weights: a factory has no file of its own."""
    digest = hashlib.sha256(repr(module).encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}\t{tensor.dtype}\t{tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _exported(torch: Any, module: Any, example: tuple[Any, ...], name: str) -> Any:
    try:
        with quiet(), torch.no_grad():
            return torch.export.export(module, example)
    except Exception as error:  # data-dependent control flow and much else; each with a class of its own
        raise ToolError(
            f"torch.export does not take {name}: {short(error)}",
            code="E_CONVERTER",
            hint="PyTorch's guide to torch.export tells how to rewrite control flow (torch.cond) and other obstacles",
        ) from error


def _fixed_model(
    torch: Any, program: Any, name: str, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[TorchModel, tuple[str, ...]]:
    """The program with every axis of fixed size; exported anew where one was not."""
    example = tuple(program.example_inputs[0])
    nodes = {node.name: node for node in program.graph.nodes}
    names = list(program.graph_signature.user_inputs)
    open_specs = [_open_spec(key, nodes[key].meta["val"]) for key in names]
    unknown_shapes(list(shapes), open_specs)
    wanted = [fixed(spec, shapes.get(spec.name)) for spec in open_specs]
    if all(-1 not in spec.shape for spec in open_specs):
        return TorchModel(program.module(), example, program), ()
    sized = tuple(_resized(torch, tensor, shape) for tensor, shape in zip(example, wanted, strict=True))
    anew = _exported(torch, program.module(check_guards=False), sized, name)
    notes = tuple(
        f"input '{spec.name}' had axes of open size: fixed to {'x'.join(map(str, shape))}"
        for spec, shape in zip(open_specs, wanted, strict=True)
        if -1 in spec.shape
    )
    return TorchModel(anew.module(), sized, anew), notes


def _open_spec(name: str, value: Any) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else -1 for size in value.shape)
    return TensorSpec(name=name, dtype=str(value.dtype).removeprefix("torch."), shape=shape)


def _resized(torch: Any, tensor: Any, shape: tuple[int, ...]) -> Any:
    """An example of that shape with the values of the one that is there: tokens stay valid."""
    flat, count = tensor.reshape(-1), int(torch.Size(shape).numel())
    return flat.repeat(-(-count // max(1, flat.numel())))[:count].reshape(shape)


def _runner(torch: Any, module: Any, example: Sequence[Any]) -> Any:
    dtypes = [tensor.dtype for tensor in example]

    def run(sample: Sample) -> Outputs:
        given = [torch.from_numpy(v.copy()).to(dtype) for v, dtype in zip(sample, dtypes, strict=True)]
        with torch.no_grad(), quiet():
            results = torch.utils._pytree.tree_leaves(module(*given))
        return [torch.as_tensor(value).detach().cpu().numpy() for value in results]

    return run


def _token_limits(program: Any, signature: Signature) -> dict[str, int]:
    """How many rows the table has that an integer input picks from, where it goes there directly."""
    names: Sequence[str] = program.graph_signature.user_inputs
    limits: dict[str, int] = {}
    for node in program.graph.nodes:
        if "embedding" not in str(node.target) or len(node.args) < 2:
            continue
        table, index = node.args[0], node.args[1]
        while getattr(index, "op", "") == "call_function" and index.args and len(index.all_input_nodes) == 1:
            index = index.all_input_nodes[0]  # a cast or a view on the way
        if getattr(index, "name", None) in names:
            rows = int(table.meta["val"].shape[0])
            limits[index.name] = min(rows, limits.get(index.name, rows))
    return {spec.name: limits[spec.name] for spec in signature.inputs if spec.name in limits}
