"""ONNX to TFLite through onnx2tf, in an environment of its own (docs/adr/0008-isolated-tools.md).

What onnx2tf 2.6.9 does and this module has to know, as seen in its source and output:
- it rewrites the file it is given, so it gets a copy; dynamic sizes are fixed in that copy;
- inputs of rank 3 to 5 become channels-last unless named with -kat (keep shape absolutely); an output keeps its
  layout or not (a convolution's own output, a text detector's), which its shape tells, or else onnx2tf_probe;
- names of inputs and outputs are kept, as tensor names and in the signature;
- it calls `onnxsim` through PATH and goes on without it; operators it cannot convert become custom ones; models
  above 1 GiB are cut into several files: all this with exit code 0;
- its _float16 file has float16 inputs and outputs, and its .pt2 may be wrong: neither is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekit.cache import host_errors
from edgekit.conversion.isolated import Plan, ToolEnvironment, ensure, run_tool
from edgekit.conversion.layout import permutation
from edgekit.conversion.options import Layout
from edgekit.conversion.targets.onnx2tf_input import prepare
from edgekit.conversion.targets.onnx2tf_probe import differing_outputs
from edgekit.conversion.targets.tflite_edit import permuted, renamed, unmade_tensors
from edgekit.errors import ModelError, ToolError
from edgekit.events import Event, Sink, ignore
from edgekit.models.info import Signature, TensorSpec
from edgekit.models.onnx import read_onnx
from edgekit.models.tflite import TfliteFacts, read_tflite

CONVERT_SECONDS = 1800.0

_REQUIREMENTS = (
    "onnx2tf==2.6.9", "onnxsim==0.6.5", "onnx==1.20.1", "onnxruntime==1.26.0", "ai-edge-litert==2.1.2",
    "sng4onnx==2.0.1", "numpy==2.2.6", "protobuf==7.35.1", "ml-dtypes==0.5.4", "flatbuffers==25.12.19",
    "psutil==5.9.5", "tqdm==4.67.1", "typing-extensions==4.16.0", "packaging==26.4", "backports-strenum==1.2.8",
    "rich==15.0.0", "pygments==2.21.0", "markdown-it-py==4.3.0", "mdurl==0.1.2",
)  # fmt: skip
ONNX2TF = ToolEnvironment(
    name="onnx2tf",
    programs=("onnx2tf", "onnxsim"),
    plans=(
        Plan((3, 12), _REQUIREMENTS),
        Plan((3, 11), _REQUIREMENTS, ("--ignore-requires-python",)),
    ),
    variable="EDGEKIT_ONNX2TF",
)
_REPORTED = ("onnx2tf", "onnxsim", "onnx", "onnxruntime")
_NOT_SIMPLIFIED = "Failed to optimize the onnx file"


RECURRENT = frozenset({"LSTM", "GRU", "RNN"})


@dataclass(frozen=True)
class OnnxTflite:
    """`signature`: the file's own, with the ONNX model's names; its order may be another than the ONNX model's."""

    data: bytes
    signature: Signature
    tools: Mapping[str, str]
    notes: tuple[str, ...]


def onnx_to_tflite(
    model: Path,
    signature: Signature,
    shapes: Mapping[str, tuple[int, ...]],
    folder: Path,
    sink: Sink = ignore,
    layout: Layout = "keep",
    timeout_s: float = CONVERT_SECONDS,
) -> OnnxTflite:
    """A float32 TFLite model with the names of `signature`, the ONNX model's, and its layout or the one asked for.

    `shapes`: fixed sizes by input name, needed for inputs that have -1 in `signature`. `folder`: scratch space.
    Raises MissingExtra; ModelError E_MODEL_LARGE; what `ensure` and `run_tool` raise; ToolError E_CONVERTER_OUTPUT
    where the tool ended well and wrote no model, an old one, one with custom operators or other inputs or outputs.
    """
    tool = ensure(ONNX2TF, sink)
    with host_errors(folder):
        given = folder / "onnx2tf-in" / "model.onnx"
        made = folder / "onnx2tf-out"
        for place in (given.parent, made):
            place.mkdir(parents=True)
    sizes = {spec.name: spec.shape for spec in signature.inputs if -1 not in spec.shape} | dict(shapes)
    stand_ins, inferred = prepare(model, sizes, given)
    wanted = _with_shapes(signature, {**inferred, **sizes})
    kept = [stand_ins.get(spec.name, spec.name) for spec in wanted.inputs if not permutation(spec, layout)]
    argv = ["onnx2tf", "-i", str(given), "-o", str(made), "-v", "warn"]
    # Else they become TFLite's fused operator, which goes on from the state that the inference before left behind:
    # outputs would depend on what was asked last.
    if recurrent := sorted(RECURRENT & read_onnx(model).operators.keys()):
        argv.append("--enable_rnn_unroll")
    sink(Event("convert", f"onnx2tf {tool.versions.get('onnx2tf', '')}: {model.name} to TFLite"))
    with host_errors(made):
        born = made / ".born"
        born.touch()
        oldest = born.stat().st_mtime_ns
    done = run_tool(tool, [*argv, *(["-kat", *kept] if kept else [])], given.parent, timeout_s, sink)
    data = _output(made, oldest)
    named, facts = _named(data, wanted, stand_ins)
    data = _arranged(named, facts.signature, wanted, layout)
    if unclear := _unclear(facts.signature, wanted):
        moved = differing_outputs(model, data, wanted, layout, unclear)
        data = _arranged(named, facts.signature, wanted, layout, moved)
    notes = ["onnxsim failed; onnx2tf went on without it"] * (_NOT_SIMPLIFIED in done.stdout + done.stderr)
    found = read_tflite(data, "onnx2tf's result").signature
    tools = {name: tool.versions[name] for name in _REPORTED if name in tool.versions}
    if recurrent:
        notes.append(f"{', '.join(recurrent)} unrolled step by step, so that no state outlives an inference")
    return OnnxTflite(data, found, tools, tuple(notes))


def _with_shapes(signature: Signature, known: Mapping[str, tuple[int, ...]]) -> Signature:
    """The signature with -1 replaced where a size is known by now."""

    def filled(spec: TensorSpec) -> TensorSpec:
        shape = known.get(spec.name, spec.shape)
        if len(shape) != len(spec.shape):
            return spec
        sizes = tuple(b if a < 0 else a for a, b in zip(spec.shape, shape, strict=True))
        return TensorSpec(name=spec.name, dtype=spec.dtype, shape=sizes, layout=spec.layout)

    return Signature(
        key=signature.key,
        inputs=tuple(map(filled, signature.inputs)),
        outputs=tuple(map(filled, signature.outputs)),
    )


def _output(folder: Path, oldest_ns: int) -> bytes:
    """The float32 model that this run wrote."""
    with host_errors(folder):
        files = sorted(folder.glob("*_float32.tflite"))
        if not files:
            raise _bad("ended with exit 0 and wrote no model")
        if len(files) > 1:
            raise _bad(f"wrote {len(files)} models where one was expected: it cut the model into parts")
        if files[0].stat().st_mtime_ns < oldest_ns:
            raise _bad(f"ended with exit 0, but {files[0].name} is older than this run")
        return files[0].read_bytes()


def _named(data: bytes, wanted: Signature, stand_ins: Mapping[str, str]) -> tuple[bytes, TfliteFacts]:
    """The model with the source's names. They are what pairs inputs and outputs: nothing is guessed from shapes."""
    facts = _facts(data)
    if facts.custom_operators:
        raise _bad(
            f"left {', '.join(facts.custom_operators)} as custom operators, which LiteRT does not have",
            hint="replace these operators in the source model, or keep it as ONNX (--to onnx)",
        )
    if unmade := unmade_tensors(data):
        raise _bad(f"wrote a model whose operators read {', '.join(unmade[:3])}, which nothing makes")
    back = {stand_in: name for name, stand_in in stand_ins.items()}
    for kind in ("inputs", "outputs"):
        there = [back.get(spec.name, spec.name) for spec in getattr(facts.signature, kind)]
        names = [spec.name for spec in getattr(wanted, kind)]
        if sorted(there) != sorted(names):
            raise _bad(f"made {kind} {there} of the source's {names}")
    if facts.signature.key != "serving_default" or stand_ins:
        ins, outs = ([back.get(s.name, s.name) for s in part] for part in _parts(facts.signature))
        data = renamed(data, ins, outs)
        facts = _facts(data)
    return data, facts


def _parts(signature: Signature) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    return signature.inputs, signature.outputs


def _facts(data: bytes) -> TfliteFacts:
    try:
        return read_tflite(data, "the file")
    except ModelError as error:
        raise _bad(f"ended with exit 0 and wrote a damaged model: {error.message}") from error


def _arranged(
    data: bytes, found: Signature, wanted: Signature, layout: Layout, moved: frozenset[str] = frozenset()
) -> bytes:
    """The model with its dimensions in the order asked for, whatever the tool made of them. `moved`: outputs that are
    channels-last although their shape fits the source's."""
    changes: list[dict[str, tuple[int, ...]]] = []
    for now, want in zip(_parts(found), _parts(wanted), strict=True):
        by_name = {spec.name: spec for spec in want}
        perms = {}
        for spec in now:
            source = by_name[spec.name]
            last_first = spec.name in moved or (now is found.inputs and bool(permutation(source, layout)))
            perms[spec.name] = _change(spec.shape, source, layout, last_first)
        changes.append({name: perm for name, perm in perms.items() if perm != tuple(range(len(perm)))})
    return permuted(data, changes[0], changes[1]) if any(changes) else data


def _unclear(found: Signature, wanted: Signature) -> list[str]:
    """Outputs whose shape fits the source's order and channels-last alike, as 1x4x4x4 does."""
    shapes = {spec.name: spec.shape for spec in wanted.outputs}
    return [
        spec.name
        for spec in found.outputs
        if (source := shapes[spec.name])
        and sum(size > 1 for size in spec.shape) > 1
        and (last := _channels_last(len(source))) != tuple(range(len(source)))
        and _fits(spec.shape, source, tuple(range(len(source))))
        and _fits(spec.shape, source, last)
    ]


def _channels_last(rank: int) -> tuple[int, ...]:
    return (0, *range(2, rank), 1) if 3 <= rank <= 5 else tuple(range(rank))


def _change(now: tuple[int, ...], source: TensorSpec, layout: Layout, last_first: bool) -> tuple[int, ...]:
    """How the result's tensor has to be permuted, from the order it is in: the source's or channels-last."""
    same = tuple(range(len(source.shape)))
    last = _channels_last(len(source.shape))
    goal = permutation(source, layout) or same
    for perm in (last, same) if last_first else (same, last):
        if _fits(now, source.shape, perm):
            return tuple(perm.index(axis) for axis in goal)
    raise _bad(f"made {list(now)} of '{source.name}', which is {list(source.shape)}")


def _fits(now: tuple[int, ...], source: tuple[int, ...], perm: tuple[int, ...]) -> bool:
    expected = [source[axis] for axis in perm]
    return len(now) == len(expected) and all(
        b in (-1, a) and a > 0 for a, b in zip(now, expected, strict=True)
    )


def _bad(what: str, hint: str | None = None) -> ToolError:
    return ToolError(
        f"onnx2tf {what}",
        code="E_CONVERTER_OUTPUT",
        hint=hint
        or "try another target (--to onnx), or convert from the framework that the ONNX model came from",
    )
