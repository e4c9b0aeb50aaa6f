"""Finding the first bad operator, on traces made by hand. (B1.4)"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from rich.console import Console

from edgekit.conversion.layers import LayerReport, debug_layers, layers_html, plot_svg, render_table
from edgekit.conversion.layers.trace import INPUT, Recorder, Trace
from edgekit.errors import ModelError
from tests.conversion.layers.made import inputs, source, target

pytestmark = pytest.mark.base
Array = np.ndarray[Any, Any]
OPS = ["TRANSPOSE", "CONV_2D", "RELU", "ADD", "MEAN", "SOFTMAX"]


def compared(run: Any, **more: Any) -> LayerReport:
    return debug_layers(source, run, inputs(), 1e-5, **more)


def test_nothing_is_wrong() -> None:
    report = compared(target())
    assert report.state == "agree"
    assert report.first_bad is None
    assert [row.op for row in report.rows] == [INPUT, *OPS]
    assert [row.source_op for row in report.rows][2:4] == ["aten.conv2d.default", "aten.relu.default"]
    assert report.rows[2].axes == (0, 2, 3, 1)
    assert report.unmatched == ()


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("edges", [True, False])
def test_the_first_bad_operator_is_named(op: str, edges: bool) -> None:
    """Also where the trace does not say what each operator read (Core ML)."""

    def damage(made: str, value: Array) -> Array:
        return value * np.float32(1.1) + np.float32(0.01) if made == op else value

    report = compared(target(damage, edges=edges))
    assert report.state == "parted"
    assert report.first_bad is not None
    assert (report.first_bad.op, report.first_bad.reason) == (op, "error")
    states = {row.op: row.state for row in report.rows}
    assert states[op] == "bad"
    assert all(states[later] == "behind" for later in OPS[OPS.index(op) + 1 :])


@pytest.mark.parametrize("op", OPS[1:])
def test_nan_is_named_where_it_begins(op: str) -> None:
    def damage(made: str, value: Array) -> Array:
        if made == op:
            value.reshape(-1)[0] = np.nan
        return value

    report = compared(target(damage))
    assert report.first_bad is not None
    assert (report.first_bad.op, report.first_bad.reason) == (op, "not_finite")
    row = next(row for row in report.rows if row.op == op)
    assert row.lost >= 1
    assert row.relative_error is None


def test_infinity_that_the_source_has_too_is_no_fault() -> None:
    def masked(index: int, name: str) -> Any:
        def run(sample: Any) -> Trace:
            recorder = Recorder()
            x = recorder.add(-1, INPUT, "x", sample[0])
            value = np.where(sample[0] > 0, sample[0], -np.inf)
            recorder.add(0, "where", name, value, [x])
            recorder.add(1, "exp", name + "e", np.exp(value), [name])
            return recorder.trace([name + "e"])

        return run

    report = debug_layers(masked(0, "a"), masked(1, "b"), inputs(), 1e-5)
    assert report.state == "agree"
    assert len(report.rows) == 3


def test_rows_and_columns_exchanged() -> None:
    """A wrong transposition has all the source's values: the convolution behind it is off, but is not to blame."""

    def damage(made: str, value: Array) -> Array:
        return value.swapaxes(1, 2).copy() if made == "TRANSPOSE" else value

    def uneven(run: Any) -> Any:
        """A mean does not see the exchange; a sum with weights does."""
        weights = np.random.default_rng(1).random((5, 5)).astype(np.float32)

        def traced(sample: Any) -> Trace:
            trace = run(sample)
            recorder = Recorder()
            for step in trace.steps:
                value = step.value
                if step.op in ("MEAN", "aten.mean.dim"):
                    image = recorder.steps[-1].value
                    assert image is not None
                    order = "nhwc,hw->nc" if step.op == "MEAN" else "nchw,hw->nc"
                    value = np.einsum(order, image, weights)
                elif "SOFTMAX" in step.op.upper():
                    mean = recorder.steps[-1].value
                    assert mean is not None
                    value = mean / (1 + np.abs(mean).sum())
                recorder.add(step.index, step.op, step.name, value, step.inputs)
            return recorder.trace(trace.outputs)

        return traced

    report = debug_layers(uneven(source), uneven(target(damage)), inputs(), 1e-5)
    assert report.first_bad is not None
    assert report.first_bad.op in ("TRANSPOSE", "MEAN")


def test_outputs_alone_are_compared_where_nothing_else_is_seen() -> None:
    from edgekit.conversion.layers.mil_trace import OutputsOnly

    why = "only outputs are seen"
    good = compared(OutputsOnly(lambda sample: [source(sample).steps[-1].value], why))  # type: ignore[list-item]
    assert good.state == "agree"
    assert good.notes == (why,)
    bad = compared(OutputsOnly(lambda sample: [source(sample).steps[-1].value * 2], why))  # type: ignore[operator]
    assert bad.state == "parted"
    assert bad.first_bad is None
    assert "no inner tensor could be compared" in bad.summary


def test_an_error_that_gathers_is_not_pinned_on_one_operator() -> None:
    """Every operator adds a little: the output is off by more than is allowed, no operator by more than inside."""

    def damage(made: str, value: Array) -> Array:
        return value * np.float32(1 + 1.2e-5)

    report = compared(target(damage))
    assert report.state == "parted"
    assert report.first_bad is None
    assert "little by little" in report.summary


def test_outputs_whose_axes_were_moved_on_purpose() -> None:
    def image(axes: tuple[int, ...] | None) -> Any:
        def run(sample: Any) -> Trace:
            recorder = Recorder()
            x = recorder.add(-1, INPUT, "x", sample[0])
            value = sample[0] * 2 if axes is None else (sample[0] * 2).transpose(axes)
            recorder.add(0, "MUL", "y", value, [x])
            return recorder.trace(["y"], [axes or ()])

        return run

    assert debug_layers(image(None), image((0, 2, 3, 1)), inputs(), 1e-5).state == "agree"


def test_no_samples_is_an_error_of_the_input() -> None:
    with pytest.raises(ModelError) as caught:
        debug_layers(source, target(), [], 1e-5)
    assert caught.value.code == "E_MODEL_INPUT"


def test_the_report_goes_through_json() -> None:
    report = compared(target(lambda op, value: value * 2 if op == "RELU" else value))
    assert msgspec.json.decode(report.to_json(), type=LayerReport) == report
    assert msgspec.json.decode(report.to_json())["schema"] == "edgekit.layers/1"


def test_table_plot_and_page_name_the_bad_one() -> None:
    report = compared(target(lambda op, value: value * 2 if op == "RELU" else value), target_name="m.tflite")
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(render_table(report))
    marked = [line for line in console.export_text().splitlines() if "first bad" in line]
    assert len(marked) == 1
    assert "RELU" in marked[0]
    assert "first bad: number 2" in plot_svg(report)
    page = layers_html(report)
    assert page.count("first bad</small>") == 1
    assert "m.tflite" in page


def test_names_from_outside_stay_text() -> None:
    """Operators and tensors are called whatever the file says. (B1-b3)"""
    evil = '<script>alert("x")</script>\u202e[red]'

    def named(run: Any) -> Any:
        def traced(sample: Any) -> Trace:
            trace = run(sample)
            recorder = Recorder()
            for step in trace.steps:
                name = step.name if step.op != "RELU" else evil
                read = [evil if one == "t2" else one for one in step.inputs]
                recorder.add(step.index, step.op if step.op != "RELU" else evil, name, step.value, read)
            return recorder.trace(trace.outputs)

        return traced

    report = compared(named(target(lambda op, value: value * 2 if op == "RELU" else value)), target_name=evil)
    for text in (layers_html(report), plot_svg(report)):
        assert "<script" not in text
        assert "\u202e" not in text
    console = Console(width=200, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(render_table(report))


def test_a_large_model_still_makes_a_small_plot() -> None:
    def long(factor: float) -> Any:
        def run(sample: Any) -> Trace:
            recorder = Recorder()
            last, value = recorder.add(-1, INPUT, "x", sample[0]), sample[0]
            for index in range(1500):
                value = (
                    np.tanh(value * 1.5 + 0.01 * index).astype(np.float32) if index % 2 else value * 0.9 + 0.1
                )
                value = value * np.float32(factor) if index == 700 else value
                last = recorder.add(index, "TANH" if index % 2 else "MUL", f"t{index}", value, [last])
            return recorder.trace([last])

        return run

    report = debug_layers(long(1.0), long(1.3), inputs(2), 1e-5, max_samples=1)
    assert report.operators == 1500
    assert len(plot_svg(report)) < 150_000
    assert len(layers_html(report)) < 500_000
