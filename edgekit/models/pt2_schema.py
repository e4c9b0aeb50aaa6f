"""The part of the JSON in a .pt2 file that edgekit reads (torch/_export/serde/schema.py, major version 8)."""

from __future__ import annotations

import msgspec

DTYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
    9: "complex32", 10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16",
    29: "float8_e4m3fn", 30: "float8_e5m2", 31: "float8_e4m3fnuz", 32: "float8_e5m2fnuz", 33: "float8_e8m0",
    34: "uint32", 35: "uint64",
}  # fmt: skip
"""ScalarType of the schema, by number."""


class SymExpr(msgspec.Struct, frozen=True):
    expr_str: str


class SymInt(msgspec.Struct, frozen=True):
    as_int: int | None = None
    as_expr: SymExpr | None = None


class TensorMeta(msgspec.Struct, frozen=True):
    dtype: int
    sizes: list[SymInt]


class Name(msgspec.Struct, frozen=True):
    name: str


class GraphArgument(msgspec.Struct, frozen=True):
    name: str
    graph: Graph


class Argument(msgspec.Struct, frozen=True):
    as_tensor: Name | None = None
    as_graph: GraphArgument | None = None


class NamedArgument(msgspec.Struct, frozen=True):
    name: str
    arg: Argument


class Node(msgspec.Struct, frozen=True):
    target: str
    inputs: list[NamedArgument]


class Graph(msgspec.Struct, frozen=True):
    nodes: list[Node]
    tensor_values: dict[str, TensorMeta]


class UserArgument(msgspec.Struct, frozen=True):
    arg: Argument


class InputSpec(msgspec.Struct, frozen=True):
    user_input: UserArgument | None = None


class OutputSpec(msgspec.Struct, frozen=True):
    user_output: UserArgument | None = None


class GraphSignature(msgspec.Struct, frozen=True):
    input_specs: list[InputSpec]
    output_specs: list[OutputSpec]


class GraphModule(msgspec.Struct, frozen=True):
    graph: Graph
    signature: GraphSignature


class Program(msgspec.Struct, frozen=True):
    """models/NAME.json."""

    graph_module: GraphModule
    opset_version: dict[str, int] = {}
    torch_version: str = ""
    guards_code: list[str] = []


class PayloadMeta(msgspec.Struct, frozen=True):
    path_name: str
    is_param: bool
    use_pickle: bool
    tensor_meta: TensorMeta | None = None


class PayloadConfig(msgspec.Struct, frozen=True):
    """data/weights/NAME_weights_config.json and data/constants/NAME_constants_config.json."""

    config: dict[str, PayloadMeta]
