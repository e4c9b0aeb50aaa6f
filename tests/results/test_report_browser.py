"""The report in a real browser: nothing to complain of, readable on a phone, usable with a keyboard. (D3.4, D3-b3)"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from edgekit import records as r
from edgekit.results.report import write_report
from tests.browsing import SIZES, Visit
from tests.results.many_runs import many_runs

Real = tuple[r.Record, r.Samples]


@pytest.fixture(scope="module")
def fifty(real: Real, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """D3-b3: 50 runs, with figures in every chapter."""
    return write_report(many_runs(real, 50), tmp_path_factory.mktemp("report") / "fifty.html")


@pytest.fixture
def page(fifty: Path, visit: Visit) -> Any:
    visit.page.goto(fifty.as_uri())
    return visit.page


def shown(page: Any) -> int:
    """Rows of the table of runs that are to be seen."""
    found: int = page.locator("table.runs tbody tr:visible").count()
    return found


def test_fifty_runs_are_at_most_3_mb_and_interactive_within_a_second(fifty: Path, visit: Visit) -> None:
    """D3-b3. From nothing until a choice has its effect, in processor time of the page's process: this machine has other
    work. The best of some, for the first load also warms the browser up."""
    assert fifty.stat().st_size <= 3_000_000
    took_s: list[float] = []
    while len(took_s) < 2 or (len(took_s) < 6 and min(took_s) > 1.0):
        visit.page.goto("about:blank")
        begin_s = visit.processor_s()
        visit.page.goto(fifty.as_uri())
        visit.page.locator("#ref-1").check()
        took_s.append(visit.processor_s() - begin_s)
    assert visit.page.locator("article svg").count() >= 50 * 4
    print("processor seconds:", took_s)
    assert min(took_s) <= 1.0, took_s
    assert visit.complaints == []


def test_the_figures_of_the_page_are_all_drawn(page: Any) -> None:
    """D3-b3. Nothing in the page needs a style that its own policy forbids: a label has the page's colour."""
    text = page.locator("figure svg:visible text").first
    muted = page.evaluate("getComputedStyle(document.querySelector('.lead')).color")
    assert text.evaluate("one => getComputedStyle(one).fill") == muted


@pytest.fixture(scope="module")
def two(real: Real, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both chapters are open."""
    return write_report(many_runs(real, 2), tmp_path_factory.mktemp("report") / "two.html")


def test_no_size_scrolls_sideways(fifty: Path, two: Path, visit: Visit) -> None:
    """D3-b3"""
    for path, size in ((fifty, "phone"), *((two, size) for size in SIZES)):
        visit.size(size)
        visit.page.goto(path.as_uri())
        assert visit.overflow_px() <= 0, (path.name, size)
    assert visit.complaints == []


@pytest.mark.parametrize(("size", "scheme"), [("phone", "light"), ("desktop", "dark")])
def test_axe_finds_nothing_serious(size: str, scheme: str, two: Path, visit: Visit) -> None:
    """D3-b3"""
    visit.page.emulate_media(color_scheme=scheme)
    visit.size(size)
    visit.page.goto(two.as_uri())
    assert visit.violations() == []
    assert visit.complaints == []


def test_runs_are_chosen_by_click(page: Any, visit: Visit) -> None:
    """D3-b3. What is not chosen vanishes from the table and from the chapters."""
    assert shown(page) == 50
    page.get_by_label("suspect", exact=True).uncheck()
    page.get_by_label("invalid", exact=True).uncheck()
    assert shown(page) == 26
    assert page.locator("article:visible").count() == 26
    page.get_by_label("Pixel 8", exact=True).uncheck()
    assert 0 < shown(page) < 26
    assert visit.complaints == []


def test_runs_are_chosen_and_compared_by_keyboard(page: Any) -> None:
    """D3-b3. The boxes come first in the order of Tab, then the buttons that pick what to compare with."""
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "f-v0"
    page.keyboard.press("Space")
    assert shown(page) == 24
    page.keyboard.press("Space")
    page.locator("#ref-0").focus()
    second = page.locator("table.runs tbody tr").nth(1)
    before = second.inner_text()
    assert re.search(r"\d ×.* \(\d.* to \d", before)
    page.keyboard.press("ArrowDown")
    assert page.locator("#ref-1").is_checked()
    assert "–" in second.inner_text()
    assert "×" in page.locator("table.runs tbody tr").first.inner_text()


def test_a_link_opens_the_chapter_that_it_names(page: Any) -> None:
    chapter = page.locator("article").nth(7).locator("details")
    assert chapter.get_attribute("open") is None
    page.locator("table.runs tbody tr").nth(7).get_by_role("link").click()
    chapter.locator("figure").first.wait_for(state="visible")


def test_what_is_printed_has_every_chapter(real: Real, visit: Visit, tmp_path: Path) -> None:
    """D3.4: the PDF through the browser's print. Folded chapters are printed, what is for the screen is not."""
    path = write_report(many_runs(real, 4), tmp_path / "four.html")
    visit.page.goto(path.as_uri())
    visit.page.emulate_media(media="print")
    assert visit.page.locator(".facets").is_hidden()
    for i in range(4):
        assert visit.page.locator(f"#run-{i} .tiles").is_visible()
    made = visit.page.pdf(format="A4")
    pages = len(re.findall(rb"/Type\s*/Page\b", made))
    assert made.startswith(b"%PDF")
    assert pages >= 5
