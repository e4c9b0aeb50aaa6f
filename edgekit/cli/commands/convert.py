"""`edgekit convert`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.common import Session, command, device_option, profile_option
from edgekit.cli.options import convert_options, convert_wishes

if TYPE_CHECKING:
    from edgekit.conversion import Conversion
    from edgekit.conversion.layers import LayerReport
    from edgekit.devices import Device
    from edgekit.models import Artifact
    from edgekit.profiles import Profile

_QUANTIZED_LINES = 40


@click.command()
@click.argument("model")
@device_option()
@profile_option
@convert_options
@click.option("--name", metavar="N", help="Name of the model (default: the file's).")
@click.option("-o", "--output", metavar="OUT", help="The artifact's folder (default: NAME.ekm here).")
@click.option(
    "--zip", "as_zip", is_flag=True, help="Write the artifact as one file, a zip archive named OUT."
)
@click.option(
    "--debug-layers", is_flag=True, help="Trace both models operator by operator and show where they part."
)
@click.option("--layers-html", metavar="FILE", help="With --debug-layers: the same as a page with a plot.")
@command
def convert(
    session: Session,
    model: str,
    name: str | None,
    output: str | None,
    as_zip: bool,
    debug_layers: bool,
    layers_html: str | None,
    **values: Any,
) -> None:
    """Convert and quantize MODEL for a profile and verify the result against it.

    MODEL: a .tflite, .onnx, .pt2, TorchScript or Keras file, a SavedModel folder, or package.module:factory. The
    artifact holds the model, where it came from, how far it is from its source, and samples for the check on the device.
    """
    import time

    from edgekit.api.models import conversion_document, converted, zipped
    from edgekit.errors import VerificationError

    began = time.monotonic()
    wishes = convert_wishes(values)
    if wishes["recipe"] is None and not session.devices and not (session.profile or session.config.profile):
        wishes["recipe"] = session.config.recipe  # there is no profile whose preferences it could lead
    debug = debug_layers or layers_html is not None
    with (
        zipped(output or f"{name or _stem(model)}.ekm", as_zip) as folder,
        _place(session) as (profile, device),
    ):
        try:
            done = converted(
                model,
                profile=profile,
                device=device,
                output=folder.path,
                name=name,
                debug_layers=debug,
                sink=session.sink,
                **wishes,
            )
        except VerificationError as error:
            _show_layers(session, error.layers, layers_html)
            raise
        artifact = folder.finished(done.artifact)
    document = conversion_document(artifact, round(time.monotonic() - began, 3), done)
    session.emit(document, lambda _: _render(session, artifact, done))
    if not session.json:
        _show_layers(session, done.layers, layers_html)
    elif layers_html is not None:
        _write_page(done.layers, layers_html)


def _stem(model: str) -> str:
    """The name that a model gives its artifact: the file's, or the function's of package.module:function."""
    from edgekit.conversion.convert import safe_name

    return safe_name(Path(model).stem if Path(model).exists() else model.rpartition(":")[2])


def _show_layers(session: Session, layers: LayerReport | None, page: str | None) -> None:
    """The table, on stderr where stdout is for JSON, and the page."""
    if layers is None:
        return
    from rich.console import Console

    from edgekit.conversion.layers import render_quantized, render_table

    console = Console(stderr=True, no_color=not session.color) if session.json else session.console
    console.print(render_table(layers))
    if layers.quantized is not None:
        console.print(render_quantized(layers.quantized, limit=_QUANTIZED_LINES))
    if page is not None:
        _write_page(layers, page)


def _write_page(layers: LayerReport | None, page: str) -> None:
    from edgekit.cache import atomic_write
    from edgekit.conversion.layers import layers_html

    if layers is not None:
        atomic_write(Path(page), layers_html(layers).encode())


@contextmanager
def _place(session: Session) -> Iterator[tuple[Profile | None, Device | None]]:
    """The profile: -p, else the one of the device that -d names, else the settings' one; and that device."""
    if session.devices:
        from edgekit.api.devices import connect, profile_for
        from edgekit.cli.common import one_device

        with connect(one_device(session), config=session.config, sink=session.sink) as device:
            yield profile_for(device, session.profile, config=session.config, sink=session.sink), device
        return
    named = session.profile or session.config.profile
    if named is None:
        yield None, None
        return
    from edgekit.api.devices import with_recipe
    from edgekit.profiles import load_profile

    yield with_recipe(load_profile(named), session.config.recipe), None


def _render(session: Session, artifact: Artifact, done: Conversion) -> None:
    from rich.markup import escape
    from rich.table import Table

    from edgekit.cli.render import before_and_after
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
        table.add_row("accuracy", before_and_after(acc))
    for output in found.outputs:
        table.add_row(f"output {escape(output.name)}", _figures(output))
    table.add_row("verification", f"[{style}]{found.state}[/] on {found.samples} {found.inputs} samples")
    for reason in found.reasons:
        table.add_row("", f"- {escape(reason)}")
    told = done.auto.picked.notes() if done.auto is not None else ()
    for note in (note for note in manifest.notes if note not in told):
        table.add_row("", f"[dim]note: {escape(note)}[/]")
    session.console.print(table)
    if done.auto is not None:
        from edgekit.cli.render import render_auto

        render_auto(session, done.auto)


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
