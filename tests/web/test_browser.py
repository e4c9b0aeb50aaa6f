"""The dashboard in a real browser: by click, by keyboard, on a phone, for a screen reader, and attacked. (D3.5, D3-b3, D3-b4)"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from edgekit import records as r
from tests.browsing import SIZES, Visit
from tests.results.many_runs import many_runs, variant
from tests.web.conftest import TOKEN, Run, Served, start

pytest.importorskip("fastapi")


@pytest.fixture(scope="module")
def served(real: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    found = start(tmp_path_factory.mktemp("browser") / "results.sqlite")
    found.store.add_many(many_runs(real, 60))
    yield found
    found.stop()


@pytest.fixture
def page(served: Served, visit: Visit) -> Any:
    visit.page.goto(served.url)
    return visit.page


def rows(page: Any) -> Any:
    return page.locator("table.list tbody tr")


@pytest.fixture(scope="module")
def paths(served: Served) -> list[str]:
    a, b = (row.id for row in served.store.list(limit=2))
    best = "/best?x=median_latency&y=energy_per_inference"
    return ["/", "/trends?model=model-0", best, f"/runs/{a}", f"/compare?run={a}&run={b}", "/compare"]


def test_no_page_scrolls_sideways_or_complains(served: Served, paths: list[str], visit: Visit) -> None:
    """D3-b3"""
    for path in paths:
        for size in SIZES:
            visit.size(size)
            if size == "phone":
                visit.page.goto(served.url + path)
            assert visit.overflow_px() <= 0, (path, size)
    assert visit.complaints == []


def test_a_phone_shows_every_number_of_a_run(served: Served, visit: Visit) -> None:
    """D3-b3: on 375 px no value of a listing is beyond the edge, the median among them."""
    visit.size("phone")
    for path, title in (("/", "Median"), ("/best?x=median_latency&y=accuracy", "Median latency")):
        visit.page.goto(served.url + path)
        row = visit.page.locator("table.stack tbody tr").first
        median = row.locator(f"td[data-title='{title}']")
        assert "s" in median.inner_text()
        for cell in row.locator("td, th").all():
            box = cell.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 375, (path, cell.inner_text())
        assert visit.page.get_by_role("columnheader", name=title).count() == 1
        assert visit.page.get_by_role("cell").count() > 7


def test_numbers_of_near_points_do_not_lie_on_each_other(real: Run, serve: Any, visit: Visit) -> None:
    """D3.5: 24 runs, two of three within some percent, as the browser draws them, at both widths."""
    import numpy as np

    own = serve("near.sqlite")
    draw = np.random.default_rng(5)
    own.store.add_many(
        (
            msgspec.structs.replace(
                real[0],
                id=r.new_id(),
                model=msgspec.structs.replace(real[0].model, name=f"near-{i}"),
                verdict=r.Verdict(state="valid"),
                latency=msgspec.structs.replace(
                    real[0].latency, median=float(100 * np.exp(draw.normal(0, 0.02 if i % 3 else 0.1)))
                ),
                accuracy=r.Accuracy(
                    metric="top1",
                    value=float(0.9 + draw.normal(0, 0.002 if i % 3 else 0.01)),
                    golden="passed",
                ),
            ),
            None,
        )
        for i in range(24)
    )
    for size in ("desktop", "phone"):
        visit.size(size)
        visit.page.goto(f"{own.url}/best?x=median_latency&y=accuracy")
        boxes = visit.page.evaluate(
            """() => [...document.querySelectorAll('figure svg text')]
                 .filter((one) => /^\\d+$/.test(one.textContent.trim()) && one.getBoundingClientRect().width)
                 .map((one) => { const b = one.getBoundingClientRect();
                                 return [b.left, b.top + 3, b.right, b.bottom - 4, one.textContent]; })"""
        )
        assert len(boxes) >= 12
        near = [
            (a[4], b[4])
            for i, a in enumerate(boxes)
            for b in boxes[:i]
            if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
        ]
        assert near == [], size


def test_axe_finds_nothing_serious(served: Served, paths: list[str], visit: Visit) -> None:
    """D3-b3. In the dark on a phone, in the light on a desk."""
    for i, path in enumerate(paths):
        visit.size("phone" if i % 2 else "desktop")
        visit.page.emulate_media(color_scheme="dark" if i % 2 else "light")
        visit.page.goto(served.url + path)
        assert visit.violations() == [], path


def test_filtering_and_comparing_by_click(page: Any, visit: Visit) -> None:
    """D3-b3"""
    assert rows(page).count() == 50
    page.get_by_label("Model", exact=True).fill("model-1")
    page.get_by_label("Verdict").select_option("valid")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**/?model=model-1&**verdict=valid**")
    assert rows(page).count() == 15
    assert page.get_by_label("Verdict").input_value() == "valid"
    boxes = page.locator("input[name=run]")
    boxes.nth(0).check()
    boxes.nth(1).check()
    page.get_by_role("button", name="Compare the two ticked").click()
    page.wait_for_url("**/compare?run=*&run=*")
    assert page.get_by_role("heading", name="Numbers").is_visible()
    assert page.locator("figure svg:visible").count() == 1
    assert visit.complaints == []


def test_filtering_and_comparing_by_keyboard(page: Any, visit: Visit) -> None:
    """D3-b3: Tab, letters, Space and Enter are enough, and what has the focus is seen."""
    page.keyboard.press("Tab")
    page.wait_for_function("document.activeElement.textContent === 'Skip to the content'")
    page.keyboard.press("Enter")
    page.wait_for_url("**#*")
    page.keyboard.press("Tab")
    page.wait_for_function("document.activeElement.name === 'model'")
    page.keyboard.type("model-0")
    page.keyboard.press("Enter")
    page.wait_for_url("**model=model-0**")
    assert rows(page).count() == 30
    page.locator("input[name=run]").first.focus()
    page.keyboard.press("Space")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    for _ in range(2):  # past the next run's link
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelectorAll('input[name=run]:checked').length === 2")
    page.keyboard.press("Enter")
    page.wait_for_url("**/compare?run=*&run=*")
    assert visit.complaints == []


def test_trends_mark_steps_and_releases(real: Run, served: Served, visit: Visit) -> None:
    """D3.5: a model that is slower from its second version on."""
    import numpy as np

    random = np.random.default_rng(3)
    made = []
    for i in range(10):
        record, _ = variant(real, 0, random)
        launches = [one * (1.3 if i >= 6 else 1.0) for one in real[1].launches]
        centre = {"median": 100.0 * (1.3 if i >= 6 else 1.0)}
        spread = {"ci95_low": centre["median"] * 0.99, "ci95_high": centre["median"] * 1.01}
        made.append(
            (
                msgspec.structs.replace(
                    record,
                    id=r.new_id(),
                    started_at=f"2026-03-{i + 1:02}T12:00:00Z",
                    model=r.Model(name="stepping", version="1.0" if i < 6 else "1.1"),
                    verdict=r.Verdict(state="valid"),
                    latency=msgspec.structs.replace(record.latency, **centre, **spread),
                ),
                r.Samples(tuple(launches)),
            )
        )
    served.store.add_many(made)
    visit.page.goto(f"{served.url}/trends?model=stepping")
    words = visit.page.locator("section.trend").inner_text()
    assert "Regression: median latency 1.30 × what it was, 2026-03-07 12:00" in words
    assert "Release: model 1.0 → 1.1, 2026-03-07" in words
    visit.page.get_by_text("All numbers").click()
    assert visit.page.locator("section.trend table tbody tr").count() == 10


def test_new_runs_appear_unless_one_is_choosing(real: Run, served: Served, visit: Visit) -> None:
    """D3.5: live while runs go on."""
    import numpy as np

    random = np.random.default_rng(9)
    visit.page.goto(f"{served.url}/?model=late")

    def add() -> None:
        record, samples = variant(
            real, 0, random, started_at="2099-01-01T00:00:00Z", model=r.Model(name="late")
        )
        served.store.add(record, samples)

    assert rows(visit.page).count() == 0
    add()
    rows(visit.page).first.wait_for()
    visit.page.locator("#status", has_text="New runs were added").wait_for(state="attached")
    visit.page.locator("input[name=run]").first.check()
    record, samples = variant(real, 0, random, started_at="2099-01-02T00:00:00Z", model=r.Model(name="late"))
    served.store.add(record, samples)
    visit.page.get_by_role("link", name="Show them").wait_for()
    assert rows(visit.page).count() == 1
    assert visit.page.locator("input[name=run]").first.is_checked()
    visit.page.get_by_role("link", name="Show them").click()
    visit.page.wait_for_function("document.querySelectorAll('table.list tbody tr').length === 2")
    assert visit.complaints == []


def test_names_that_attack_do_nothing(real: Run, visit: Visit, serve: Any) -> None:
    """D3-b4: in the browser no script of theirs runs, no request goes out, nothing is styled."""
    own = serve()
    nasty = (
        "</script><script>alert(1)</script><img src=http://127.0.0.1:9/x onerror=alert(2)>"
        '<style>*{display:none}</style>" onfocus=alert(3) autofocus x="'
    )
    record, samples = real
    for i in range(2):
        bad = msgspec.structs.replace(
            record,
            id=r.new_id(),
            model=r.Model(name=nasty, version=f"{nasty}{i}", recipe=nasty),
            device=r.Device(address=nasty, model=nasty, soc=nasty),
            labels={nasty: nasty},
            verdict=r.Verdict(state="suspect", reasons=(nasty,)),
        )
        own.store.add(bad, samples)
    wanted: list[str] = []
    visit.page.on("request", lambda request: wanted.append(request.url))
    a, b = (row.id for row in own.store.list())
    for path in ("/", "/trends", "/best", f"/runs/{a}", f"/compare?run={a}&run={b}"):
        visit.page.goto(own.url + path)
        assert visit.page.locator("h1").is_visible()
        assert visit.overflow_px() <= 0
    assert visit.complaints == []
    assert [url for url in wanted if not url.startswith(own.url)] == []


def test_logging_in_and_out(visit: Visit, serve: Any) -> None:
    """D3.5: by keyboard; the token is in no address."""
    own = serve(token=TOKEN)
    visit.page.goto(f"{own.url}/trends")
    assert "/login?next=%2Ftrends" in visit.page.url
    assert visit.violations() == []
    visit.log_in(TOKEN)
    visit.page.wait_for_url("**/trends")
    assert TOKEN not in visit.page.url
    cookies = visit.context.cookies()
    assert [(one["httpOnly"], one["sameSite"]) for one in cookies] == [(True, "Strict")]
    visit.page.get_by_role("button", name="Log out").click()
    visit.page.wait_for_url("**/login")
    visit.page.goto(own.url)
    assert "/login" in visit.page.url
    assert visit.complaints == []
