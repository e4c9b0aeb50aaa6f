"""PyTorch: `.pt2` files (torch.export) and `package.module:factory`, converted by litert-torch.

A factory takes no arguments and gives (module, example inputs): an nn.Module and a tuple of tensors. Inputs keep
PyTorch's layout (NCHW); int64 inputs and outputs become int32, as LiteRT has it.
"""

from __future__ import annotations

import hashlib
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.cache import sha256_file
from edgekit.conversion.extras import need, quiet, versions
from edgekit.conversion.sources.base import LoadedSource
from edgekit.errors import ModelError, ToolError
from edgekit.events import Event, Sink
from edgekit.models.artifact import Origin
from edgekit.models.inspect import inspect_tflite

if TYPE_CHECKING:
    from edgekit.conversion.sources.base import Outputs, Sample

_WHAT = "converting a PyTorch model"
_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class TorchSource:
    name = "torch"
    formats = frozenset({"pt2"})

    def accepts(self, source: str) -> bool:
        return _FACTORY.fullmatch(source) is not None

    def load(self, source: str, sink: Sink) -> LoadedSource:
        """Raises ModelError (E_MODEL_LOAD, E_FACTORY), ToolError (E_CONVERTER), MissingExtra (torch)."""
        torch = need("torch", "torch", _WHAT)
        litert_torch = need("litert_torch", "torch", _WHAT)
        path = Path(source)
        if path.is_file():
            name, (module, example) = path.stem, _from_pt2(torch, path)
            origin = Origin(
                name=path.name, format="pt2", sha256=sha256_file(path), size_bytes=path.stat().st_size
            )
        else:
            name, (module, example) = source.rpartition(":")[2], _from_factory(torch, source)
            origin = Origin(name=source, format="torch", sha256=_hash_module(torch, module))
        sink(Event("convert", f"converting {origin.name} with litert-torch"))
        tflite = _converted(litert_torch, module, example, origin.name)
        info = inspect_tflite(tflite, origin.name)
        ins = [spec.name for spec in info.signature.inputs] if info.signature else []
        outs = [spec.name for spec in info.signature.outputs] if info.signature else []
        return LoadedSource(
            name=name,
            origin=origin,
            tflite=tflite,
            run=_runner(torch, module, example, _positions(ins), _positions(outs)),
            tools=versions("torch", "litert-torch", "litert-converter", "ai-edge-litert"),
        )


def _from_pt2(torch: Any, path: Path) -> tuple[Any, tuple[Any, ...]]:
    try:
        with quiet():
            program = torch.export.load(path)
            module = program.module()
            args, kwargs = program.example_inputs or ((), {})
    except Exception as error:  # torch raises zipfile's, pickle's and its own errors for a damaged file
        raise ModelError(f"{path} does not load: {_short(error)}", code="E_MODEL_LOAD") from error
    if kwargs or not args:
        raise ModelError(
            f"{path} was exported {'with keyword inputs' if kwargs else 'without example inputs'}",
            code="E_MODEL_LOAD",
            hint="export it with torch.export.export(module, (tensor, ...)), positional inputs only",
        )
    return module, _tensors(torch, args, str(path))


def _from_factory(torch: Any, source: str) -> tuple[Any, tuple[Any, ...]]:
    module_name, _, function = source.partition(":")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        module, example = getattr(import_module(module_name), function)()
    except Exception as error:  # the user's code: anything may come out of it
        raise ModelError(
            f"{source} failed: {type(error).__name__}: {_short(error)}",
            code="E_FACTORY",
            hint="it must be importable from here, take no arguments and return (nn.Module, (tensor, ...))",
        ) from error
    finally:
        sys.path.remove(here)
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"{source} gave {type(module).__name__}, not an nn.Module", code="E_FACTORY")
    return module.eval(), _tensors(torch, example, source)


def _tensors(torch: Any, example: Any, source: str) -> tuple[Any, ...]:
    values = tuple(example) if isinstance(example, tuple | list) else (example,)
    if not values or not all(isinstance(value, torch.Tensor) for value in values):
        raise ModelError(f"{source}: example inputs must be tensors", code="E_FACTORY")
    return values


def _hash_module(torch: Any, module: Any) -> str:
    """sha256 over the module's printed structure and all its weights: a factory has no file of its own."""
    digest = hashlib.sha256(repr(module).encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}\t{tensor.dtype}\t{tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _converted(litert_torch: Any, module: Any, example: tuple[Any, ...], name: str) -> bytes:
    try:
        with quiet(), tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.tflite"
            litert_torch.convert(module, example).export(str(path))
            return path.read_bytes()
    except Exception as error:  # torch.export, jax and the MLIR converter each raise their own
        raise ToolError(
            f"litert-torch does not convert {name}: {_short(error)}",
            code="E_CONVERTER",
            hint="check that torch.export.export takes the model, and replace the operators it names",
        ) from error


def _positions(names: Sequence[str]) -> list[int]:
    """litert-torch names inputs args_0, args_1 and outputs output_0, ...: their places in PyTorch."""
    found = [int(match.group(1)) if (match := re.search(r"(\d+)$", name)) else -1 for name in names]
    return found if sorted(found) == list(range(len(names))) else list(range(len(names)))


def _runner(
    torch: Any, module: Any, example: Sequence[Any], ins: Sequence[int], outs: Sequence[int]
) -> Callable[[Sample], Outputs]:
    def run(sample: Sample) -> Outputs:
        given: list[Any] = [None] * len(example)
        for place, value in zip(ins, sample, strict=True):
            given[place] = torch.from_numpy(value.copy()).to(example[place].dtype)
        with torch.no_grad(), quiet():
            results = torch.utils._pytree.tree_leaves(module(*given))
        return [results[place].detach().cpu().numpy() for place in outs]

    return run


def _short(error: BaseException) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
