"""What one step of an output is worth in a model that is quantized inside and speaks floats outside."""

from __future__ import annotations


def output_steps(data: bytes) -> tuple[float | None, ...]:
    """For each output of the first subgraph, in graph order: the scale of the integer tensor that a DEQUANTIZE
    operator makes it from; None for an output that is made in floats or is an integer itself.

    Outputs of such a model are multiples of a step, so devices agree or differ by whole steps.
    """
    import tflite

    model = tflite.Model.GetRootAsModel(data, 0)
    graph = model.Subgraphs(0)
    made_by = {}
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        for output in operator.OutputsAsNumpy():
            made_by[int(output)] = operator
    steps: list[float | None] = []
    for output in graph.OutputsAsNumpy():
        operator = made_by.get(int(output))
        steps.append(_step(model, graph, operator) if operator is not None else None)
    return tuple(steps)


def _step(model: object, graph: object, operator: object) -> float | None:
    import tflite

    code = model.OperatorCodes(operator.OpcodeIndex())  # type: ignore[attr-defined]
    # files older than schema 3a have the code in the narrower field
    if max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) != tflite.BuiltinOperator.DEQUANTIZE:
        return None
    source = graph.Tensors(operator.Inputs(0)).Quantization()  # type: ignore[attr-defined]
    return float(source.Scale(0)) if source is not None and source.ScaleLength() == 1 else None
