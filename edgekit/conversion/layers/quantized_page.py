"""The part of the layer page that is about quantized operators; no script, every text from a model escaped."""

from __future__ import annotations

from edgekit.conversion.layers.html_text import as_text
from edgekit.conversion.layers.quantized_report import (
    Histogram,
    QuantizedOp,
    QuantizedReport,
    TensorRange,
    percent,
    shown,
    span_words,
)

MAX_ROWS = 120
_WIDTH, _HEIGHT = 120, 34

STYLE = """
.hist{width:120px;height:34px;display:inline-block;vertical-align:middle;overflow:hidden}
.hist .f{fill:var(--grid)}.hist .q{fill:none;stroke:var(--accent);stroke-width:1.2}.hist .h{stroke:var(--bad);stroke-width:1}
.quantized td.l{min-width:12.5em}.quantized td.l small{display:block;margin:0}.quantized td br+span{color:var(--muted)}
tr.most td{font-weight:640}tr.most small,tr.most td br+span{font-weight:400}
@media(max-width:720px){.quantized td.l{min-width:0}.quantized td.l small{display:none}}
"""

_CAPTION = (
    "All errors: rms of the difference from the float model over the rms of the float tensor. Entering: the worst of the"
    " operator's inputs. Own: of this operator beside the float one, both run alone on the same values. Leaving: of its"
    " output. Saturated: float values that the quantized tensor cannot hold. Histograms: float model grey, quantized model"
    " as a line, heights by square root; red: the ends of what can be held."
)


def quantized_html(report: QuantizedReport) -> str:
    """A heading, the summary and the table; of many operators those that add most."""
    places = shown(report, MAX_ROWS)
    cut = f" {len(places)} of {len(report.ops)} are listed." if len(places) < len(report.ops) else ""
    head = (
        '<tr><th>#</th><th class="l">operator</th><th>entering</th><th>own</th><th>leaving</th><th class="opt">weights</th>'
        '<th>saturated</th><th class="opt">float range, can hold</th><th class="opt">used</th><th class="opt">histograms</th></tr>'
    )
    first = report.worst[0] if report.worst else None
    lines = "".join(_line(report.ops[place], place == first) for place in places)
    notes = "".join(f'<p class="fine">{as_text(note, 600)}</p>' for note in report.notes)
    return (
        f'<h2>Quantized operators</h2><p class="lead">{as_text(report.summary, 900)}.</p>'
        f'<p class="fine">{_CAPTION}{cut}</p>'
        f'<div class="card table quantized"><table><thead>{head}</thead><tbody>{lines}</tbody></table></div>{notes}'
    )


def _line(row: QuantizedOp, first: bool) -> str:
    held = row.range
    cells = [
        f"<td>{row.index}</td>",
        f'<td class="l">{as_text(row.op)}<small>{as_text(row.name, 48)}</small></td>',
        f"<td>{percent(row.entering)}</td><td>{percent(row.own)}</td><td>{percent(row.leaving)}</td>",
        f'<td class="opt">{_weights(row)}</td>',
        f"<td>{percent(held.saturated if held else None)}</td>",
        f'<td class="opt">{_ranges(held)}</td>',
        f'<td class="opt">{percent(held.used if held else None)}</td>',
        f'<td class="opt">{histogram_svg(held) if held else ""}</td>',
    ]
    return f'<tr class="{"most" if first else "good"}">{"".join(cells)}</tr>'


def _weights(row: QuantizedOp) -> str:
    """Errors, and below how they are stored."""
    if not row.weights:
        return "–"
    errors = ", ".join(percent(weight.error) for weight in row.weights)
    kinds = ", ".join(f"{weight.dtype} × {weight.scales}" for weight in row.weights)
    return f"{errors}<br><span>{as_text(kinds, 60)}</span>"


def _ranges(held: TensorRange | None) -> str:
    if held is None:
        return "–"
    return f"{span_words(held.low, held.high)}<br><span>{span_words(held.held_low, held.held_high)}</span>"


def histogram_svg(held: TensorRange) -> str:
    """Both histograms laid upon each other, and where the quantized tensor ends."""
    counts = held.histogram
    ends = "".join(
        f'<line class="h" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{_HEIGHT}"/>'
        for bound in (held.held_low, held.held_high)
        if bound is not None and 0 <= (x := _x(counts, bound)) <= _WIDTH
    )
    label = f"float {span_words(held.low, held.high)}, can hold {span_words(held.held_low, held.held_high)}"
    return (
        f'<svg class="hist" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">'
        f'<path class="f" d="{_steps(counts.before, closed=True)}"/><path class="q" d="{_steps(counts.after, closed=False)}"/>'
        f"{ends}</svg>"
    )


def _x(counts: Histogram, value: float) -> float:
    return _WIDTH * (value - counts.low) / (counts.high - counts.low)


def _steps(counts: tuple[int, ...], *, closed: bool) -> str:
    most = max(counts, default=0) or 1
    width = _WIDTH / len(counts)
    path = [f"M0 {_HEIGHT}"] if closed else []
    for place, count in enumerate(counts):
        y = _HEIGHT - 1 - (_HEIGHT - 2) * (count / most) ** 0.5
        start = "L" if path else "M"
        path.append(f"{start}{place * width:.1f} {y:.1f}L{(place + 1) * width:.1f} {y:.1f}")
    return "".join(path) + (f"L{_WIDTH} {_HEIGHT}Z" if closed else "")
