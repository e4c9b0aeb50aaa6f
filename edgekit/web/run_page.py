"""The page of one run: what its report has, its raw samples, and where to look next."""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.records import Record, Samples
from edgekit.results import wording as w
from edgekit.results.chapter import chapter, lead
from edgekit.results.markup import Child, Html, el
from edgekit.results.parts import badge
from edgekit.results.plots import Detail
from edgekit.web.labels import label_forms
from edgekit.web.layout import run_url, url

SHOWN = 200
"""Samples of each launch that are in the page; all are in the file."""
DETAIL = Detail(450, True)


def run_page(record: Record, samples: Samples, labels: Mapping[str, str]) -> list[Child]:
    where = run_url(record.id)
    same = {"model": f"={record.model.name}", "device": f"={record.device.address}"}
    links = [
        el("a", "Trend of this model here", href=url("/trends", same)),
        el("a", "Its runs here", href=url("/", same)),
        el("a", "Labels", href="#labels"),
        el("a", "Record (JSON)", href=f"{where}/record.json", download=""),
        el("a", "All samples (CSV)", href=f"{where}/samples.csv", download=""),
    ]
    return [
        el("div", lead(record), badge(record.verdict.state), class_="actions"),
        el("nav", links, class_="actions", aria_label="This run"),
        chapter(record, samples, "r", DETAIL),
        label_forms(record.id, labels),
        el("h2", "Raw samples"),
        _raw(samples),
    ]


def _raw(samples: Samples) -> Html | list[Html]:
    if not samples.launches:
        return el("p", "No samples were kept with this run.", class_="card")
    return [
        el(
            "details",
            el("summary", f"Launch {i + 1}: {w.plural(launch.size, 'sample', 'samples')}"),
            el("p", f"The first {SHOWN}, " if launch.size > SHOWN else "", "µs, in order:", class_="fine"),
            el("pre", Html(" ".join(f"{value:.3f}" for value in launch[:SHOWN].tolist())), class_="samples"),
            class_="card",
        )
        for i, launch in enumerate(samples.launches)
    ]
