"""A real browser for tests of pages: Debian's Chromium, driven by Playwright, one per test process.

`Visit` collects everything that the browser complains about, and asks axe-core what a person with a screen reader or a
keyboard would stumble over.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
SIZES = {"phone": (375, 740), "tablet": (820, 1100), "desktop": (1400, 900)}
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with ended_in_time(sync_api.sync_playwright) as playwright:
        yield playwright.chromium.launch(executable_path=str(CHROMIUM), args=flags, timeout=120_000)


@contextmanager
def ended_in_time(playwright: Callable[[], Any], within_s: float = 30.0) -> Iterator[Any]:
    """Playwright, whose driver closes its browsers and ends. A driver that does not is ended by its process id: waiting
    for it took the whole time of a test once, after all tests had passed."""
    before = _children()
    started = playwright().start()
    drivers = _children() - before
    try:
        yield started
    finally:
        late = threading.Timer(within_s, _kill, [drivers])
        late.start()
        try:
            started.stop()
        finally:
            late.cancel()


def _children() -> set[int]:
    """Of this process, started by any of its threads."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(pid) for task in tasks for pid in task.read_text().split()}


def _kill(pids: set[int]) -> None:
    for pid in pids & _children():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    one = Visit(browser)
    yield one
    one.close()


class Visit:
    """One window with cookies of its own."""

    def __init__(self, browser: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1400, "height": 900}, reduced_motion="reduce")
        self.context.set_default_timeout(60_000)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on(
            "console",
            lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None,
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))

    def size(self, name: str) -> None:
        width, height = SIZES[name]
        self.page.set_viewport_size({"width": width, "height": height})

    def log_in(self, token: str) -> None:
        """By keyboard, on the page that asks for a token: its box has the focus by itself, a moment after it is there."""
        self.page.wait_for_function("document.activeElement.name === 'token'")
        self.page.keyboard.type(token)
        self.page.keyboard.press("Enter")

    def overflow_px(self) -> int:
        """By how much the page is wider than the window."""
        found: int = self.page.evaluate(
            "Math.max(document.documentElement.scrollWidth, document.body.scrollWidth) - window.innerWidth"
        )
        return found

    def processor_s(self) -> float:
        """Processor time that the process of this page has taken."""
        session = self.context.new_cdp_session(self.page)
        session.send("Performance.enable")
        metrics = session.send("Performance.getMetrics")["metrics"]
        session.detach()
        return next(float(one["value"]) for one in metrics if one["name"] == "ProcessTime")

    def violations(self) -> list[str]:
        """What axe-core finds that is serious, each with the elements it is about."""
        axe = pytest.importorskip("axe_playwright_python.sync_playwright")
        found = axe.Axe().run(self.page).response["violations"]
        return [
            f"{one['id']}: {[node['html'][:200] for node in one['nodes'][:3]]}"
            for one in found
            if one["impact"] in SERIOUS
        ]

    def close(self) -> None:
        self.context.close()
