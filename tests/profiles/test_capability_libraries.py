"""The capability tables against the real libraries (B1.6)."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from edgekit.profiles.capabilities import require_runnable
from edgekit.profiles.capability_tables import FOLDER, Table, load_table
from tests.conversion.nets import build
from tests.conversion.nets.real import NAMES, real_model
from tests.profiles.test_capabilities import profile

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "capability_tables"
PACKAGES = {
    "litert": "ai_edge_litert",
    "litert-python": "ai_edge_litert",
    "onnxruntime": "onnxruntime",
    "onnxruntime-python": "onnxruntime",
}
HEAVY_PACKAGES = {"executorch": "executorch", "executorch-python": "executorch", "coreml": "coremltools"}


def _compare(name: str) -> None:
    argv = [sys.executable, str(SCRIPT), "--check", name]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert f"{name}: " in done.stderr


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_b1_6_table_is_what_the_library_says(name: str) -> None:
    """Made anew from the installed library and compared, operator by operator."""
    pytest.importorskip(PACKAGES[name])
    if name.startswith("onnxruntime"):
        pytest.importorskip("onnx")
    _compare(name)


@pytest.mark.heavy
@pytest.mark.parametrize("name", sorted(HEAVY_PACKAGES))
def test_b1_6_table_is_what_the_heavy_library_says(name: str) -> None:
    pytest.importorskip(HEAVY_PACKAGES[name])
    _compare(name)


def test_a_wrong_table_is_found_out(tmp_path: Path) -> None:
    """The comparison itself can fail: an operator too many, one too few and a version too many are all told."""
    pytest.importorskip("ai_edge_litert")
    text = (FOLDER / "litert.yaml").read_text("utf-8")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "edgekit" / "profiles" / "runtimes").mkdir(parents=True)
    script = tmp_path / "scripts" / "capability_tables"
    script.write_bytes(SCRIPT.read_bytes())
    wrong = text.replace('  "ABS": "1-5"\n', "").replace('  "ADD": "1-6"', '  "CALL": "1"\n  "ADD": "1-7"')
    assert wrong != text
    (tmp_path / "edgekit" / "profiles" / "runtimes" / "litert.yaml").write_text(wrong, "utf-8")
    argv = [sys.executable, str(script), "--check", "litert"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1
    for operator in ("ABS", "ADD", "CALL"):
        assert f"litert: {operator}: " in done.stdout


@pytest.mark.parametrize(
    ("operator", "opset", "inputs"),
    [("Relu", 6, 1), ("Relu", 5, 1), ("Mish", 18, 1), ("Gelu", 20, 1), ("ReduceLogSum", 28, 1), ("Upsample", 9, 2),
     ("ImageDecoder", 20, 1), ("Gelu", 19, 1), ("Add", 28, 2), ("CastLike", 19, 2), ("HardSwish", 14, 1)],
)  # fmt: skip
def test_b1_6_onnx_table_against_sessions(operator: str, opset: int, inputs: int) -> None:
    """A session is made for a model of one operator: the table says whether onnxruntime has it at that opset."""
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    names = [f"x{n}" for n in range(inputs)]
    kind = onnx.TensorProto.UINT8 if operator == "ImageDecoder" else onnx.TensorProto.FLOAT
    shapes: list[list[int]] = {"Upsample": [[1, 1, 2, 2], [4]], "ImageDecoder": [[9]]}.get(
        operator, [[2, 3]] * 2
    )
    given = [onnx.helper.make_tensor_value_info(n, kind, s) for n, s in zip(names, shapes, strict=False)]
    result = onnx.helper.make_tensor_value_info("y", kind, None)
    graph = onnx.helper.make_graph([onnx.helper.make_node(operator, names, ["y"])], "g", given, [result])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)
    table = cast(Table, load_table("onnxruntime"))
    try:
        runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        runs = True
    except Exception:  # its own types are private
        runs = False
    assert runs == table.has(operator, opset)


@pytest.mark.heavy
@pytest.mark.parametrize("package", ["torch", "coremltools"])
def test_b1_6_what_the_converters_make_is_said_to_run(package: str, tmp_path: Path) -> None:
    """Real files of the formats whose runtimes name operators in their own way: the names in file and table agree."""
    tool = pytest.importorskip(package)
    from edgekit.models.inspect import open_model

    torch = pytest.importorskip("torch")
    program = torch.export.load(build("encoder", "torch", tmp_path))
    if package == "torch":
        exir = pytest.importorskip("executorch.exir")
        partition = pytest.importorskip("executorch.backends.xnnpack.partition.xnnpack_partitioner")
        path = tmp_path / "encoder.pte"
        lowered = exir.to_edge_transform_and_lower(program, partitioner=[partition.XnnpackPartitioner()])
        path.write_bytes(lowered.to_executorch().buffer)
        who, several = profile("executorch", abi=""), {"aten::embedding.out", "delegate::XnnpackBackend"}
    else:
        path = tmp_path / "encoder.mlpackage"
        tool.convert(
            program.run_decompositions({}), minimum_deployment_target=tool.target.iOS16, skip_model_load=True
        ).save(str(path))
        who, several = profile("coreml"), {"layer_norm", "gather"}
    info = open_model(path)
    assert several <= set(info.operators)
    assert require_runnable(who, info, info.format, "float32") == ()


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith(".jit")])
def test_b1_b1_real_models_are_said_to_run(name: str) -> None:
    """They load in the libraries that the tables are of (conversion tests run them)."""
    from edgekit.models.inspect import open_model

    target = name.rpartition(".")[2]
    who = profile("litert" if target == "tflite" else "onnxruntime", abi="")
    assert require_runnable(who, open_model(real_model(name)), target, "as-is") == ()


def test_b1_6_the_native_library_has_the_operators_of_the_interpreter() -> None:
    """The table is asked of the Interpreter, the runner loads models through CompiledModel's library."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    compiled = pytest.importorskip("ai_edge_litert.compiled_model").CompiledModel
    one_operator_model = runpy.run_path(str(SCRIPT))["one_operator_model"]
    table = cast(Table, load_table("litert"))
    for name, code in vars(schema.BuiltinOperator).items():
        if not isinstance(code, int) or name == "CUSTOM":
            continue
        version = int(table.operators.get(name, "1").rpartition("-")[2])
        try:
            compiled.from_buffer(one_operator_model(code, version))
        except RuntimeError:
            assert not table.has(name), name
        else:
            assert table.has(name, version), name
