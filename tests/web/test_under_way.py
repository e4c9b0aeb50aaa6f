"""A measurement under way on the page of runs: a real one of a process of its own, on a simulated device. (D3.5)"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgekit.api import showing
from edgekit.results import under_way
from edgekit.results.store import Store
from tests.browsing import Visit
from tests.sim.devices import MODEL
from tests.web.conftest import Served

pytest.importorskip("fastapi")
from starlette.requests import Request

from edgekit.web.news import News

Serve = Callable[..., Served]
AT = 2


@contextmanager
def measuring(served: Served) -> Iterator[subprocess.Popen[str]]:
    """It stands between its second and its third launch."""
    argv = [sys.executable, "-m", "tests.web.under_way_child", str(served.store.path), str(MODEL), str(AT)]
    folder = Path(__file__).parents[2]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "here\n"
            yield process
        finally:
            process.kill()


def test_it_is_seen_while_it_runs_and_becomes_its_run(serve: Serve, visit: Visit) -> None:
    """Without reloading: which model and device, which launch of how many, the median so far; then the run."""
    served = serve()
    visit.page.goto(served.url)
    assert visit.page.get_by_text("The store is empty.").is_visible()
    with measuring(served) as process:
        part = visit.page.locator("#under-way")
        part.get_by_text("launch 3 of 4").wait_for()
        words = part.inner_text()
        assert "digits@" in words
        assert "Raspberry Pi 5" in words
        assert "µs" in words
        visit.size("phone")
        assert visit.overflow_px() <= 0
        assert visit.violations() == []
        assert "digits" in served.ask("/under-way?model=dig").text
        assert "digits" not in served.ask("/under-way?model=other").text
        out, _ = process.communicate("\n", timeout=120)
        assert process.returncode == 0
        run = out.strip().splitlines()[-1]
        visit.page.locator(f"a[href='/runs/{run}']").wait_for()
        part.locator("table").wait_for(state="detached")
    assert served.store.under_way() == ()
    assert visit.complaints == []


def test_one_that_is_killed_is_gone_when_its_silence_ends(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9: nobody can take the row away, and nobody needs to."""
    served = serve()
    with measuring(served) as process:
        process.kill()
        process.wait(timeout=30)
    assert "launch 3 of 4" in served.ask("/").text
    (row,) = served.store.under_way()
    assert row.runtime == "litert-python"
    now: Any = under_way._now_s
    most_s = 60 + showing.START_SECONDS
    monkeypatch.setattr(under_way, "_now_s", lambda connection: now(connection) + most_s)
    assert "launch 3 of 4" not in served.ask("/").text
    assert served.store.count() == 0


def test_it_is_only_text(serve: Serve) -> None:
    """D3-b4: a name from a device or a model, on the page and in the part that the script takes."""
    served = serve()
    nasty = "</div><script>alert(1)</script><img src=x onerror=alert(1)>\x00\u202e"
    served.store.beat(
        under_way.Beat(
            key=nasty, model=nasty, device=nasty, total=3, version=nasty, runtime=nasty, recipe=nasty
        ),
        60,
    )
    for path in ("/", "/under-way"):
        text = served.ask(path).text
        assert "<img" not in text
        assert "<script>" not in text
        assert "\u202e" not in text
        assert "alert(1)" in text


def test_pages_that_listen_are_let_go_where_the_store_is_gone(tmp_path: Path) -> None:
    """They ask again by themselves; the server has nothing to complain of."""
    path = tmp_path / "results.sqlite"
    news = News(Store(path))
    heard: list[str] = []

    async def listen() -> None:
        async def silence() -> dict[str, Any]:
            return await asyncio.Future()

        async for text in news.stream(Request({"type": "http"}, silence)):
            heard.append(text)
            path.write_bytes(b"no database" * 1000)

    with ThreadPoolExecutor(1) as pool:  # a browser that is open has a loop in this thread
        pool.submit(asyncio.run, asyncio.wait_for(listen(), 30)).result()
    assert heard[0].startswith("event: newest")
