"""Can a profile's runtime run the result? The tables, the answers, and the tables against the real libraries (B1.6)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from edgekit.errors import InputError
from edgekit.models.info import ModelInfo, Quantization, Signature, TensorSpec
from edgekit.profiles import Profile, load_profile
from edgekit.profiles.capabilities import ModelFacts, check, require_runnable
from edgekit.profiles.capability_tables import FOLDER, Table, load_table, table_names
from edgekit.profiles.schema import DeviceSection, Limits
from edgekit.profiles.search import shipped_folder
from edgekit.registry import load, plugins

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "capability_tables"
PACKAGES = {
    "litert": "ai_edge_litert",
    "litert-python": "ai_edge_litert",
    "onnxruntime": "onnxruntime",
    "onnxruntime-python": "onnxruntime",
}
HEAVY_PACKAGES = {"executorch": "executorch", "coreml": "coremltools"}


@dataclass(frozen=True)
class Facts:
    """A model as the check sees it."""

    operators: Mapping[str, int] = field(default_factory=lambda: {"ADD": 1})
    custom_operators: Sequence[str] = ()
    opsets: Mapping[str, int] = field(default_factory=dict)
    size_bytes: int = 1000
    signature: Signature | None = None
    quantization: Quantization | None = None


def profile(*runtimes: str, abi: str = "arm64-v8a", memory: int | None = None, **more: Any) -> Profile:
    device = DeviceSection(abi=cast(Any, abi), memory_bytes=memory)
    return Profile(
        schema="edgekit.profile/1", name="mine", sources=(), runtimes=runtimes, device=device, **more
    )


def signature(dtype: str = "float32", shape: tuple[int, ...] = (1, 4)) -> Signature:
    return Signature(
        key=None,
        inputs=(TensorSpec(name="image", dtype=dtype, shape=shape),),
        outputs=(TensorSpec(name="scores", dtype="float32", shape=(1, 2)),),
    )


def refused(who: Profile, facts: ModelFacts | None, target: str, **more: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        require_runnable(who, facts, target, more.pop("recipe", "float32"), **more)
    return caught.value


# the tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.base
@pytest.mark.parametrize("name", table_names())
def test_b1_6_table_is_valid_and_says_where_it_is_from(name: str) -> None:
    table = load_table(name)
    assert table is not None
    assert len(table.operators) > 100
    assert table.dtypes
    assert table.formats
    text = (FOLDER / f"{name}.yaml").read_text("utf-8")
    assert text.startswith("# made by scripts/capability_tables on 20")
    assert f"from {table.package} {table.version}:" in text.splitlines()[0]
    for other in table.instead.values():
        assert load_table(other) is not None
    for operator, spans in table.operators.items():
        assert table.has(operator)
        assert not spans or table.has(operator, int(spans.partition("-")[0].partition(",")[0]))
        assert not spans or not table.has(operator, 9999)


@pytest.mark.base
def test_b1_6_every_runtime_of_a_shipped_profile_has_a_table() -> None:
    for path in sorted(shipped_folder().glob("*.yaml")):
        for runtime in load_profile(path.stem).runtimes:
            assert load_table(runtime) is not None, f"{path.stem}: {runtime}"


@pytest.mark.base
def test_b1_6_every_runtime_that_the_schema_and_the_plugins_name_has_a_table() -> None:
    known = {"litert", "litert-python", "onnxruntime", "executorch", "coreml", "tflite-runtime"}
    assert known <= set(table_names())
    runners = {name for name in plugins("runtimes") if not hasattr(load("runtimes", name), "verified")}
    assert runners <= set(table_names())  # of a tool, the user's build decides what it runs


@pytest.mark.base
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema": "edgekit.runtime/2"}, "schema"),
        ({"surprise": 1}, "surprise"),
        ({"operators": {"ADD": "one"}}, "regex"),
        ({"abis": {"x86_64": "new"}}, "regex"),
    ],
)
def test_a_damaged_table_is_refused(change: dict[str, object], says: str) -> None:
    table = load_table("litert")
    good = msgspec.to_builtins(table)
    assert msgspec.convert(good, Table) == table
    with pytest.raises(msgspec.ValidationError, match=says):
        msgspec.convert({**good, **change}, Table)


@pytest.mark.base
def test_b1_6_tables_load_without_a_framework_and_edgekit_starts_without_them() -> None:
    code = (
        "import sys, edgekit.cli.main\n"
        "assert not [m for m in sys.modules if 'capabilit' in m], 'loaded at the start'\n"
        "from edgekit.profiles.capability_tables import load_table, table_names\n"
        "[load_table(name) for name in table_names()]\n"
        "import edgekit.profiles.capabilities\n"
        "print(sorted({'numpy', 'torch', 'onnx', 'tensorflow', 'ai_edge_litert', 'tflite'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


# the answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.base
def test_what_runs_gives_no_findings() -> None:
    facts = Facts({"ADD": 2, "CONV_2D": 1}, signature=signature())
    (answer,) = check(profile("litert"), format="tflite", info=facts, recipe="int8-static")
    assert (answer.runtime, answer.runs, answer.findings) == ("litert", True, ())
    assert require_runnable(profile("litert"), facts, "tflite", "float32") == ()


@pytest.mark.base
def test_a_model_info_will_do() -> None:
    info = ModelInfo(format="tflite", path="a.tflite", sha256="", size_bytes=10, operators={"ADD": 1})
    assert require_runnable(profile("litert"), info, "tflite", "float32") == ()


@pytest.mark.base
def test_b1_6_refusal_names_every_operator_and_what_to_do() -> None:
    facts = Facts({"ADD": 2, "CALL": 1, "STABLEHLO_RESHAPE": 1})
    error = refused(profile("litert"), facts, "tflite")
    assert error.code == "E_UNSUPPORTED_OPERATOR"
    assert "CALL, STABLEHLO_RESHAPE" in error.message
    assert "ADD" not in error.message
    assert "replace CALL, STABLEHLO_RESHAPE" in (error.hint or "")


@pytest.mark.base
def test_b1_6_refusal_names_the_runtime_that_has_the_operator() -> None:
    """STABLEHLO_COMPOSITE came after tflite-runtime 2.14; 32-bit ARM boards have nothing newer."""
    facts = Facts({"STABLEHLO_COMPOSITE": 1})
    error = refused(profile("litert-python", abi="armeabi-v7a"), facts, "tflite")
    assert error.code == "E_UNSUPPORTED_OPERATOR"
    assert "STABLEHLO_COMPOSITE" in error.message
    assert "tflite-runtime 2.14.0" in error.message
    assert error.hint == "use a runtime that has it: ai-edge-litert"
    require_runnable(profile("litert-python", abi="arm64-v8a"), facts, "tflite", "float32")


@pytest.mark.base
@pytest.mark.parametrize(("name", "hint"), [("FlexErf", "Flex operators"), ("MyOp", "custom operators")])
def test_b1_b2_custom_operators_are_refused(name: str, hint: str) -> None:
    error = refused(profile("litert"), Facts({name: 1, "ADD": 1}, custom_operators=(name,)), "tflite")
    assert error.code == "E_UNSUPPORTED_OPERATOR"
    assert f"{name} (custom)" in error.message
    assert hint in (error.hint or "")


@pytest.mark.base
def test_a_custom_operator_named_like_a_builtin_one_is_not_it() -> None:
    error = refused(profile("litert"), Facts({"ADD": 1}, custom_operators=("ADD",)), "tflite")
    assert "ADD (custom)" in error.message


@pytest.mark.base
def test_custom_operators_that_the_library_brings_run() -> None:
    name = "TFLite_Detection_PostProcess"
    assert require_runnable(profile("litert"), Facts({name: 1}, (name,)), "tflite", "float32") == ()


@pytest.mark.base
def test_b1_6_opset_newer_than_the_runtime() -> None:
    facts = Facts({"Relu": 1}, opsets={"ai.onnx": 99})
    error = refused(profile("onnxruntime"), facts, "onnx")
    assert error.code == "E_UNSUPPORTED_OPSET"
    assert "99" in error.message
    newest = cast(Table, load_table("onnxruntime")).opsets["ai.onnx"]
    assert error.hint == f"export it again with opset {newest} or lower"


@pytest.mark.base
def test_b1_6_operator_that_this_opset_no_longer_has() -> None:
    error = refused(profile("onnxruntime"), Facts({"Upsample": 1}, opsets={"ai.onnx": 20}), "onnx")
    assert error.code == "E_UNSUPPORTED_OPSET"
    assert "Upsample" in error.message
    assert error.hint == "export the model again with opset 9"


@pytest.mark.base
@pytest.mark.parametrize("opsets", [{}, {"ai.onnx": 20}])
def test_onnx_operators_by_domain(opsets: dict[str, int]) -> None:
    who = profile("onnxruntime", abi="x86_64")
    fine = Facts({"Conv": 1, "com.microsoft::Gelu": 1, "mine::Swiglu": 1}, opsets={**opsets, "mine": 1})
    # a domain that is neither the runtime's nor custom is the model's own function
    assert all("glibc" in note for note in require_runnable(who, fine, "onnx", "float32"))
    wrong = Facts({"Conv": 1, "mine::Swiglu": 1}, ("mine::Swiglu",), opsets)
    error = refused(who, wrong, "onnx")
    assert error.code == "E_UNSUPPORTED_OPERATOR"
    assert "mine::Swiglu (custom)" in error.message


@pytest.mark.base
def test_executorch_delegates_and_kernels() -> None:
    who = profile("executorch", abi="")
    require_runnable(who, Facts({"delegate::XnnpackBackend": 3, "aten::add.out": 1}), "executorch", "float32")
    error = refused(who, Facts({"delegate::QnnBackend": 1, "my::op.out": 1}), "pte")
    assert "my::op.out" in error.message
    assert "QnnBackend" in error.message


@pytest.mark.base
@pytest.mark.parametrize(("runtime", "target"), [("litert", "tflite"), ("coreml", "coreml")])
def test_b1_6_dtype_of_an_input(runtime: str, target: str) -> None:
    operators = {"litert": {"ADD": 1}, "coreml": {"add": 1}}[runtime]
    facts = Facts(operators, signature=signature("complex64"))
    error = refused(profile(runtime), facts, target)
    assert error.code == "E_UNSUPPORTED_DTYPE"
    assert "image (complex64)" in error.message


@pytest.mark.base
def test_b1_6_format_that_no_runtime_takes() -> None:
    error = refused(profile("litert", "litert-python", formats=("tflite",)), None, "onnx")
    assert error.code == "E_UNSUPPORTED_FORMAT"
    assert "--to tflite" in (error.hint or "")


@pytest.mark.base
def test_a_file_format_counts_as_its_target() -> None:
    assert require_runnable(profile("coreml"), Facts({"conv": 1}), "mlpackage", "float16") == ()


@pytest.mark.base
def test_one_runtime_that_can_is_enough_and_the_others_are_told() -> None:
    """Not those that are for another format: that is no news."""
    who = profile("onnxruntime", "litert-python", "litert")
    (note,) = require_runnable(who, Facts(), "tflite", "float32", glibc=(2, 20))
    assert note.startswith("litert-python cannot run this: ")
    assert (
        require_runnable(profile("litert", "onnxruntime", abi=""), Facts({"Conv": 1}), "onnx", "float32")
        == ()
    )


@pytest.mark.base
@pytest.mark.parametrize("target", ["tflite", "onnx", "executorch"])
def test_the_profile_of_this_machine_takes_what_edgekit_can_run_on_it(target: str) -> None:
    host = load_profile("host-x86-64")
    assert target in host.formats
    answers = check(host, format=target, info=None, recipe="int8-static", glibc=(2, 36))
    assert any(not answer.refusals for answer in answers)


@pytest.mark.base
def test_notes_end_with_the_runtime_that_will_be_taken() -> None:
    """litert-python would have a note about the board's C library."""
    assert require_runnable(profile("litert", "litert-python"), Facts(), "tflite", "float32") == ()
    notes = require_runnable(profile("somebodys", "litert-python"), Facts(), "tflite", "float32")
    assert ["not known" in notes[0], "glibc" in notes[1]] == [True, True]


@pytest.mark.base
def test_only_the_named_runtime_is_asked() -> None:
    error = refused(profile("onnxruntime", "litert"), Facts({"Conv": 1}), "onnx", runtime="litert")
    assert error.code == "E_UNSUPPORTED_FORMAT"


@pytest.mark.base
@pytest.mark.parametrize("runtimes", [("somebodys",), ()])
def test_unknown_is_a_note_and_no_refusal(runtimes: tuple[str, ...]) -> None:
    (note,) = require_runnable(profile(*runtimes), Facts({"CALL": 1}), "tflite", "float32")
    assert "not checked" in note


@pytest.mark.base
def test_unknown_operators_are_a_note() -> None:
    (note,) = require_runnable(profile("litert"), Facts({}), "tflite", "float32")
    assert "not known" in note


@pytest.mark.base
def test_b1_6_model_larger_than_the_memory() -> None:
    who = profile("litert", memory=10_000_000)
    error = refused(who, Facts(size_bytes=10_000_001), "tflite")
    assert error.code == "E_MODEL_TOO_LARGE"
    assert "10.0 MB" in error.message
    # int8 makes a quarter of it, so that this recipe fails is not certain
    (note,) = require_runnable(who, Facts(size_bytes=30_000_000), "tflite", "int8-static")
    assert "more than half" in note
    quantized = Quantization(kind="int8-static", summary="", weights={})
    facts = Facts(size_bytes=30_000_000, quantization=quantized)
    assert refused(who, facts, "tflite", recipe="as-is").code == "E_MODEL_TOO_LARGE"


@pytest.mark.base
def test_inputs_and_outputs_count_as_memory() -> None:
    who = profile("litert", memory=100_000)
    assert require_runnable(who, Facts(signature=signature()), "tflite", "float32") == ()
    facts = Facts(signature=signature(shape=(1, 20_000)))
    assert "more than half" in require_runnable(who, facts, "tflite", "float32")[0]


@pytest.mark.base
def test_b1_6_limit_of_the_profile_is_a_note() -> None:
    who = profile("litert", limits=Limits(model_size_bytes=1000))
    (note,) = require_runnable(who, Facts(size_bytes=5000), "tflite", "int8-static")
    assert "limits.model_size" in note


@pytest.mark.base
def test_b1_6_glibc_of_the_device() -> None:
    """The wheel for aarch64 is tagged glibc 2.27 and needs 2.34; the native bundle brings its own."""
    who = profile("litert-python")
    error = refused(who, Facts(), "tflite", glibc=(2, 31))
    assert error.code == "E_UNSUPPORTED_LIBC"
    assert "2.34" in error.message
    assert "2.31" in error.message
    assert require_runnable(who, Facts(), "tflite", "float32", glibc=(2, 36)) == ()
    assert "was not checked" in require_runnable(who, Facts(), "tflite", "float32")[0]
    assert require_runnable(profile("litert"), Facts(), "tflite", "float32", glibc=(2, 31)) == ()


@pytest.mark.base
def test_precision_that_the_profile_does_not_list() -> None:
    who = profile("litert", precisions={"litert": ("float32",)})
    assert require_runnable(who, Facts(), "tflite", "float32") == ()
    assert "does not list int8" in require_runnable(who, Facts(), "tflite", "int8-static")[0]
