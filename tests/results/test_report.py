"""The report is one small file that stands alone, tells the truth and cannot be broken by names. (A8)"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgekit import records as r
from edgekit.errors import HostError, InputError
from edgekit.records.sustained import Minute, Sustained
from edgekit.results import canvas
from edgekit.results.canvas import log_ticks
from edgekit.results.envelope import ecdf, envelope, occupied
from edgekit.results.markup import el, text
from edgekit.results.report import MAX_BYTES, MAX_BYTES_OF_SEVERAL, render, write_report
from edgekit.results.store import Store
from edgekit.results.svg import shorter_path
from edgekit.stats import summarize
from edgekit.units import format_time
from tests.page import Page

pytestmark = pytest.mark.base
Real = tuple[r.Record, r.Samples]


def replace(record: r.Record, **changes: Any) -> r.Record:
    return msgspec.structs.replace(record, **{"id": r.new_id(), **changes})


@pytest.fixture(scope="module")
def page(real: Real) -> str:
    return render([real])


def test_it_stands_alone(page: str) -> None:
    found = Page(page)
    assert "script" not in found.tags
    assert not {"link", "img", "iframe", "object", "embed", "form", "base"} & set(found.tags)
    assert all(link.startswith("#") for link in found.links)
    assert not re.search(r"@import|url\((?!#)|https?://(?!www\.w3\.org/)", page)
    assert "default-src 'none'" in page


def test_figures_have_unique_ids_and_every_reference_is_there(page: str) -> None:
    found = Page(page)
    assert len(found.ids) == len(set(found.ids))
    used = {link[1:] for link in found.links} | set(re.findall(r"url\(#([^)]+)\)", page))
    assert used <= set(found.ids)


def test_figures_have_only_colours_of_the_page(page: str) -> None:
    """Else dark mode shows black on black: every colour in a figure is a variable."""
    figures = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.S))
    assert figures.count("<svg") >= 7
    assert re.findall(r"#[0-9a-f]{6}\b", figures) == []
    defined = set(re.findall(r"(--[a-z0-9-]+):", page))
    assert set(re.findall(r"var\((--[a-z0-9-]+)\)", page)) <= defined
    assert 'aria-label="' in figures


def test_labels_of_an_axis_keep_their_digits() -> None:
    """Coordinates are rounded to a tenth of a pixel; a label is no coordinate."""
    with canvas.figure(300, [100]) as (drawing, (axis,)):
        axis.plot([0.981, 0.987], [1, 2])
        canvas.plain_ticks(axis, "x", log=False, most=4)
        made = canvas.to_svg(drawing, "x", "x")
    assert {"0.982", "0.984", "0.986"} <= set(re.findall(r"<text[^>]*>([^<]+)</text>", made))
    assert not re.search(r'd="[^"]*\d\.\d\d', made)


def test_a_shorter_path_is_the_same_line() -> None:
    assert (
        shorter_path("M 50 232 L 50 232 L 55.7 232 L 61.0 232 L 61.0 20 L 70 10 z ")
        == "M50 232H55.7 61V20L70 10z"
    )
    assert shorter_path("M 0 3 C 0.7 3 1.5 2.6 2.1 2.1 L 3 2 ") == "M0 3C0.7 3 1.5 2.6 2.1 2.1L3 2"


def test_light_dark_and_print_define_the_same_colours(page: str) -> None:
    style = page[page.index("<style>") : page.index("</style>")]
    blocks = [set(re.findall(r"(--[a-z0-9-]+):", part)) for part in style.split(":root {")[1:]]
    assert len(blocks) == 3
    assert len(blocks[0]) > 15
    assert set(map(frozenset, blocks)) == {frozenset(blocks[0])}


def test_it_tells_the_numbers_of_the_record(page: str, real: Real) -> None:
    record = real[0]
    words = Page(page).words
    median = record.latency.median
    assert median is not None
    assert format_time(median).split()[0] in words
    assert record.id in words
    assert "matmul-64@1" in words
    assert "7,500 in 5 launches" in words
    assert "governor and temperature are not known" in words
    assert "Not measured: no meter was used." in words
    assert "only 8 of" in words or "samples lie beyond it" in words
    assert "OPENBLAS_NUM_THREADS=1" in words


def test_it_says_how_samples_were_drawn(real: Real) -> None:
    record, samples = real
    words = Page(render([real])).words
    assert "No sample is left out of the band." in words
    few = r.Samples.of([launch[:15] for launch in samples.launches])
    assert "share one column" not in Page(render([(record, few)])).words


def test_it_tells_a_sustained_load_by_the_minute(page: str, real: Real) -> None:
    """D1.3"""
    minutes = tuple(
        Minute(minute=i, count=600, median_us=1000.0 + 250 * i, temperature_mc=61_000 + 9_000 * i)
        for i in (0, 1)
    )
    found = Sustained(minutes=minutes, last_over_first=1.25, worst_over_first=1.25)
    words = Page(render([(replace(real[0], sustained=found), real[1])])).words
    assert "The last whole minute's median is 1.250 times the first's" in words
    assert "1.25 ms" in words
    assert "70.0 °C" in words or "70 °C" in words
    assert "Sustained load" not in Page(page).words


HOSTILE = [
    "</title></style><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "$\\frac{1}{0",
    "\x00\x1b[31m\x07",
    "\u202egnp.exe",
    "a" * 100_000,
    "&lt;already&gt;",
    "_hidden {{ x }} %s {0}",
]


@pytest.mark.parametrize("nasty", HOSTILE)
def test_texts_from_outside_are_only_text(nasty: str, real: Real) -> None:
    record, samples = real
    series = r.series_of([r.TelemetryPoint(float(i), nasty, float(i % 7), "mC", nasty) for i in range(50)])
    bad = replace(
        record,
        model=r.Model(name=nasty, version=nasty, format=nasty, recipe=nasty, sha256=nasty),
        device=r.Device(address=nasty, model=nasty, soc=nasty, kernel=nasty, fingerprint=nasty),
        runtime=r.Runtime(name=nasty, argv=(nasty,), env={nasty: nasty}, actual_accelerator=nasty),
        conditions=r.BeforeAfter(before=r.Conditions(governor=nasty, temperatures_mc={nasty: 50_000})),
        energy=r.Energy(unavailable=nasty),
        verdict=r.Verdict(state="suspect", reasons=(nasty,), notes=(nasty,)),
        labels={nasty: nasty},
        events=(r.RecordEvent(kind=nasty, message=nasty),),
        launches=tuple(msgspec.structs.replace(one, ok=False, error=nasty) for one in record.launches),
        notes=(nasty,),
    )
    made = render([(bad, r.Samples(launches=samples.launches, telemetry=series)), real])
    found = Page(made)
    assert not {"script", "img"} & set(found.tags)
    assert not re.search("[\x00\x07\x1b\u202e]", made)
    assert len(made.encode()) <= MAX_BYTES
    shown = nasty[:500]
    if shown.isprintable():
        assert shown in found.words


def test_escaping_is_by_type_and_cannot_be_forgotten() -> None:
    assert el("b", "<i>", title='"<') == '<b title="&quot;&lt;">&lt;i&gt;</b>'
    assert el("b", el("i", "&")) == "<b><i>&amp;</i></b>"
    assert text("\x00") == "\\u0000"
    assert text("x" * 700).endswith("… (100 more characters)")


def test_ten_launches_of_20_000_samples_fit_into_a_megabyte(real: Real, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    launches = [random.lognormal(3, 0.4, 20_000) for _ in range(10)]
    t_us = np.arange(0, 60e6, 1e4)
    telemetry = tuple(
        r.Series(name=f"zone {i}", unit=unit, path="", t_us=t_us, value=random.normal(50_000, 900, t_us.size))
        for unit in ("mC", "kHz")
        for i in range(20)
    )
    rows = tuple(msgspec.structs.replace(real[0].launches[0], index=i) for i in range(10))
    record = replace(real[0], latency=summarize(launches), launches=rows)
    path = write_report([(record, r.Samples(tuple(launches), telemetry))], tmp_path / "report.html")
    assert path.stat().st_size <= MAX_BYTES
    assert path.stat().st_size < 600_000
    words = Page(path.read_text(encoding="utf-8")).words
    assert "20 series were read; those that changed most are drawn." in words
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_many_runs_are_cut_to_size_and_the_page_says_so(real: Real) -> None:
    """More than fit with figures: the first ones keep theirs."""
    entries = [(replace(real[0]), real[1]) for _ in range(400)]
    made = render(entries)
    assert len(made.encode()) <= MAX_BYTES_OF_SEVERAL
    found = Page(made)
    assert "To stay below 3 MB, of 400 runs" in found.words
    assert all(record.id in found.words for record, _ in entries[:6])


def test_several_runs_are_put_side_by_side_with_intervals(real: Real) -> None:
    record, samples = real
    slower = [launch * 2 for launch in samples.launches]
    other = replace(record, latency=summarize(slower), model=r.Model(name="twice"))
    found = Page(render([real, (other, r.Samples.of(slower))]))
    assert "2 runs side by side" in found.words
    assert "2.00 × the first run's" in found.words
    assert "more causes than the model" in found.words
    assert found.tags.count("article") == 2


@pytest.mark.parametrize(
    ("launches", "what"),
    [
        ([], "no samples"),
        ([[5.0]], "one sample"),
        ([[5.0] * 50, [5.0] * 50], "all the same"),
        ([[0.0] * 50, [0.0] * 30], "below the clock"),
        ([[], [1.0, 2.0, 3.0]], "one launch failed"),
        ([[1e-3, 1e9]], "twelve decades"),
        ([[float(i)] for i in range(1, 80)], "many launches"),
    ],
)
def test_odd_runs_give_a_page_too(launches: list[list[float]], what: str, real: Real) -> None:
    rows = tuple(r.Launch(index=i) for i in range(len(launches)))
    bare = r.Record(
        id=r.new_id(),
        started_at="2026-01-31T12:00:00.000Z",
        edgekit_version="0",
        model=r.Model(name=what),
        device=r.Device(address="local:"),
        runtime=r.Runtime(name="x"),
        plan=r.Plan(launches=len(launches)),
        latency=summarize(launches),
        verdict=r.Verdict(state="invalid", reasons=("it is odd",)),
        launches=rows,
    )
    words = Page(render([(bare, r.Samples.of(launches))])).words
    assert "Do not use these numbers" in words
    assert "it is odd" in words
    Page(render([(bare, r.Samples.of(launches)), real]))


def test_a_launch_without_samples_keeps_its_number(real: Real) -> None:
    """Launch 2 crashed: the rows of the figure are launches 1 and 3, as in the table below it."""
    record, samples = real
    kept = [samples.launches[0], [], samples.launches[2]]
    bad = r.Launch(index=1, ok=False, signal=9, error="killed")
    rows = (record.launches[0], bad, record.launches[2])
    made = render([(replace(record, latency=summarize(kept), launches=rows), r.Samples.of(kept))])
    figure = made[made.index("Launch by launch") : made.index("Box: the middle half")]
    labels = re.findall(r"<text[^>]*>(\d)</text>", figure[: figure.rindex("</svg>")])
    assert {"1", "3"} <= set(labels)
    assert "2" not in labels
    assert "failed: killed" in Page(made).words


def test_readings_that_were_all_unreadable_are_not_drawn(real: Real) -> None:
    points = [r.TelemetryPoint(float(i), "cpu", float("nan"), "mC") for i in range(20)]
    samples = r.Samples.of(real[1].launches, points)
    assert "Temperature over time" not in Page(render([(real[0], samples)])).words


def test_a_report_of_nothing_is_refused() -> None:
    with pytest.raises(InputError):
        render([])


def test_a_report_that_cannot_be_written_is_this_hosts_fault(real: Real, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError) as caught:
        write_report([real], tmp_path / "file" / "report.html")
    assert caught.value.exit_code == 8


def test_the_envelope_hides_nothing() -> None:
    random = np.random.default_rng(1)
    values = random.lognormal(0, 1, 12_345)
    found = envelope(values, 100)
    assert found.position.size == 100
    assert found.high.max() == values.max()
    assert found.low.min() == values.min()
    edges = np.linspace(0, values.size, 101).astype(int)
    for i in (0, 50, 99):
        chunk = values[edges[i] : edges[i + 1]]
        assert (found.low[i], found.high[i]) == (chunk.min(), chunk.max())


def test_few_samples_are_drawn_one_by_one() -> None:
    found = envelope(np.array([3.0, 1.0, 2.0]), 100)
    assert found.per_column == 1
    assert found.median.tolist() == [3.0, 1.0, 2.0]


@pytest.mark.parametrize("log", [False, True])
def test_every_sample_lies_under_a_mark(log: bool) -> None:
    values = np.random.default_rng(2).lognormal(2, 1, 5000)
    low, high = float(values.min()), float(values.max())
    marks = occupied(values, low, high, columns=200, log=log)
    assert marks.size <= 201
    place = np.log if log else np.asarray
    cell = (place(high) - place(low)) / 200
    distance = np.abs(place(values)[:, None] - place(marks)[None, :]).min(axis=1)
    assert distance.max() <= cell / 2 * 1.0001


def test_the_ecdf_has_both_ends_and_only_true_shares() -> None:
    values = np.random.default_rng(3).random(3000)
    x, share = ecdf(values)
    assert (x[0], x[-1], share[-1]) == (values.min(), values.max(), 1.0)
    for one, part in list(zip(x, share, strict=True))[::20]:
        assert part == pytest.approx(np.count_nonzero(values <= one) / values.size)


@pytest.mark.parametrize(("low", "high"), [(59, 714), (4.1, 153), (1e-3, 1e9), (100, 101), (0.4, 0.6)])
def test_logarithmic_axes_have_ticks_within_their_limits(low: float, high: float) -> None:
    ticks = log_ticks(low, high, 6)
    assert 1 <= len(ticks) <= 6
    assert all(low <= tick <= high for tick in ticks)


def edgekit(*args: str, db: Path, columns: int = 100) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "EDGEKIT_RESULTS": str(db), "COLUMNS": str(columns), "NO_COLOR": "1"}
    argv = [sys.executable, "-m", "edgekit", *args]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, env=env, cwd=db.parent)


def test_the_commands_list_show_export_and_report(real: Real, tmp_path: Path) -> None:
    db = tmp_path / "results.sqlite"
    record, samples = real
    Store(db).add(record, samples)
    listed = json.loads(
        edgekit("results", "list", "--json", "--model", "MATMUL", "-d", "local:", db=db).stdout
    )
    assert [run["id"] for run in listed["runs"]] == [record.id]
    assert json.loads(edgekit("results", "list", "--json", "-d", "adb:none", db=db).stdout)["runs"] == []
    assert (
        json.loads(edgekit("results", "list", "--json", "--since", "2100-01-01", db=db).stdout)["runs"] == []
    )
    listing = edgekit("results", "list", db=db, columns=80).stdout
    assert record.id[-6:] in listing  # whole, however narrow the terminal
    assert "valid" in listing
    assert max(map(len, listing.splitlines())) <= 80
    shown = edgekit("results", "show", record.id[-6:], "--json", db=db).stdout
    assert r.decode(shown) == record
    assert "median latency" in edgekit("results", "show", db=db).stdout
    assert r.decode(edgekit("results", "export", db=db).stdout) == record
    assert len(json.loads(edgekit("results", "export", "--json", db=db).stdout)["records"]) == 1
    done = edgekit("results", "export", "--samples", "--format", "csv", "-o", "out.csv", db=db)
    assert done.returncode == 0
    assert len((tmp_path / "out.csv").read_text().splitlines()) > 7500
    made = json.loads(edgekit("report", "latest", "-o", "r.html", "--json", db=db).stdout)
    assert made == {
        "report": "r.html",
        "runs": [record.id],
        "size_bytes": (tmp_path / "r.html").stat().st_size,
    }
    Page((tmp_path / "r.html").read_text(encoding="utf-8"))


def test_the_commands_end_with_the_promised_codes(tmp_path: Path) -> None:
    db = tmp_path / "results.sqlite"
    missing = edgekit("results", "show", "nothing", "--json", db=db)
    assert (missing.returncode, json.loads(missing.stdout)["error"]["code"]) == (1, "E_NO_RUN")
    bad = edgekit("results", "list", "--since", "soon", "--json", db=db)
    assert (bad.returncode, json.loads(bad.stdout)["error"]["code"]) == (1, "E_SINCE")
    assert edgekit("results", "export", "--format", "xml", db=db).returncode == 2
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"no database at all, but long enough to look at it closely" * 30)
    damaged = edgekit("results", "list", "--json", db=broken)
    assert (damaged.returncode, json.loads(damaged.stdout)["error"]["code"]) == (8, "E_STORE_DAMAGED")
    assert edgekit("report", "-o", "x.html", db=db).returncode == 1
    assert not (tmp_path / "x.html").exists()
