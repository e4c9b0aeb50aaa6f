"""B2.5: where a factor passes between layers whose values are added up, and that the model stays the same with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit.conversion.rescue.equalize import equalized
from edgekit.conversion.rescue.links import Link, find_links
from edgekit.conversion.targets.tflite_file import unpacked
from edgekit.models.inspect import inspect_tflite
from tests.conversion.build import ADD, FULLY_CONNECTED, Graph

pytest.importorskip("ai_edge_litert.schema_py_generated")
WIDE = 8


def residual(*, added: int = 0, outlier: float = 1.0, first_is_output: bool = False) -> bytes:
    """y = D relu(C z), z = x1 + B relu(A x1), x1 = E x: what an inverted residual is, in dense layers. `added`: the activation of the
    addition. `outlier`: so much larger is channel 3 of x1 and z."""
    from ai_edge_litert import schema_py_generated as schema

    rng, graph = np.random.default_rng(5), Graph()
    grown = np.where(np.arange(WIDE) == 3, outlier, 1.0)

    def dense(
        name: str, given: int, outs: int, *, relu: bool, makes: bool = False, reads: bool = False
    ) -> int:
        ins = graph.tensors[given][2][1]
        weights, bias = rng.normal(size=(outs, ins)), rng.normal(size=outs)
        if makes:
            weights, bias = weights * grown[:, None], bias * grown
        if reads:
            weights = weights / grown
        w = graph.constant(f"{name}_w", weights.astype(np.float32))
        b = graph.constant(f"{name}_b", bias.astype(np.float32))
        made, options = graph.tensor(name, [1, outs]), schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = int(relu)
        graph.operator(FULLY_CONNECTED, [given, w, b], [made], options)
        return made

    x = graph.tensor("x", [1, 4])
    start = dense("e", x, WIDE, relu=False, makes=True)
    inside = dense("b", dense("a", start, 16, relu=True, reads=True), WIDE, relu=False, makes=True)
    z, options = graph.tensor("z", [1, WIDE]), schema.AddOptionsT()
    options.fusedActivationFunction = added
    graph.operator(ADD, [start, inside], [z], options)
    y = dense("d", dense("c", z, 16, relu=True, reads=True), 3, relu=False)
    return graph.build([x], [y, start] if first_is_output else [y])


def links(data: bytes) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    return [(link.makers, link.readers) for link in find_links(unpacked(data))]


def test_b2_5_all_that_is_added_up_has_one_factor() -> None:
    """Operators: 0 e, 1 a, 2 b, 3 the addition, 4 c, 5 d."""
    found = find_links(unpacked(residual()))
    stream = next(link for link in found if len(link.makers) > 1)
    assert (stream.makers, stream.readers) == ((0, 2), (1, 4))
    assert len(stream.values) == 3
    assert links(residual()) == [((0, 2), (1, 4)), ((1,), (2,)), ((4,), (5,))]


@pytest.mark.parametrize("given", [{"added": 3}, {"first_is_output": True}], ids=["limit", "output"])
def test_b2_5_a_stream_with_a_limit_or_another_reader_has_none(given: dict[str, Any]) -> None:
    """ReLU6 after the addition; or the model gives one of the values: others would see the factor."""
    assert links(residual(**given)) == [((1,), (2,)), ((4,), (5,))]


def test_b2_5_what_a_model_adds_of_its_input_has_none() -> None:
    from ai_edge_litert import schema_py_generated as schema

    graph = Graph()
    x = graph.tensor("x", [1, 4])
    w = graph.constant("w", np.ones((4, 4), np.float32))
    made, total, y = (graph.tensor(name, [1, 4]) for name in ("made", "total", "y"))
    graph.operator(FULLY_CONNECTED, [x, w, -1], [made], schema.FullyConnectedOptionsT())
    graph.operator(ADD, [x, made], [total], schema.AddOptionsT())
    w2 = graph.constant("w2", np.ones((4, 4), np.float32))
    graph.operator(FULLY_CONNECTED, [total, w2, -1], [y], schema.FullyConnectedOptionsT())
    assert find_links(unpacked(graph.build([x], [y]))) == ()


def test_b2_5_an_outlier_in_the_stream_is_taken_out() -> None:
    """The outputs stay bit for bit (`equalized` gives None otherwise), and the channel is as large as the others again."""
    data = residual(outlier=1000.0)
    rng = np.random.default_rng(6)
    samples = [[rng.random((1, 4), np.float32)] for _ in range(8)]
    signature = inspect_tflite(data, "test").signature
    assert signature is not None
    found = equalized(data, signature, samples)
    assert found is not None
    before, after = (_spread(one, samples) for one in (data, found.data))
    assert before > 200
    assert after < 16


def _spread(data: bytes, samples: list[list[Any]]) -> float:
    """The largest channel of the stream over the middle one."""
    from edgekit.conversion.layers.tflite_probe import TfliteProbe

    probe = TfliteProbe(data, "test")
    stream: Link = next(link for link in find_links(unpacked(data)) if len(link.makers) > 1)
    values = [np.abs(probe.run(sample)[number]) for sample in samples for number in stream.values]
    channels = np.max(values, axis=0).reshape(-1)
    return float(channels.max() / np.median(channels))
