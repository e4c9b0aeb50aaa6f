"""Fixtures that every test may use. Targets (sshd, board, adbd, links) live in tests/targets."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from edgekit.cache import cache_dir
from edgekit.config import FILE_NAME, user_config_dir
from tests import order, passes

os.environ["EDGEKIT_CACHE_DIR"] = str(cache_dir())
"""Settled before any test gives the product another HOME."""

settings.register_profile(
    "busy machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("busy machine")
"""A busy machine is no failure; the rest as it is, in CI without chance."""

OF_THE_USER = (
    "ANDROID_SERIAL", "EDGEKIT_DEVICE", "EDGEKIT_PROFILE", "EDGEKIT_RECIPE", "EDGEKIT_RESULTS", "EDGEKIT_TOKEN",
)  # fmt: skip
"""Settings by the environment that no test is to see."""

pytest_plugins = ["tests.targets.fixtures", "tests.browsing"]


def pytest_configure(config: pytest.Config) -> None:
    """A shell ignores SIGINT for what it starts in the background, nohup SIGHUP, and so would everything that tests start."""
    if config.getoption("dist", "no") == "loadfile" and not hasattr(config, "workerinput"):
        config.pluginmanager.register(order.SecondsKept())
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if not hasattr(config, "workerinput"):
        _forget_descriptions()


def _forget_descriptions() -> None:
    """What an earlier run kept of devices: their trees lie in folders of pytest's, whose names come again with other
    trees. Not what a run beside this one keeps."""
    for path in cache_dir("devices").glob("description-*.json"):
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - 3600:
                path.unlink()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a worker: the order in which files are handed out (tests/order.py)."""
    worker = getattr(config, "workerinput", {})
    if "test_seconds" in worker:
        items[:] = order.arranged(items, worker["test_seconds"], workers=worker["workercount"])


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's results or settings. The cache is shared on purpose: it holds
    only what can be made again, and test roots are too large to make twice."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("EDGEKIT_DATA_DIR", str(folder / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    for name in OF_THE_USER:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def _root_of_this_process(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("local")


@pytest.fixture
def own_local(_own_folders: None, _root_of_this_process: Path) -> None:
    """`local:` has a folder of this process's own, by the user's settings: two that measure at once would wait for
    each other's lease."""
    settings = user_config_dir() / FILE_NAME
    settings.parent.mkdir(parents=True, exist_ok=True)
    entry = json.dumps({"address": "local:", "root": str(_root_of_this_process)})
    settings.write_text(f'devices: {{"local:": {entry}}}\n', encoding="utf-8")


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):  # type: ignore[no-untyped-def]
    """The same for a file that skips itself while it is imported."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """Under CI=true a skip is a failure: a part that silently was not tested is not green."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped under CI: {report.longrepr}"
    kept = report.when == "call" and report.passed and passes.mark(item) is not None
    if kept and (unforeseen := passes.beyond(item)):
        report.outcome = "failed"
        report.longrepr = f"tests/closure.py does not know that this file reaches {', '.join(unforeseen)}"
    passes.note(item, report)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """A long test that passed with this very content is not run again (tests/passes.py)."""
    passes.begin(item)
    mark = passes.mark(item)
    if mark is None or not mark.exists():
        return None
    passes.report_again(item, nextitem)
    return True


def pytest_terminal_summary(terminalreporter):  # type: ignore[no-untyped-def]
    before = [
        r for r in terminalreporter.stats.get("passed", []) if ("passed before", True) in r.user_properties
    ]
    if before:
        terminalreporter.write_line(
            f"{len(before)} long tests were not run again: they passed with the same code, data and tools (tests/passes.py)"
        )
