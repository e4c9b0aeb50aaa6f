"""The error after every operator, as a small SVG that follows light and dark."""

from __future__ import annotations

import io
import math
import re
from typing import Any

from edgekit.conversion.layers.report import LayerReport, LayerRow, mark_of

WIDE_PX, NARROW_PX = 900, 350
MAX_POINTS = 600
"""More tensors than this share points: the worst of each few is drawn."""

COLORS = {
    "light": {
        "--fg": "#16191f",
        "--muted": "#5a6270",
        "--grid": "#e6e9ee",
        "--accent": "#2f62c4",
        "--bad": "#a8201a",
    },
    "dark": {
        "--fg": "#e8eaee",
        "--muted": "#9aa3b1",
        "--grid": "#292e36",
        "--accent": "#7cb0ff",
        "--bad": "#ff9a93",
    },
}
_FG, _MUTED, _GRID, _ACCENT, _BAD = "#fe0100", "#fe0101", "#fe0102", "#fe0104", "#fe0105"
_NAMES = {_FG: "--fg", _MUTED: "--muted", _GRID: "--grid", _ACCENT: "--accent", _BAD: "--bad"}
_MARKER = re.compile("|".join(_NAMES))
_FONT_PX, _PX_PER_INCH = 11.5, 72


def plot_svg(report: LayerReport, *, width_px: int = WIDE_PX) -> str:
    """A file of its own: the error of each tensor that has a counterpart, in the order in which the target runs.

    Errors are the largest one over the source's largest magnitude, on a logarithmic axis; a tensor that is equal lies
    on the floor, one that is not finite at the top. The first bad operator is marked by its number.
    """
    both = [
        f":root{{{_css(COLORS['light'])}}}",
        f"@media (prefers-color-scheme:dark){{:root{{{_css(COLORS['dark'])}}}}}",
    ]
    style = f"<style>{''.join(both)}text{{font-family:system-ui,sans-serif}}</style>"
    return drawn(report, width_px, "f", style=style)


def drawn(report: LayerReport, width_px: int, name: str, *, style: str = "", class_: str = "") -> str:
    """The same for a page that has the colours already; `name` makes ids unique."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    height_px, left, right, top, bottom = 270, 58, 16, 34, 42
    with rc_context({"svg.fonttype": "none", "text.parse_math": False, "svg.hashsalt": "edgekit"}):
        figure = Figure(figsize=(width_px / _PX_PER_INCH, height_px / _PX_PER_INCH), dpi=_PX_PER_INCH)
        box = (
            left / width_px,
            bottom / height_px,
            (width_px - left - right) / width_px,
            (height_px - top - bottom) / height_px,
        )
        _draw(figure.add_axes(box), report, width_px)
        return _svg(figure, name, style, class_)


def _draw(axis: Any, report: LayerReport, width_px: int) -> None:
    rows = _thinned([row for row in report.rows if row.index >= 0])
    errors = [row.relative_error for row in rows if row.relative_error]
    low = 10.0 ** math.floor(math.log10(min([*errors, report.tolerance / 10]) * 0.9))
    high = 10.0 ** math.ceil(math.log10(max([*errors, report.layer_tolerance * 10]) * 1.1))
    axis.set_yscale("log")
    axis.set_ylim(low / 1.6, high * 1.6)
    most = max((row.index for row in rows), default=1)
    axis.set_xlim(-0.5 - 0.01 * most, most + 0.5 + 0.01 * most)
    _styled(axis, low, high, width_px)
    axis.axhline(report.layer_tolerance, color=_MUTED, linewidth=1, dashes=(4, 3))
    size = 18.0 if len(rows) < 150 else 9.0
    for state, color in (("behind", _MUTED), ("good", _ACCENT), ("bad", _BAD)):
        for filled, marker in ((True, "o"), (False, "x")):
            kept = [row for row in rows if row.state == state and (not row.lost) == filled]
            if kept:
                y = [_height(row, low, high) for row in kept]
                axis.scatter(
                    [row.index for row in kept],
                    y,
                    s=size,
                    c=color,
                    marker=marker,
                    linewidths=1 if not filled else 0,
                )
    _mark(axis, report, most, high, low)
    axis.annotate(
        "largest error / largest value of the tensor", xy=(0, 1), xycoords="axes fraction", xytext=(0, 20),
        textcoords="offset points", color=_MUTED, fontsize=_FONT_PX, ha="left",
    )  # fmt: skip
    axis.set_xlabel("operator of the target, in execution order", color=_MUTED, fontsize=_FONT_PX, labelpad=6)


def _mark(axis: Any, report: LayerReport, most: int, high: float, low: float) -> None:
    bad = report.first_bad
    if bad is None:
        return
    axis.axvline(bad.index, color=_BAD, linewidth=1, alpha=0.6)
    row = next((row for row in report.rows if mark_of(report, row)), None)
    if row is not None:
        axis.scatter(
            [bad.index], [_height(row, low, high)], s=90, facecolors="none", edgecolors=_BAD, linewidths=1.6
        )
    right = bad.index > 0.6 * most
    axis.annotate(
        f"first bad: number {bad.index}", xy=(bad.index, 1), xycoords=("data", "axes fraction"),
        xytext=(-4 if right else 4, 5), textcoords="offset points", color=_BAD, fontsize=_FONT_PX,
        ha="right" if right else "left",
    )  # fmt: skip


def _height(row: LayerRow, low: float, high: float) -> float:
    if row.lost:
        return high
    if row.relative_error is None:
        return high if row.max_abs_error else low
    return max(low, row.relative_error)


def _thinned(rows: list[LayerRow]) -> list[LayerRow]:
    step = -(-len(rows) // MAX_POINTS)
    if step <= 1:
        return rows
    groups = [rows[i : i + step] for i in range(0, len(rows), step)]
    return [
        max(group, key=lambda row: (row.state == "bad", row.lost, row.relative_error or 0.0))
        for group in groups
    ]


def _styled(axis: Any, low: float, high: float, width_px: int) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color(_GRID)
    axis.tick_params(length=0, pad=6, labelsize=_FONT_PX, labelcolor=_MUTED)
    axis.grid(True, axis="y", color=_GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    first, last = round(math.log10(low)), round(math.log10(high))
    step = max(1, math.ceil((last - first) / 6))
    axis.yaxis.set_major_locator(FixedLocator([10.0**power for power in range(first, last + 1, step)]))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))
    axis.xaxis.set_major_locator(MaxNLocator(9 if width_px > 500 else 5, integer=True))


def _power(value: float) -> str:
    exponent = round(math.log10(value))
    if exponent == 0:
        return "1"
    digits = str(abs(exponent)).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{'⁻' if exponent < 0 else ''}{digits}"


def _css(colors: dict[str, str]) -> str:
    return ";".join(f"{name}:{value}" for name, value in colors.items())


def _svg(figure: Any, name: str, style: str, class_: str) -> str:
    out = io.StringIO()
    figure.savefig(
        out, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
    )
    body = out.getvalue()
    body = body[body.index("<svg") :]
    view = re.search(r'viewBox="([^"]+)"', body)
    assert view is not None
    body = body[body.index(">") + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.S)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r'(id="|href="#|url\(#)(?=[mpC])', rf"\g<1>{name}-", body)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    body = re.sub(r' transform="rotate\(-0 [^"]*"', "", body)
    body = re.sub(r"(\d\.\d)\d{2,}", r"\1", body)
    body = re.sub(r"\s*\n\s*", " ", body).replace("> <", "><")
    body = _MARKER.sub(lambda match: f"var({_NAMES[match.group()]})", body)
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{view.group(1)}"'
        f' class="{class_}" role="img" aria-label="Error after every operator">'
    )
    return opening + style + body
