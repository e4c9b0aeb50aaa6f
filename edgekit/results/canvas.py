"""Matplotlib figures as small inline SVG whose colours are the page's, so that they follow light and dark.

Matplotlib gets marker colours that mean a name; in the SVG they become CSS variables. No text from outside is
drawn in a figure: legends are HTML.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from edgekit.results.markup import Html, text
from edgekit.results.svg import tidy

RAMP = 10
"""The page has colours --c0 to --c9, a ramp from first to last."""
FG, MUTED, GRID, CARD, ACCENT = "#fe0100", "#fe0101", "#fe0102", "#fe0103", "#fe0104"
_NAMES = {FG: "--fg", MUTED: "--muted", GRID: "--grid", CARD: "--card", ACCENT: "--accent"} | {
    f"#fe00{i:02x}": f"--c{i}" for i in range(RAMP)
}
_MARKER = re.compile("#fe0[01][0-9a-f]{2}")
_FONT_PX = 11.5
_PX_PER_INCH = 72  # Matplotlib's SVG has 72 units to the inch; one unit is meant as one CSS pixel


def ramp(index: int, count: int) -> str:
    """The colour of one of `count` things in order; several share one where there are more than ten."""
    return f"#fe00{round(index * (RAMP - 1) / max(1, count - 1)):02x}"


def css_class(color: str) -> str:
    """The page's class that has a marker colour as its background."""
    return _NAMES[color].removeprefix("--")


@contextmanager
def figure(
    width_px: int, heights_px: Sequence[int], *, left_px: int = 54, bottom_px: int = 40
) -> Iterator[tuple[Any, list[Any]]]:
    """A figure with one row of axes per height, placed to the pixel. Yields (figure, axes)."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    top, gap, right = 22, 44, 14
    height = top + sum(heights_px) + gap * (len(heights_px) - 1) + bottom_px
    with rc_context({"svg.fonttype": "none", "text.parse_math": False, "svg.hashsalt": "edgekit"}):
        drawing = Figure(figsize=(width_px / _PX_PER_INCH, height / _PX_PER_INCH), dpi=_PX_PER_INCH)
        axes, y = [], height - top
        for row_px in heights_px:
            y -= row_px
            box = (left_px / width_px, y / height, (width_px - left_px - right) / width_px, row_px / height)
            axes.append(_styled(drawing.add_axes(box)))
            y -= gap
        yield drawing, axes


def _styled(axis: Any) -> Any:
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color(GRID)
    axis.tick_params(length=0, pad=6, labelsize=_FONT_PX, labelcolor=MUTED)
    axis.grid(True, color=GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.margins(x=0)
    return axis


def x_title(axis: Any, words: str) -> None:
    axis.set_xlabel(words, color=MUTED, fontsize=_FONT_PX, labelpad=6)


def y_title(axis: Any, words: str) -> None:
    """Above the axis, flush with its labels: nobody likes to read sideways."""
    axis.annotate(
        words,
        xy=(0, 1),
        xycoords="axes fraction",
        xytext=(0, 8),
        textcoords="offset points",
        color=MUTED,
        fontsize=_FONT_PX,
        ha="left",
    )


def plain_ticks(axis: Any, which: str, *, log: bool, most: int = 6) -> None:
    """Round numbers without exponents; on a logarithmic axis 1, 2, 5 of each decade. Call when limits stand."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    one = getattr(axis, f"{which}axis")
    if log:
        low, high = one.get_view_interval()
        one.set_major_locator(FixedLocator(log_ticks(low, high, most)))
        one.set_minor_locator(NullLocator())
    else:
        one.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    one.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}".replace("-", "−")))


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """1, 2 and 5 of every decade within the limits, thinned out to about `most`; at least one."""
    import math

    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        ticks = [digit * 10.0**decade for decade in decades for digit in digits]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= most:
            break
    step = -(-len(ticks) // most) or 1
    return ticks[::step] or [math.sqrt(low * high)]


def to_svg(drawing: Any, name: str, label: str, class_: str = "") -> Html:
    """Inline SVG: ids made unique with `name`, sized by the page, described by `label` for screen readers."""
    out = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    drawing.savefig(out, format="svg", transparent=True, metadata=nothing)
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
    body = re.sub(
        r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d)\d{2,}", r"\1", tag[0]), body
    )  # labels keep theirs
    body = re.sub(r"\s*\n\s*", " ", body).replace("> <", "><")
    body = tidy(_MARKER.sub(lambda match: f"var({_NAMES[match.group()]})", body))
    opening = f'<svg viewBox="{view.group(1)}" class="{text(class_)}" role="img" aria-label="{text(label)}">'
    return Html(opening + body)
