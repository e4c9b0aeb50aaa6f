"""What `--debug-layers` found as one HTML file that needs nothing else: no script, no network, no font."""

from __future__ import annotations

from edgekit.conversion.layers.html_text import as_text
from edgekit.conversion.layers.plot import COLORS, NARROW_PX, WIDE_PX, drawn
from edgekit.conversion.layers.quantized_page import STYLE, quantized_html
from edgekit.conversion.layers.report import (
    LayerReport,
    LayerRow,
    axes_words,
    mark_of,
    number,
    short_op,
    window,
)

MAX_ROWS = 300
_BADGES = {"agree": ("good", "Agree"), "parted": ("bad", "Parted"), "unknown": ("warn", "Not compared")}
_REASONS = {
    "error": "values are off",
    "not_finite": "NaN or infinite values",
    "axes": "axes in a wrong order",
    "missing": "an activation is left out",
}


def layers_html(report: LayerReport) -> str:
    """The whole page; of more than MAX_ROWS tensors, those around the first bad one are listed."""
    color, word = _BADGES[report.state]
    facts = [
        ("operators", str(report.operators)),
        ("without counterpart", str(len(report.unmatched))),
        ("samples", str(report.samples)),
        ("allowed inside", f"{report.layer_tolerance:g}"),
        ("allowed at the outputs", f"{report.tolerance:g}"),
    ]
    figures = drawn(report, WIDE_PX, "w", class_="wide") + drawn(report, NARROW_PX, "n", class_="narrow")
    body = [
        f'<header><p class="eyebrow">{as_text(report.source)} → {as_text(report.target)}</p>',
        f'<h1>Layer by layer <span class="badge {color}">{word}</span></h1>',
        f'<p class="lead">{as_text(report.summary, 900)}</p></header>',
        _culprit(report),
        f'<figure class="card">{figures}<figcaption>{_CAPTION}</figcaption></figure>',
        '<dl class="facts">'
        + "".join(f"<div><dt>{as_text(k)}</dt><dd>{as_text(v)}</dd></div>" for k, v in facts)
        + "</dl>",
        quantized_html(report.quantized) if report.quantized is not None else "",
        _table(report),
        _unmatched(report),
        "".join(f'<p class="fine">{as_text(note, 600)}</p>' for note in report.notes),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{as_text(report.target)} layer by layer · edgekit</title><style>{_style()}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


_CAPTION = (
    "Blue: good. Red: off, though what it was computed from is good. Grey: off because something before it is. A cross:"
    " no longer finite. Dashed: what is allowed inside. Points on the floor have no error."
)


def _culprit(report: LayerReport) -> str:
    bad = report.first_bad
    if bad is None:
        return ""
    facts = [
        ("first bad", f"{bad.op}, number {bad.index}"),
        ("tensor", bad.name),
        ("why", _REASONS[bad.reason]),
    ]
    if bad.source_op:
        ops = " + ".join(short_op(op) for op in bad.source_ops)
        facts.append(("source", f"{ops or short_op(bad.source_op)} ({bad.source_name})"))
    if bad.where:
        facts.append(("where", bad.where))
    if bad.after:
        facts.append(
            (
                "still good",
                ", ".join(
                    f"{ref.op} {ref.index}" if ref.index >= 0 else "the input" for ref in bad.after[:8]
                ),
            )
        )
    if bad.between:
        facts.append(
            ("not compared before it", ", ".join(f"{ref.op} {ref.index}" for ref in bad.between[:12]))
        )
    rows = "".join(f"<dt>{as_text(key)}</dt><dd>{as_text(value)}</dd>" for key, value in facts)
    return f'<dl class="card culprit">{rows}</dl>'


def _table(report: LayerReport) -> str:
    rows = window(report, MAX_ROWS)
    cut = (
        f'<p class="fine">{len(rows)} of {len(report.rows)} tensors are listed.</p>'
        if len(rows) < len(report.rows)
        else ""
    )
    head = (
        '<tr><th>#</th><th class="l">target</th><th class="l">source</th><th class="l opt">where</th>'
        '<th>relative</th><th class="opt">max error</th><th class="opt">rms</th><th>SNR dB</th></tr>'
    )
    lines = "".join(_line(report, row) for row in rows)
    return f'<h2>Tensors</h2>{cut}<div class="card table"><table><thead>{head}</thead><tbody>{lines}</tbody></table></div>'


def _line(report: LayerReport, row: LayerRow) -> str:
    first = mark_of(report, row)
    class_ = "first" if first else row.state
    axes = f" <small>{as_text(axes_words(row.axes))}</small>" if row.axes else ""
    ops = " + ".join(short_op(op) for op in row.source_ops) or short_op(row.source_op)
    mark = '<small class="mark">first bad</small>' if first else ""
    relative = f"{row.lost:,} lost" if row.lost else number(row.relative_error)
    snr = "–" if row.snr_db is None else f"{row.snr_db:.0f}"
    index = str(row.index) if row.index >= 0 else ""
    return (
        f'<tr class="{class_}"><td>{index}</td><td class="l">{as_text(row.op)}{axes}{mark}</td>'
        f'<td class="l">{as_text(ops)}</td><td class="l opt">{as_text(row.where or row.source_name)}</td><td>{relative}</td>'
        f'<td class="opt">{number(row.max_abs_error)}</td><td class="opt">{number(row.rms_error)}</td><td>{snr}</td></tr>'
    )


def _unmatched(report: LayerReport) -> str:
    if not report.unmatched:
        return ""
    names = ", ".join(f"{ref.op} {ref.index}" for ref in report.unmatched[:60])
    more = f" and {len(report.unmatched) - 60} more" if len(report.unmatched) > 60 else ""
    return f'<p class="fine">Without a counterpart in the source: {as_text(names, 3000)}{more}.</p>'


def _style() -> str:
    more = {
        "light": "--page:#f5f6f8;--card:#fff;--line:#dfe3e8;--good:#10703a;--good-bg:#e3f4e9;--warn:#8a5200;--warn-bg:#fdf0d8;--bad-bg:#fce5e3",
        "dark": "--page:#101216;--card:#181b21;--line:#2b3038;--good:#7fd8a0;--good-bg:#14301f;--warn:#f3bd63;--warn-bg:#35270f;--bad-bg:#3c1a18",
    }
    light, dark = (
        ";".join([*(f"{key}:{value}" for key, value in COLORS[theme].items()), more[theme]])
        for theme in ("light", "dark")
    )
    return f":root{{color-scheme:light dark;{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}{_RULES}{STYLE}"


_RULES = """
*{box-sizing:border-box}html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--fg);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
main{max-width:1040px;margin:0 auto;padding:40px 20px 56px}
h1,h2,p,dl,dd,figure{margin:0}
h1{font-size:30px;line-height:1.25;letter-spacing:-.015em;font-weight:680;display:flex;flex-wrap:wrap;gap:6px 14px;align-items:center}
h2{font-size:19px;font-weight:650;margin:36px 0 12px}
.eyebrow{font-size:13px;font-weight:600;color:var(--muted);margin-bottom:6px}
.lead{color:var(--muted);margin-top:8px;max-width:75ch}
.badge{padding:3px 13px;border-radius:99px;font-size:15px;font-weight:620;letter-spacing:0}
.badge.good{color:var(--good);background:var(--good-bg)}.badge.bad{color:var(--bad);background:var(--bad-bg)}.badge.warn{color:var(--warn);background:var(--warn-bg)}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px 20px;margin-top:20px}
.culprit{display:grid;grid-template-columns:max-content 1fr;gap:5px 20px;font-size:14.5px;border-left:4px solid var(--bad)}
.culprit dt{color:var(--muted)}.culprit dd{min-width:0}
figcaption,.fine{font-size:13.5px;line-height:1.45;color:var(--muted);margin-top:10px}
svg{display:block;width:100%;height:auto;overflow:visible}svg text{font-family:inherit}svg.narrow{display:none;max-width:520px}
.facts{display:flex;flex-wrap:wrap;gap:8px 34px;margin-top:18px}.facts dt{font-size:13px;color:var(--muted)}.facts dd{font-size:19px;font-weight:620}
.table{overflow-x:auto;padding:8px 20px;margin-top:0}
table{border-collapse:collapse;width:100%;font-size:14px;line-height:1.4}
th,td{text-align:right;padding:6px 0 6px 18px;border-bottom:1px solid var(--line);vertical-align:top;white-space:nowrap}
th:first-child,td:first-child{padding-left:0;color:var(--muted)}
.l{text-align:left;white-space:normal;min-width:6.5em;overflow-wrap:anywhere}
thead th{color:var(--muted);font-weight:560;font-size:13px}
tbody tr:last-child>*{border-bottom:0}
td small{color:var(--muted);font-size:12px;margin-left:4px}
tr.behind{color:var(--muted)}tr.bad{color:var(--bad)}
tr.first td{color:var(--bad);background:var(--bad-bg);font-weight:600}
tr.first .mark{display:block;margin:0;color:var(--bad);font-weight:600}
@media(max-width:720px){main{padding:24px 14px 40px}h1{font-size:25px}.opt{display:none}svg.wide{display:none}svg.narrow{display:block}.card{padding:14px}.table{padding:6px 14px}th,td{padding-left:10px}.l{min-width:0}table{font-size:13px}.culprit{grid-template-columns:1fr;gap:0}.culprit dd{margin-bottom:6px}.facts{gap:8px 22px}}
@media print{:root{color-scheme:light}body{background:#fff}}
"""
