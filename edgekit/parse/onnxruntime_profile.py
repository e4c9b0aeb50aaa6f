"""What ONNX Runtime writes with profiling on: every node of every inference, to one table.

Form: onnxruntime/core/common/profiler.cc and profiler_common.cc, a list of trace events in the order in which they
ended; whole microseconds. An inference is closed by the event "model_run", the execution of a graph (the main one,
or a branch's or a loop's) by "SequentialExecutor::Execute", and a node is "NAME_kernel_time". The profiler stops at
a million events, in the middle of an inference: what no "model_run" closes is left out. A file cut anywhere is no
JSON.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from edgekit.parse import fail
from edgekit.parse.benchmark_run import MAX_VALUE
from edgekit.parse.op_profile import OpProfile, OpRow, Unit, op_profile, timed_rows

TOOL: Final = "ONNX Runtime's profile"
MAX_PROFILE_BYTES: Final = 1 << 28
"""A node of one inference takes some 700 bytes."""
_KERNEL: Final = "_kernel_time"
_UNITS: Final[dict[str, Unit]] = {
    "CPUExecutionProvider": "cpu",
    "XnnpackExecutionProvider": "cpu",
    "DnnlExecutionProvider": "cpu",
    "ACLExecutionProvider": "cpu",
    "CUDAExecutionProvider": "gpu",
    "TensorrtExecutionProvider": "gpu",
    "NvTensorRTRTXExecutionProvider": "gpu",
    "ROCMExecutionProvider": "gpu",
    "MIGraphXExecutionProvider": "gpu",
    "DmlExecutionProvider": "gpu",
    "WebGpuExecutionProvider": "gpu",
    "RknpuExecutionProvider": "npu",
    "CANNExecutionProvider": "npu",
}
"""Those that run on one kind of unit only; Core ML, NNAPI, QNN and OpenVINO may use any."""

_Micros = Annotated[int, Meta(ge=0, le=int(MAX_VALUE))]


class _Arguments(Struct):
    op_name: str | None = None
    provider: str | None = None
    node_index: str | None = None


class _Event(Struct):
    cat: str
    name: str
    ts: _Micros
    dur: _Micros
    args: _Arguments = msgspec.field(default_factory=_Arguments)


class _Node(Struct, frozen=True):
    """Which node an event is of. Numbers are of one graph only: the bodies of a loop count from 0 too."""

    name: str
    op: str
    index: int | None
    provider: str | None


_Took = tuple[_Node, float]
"""A node and how long one run of it took, in microseconds."""


def parse_onnxruntime_profile(data: bytes) -> OpProfile:
    """The nodes of the graph as it was optimized, by the time that an inference takes in them.

    The first inference is left out where there are others: its buffers and packed weights are made then. What is inside
    of a branch or a loop is `inner`. Raises ParseError where the file is cut, is no such profile, or has no inference.
    """
    if len(data) > MAX_PROFILE_BYTES:
        fail(TOOL, f"it has {len(data)} bytes")
    try:
        events = msgspec.json.decode(data, type=list[_Event])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        fail(TOOL, str(error)[:200])
    runs = _inferences(events)
    if not runs:
        fail(TOOL, "it has no inference")
    counted = runs[1:] or runs
    outer = timed_rows([main for main, _ in counted], _row)
    if not outer:
        fail(TOOL, "it has no nodes")
    return op_profile(outer, timed_rows([inside for _, inside in counted], _row), runs=len(counted))


def _inferences(events: list[_Event]) -> list[tuple[list[_Took], list[_Took]]]:
    """For each inference that ended: the nodes of the main graph, and those of the graphs inside of its nodes."""
    runs: list[tuple[list[_Took], list[_Took]]] = []
    open_nodes: list[tuple[int, _Took]] = []
    graphs: list[list[_Took]] = []
    for event in events:
        if event.cat == "Node" and event.name.endswith(_KERNEL):
            open_nodes.append((event.ts, (_node_of(event), event.dur)))
        elif event.cat == "Session" and event.name == "SequentialExecutor::Execute":
            # the graph that ends here is of the nodes that began in it; what began before is of the graph around it
            begun = len(open_nodes)
            while begun and open_nodes[begun - 1][0] >= event.ts:
                begun -= 1
            graphs.append([took for _, took in open_nodes[begun:]])
            del open_nodes[begun:]
        elif event.cat == "Session" and event.name == "model_run":
            if not graphs or open_nodes:
                fail(TOOL, "an inference ends in which no graph ended")
            *inside, main = graphs  # the main graph ends last
            runs.append((main, [took for graph in inside for took in graph]))
            graphs = []
    return runs


def _node_of(event: _Event) -> _Node:
    told = event.args
    if not told.op_name:
        fail(TOOL, f"the node '{event.name[:60]}' has no operator")
    number = told.node_index
    if number is not None and not (number.isascii() and number.isdigit() and len(number) <= 9):
        fail(TOOL, f"'{number[:40]}' is no number of a node")
    return _Node(
        name=event.name.removesuffix(_KERNEL).strip(),
        op=told.op_name,
        index=None if number is None else int(number),
        provider=told.provider,
    )


def _row(node: _Node) -> OpRow:
    return OpRow(op=node.op, node=node.name or None, index=node.index, unit=_UNITS.get(node.provider or ""))
