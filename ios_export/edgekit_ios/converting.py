"""coremltools asked to convert, quietly; what it gives is a protobuf and a folder of weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.conversion.extras import need, quiet
from edgekit.conversion.layout import in_layout, permutations
from edgekit.conversion.sources.handles import KerasModel, TorchModel
from edgekit.errors import ToolError
from edgekit.models.info import Signature, TensorSpec

WHAT = "converting to Core ML"
_DTYPES = {"float16": "float16", "int32": "int32", "int64": "int32", "int16": "int32", "int8": "int32",
           "uint8": "int32", "uint16": "int32"}  # fmt: skip
"""What Core ML takes in place of a source's dtype at the boundary; of all that are not here: float32."""

_POOLS = ("aten.max_pool1d.default", "aten.max_pool2d.default", "aten.max_pool3d.default",
          "aten.avg_pool1d.default", "aten.avg_pool2d.default", "aten.avg_pool3d.default")  # fmt: skip


@dataclass(frozen=True)
class Converted:
    """`model`: a CoreML.Specification.Model. `inputs`, `outputs`: the names it has for those of the source, in the
    source's order. `weights`: the folder of its files of weights. `made`: coremltools' own object of the same, in
    `package`."""

    model: Any
    weights: Path | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    notes: tuple[str, ...] = ()
    made: Any = None
    package: Path | None = None


def coremltools() -> Any:
    """The library. Raises MissingExtra."""
    return need("coremltools", "coreml", WHAT)


def convert_torch(
    model: TorchModel, signature: Signature, recipe: str, folder: Path, system: str = "iOS17"
) -> Converted:
    """By the exported program, or where coremltools does not know one of its operators (LSTM) by a trace of it.

    Raises MissingExtra, ToolError E_CONVERTER.
    """
    tools, torch = coremltools(), need("torch", "torch", WHAT)
    inputs = tuple(f"edgekit_input_{i}" for i in range(len(signature.inputs)))
    outputs = tuple(f"edgekit_output_{i}" for i in range(len(signature.outputs)))
    given: dict[str, Any] = {
        "inputs": [
            _feature(tools, name, s, s.shape) for name, s in zip(inputs, signature.inputs, strict=True)
        ],
        "outputs": [_feature(tools, name, s) for name, s in zip(outputs, signature.outputs, strict=True)],
    }

    def exported() -> Any:
        return _convert(
            tools,
            _with_strides(model.program.run_decompositions({})),
            recipe,
            folder / "program",
            given,
            system,
        )

    def traced() -> Any:
        with torch.no_grad():
            flat = _flat(torch, model.program.module())
            trace = torch.jit.trace(flat, model.example, check_trace=False)
        return _convert(tools, trace, recipe, folder / "trace", given, system)

    try:
        with quiet():
            made = exported()
        notes: tuple[str, ...] = ()
        package = folder / "program.mlpackage"
    except Exception as error:
        try:
            with quiet():
                made = traced()
            package = folder / "trace.mlpackage"
        except Exception:
            raise failed(error) from error
        notes = (
            f"converted from a trace: coremltools does not take the exported program ({first_line(error)})",
        )
    return Converted(*parts(made), inputs, outputs, notes, made, package)


def convert_keras(
    model: KerasModel, source: Signature, layout: str, recipe: str, folder: Path, system: str = "iOS17"
) -> Converted:
    """By a concrete function. `source`: the source's signature; images get their axes in the order of `layout`.

    Raises MissingExtra, ToolError E_CONVERTER.
    """
    tools = coremltools()
    tensorflow = need("tensorflow", "tensorflow", WHAT)
    try:
        with quiet():
            signature = in_layout(source, layout)
            function = _in_layout(tensorflow, model.concrete(), source, layout)
            inputs, outputs = _tensor_names(tensorflow, function)
            given = {
                "inputs": [_feature(tools, inputs[s.name], s, s.shape) for s in signature.inputs],
                "outputs": [_feature(tools, outputs[s.name], s) for s in signature.outputs],
                "source": "tensorflow",
            }
            made = _convert(tools, [function], recipe, folder / "function", given, system)
    except Exception as error:
        raise failed(error) from error
    return Converted(
        *parts(made),
        tuple(inputs[s.name] for s in signature.inputs),
        tuple(outputs[s.name] for s in signature.outputs),
        made=made,
        package=folder / "function.mlpackage",
    )


def failed(error: Exception) -> ToolError:
    """What to say when coremltools raises."""
    return ToolError(
        f"coremltools failed: {type(error).__name__}: {first_line(error)}",
        code="E_CONVERTER",
        hint="try --to tflite; Core ML's converter does not know every operator",
    )


def first_line(error: Exception) -> str:
    """The first line of a tool's message, in its own words."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else "no message"


def _convert(tools: Any, source: Any, recipe: str, folder: Path, given: dict[str, Any], system: str) -> Any:
    precision = tools.precision.FLOAT16 if recipe == "float16" else tools.precision.FLOAT32
    return tools.convert(
        source,
        convert_to="mlprogram",
        compute_precision=precision,
        minimum_deployment_target=getattr(tools.target, system),
        package_dir=str(folder.with_suffix(".mlpackage")),
        skip_model_load=True,
        **given,
    )


def parts(made: Any) -> tuple[Any, Path | None]:
    """A coremltools model's protobuf, and the folder of its weights."""
    return made.get_spec(), Path(made.weights_dir) if made.weights_dir else None


def _feature(tools: Any, name: str, spec: TensorSpec, shape: Sequence[int] | None = None) -> Any:
    import numpy as np

    dtype = np.dtype(_DTYPES.get(spec.dtype, "float32")).type
    if shape is None:
        return tools.TensorType(name=name, dtype=np.float32 if dtype is np.float16 else dtype)
    return tools.TensorType(name=name, dtype=dtype, shape=tuple(shape))


def _with_strides(program: Any) -> Any:
    """Pooling with its stride written out: coremltools 9 refuses the call that leaves it to the default."""
    for node in program.graph.nodes:
        if (
            node.op == "call_function"
            and str(node.target) in _POOLS
            and not (node.args[2:3] and node.args[2])
        ):
            node.args = (*node.args[:2], list(node.args[1]), *node.args[3:])
    return program


def _flat(torch: Any, inner: Callable[..., Any]) -> Any:
    class Flat(torch.nn.Module):  # type: ignore[misc]
        """Gives tensors, not a tree of them: a trace has nothing else."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, *given: Any) -> Any:
            leaves = torch.utils._pytree.tree_leaves(self.inner(*given))
            return leaves[0] if len(leaves) == 1 else tuple(leaves)

    flat = Flat()
    flat.training = False  # an exported program's module refuses eval()
    return flat


def _tensor_names(tensorflow: Any, function: Any) -> tuple[dict[str, str], dict[str, str]]:
    """For the names of inputs and outputs those of their tensors in the function's graph."""
    specs = tensorflow.nest.flatten(function.structured_input_signature)
    inputs = {s.name: t.op.name for s, t in zip(specs, function.inputs, strict=False)}
    names = tensorflow.nest.flatten({name: name for name in function.structured_outputs})
    return inputs, {name: t.op.name for name, t in zip(names, function.outputs, strict=True)}


def _in_layout(tensorflow: Any, function: Any, source: Signature, layout: str) -> Any:
    """The function with image inputs and outputs permuted."""
    ins, outs = permutations(source.inputs, layout), permutations(source.outputs, layout)
    if not ins and not outs:
        return function
    specs = {s.name: s for s in tensorflow.nest.flatten(function.structured_input_signature)}

    def back(perm: Sequence[int]) -> list[int]:
        return [perm.index(axis) for axis in range(len(perm))]

    def call(**values: Any) -> dict[str, Any]:
        given = {n: tensorflow.transpose(v, back(ins[n])) if n in ins else v for n, v in values.items()}
        made = function(**given)
        return {n: tensorflow.transpose(v, outs[n]) if n in outs else v for n, v in made.items()}

    wanted = {
        s.name: tensorflow.TensorSpec(s.shape, specs[s.name].dtype, name=s.name)
        for s in in_layout(source, layout).inputs
    }
    return tensorflow.function(call).get_concrete_function(**wanted)
