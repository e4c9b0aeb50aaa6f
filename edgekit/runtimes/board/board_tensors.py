"""Inputs and outputs of a model as the runner's files have them (docs/runner.md). Part of every runner that a
board's Python runs; needs numpy, once a model is loaded, and Python 3.7 or later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # on the board the files lie side by side
    from edgekit.runtimes.board.board_process import Refused
else:
    from board_process import Refused


class Tensor:
    """One input or output: `dtype` is numpy's, `shape` has no open dimensions."""

    def __init__(self, name: str, dtype: Any, shape: Any) -> None:
        import numpy

        self.name, self.dtype, self.shape = name, numpy.dtype(dtype), tuple(int(n) for n in shape)
        if self.dtype.kind not in "fiub":
            raise Refused("E_MODEL_UNSUPPORTED", f"'{name}' is of a type that the runner cannot pass")

    @property
    def count(self) -> int:
        count = 1
        for n in self.shape:
            count *= n
        return count

    @property
    def bytes(self) -> int:
        return self.count * int(self.dtype.itemsize)

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype.name, "shape": self.shape, "bytes": self.bytes}


def read_inputs(path: str, bytes_each: int) -> list[bytes]:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise Refused("E_RUNNER_INPUTS", f"cannot read the inputs {path}: {error.strerror}") from error
    if not data or not bytes_each or len(data) % bytes_each:
        text = f"the inputs have {len(data)} bytes, which is no multiple of the {bytes_each} bytes"
        text += " that one sample takes"
        raise Refused("E_RUNNER_INPUTS", text)
    return [data[at : at + bytes_each] for at in range(0, len(data), bytes_each)]


def random_bits(seed: int, first: int, count: int) -> Any:
    """splitmix64 of a running index: the same numbers as the native runner's."""
    import numpy

    u64 = numpy.uint64
    with numpy.errstate(over="ignore"):
        z = u64(seed) + numpy.arange(first + 1, first + count + 1, dtype=u64) * u64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> u64(30))) * u64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> u64(27))) * u64(0x94D049BB133111EB)
        return z ^ (z >> u64(31))


def random_tensor(bits: Any, dtype: Any) -> Any:
    """Floats in [0, 1); 8- and 16-bit integers over their whole range; wider ones 0 or 1 (mostly indices)."""
    import numpy

    kind, size = dtype.kind, dtype.itemsize
    if kind == "f":
        digits = {2: 11, 4: 24, 8: 53}[size]
        return ((bits >> numpy.uint64(64 - digits)).astype(numpy.float64) * 2.0**-digits).astype(dtype)
    width = 1 if kind == "b" or size > 2 else 8 * size
    return (bits >> numpy.uint64(64 - width)).astype(f"u{size}").view(dtype)


def random_inputs(seed: int, tensors: list[Tensor]) -> bytes:
    first, parts = 0, []
    for tensor in tensors:
        parts.append(random_tensor(random_bits(seed, first, tensor.count), tensor.dtype).tobytes())
        first += tensor.count
    return b"".join(parts)


def arrays_of(packed: bytes, tensors: list[Tensor]) -> list[Any]:
    """One sample as arrays, in memory of their own."""
    import numpy

    arrays, at = [], 0
    for tensor in tensors:
        flat = numpy.frombuffer(packed, tensor.dtype, tensor.count, at)
        arrays.append(flat.reshape(tensor.shape).copy())
        at += tensor.bytes
    return arrays
