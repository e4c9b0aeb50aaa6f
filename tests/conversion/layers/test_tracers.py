"""Which tracer a source and a converted model get. (B1.4)"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.conversion.layers import debug_layers, tracer_for_source, tracer_for_target
from edgekit.conversion.layers.onnx_trace import OnnxTracer
from edgekit.conversion.layers.tflite_trace import TfliteTracer
from edgekit.conversion.layers.torch_trace import TorchTracer
from edgekit.conversion.layout import Pairing
from edgekit.conversion.sources.base import LoadedSource
from edgekit.conversion.sources.handles import OnnxModel, TfliteModel, TorchModel
from edgekit.models.info import Signature, TensorSpec
from edgekit.models.manifest import Origin
from tests.conversion.layers import nets
from tests.conversion.layers.made import inputs, source, target

Array = np.ndarray[Any, Any]
_SPEC = TensorSpec(name="x", dtype="float32", shape=(1, 4, 5, 5), tensor="in")
_SIGNATURE = Signature(
    key=None, inputs=(_SPEC,), outputs=(TensorSpec(name="y", dtype="float32", shape=(1, 6), tensor="t5"),)
)


class Evaluator:
    """Like the evaluator of Core ML programs: tells what is inside, not what each operation read."""

    signature = _SIGNATURE

    def __init__(self, factor: float, *, nchw: bool = True) -> None:
        self._run = target(lambda op, value: value * np.float32(factor) if op == "RELU" else value)
        self._nchw = nchw

    def run(self, sample: Sequence[Array]) -> list[Array]:
        return self.run_traced(sample)[0]

    def run_traced(self, sample: Sequence[Array]) -> tuple[list[Array], list[tuple[str, str, Array]]]:
        given = [value if self._nchw else value.transpose(0, 3, 1, 2) for value in sample]
        steps = self._run(given).steps[1:]
        inner = [(step.op.lower(), step.name, step.value) for step in steps]
        return [inner[-1][2]], inner  # type: ignore[list-item, return-value]


class Closed:
    """A runtime that only gives outputs."""

    signature = _SIGNATURE

    def run(self, sample: Sequence[Array]) -> list[Array]:
        return Evaluator(1.0).run(sample)


@pytest.mark.base
@pytest.mark.parametrize("factor", [1.0, 1.2])
def test_a_model_that_tells_what_is_inside(factor: float) -> None:
    tracer = tracer_for_target("mlpackage", Path("unused"), Evaluator(factor), None)
    report = debug_layers(source, tracer, inputs(), 1e-5)
    assert report.state == ("agree" if factor == 1 else "parted")
    assert any("not known" in note for note in report.notes)
    if factor != 1:
        assert report.first_bad is not None
        assert report.first_bad.op == "relu"


@pytest.mark.base
def test_inputs_go_in_as_the_model_has_them() -> None:
    """The result takes images as NHWC, the samples are the source's."""
    pairing = Pairing(inputs=((0, (0, 2, 3, 1)),), outputs=((0, None),), changed=())
    tracer = tracer_for_target("mlpackage", Path("unused"), Evaluator(1.0, nchw=False), pairing)
    assert debug_layers(source, tracer, inputs(), 1e-5).state == "agree"


@pytest.mark.base
def test_a_runtime_that_hides_everything() -> None:
    tracer = tracer_for_target("pte", Path("unused"), Closed(), None)
    report = debug_layers(source, tracer, inputs(), 1e-5)
    assert report.state == "agree"
    assert any("only its outputs" in note for note in report.notes)


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["cnn", "encoder"])
@pytest.mark.parametrize(("precision", "tolerance"), [("FLOAT32", 1e-5), ("FLOAT16", 2e-3)])
def test_core_ml_programs(name: str, precision: str, tolerance: float, tmp_path: Path) -> None:
    """The real converter's program, run by the evaluator that verifies it."""
    coreml = pytest.importorskip("coremltools")
    model = pytest.importorskip("edgekit_ios.mil.model")
    from edgekit.conversion.extras import quiet

    with quiet():
        program = nets.program(name).run_decompositions({})
        made = coreml.convert(
            program,
            convert_to="mlprogram",
            minimum_deployment_target=coreml.target.iOS16,
            compute_precision=getattr(coreml.precision, precision),
        )
        made.save(str(tmp_path / "m.mlpackage"))
    tracer = tracer_for_target("mlpackage", tmp_path, model.MilModel(tmp_path / "m.mlpackage"), None)
    report = debug_layers(nets.source(name), tracer, nets.samples(name), tolerance)
    assert report.state == "agree", report.summary
    assert len(report.rows) >= 0.8 * report.operators


@pytest.mark.heavy
def test_sources_by_framework(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(nets.onnx("cnn"))
    module, example = nets.net("cnn")

    def loaded(framework: Any, model: Any) -> LoadedSource:
        origin = Origin(name="m", format=framework, sha256="0" * 64)
        return LoadedSource(
            name="m", origin=origin, framework=framework, model=model, signature=_SIGNATURE, run=lambda s: []
        )

    made = [
        loaded("torch", TorchModel(module, example, nets.program("cnn"))),
        loaded("onnx", OnnxModel(path)),
        loaded("tflite", TfliteModel(nets.tflite("cnn"))),
    ]
    tracers = [tracer_for_source(one) for one in made]
    assert [type(one) for one in tracers] == [TorchTracer, OnnxTracer, TfliteTracer]
    for tracer in tracers:
        report = debug_layers(tracer, TfliteTracer(nets.tflite("cnn"), "m"), nets.samples("cnn"), 1e-5)
        assert report.state == "agree"
        assert len(report.rows) > 10


@pytest.mark.heavy
def test_a_result_in_another_layout() -> None:
    """litert-torch's own way to NHWC inputs, paired with the source's NCHW."""
    converter = pytest.importorskip("litert_torch")
    import tempfile

    from edgekit.conversion.extras import quiet

    module, example = nets.net("cnn")
    moved = converter.to_channel_last_io(module, args=[0])
    with tempfile.TemporaryDirectory() as folder, quiet():
        file = Path(folder) / "m.tflite"
        converter.convert(moved, (example[0].permute(0, 2, 3, 1).contiguous(),)).export(str(file))
        pairing = Pairing(inputs=((0, (0, 2, 3, 1)),), outputs=((0, None),), changed=())
        tracer = tracer_for_target("tflite", file, Closed(), pairing)
    report = debug_layers(nets.source("cnn"), tracer, nets.samples("cnn"), 1e-5)
    assert report.state == "agree"
    assert report.rows[0].axes == (0, 2, 3, 1)
