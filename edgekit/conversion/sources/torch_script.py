"""TorchScript files: read only with --trust, made into a torch.export program by PyTorch's own converter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need, quiet
from edgekit.conversion.naming import short
from edgekit.conversion.sources.base import untrusted
from edgekit.errors import ModelError, ToolError

if TYPE_CHECKING:
    from edgekit.conversion.sources.base import LoadOptions

LOST = (
    "TorchScript does not keep the sizes of its inputs, nor the Python it was made from: branches that tracing did"
    " not take are gone, and training-time state cannot be told from constants; torch.export is the way forward"
)


@dataclass(frozen=True)
class Script:
    """The script, a torch.export.ExportedProgram of it, and what the script itself calls its inputs."""

    module: Any
    program: Any
    names: list[str]


def from_torchscript(torch: Any, path: Path, options: LoadOptions) -> Script:
    """A TorchScript archive as a torch.export program; what is lost on the way is told in LOST.

    Sizes come from `options.shapes`. Raises ModelError (E_UNTRUSTED, E_MODEL_LOAD, E_DYNAMIC_SHAPE), ToolError.
    """
    if not options.trust:
        raise untrusted(str(path), "is TorchScript: a program with pickled objects, which would run here")
    try:
        with quiet():
            script = torch.jit.load(str(path), map_location="cpu").eval()
    except Exception as error:  # RuntimeError of C++, zip and pickle errors
        raise ModelError(f"{path} does not load: {short(error)}", code="E_MODEL_LOAD") from error
    names = [
        value.debugName().rpartition(".")[0] or value.debugName() for value in list(script.graph.inputs())[1:]
    ]
    missing = [name for name in names if name not in options.shapes]
    if missing:
        raise ModelError(
            f"{path} is TorchScript, which does not tell the sizes of its inputs ({', '.join(names)})",
            code="E_DYNAMIC_SHAPE",
            hint="give "
            + " ".join(f"--shape {name}=1x3x224x224" for name in missing)
            + " with the sizes that it takes",
        )
    example = tuple(torch.rand(options.shapes[name]) for name in names)
    converter = need("torch._export.converter", "torch", "converting TorchScript").TS2EPConverter
    try:
        with quiet(), torch.no_grad():
            program = converter(script, example, {}).convert()
            # Once more through torch.export: what the converter gives is not yet in the form that targets take.
            return Script(script, torch.export.export(program.module(), example), names)
    except Exception as error:
        raise ToolError(
            f"PyTorch does not make {path.name} into a torch.export program: {short(error)}",
            code="E_CONVERTER",
            hint="export the original nn.Module with torch.export.export and convert the .pt2 file",
        ) from error
