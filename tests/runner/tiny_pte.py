"""Small ExecuTorch programs, exported here: needs the packages torch and executorch. They keep no names."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

VERSION = "1.5.1"


def _save(path: Path, module: Any, example: tuple[Any, ...], delegate: bool, **options: Any) -> Path:
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = torch.export.export(module.eval(), example, **options)
        edge = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()] if delegate else [])
        path.write_bytes(edge.to_executorch().buffer)
    return path


def _module(forward: Any) -> Any:
    import torch

    class Net(torch.nn.Module):  # type: ignore[misc,name-defined]
        def forward(self, *given: Any) -> Any:
            return forward(*given)

    return Net()


def _one(forward: Any) -> Any:
    """A module of one input, whose dimensions may be left open."""
    import torch

    class Net(torch.nn.Module):  # type: ignore[misc,name-defined]
        def forward(self, x: Any) -> Any:
            return forward(x)

    return Net()


def copy_of(path: Path, dtype: str) -> Path:
    """A program that gives its only input of 2 x 3 back, flat, in any dtype; "string" is one that numpy lacks."""
    import torch

    x = torch.zeros(2, 3, dtype=torch.bfloat16 if dtype == "string" else getattr(torch, dtype))
    return _save(path, _one(lambda x: x.reshape(6)), (x,), delegate=False)


def open_batch(path: Path) -> Path:
    """x + x with a first dimension of at most 4."""
    import torch

    shapes = ({0: torch.export.Dim("batch", min=1, max=4)},)
    return _save(path, _one(lambda x: x + x), (torch.ones(2, 4),), delegate=False, dynamic_shapes=shapes)


def reordered(path: Path) -> Path:
    """Two inputs and two outputs of different sizes; XNNPACK has both operators."""
    import torch

    return _save(path, _module(lambda a, b: (a + a, b * b)), (torch.ones(2), torch.ones(5)), delegate=True)


@cache
def _house() -> Any:
    """A namespace with an operator of its own; it is there as long as this object is."""
    import torch

    library = torch.library.Library("house", "DEF")
    library.define("HouseMade(Tensor x) -> Tensor")
    library.define("HouseMade.out(Tensor x, *, Tensor(a!) out) -> Tensor(a!)")
    library.impl("HouseMade", lambda x: x.clone(), "CompositeExplicitAutograd")
    torch.library.register_fake("house::HouseMade", torch.empty_like)
    return library


def custom(path: Path) -> Path:
    """An operator for which nobody has a kernel."""
    import torch
    from executorch.exir import EdgeCompileConfig, to_edge

    assert _house() is not None
    exported = torch.export.export(_one(lambda x: torch.ops.house.HouseMade(x)), (torch.ones(4),))
    edge = to_edge(exported, compile_config=EdgeCompileConfig(_check_ir_validity=False))
    path.write_bytes(edge.to_executorch().buffer)
    return path


def small(path: Path, delegate: bool = True) -> Path:
    """Convolutions over a 128 x 128 image, then a layer of 10: 260 kB of weights that no zip would shrink."""
    import torch

    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 5, 2),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 5, 2),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(32, 1600),
        torch.nn.Tanh(),
        torch.nn.Linear(1600, 10),
    )
    return _save(path, net, (torch.zeros(1, 3, 128, 128),), delegate=delegate)


@cache
def _runtime() -> Any:
    from executorch.runtime import Runtime

    return Runtime.get()


def _inputs(program: Any) -> list[tuple[np.dtype[Any], tuple[int, ...]]]:
    import torch
    from executorch.exir.scalar_type import ScalarType

    about = program.metadata("forward")
    tensors = [about.input_tensor_meta(index) for index in range(about.num_inputs())]
    return [
        (
            torch.empty(0, dtype=getattr(torch, _TORCH[ScalarType(tensor.dtype()).name])).numpy().dtype,
            tensor.sizes(),
        )
        for tensor in tensors
    ]


_TORCH = {
    "BYTE": "uint8", "CHAR": "int8", "SHORT": "int16", "INT": "int32", "LONG": "int64", "HALF": "float16",
    "FLOAT": "float32", "DOUBLE": "float64", "BOOL": "bool", "UINT16": "uint16",
}  # fmt: skip


def outputs(model: Path, inputs: bytes, threads: int = 1) -> bytes:
    """What the package's own `Method.execute` says, for one or more samples in the runner's file format."""
    import torch

    program = _runtime().load_program(model)
    method = program.load_method("forward")
    packed, at = b"", 0
    while at < len(inputs):
        given = []
        for dtype, shape in _inputs(program):
            array = np.frombuffer(inputs, dtype, int(np.prod(shape)), at).reshape(shape)
            given.append(torch.from_numpy(array.copy()))
            at += array.nbytes
        packed += b"".join(value.numpy().tobytes() for value in method.execute(given))
    return packed


def random_inputs(model: Path, samples: int, seed: int = 0) -> bytes:
    """Floats in [0, 1), integers over their whole range."""
    rng = np.random.default_rng(seed)
    packed = b""
    for dtype, shape in _inputs(_runtime().load_program(model)) * samples:
        if dtype.kind == "f":
            packed += rng.random(shape).astype(dtype).tobytes()
        elif dtype.kind == "b":
            packed += (rng.random(shape) < 0.5).tobytes()
        else:
            limits = np.iinfo(dtype)
            packed += rng.integers(limits.min, limits.max, shape, dtype, endpoint=True).tobytes()
    return packed
