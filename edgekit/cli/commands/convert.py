"""`edgekit convert`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.common import Session, command, device_option, profile_option
from edgekit.cli.options import convert_options

if TYPE_CHECKING:
    from edgekit.models import Artifact
    from edgekit.profiles import Profile


@click.command()
@click.argument("model")
@device_option()
@profile_option
@click.option("--to", metavar="FORMAT", help="Format to make (default: the profile's, else tflite).")
@convert_options
@click.option("--name", metavar="N", help="Name of the model (default: the file's).")
@click.option("-o", "--output", metavar="OUT", help="The artifact's folder (default: NAME.ekm here).")
@command
def convert(
    session: Session,
    model: str,
    to: str | None,
    recipe: str | None,
    calibration: str | None,
    evaluation: str | None,
    name: str | None,
    output: str | None,
) -> None:
    """Convert and quantize MODEL for a profile and verify the result against it.

    MODEL: a .tflite, Keras or .pt2 file, a SavedModel folder, or package.module:factory. The artifact holds the
    model, where it came from, how far it is from its source, and samples for the check on the device.
    """
    import time
    from pathlib import Path

    from edgekit.api.models import conversion_document
    from edgekit.api.models import convert as work

    began = time.monotonic()
    artifact = work(
        model,
        profile=_profile(session),
        recipe=recipe,
        calibration=calibration,
        evaluation=evaluation,
        output=output if output is not None else Path(f"{name or Path(model).stem}.ekm"),
        name=name,
        to=to,
        sink=session.sink,
    )
    document = conversion_document(artifact, seconds=round(time.monotonic() - began, 3))
    session.emit(document, lambda _: _render(session, artifact))


def _profile(session: Session) -> Profile | None:
    """-p, else the one of the device that -d names, else the settings' one."""
    from edgekit.profiles import load_profile

    if session.profile is None and session.devices:
        from edgekit.api.devices import connect, profile_for
        from edgekit.cli.common import one_device

        with connect(one_device(session), config=session.config, sink=session.sink) as device:
            return profile_for(device, None, config=session.config, sink=session.sink)
    named = session.profile or session.config.profile
    return None if named is None else load_profile(named)


def _render(session: Session, artifact: Artifact) -> None:
    from rich.markup import escape
    from rich.table import Table

    from edgekit.units import format_size

    manifest, found = artifact.manifest, artifact.manifest.verification
    style = {"passed": "bold green", "inconclusive": "bold yellow", "failed": "bold red"}[found.state]
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    before, after = manifest.source.size_bytes, manifest.model.size_bytes
    ratio = f" ({after / before:.2f} of the source's {format_size(before)})" if before else ""
    table.add_row("artifact", escape(str(artifact.path)))
    table.add_row(
        "recipe",
        f"{manifest.recipe}  {escape(manifest.quantization.summary if manifest.quantization else '')}",
    )
    table.add_row("size", f"{format_size(after)}{ratio}")
    if found.accuracy is not None:
        acc = found.accuracy
        table.add_row(
            "accuracy",
            f"{acc.source_value:.2%} before, {acc.value:.2%} after ({acc.samples} samples, {acc.flips} flips)",
        )
    for output in found.outputs:
        table.add_row(f"output {escape(output.name)}", _figures(output))
    table.add_row("verification", f"[{style}]{found.state}[/] on {found.samples} {found.inputs} samples")
    for reason in found.reasons:
        table.add_row("", f"- {escape(reason)}")
    for note in manifest.notes:
        table.add_row("", f"[dim]note: {escape(note)}[/]")
    session.console.print(table)


def _figures(output: Any) -> str:
    parts = []
    if output.max_abs_error is not None:
        parts.append(f"largest difference {output.max_abs_error:.3g} of {output.largest_output:.3g}")
    if output.snr_db is not None:
        parts.append(f"SNR {output.snr_db:.1f} dB")
    elif output.max_abs_error == 0:
        parts.append("identical")
    if output.flips is not None:
        parts.append(f"{output.flips} flips")
    return ", ".join(parts) or "not comparable"
