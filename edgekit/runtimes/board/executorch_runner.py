#!/usr/bin/env python3
"""The runner for boards that have Python with the packages executorch and torch.

Same options, same files and same JSON line as the native runners (docs/runner.md). It imports nothing of edgekit
but the files that lie beside it.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # on the board the files lie side by side
    import argparse
    from collections.abc import Iterator

    from edgekit.runtimes.board.board_launch import Loading, main
    from edgekit.runtimes.board.board_process import Refused, first_line, read_head, version_of, write_file
    from edgekit.runtimes.board.board_tensors import Tensor
else:
    from board_launch import main
    from board_process import Refused, first_line, read_head, version_of, write_file
    from board_tensors import Tensor

METHOD = "forward"
DTYPES = {
    0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 5: "float16", 6: "float32", 7: "float64", 11: "bool",
    27: "uint16", 28: "uint32", 29: "uint64",
}  # fmt: skip
"""ScalarType of the schema, by number (executorch/schema/scalar_type.fbs); the others are none that numpy has."""
LOG_BYTES = 65536
RESIZE = "_unsafe_reset_threadpool"
""" "Unsafe" while a program runs, which none does yet."""


def check_file(path: str) -> None:
    if read_head(path, 8)[4:6] != b"ET":
        raise Refused("E_MODEL_FORMAT", f"{path} is not an ExecuTorch program: no ET mark at byte 4")


@contextlib.contextmanager
def stderr_kept(kept: list[str]) -> Iterator[None]:
    """What the library writes to stderr meanwhile: its errors are numbers, their words are there. Passed on after."""
    real = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(real, 2)
            os.close(real)
            file.seek(0)
            text = file.read(LOG_BYTES)
            os.write(2, text)
            kept.extend(
                re.sub(r"^\[[^\]]*\] ", "", line) for line in text.decode(errors="replace").splitlines()
            )


def find_library() -> tuple[Any, Any]:
    """The package's compiled part, and torch, whose tensors it takes.

    `executorch.runtime` would bring all of the exporter along, for the sake of one warning: ten seconds more, and
    140 MB of memory that are no part of running a program (1.5.1). It is the fallback.
    """
    try:
        import torch

        try:
            from executorch.extension.pybindings import _C as library  # noqa: N811
        except ImportError:
            from executorch.extension.pybindings import portable_lib as library
    except ImportError as error:
        text = f"this Python cannot import ExecuTorch: {first_line(error)} (pip install executorch torch)"
        raise Refused("E_RUNNER_LIBRARY", text) from error
    with contextlib.suppress(ImportError):
        # registers the kernels that quantized programs need beside XNNPACK's
        import executorch.kernels.quantized  # noqa: F401
    method = getattr(library, "ExecuTorchMethod", None)
    if (
        not hasattr(library, "_load_program")
        or not hasattr(method, "set_inputs")
        or not hasattr(library, RESIZE)
    ):
        text = f"executorch {version_of('executorch')} is too old (pip install --upgrade executorch)"
        raise Refused("E_RUNNER_VERSION", text)
    return library, torch


class ExecutorchSession:
    """The method `forward` of a program, with the kernels and backends that the package has."""

    def __init__(self, options: argparse.Namespace, loading: Loading) -> None:
        check_file(options.model)
        loading.begin()
        self.library, self.torch = find_library()
        self.version = version_of("executorch")
        loading.end("dlopen_us")
        # XNNPACK and the optimized kernels share one pool, which has as many threads as there are processors
        getattr(self.library, RESIZE)(options.threads)
        loading.end("environment_us")
        self.program: Any = None
        self.method: Any = None
        said: list[str] = []
        names: list[str] = []
        try:
            with stderr_kept(said):
                strict = self.library.Verification.InternalConsistency
                self.program = self.library._load_program(
                    options.model, enable_etdump=options.op_profile is not None, program_verification=strict
                )
                loading.end("model_us")
                names = [self.program.get_method_name(n) for n in range(self.program.num_methods())]
                self.method = self.program.load_method(METHOD) if METHOD in names else None
        except (RuntimeError, ValueError) as error:
            raise self.refusal(error, said) from error
        if self.method is None:
            text = f"the program has no method '{METHOD}' (it has: {', '.join(names)})"
            raise Refused("E_MODEL_UNSUPPORTED", text)
        about = self.method.method_meta()
        self.inputs = [tensor_of(about.input_tensor_meta, n, "input") for n in range(about.num_inputs())]
        self.outputs = [tensor_of(about.output_tensor_meta, n, "output") for n in range(about.num_outputs())]
        if not self.outputs:
            raise Refused("E_MODEL_UNSUPPORTED", "the program has no outputs")
        loading.end("compile_us")

    def refusal(self, error: Exception, said: list[str]) -> Refused:
        words = next((line for line in said if line.strip()), first_line(error))
        if self.program is None:
            return Refused("E_MODEL_LOAD", f"ExecuTorch cannot load the program: {words}")
        missing = re.search(r"Backend (\S+) is not registered", "\n".join(said))
        if missing is not None:
            has = ", ".join(self.library._get_registered_backend_names()) or "none"
            words = f"it was made for {missing[1]}, and the package executorch here has {has}"
            words += " (pip install --upgrade executorch, or export the program for one of these)"
        return Refused("E_MODEL_COMPILE", f"ExecuTorch cannot prepare the program: {words}")

    def write_inputs(self, arrays: list[Any]) -> None:
        self.given = [self.torch.from_numpy(array) for array in arrays]

    def before_each(self) -> None:
        """The planned memory of an input is used again within an inference, so it must be written before each."""
        self.method.set_inputs(self.given)

    def run(self) -> None:
        try:
            self.method.execute()
        except (RuntimeError, ValueError) as error:
            raise Refused("E_MODEL_RUN", f"an inference failed: {first_line(error)}") from error

    def read_outputs(self) -> bytes:
        arrays = [value.numpy() for value in self.method.get_outputs()]
        # a dimension with a bound has its largest size in the program, and what came of the inputs here
        self.outputs = [
            Tensor(tensor.name, array.dtype, array.shape)
            for tensor, array in zip(self.outputs, arrays)  # noqa: B905  (`strict` came with Python 3.10)
        ]
        return b"".join(array.tobytes() for array in arrays)

    def write_op_profile(self, path: str) -> None:
        """An ETDump. What tensors held is not asked for: no debug buffer, so no second file."""
        write_file(path, b"")  # its own error has no words
        try:
            self.program.write_etdump_result_to_file(path, path + ".debug")
        except (RuntimeError, ValueError) as error:
            text = f"cannot write the operators' times: {first_line(error)}"
            raise Refused("E_RUNNER_FILE", text) from error


def tensor_of(about: Any, number: int, role: str) -> Tensor:
    """A program keeps no names: they are those that edgekit gives them too."""
    name = f"{role}_{number}"
    try:
        info = about(number)
    except (RuntimeError, ValueError) as error:
        raise Refused("E_MODEL_UNSUPPORTED", f"the {name} is not a tensor") from error
    if info.dtype() not in DTYPES:
        raise Refused("E_MODEL_UNSUPPORTED", f"the {name} is of a type that the runner cannot pass")
    return Tensor(name, DTYPES[info.dtype()], info.sizes())


if __name__ == "__main__":
    main("executorch-python", ExecutorchSession, ExecutorchSession.write_op_profile)
