"""Where a converted model and its source part: errors after each operator, the first bad one named."""

from edgekit.conversion.layers.debug import debug_layers
from edgekit.conversion.layers.page import layers_html
from edgekit.conversion.layers.plot import plot_svg
from edgekit.conversion.layers.report import LayerReport, render_table
from edgekit.conversion.layers.tracers import tracer_for_source, tracer_for_target

__all__ = [
    "LayerReport",
    "debug_layers",
    "layers_html",
    "plot_svg",
    "render_table",
    "tracer_for_source",
    "tracer_for_target",
]
