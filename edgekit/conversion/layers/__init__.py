"""Where a converted model and its source part: errors after each operator, the first bad one named."""

from edgekit.conversion.layers.debug import debug_layers
from edgekit.conversion.layers.page import layers_html
from edgekit.conversion.layers.plot import plot_svg
from edgekit.conversion.layers.quantized import quantized_layers
from edgekit.conversion.layers.quantized_report import QuantizedReport, render_quantized
from edgekit.conversion.layers.report import LayerReport, render_table
from edgekit.conversion.layers.tracers import probes_for, tracer_for_source, tracer_for_target

__all__ = [
    "LayerReport",
    "QuantizedReport",
    "debug_layers",
    "layers_html",
    "plot_svg",
    "probes_for",
    "quantized_layers",
    "render_quantized",
    "render_table",
    "tracer_for_source",
    "tracer_for_target",
]
