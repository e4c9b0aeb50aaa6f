"""`edgekit inspect`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.common import Session, command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from edgekit.models import Artifact, ModelInfo, TensorSpec

_FILES_SHOWN = 5


@click.command()
@click.argument("model")
@click.option("--verify", is_flag=True, help="Run an artifact's model here again on its golden inputs.")
@command
def inspect(session: Session, model: str, verify: bool) -> None:
    """Tell what MODEL is: format, signature, operators, parameters, sizes, and whether it is quantized.

    MODEL is a model file or an artifact of `edgekit convert`; an artifact's hashes are checked. Without --verify nothing
    of the model is run, and no framework is needed: what only a framework could tell is left out.
    """
    import msgspec

    from edgekit.errors import InputError
    from edgekit.models import Artifact, is_artifact, open_model

    artifact = Artifact.load(model) if is_artifact(model) else None
    info = open_model(artifact.model_path if artifact else model)
    document: dict[str, Any] = msgspec.to_builtins(info)
    if artifact is not None:
        document["artifact"] = {"path": str(artifact.path), **msgspec.to_builtins(artifact.manifest)}
        if verify:
            from edgekit.conversion.reverify import verify_again

            document["verified"] = msgspec.to_builtins(verify_again(artifact))
    elif verify:
        raise InputError(
            f"{model} is a model file: there is nothing to verify it against",
            code="E_NO_GOLDEN",
            hint="edgekit convert makes an artifact with golden inputs and outputs",
        )
    session.emit(document, lambda found: _render(session, info, artifact, found.get("verified")))


def _render(
    session: Session, info: ModelInfo, artifact: Artifact | None, verified: dict[str, Any] | None
) -> None:
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    _add_file(table, info)
    _add_signature(table, info)
    _add_contents(table, info)
    if artifact is not None:
        found = artifact.manifest.verification
        table.add_row(
            "artifact", f"recipe {artifact.manifest.recipe}, verification {found.state}, hashes match"
        )
    if verified is not None:
        worst = max((output["relative_error"] or 0.0 for output in verified["outputs"]), default=0.0)
        table.add_row(
            "run again",
            f"{verified['samples']} golden samples, off by at most {worst:.2g} of the largest output",
        )
    session.console.print(table)


def _add_file(table: Table, info: ModelInfo) -> None:
    from rich.markup import escape

    from edgekit.units import format_size

    table.add_row("model", escape(info.path))
    table.add_row("format", escape(info.format + (f" ({info.description})" if info.description else "")))
    table.add_row("size", format_size(info.size_bytes))
    table.add_row("sha256", info.sha256)
    if info.external_files:
        table.add_row("weights in", escape(_listed(info.external_files)))
    for reason in info.trust:
        table.add_row("[yellow]untrusted[/]", escape(reason))
    if info.trust:
        table.add_row(
            "", "[dim]converting it needs --trust: give it where you trust whoever made the model[/]"
        )


def _add_signature(table: Table, info: ModelInfo) -> None:
    from rich.markup import escape

    signature = info.signature
    if signature is None:
        if not info.operators:
            table.add_row("", "[dim]this format tells no more without its framework[/]")
        return
    if signature.key or info.format == "tflite":
        table.add_row("signature", escape(signature.key or "none (tensor names are shown)"))
    for kind, specs in (("input", signature.inputs), ("output", signature.outputs)):
        for spec in specs:
            table.add_row(f"  {kind}", escape(_tensor(spec)))
        if not specs:
            table.add_row(f"  {kind}", "[dim]not told by the file[/]")


def _tensor(spec: TensorSpec) -> str:
    shape = "x".join("?" if dim < 0 else str(dim) for dim in spec.shape) or "scalar"
    layout = f" {spec.layout}" if spec.layout else ""
    scale = "" if spec.scale is None else f"  scale {spec.scale:g}, zero point {spec.zero_point}"
    return f"{spec.name}  {spec.dtype} {shape}{layout}{scale}"


def _add_contents(table: Table, info: ModelInfo) -> None:
    from rich.markup import escape

    if info.parameters is not None:
        table.add_row("parameters", f"{info.parameters:,}")
    if info.dtypes:
        table.add_row("tensors", escape(_counted(info.dtypes)))
    if info.quantization is not None:
        table.add_row("quantized", escape(f"{info.quantization.kind}: {info.quantization.summary}"))
    if info.opsets:
        table.add_row(
            "opsets", escape(", ".join(f"{name} {version}" for name, version in info.opsets.items()))
        )
    if info.operators:
        table.add_row("layers" if info.format == "keras" else "operators", escape(_counted(info.operators)))
    if info.subgraphs is not None and info.subgraphs > 1:
        table.add_row("graphs", f"{info.subgraphs:,}")
    if info.custom_operators:
        table.add_row("custom", escape(", ".join(info.custom_operators)))


def _counted(names: Mapping[str, int]) -> str:
    """Most frequent first."""
    ordered = sorted(names.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {name}" for name, count in ordered)


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - _FILES_SHOWN
    return ", ".join(names[:_FILES_SHOWN]) + (f" and {more} more" if more > 0 else "")
