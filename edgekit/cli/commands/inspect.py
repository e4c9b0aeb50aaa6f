"""`edgekit inspect`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.common import Session, command

if TYPE_CHECKING:
    from edgekit.models import Artifact, ModelInfo


@click.command()
@click.argument("model")
@command
def inspect(session: Session, model: str) -> None:
    """Tell what MODEL is: format, signature, operators, parameters, sizes, and whether it is quantized.

    MODEL is a model file or an artifact of `edgekit convert`; an artifact's hashes are checked.
    """
    import msgspec

    from edgekit.models import Artifact, is_artifact, open_model

    artifact = Artifact.load(model) if is_artifact(model) else None
    info = open_model(artifact.model_path if artifact else model)
    document: dict[str, Any] = msgspec.to_builtins(info)
    if artifact is not None:
        document["artifact"] = {"path": str(artifact.path), **msgspec.to_builtins(artifact.manifest)}
    session.emit(document, lambda _: _render(session, info, artifact))


def _render(session: Session, info: ModelInfo, artifact: Artifact | None) -> None:
    from rich.markup import escape
    from rich.table import Table

    from edgekit.units import format_size

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("model", escape(info.path))
    table.add_row("format", escape(info.format + (f" ({info.description})" if info.description else "")))
    table.add_row("size", format_size(info.size_bytes))
    table.add_row("sha256", info.sha256)
    if info.signature is None:
        table.add_row("", "[dim]more is known for TFLite files; convert it to look inside[/]")
    else:
        _render_tflite(table, info)
    if artifact is not None:
        found = artifact.manifest.verification
        table.add_row(
            "artifact", f"recipe {artifact.manifest.recipe}, verification {found.state}, hashes match"
        )
    session.console.print(table)


def _render_tflite(table: Any, info: ModelInfo) -> None:
    from rich.markup import escape

    signature = info.signature
    if signature is None:
        return
    table.add_row("signature", escape(signature.key or "none (tensor names are shown)"))
    for kind, specs in (("input", signature.inputs), ("output", signature.outputs)):
        for spec in specs:
            shape = "x".join("?" if dim < 0 else str(dim) for dim in spec.shape) or "scalar"
            scale = "" if spec.scale is None else f"  scale {spec.scale:g}, zero point {spec.zero_point}"
            table.add_row(f"  {kind}", escape(f"{spec.name}  {spec.dtype} {shape}{scale}"))
    table.add_row("parameters", f"{info.parameters:,}")
    if info.quantization is not None:
        table.add_row("quantized", escape(f"{info.quantization.kind}: {info.quantization.summary}"))
    names = sorted(info.operators.items(), key=lambda item: (-item[1], item[0]))
    table.add_row("operators", escape(", ".join(f"{count} {name}" for name, count in names)))
    if info.custom_operators:
        table.add_row("custom", escape(", ".join(info.custom_operators)))
