"""What in a .pt2 file would run code when PyTorch loads it. Read in the sources of torch 2.13 and tried with it.

`torch.export.load` and `ExportedProgram.module()` run code that a file brings through all of these:

- data/constants/opaque_obj_*: `pickle.loads`; weights and constants that their config calls pickled:
  `torch.load(weights_only=False)`; custom_obj_*: TorchBind's unpickler; MODEL.pt of older files;
- data/sample_inputs/*.pt: `torch.load(weights_only=True)`, and where that fails with `weights_only=False`;
- data/aotinductor: a shared library is loaded;
- sizes that are expressions: `sympy.sympify`, which is Python's `eval`;
- guards_code: Python's `exec`;
- names of values, keywords and weights: written as they are into the Python source that torch.fx makes and runs;
- targets of nodes: attributes of the torch module, looked up by name.

So all of it is compared with what exporters write; anything else needs the user's trust.
"""

from __future__ import annotations

import ast
import io
import pickletools
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from edgekit.models.json_tree import objects
from edgekit.models.pt2_schema import PayloadConfig

SAFE_GLOBALS = re.compile(
    r"(torch [A-Z][A-Za-z0-9]*Storage|torch (float|bfloat|int|uint|complex)\d+|torch bool|torch Size|torch device"
    r"|torch\._utils _rebuild_(tensor_v2|parameter)|torch\.storage UntypedStorage|collections OrderedDict"
    r"|torch\._tensor (_rebuild_from_type_v2|Tensor)|torch Tensor|(builtins|__builtin__) set)\Z"
)
"""Of the names that `torch.load(weights_only=True)` accepts, those that example inputs need."""
_CALLS = frozenset(
    {
        "Symbol", "Integer", "Rational", "Float", "Max", "Min", "Mod", "Add", "Mul", "Eq", "Ne", "Ge", "Gt", "Le", "Lt",
        "Equality", "Unequality", "GreaterThan", "LessThan", "StrictGreaterThan", "StrictLessThan", "And", "Or", "Not",
        "floor", "ceiling", "Abs", "FloorDiv", "CeilDiv", "CleanDiv", "ModularIndexing", "Where", "PythonMod",
        "CeilToInt", "FloorToInt", "TruncToInt", "TruncToFloat", "RoundToInt", "RoundDecimal", "ToFloat", "IntTrueDiv",
        "FloatTrueDiv", "Identity", "Piecewise", "ExprCondPair", "IsNonOverlappingAndDenseIndicator",
    }
)  # fmt: skip
_POWERS = frozenset({"Pow", "PowByNatural", "FloatPow", "LShift"})
_CALL_PREFIXES = ("OpaqueUnaryFn_", "BitwiseFn_")
_SIZE_FUNCTIONS = frozenset(
    {
        "abs", "add", "and_", "eq", "floordiv", "ge", "getitem", "gt", "le", "lshift", "lt", "mod", "mul", "ne", "neg",
        "not_", "or_", "pos", "pow", "rshift", "sub", "truediv", "xor",
    }
)  # fmt: skip
"""Of the module operator."""
_NODES = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Name, ast.Load, ast.Constant, ast.keyword,
    ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.Tuple,
)  # fmt: skip
_GUARD_ATTRIBUTES = frozenset({"size", "stride", "dim", "storage_offset", "numel"})
_MAX_EXPRESSION = 5000
_MAX_DEPTH = 100
_MAX_POWER = 8
_MAX_REASONS = 50
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_NAME_OR_NUMBER = re.compile(r"([A-Za-z_][A-Za-z0-9_]*|[0-9.]+(e[+-]?[0-9]+)?)\Z")
_DOTTED = re.compile(r"[A-Za-z0-9_.]*\Z")
_NAME_KEYS = ("name", "as_name")
_DOTTED_KEYS = (
    "parameter_name", "buffer_name", "tensor_constant_name", "custom_obj_name", "user_input_name", "fqn",
)  # fmt: skip
_VALUE_MAPS = ("tensor_values", "sym_int_values", "sym_bool_values", "sym_float_values", "custom_obj_values")


def unsafe_members(names: Iterable[str], configs: Iterable[PayloadConfig]) -> tuple[str, ...]:
    """Reasons that the list of members and the configs give."""
    reasons: dict[str, None] = {}
    for name in names:
        path = name if name.startswith("data/") else name.partition("/")[2]
        last = name.rpartition("/")[2]
        if path.startswith("data/aotinductor/"):
            reasons["data/aotinductor holds compiled code"] = None
        elif last.startswith(("opaque_obj_", "custom_obj_")):
            reasons[f"{path[:200]} is a pickled object"] = None
        elif last.endswith((".pt", ".pkl")) and not path.startswith("data/sample_inputs/"):
            reasons[f"{(path or name)[:200]} is a pickle"] = None
    for config in configs:
        for meta in config.config.values():
            if meta.use_pickle:
                reasons[f"{meta.path_name[:200]} is a pickle"] = None
    return tuple(reasons)[:_MAX_REASONS]


def unsafe_program(program: Any) -> tuple[str, ...]:
    """Reasons that the program itself (models/NAME.json, parsed) gives. Raises Damaged for absurd nesting."""
    reasons: dict[str, None] = {}
    for item in objects(program, what="its program"):
        for reason in _in_object(item):
            reasons[reason] = None
            if len(reasons) >= _MAX_REASONS:
                return tuple(reasons)
    return tuple(reasons)


def _in_object(item: Mapping[str, Any]) -> Iterator[str]:
    text = item.get("expr_str")
    if text is not None and not safe_expression(text):
        yield f"a size is the expression {str(text)[:100]!r}"
    for guard in _listed(item.get("guards_code")):
        if not safe_expression(guard, guard=True):
            yield f"a guard is {str(guard)[:100]!r}"
    for key in _NAME_KEYS:
        # "" names a positional argument
        if item.get(key) not in (None, "") and not _matches(_NAME, item[key]):
            yield f"a value is named {str(item[key])[:100]!r}"
    for key in _DOTTED_KEYS:
        if item.get(key) is not None and not _matches(_DOTTED, item[key]):
            yield f"a weight or module is named {str(item[key])[:100]!r}"
    for key in _VALUE_MAPS:
        for name in item.get(key) or ():
            if not _matches(_NAME, name):
                yield f"a value is named {str(name)[:100]!r}"
    for name in _listed(item.get("forward_arg_names")):
        if not _matches(_NAME, name):
            yield f"an argument is named {str(name)[:100]!r}"
    for key in ("in_spec", "out_spec"):
        if "__enum__" in str(item.get(key)):
            yield "its inputs or outputs name a class to import"
    target = item.get("target", item.get("as_operator"))
    if isinstance(target, str) and not _is_operator(target):
        yield f"a node calls {target[:100]!r}, which is no operator"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.match(value) is not None


def _is_operator(target: str) -> bool:
    """torch.ops.LIBRARY.NAME or torch.ops.LIBRARY.NAME.OVERLOAD, or a function on sizes."""
    parts = target.split(".")
    if not all(part.isidentifier() and part.isascii() for part in parts):
        return False
    if parts[:2] == ["torch", "ops"]:
        # NAME may have two underscores (aten.__and__); before and behind it they would be Python's own
        return len(parts) in (4, 5) and not any(part.startswith("__") for part in (parts[2], *parts[4:]))
    if len(parts) != 2:
        return False
    module, name = parts
    return (
        (module == "torch" and name.startswith("sym_"))
        or (module == "_operator" and name in _SIZE_FUNCTIONS)
        or (module == "math" and not name.startswith("_"))
    )


def safe_expression(text: Any, guard: bool = False) -> bool:
    """Whether this is arithmetic on symbols and nothing else. A guard may also ask inputs for sizes."""
    if not isinstance(text, str) or len(text) > _MAX_EXPRESSION or "\n" in text:
        return False
    try:
        return _safe(ast.parse(text.strip(), mode="eval"), guard, 0)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _safe(node: ast.AST, guard: bool, depth: int) -> bool:
    if depth > _MAX_DEPTH or not _safe_node(node, guard):
        return False
    return all(_safe(inner, guard, depth + 1) for inner in ast.iter_child_nodes(node))


def _safe_node(node: ast.AST, guard: bool) -> bool:
    if isinstance(node, ast.Call):
        called = node.func
        if isinstance(called, ast.Attribute):
            return guard and called.attr in _GUARD_ATTRIBUTES
        return isinstance(called, ast.Name) and _is_call(called.id, node)
    if isinstance(node, ast.Attribute):
        return guard and node.attr in _GUARD_ATTRIBUTES
    if isinstance(node, ast.Subscript):
        return guard
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow | ast.LShift):
        return _is_small(node.right)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        # also in guards: torch.fx writes them into quotes of its own
        return (_DOTTED if guard else _NAME_OR_NUMBER).match(node.value) is not None
    if isinstance(node, ast.Name):
        return not node.id.startswith("__")
    return isinstance(node, _NODES)


def _is_call(name: str, node: ast.Call) -> bool:
    if not all(keyword.arg for keyword in node.keywords):
        return False
    if name in _POWERS:
        return len(node.args) == 2 and _is_small(node.args[1])
    return name in _CALLS or name.startswith(_CALL_PREFIXES)


def _is_small(node: ast.expr) -> bool:
    """A small whole number: numbers raised to others could take all memory."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Integer":
        (node,) = node.args if len(node.args) == 1 else (node,)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
    return isinstance(node, ast.Constant) and node.value in range(_MAX_POWER + 1)


def unsafe_pickle(data: bytes, what: str) -> str | None:
    """Why unpickling what `torch.save` wrote (a zip with data.pkl) could do more than make tensors; None: it could
    not. Nothing is unpickled to find out."""
    if not data:
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            (name,) = (entry for entry in archive.namelist() if entry.rpartition("/")[2] == "data.pkl")
            with archive.open(name) as file:
                pickled = file.read(_MAX_PICKLE_BYTES + 1)
        if len(pickled) > _MAX_PICKLE_BYTES:
            return f"{what} is a pickle of more than {_MAX_PICKLE_BYTES} bytes"
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name == "GLOBAL":
                if not _matches(SAFE_GLOBALS, argument):
                    return f"{what} is a pickle that uses {str(argument)[:100]!r}"
            elif opcode.name in _NAMING_OPCODES:
                return f"{what} is a pickle that makes up names"
    except Exception as error:  # zipfile and pickletools raise anything; what cannot be judged is not trusted
        return f"{what} is a pickle that cannot be judged ({type(error).__name__})"
    return None


_MAX_PICKLE_BYTES = 16 << 20
_NAMING_OPCODES = frozenset({"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"})
