"""Units as they are typed in a terminal, and typeset on a page: one spelling each. (D3.3, D3.4)"""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.store_runs import runs
from edgekit.cli.commands.results import results
from edgekit.records import METRICS
from edgekit.results.store import Store
from edgekit.results.wording import metric_text, metric_value, temperature, time

pytestmark = pytest.mark.base


@pytest.mark.parametrize(
    ("name", "value", "typed", "typeset"),
    [
        ("median_latency", 10.98, "10.98 us", "10.98 µs"),
        ("median_latency", 1234.0, "1.234 ms", "1.234 ms"),
        ("energy_per_inference", 12.0, "12 uJ", "12 µJ"),
        ("mean_power", 0.5, "500 uW", "500 µW"),
        ("temperature", 80_500, "80.5C", "80.5 °C"),
        ("peak_rss", 64 << 20, "64 MiB", "64 MiB"),
        ("between_launch_cv", 0.015, "1.50 %", "1.50 %"),
        ("accuracy", 0.97, "0.9700", "0.9700"),
        ("throughput", 1234.0, "1,234 /s", "1,234 /s"),
        ("load", None, "unknown", "unknown"),
    ],
)
def test_a_metric_in_a_terminal_and_on_a_page(
    name: str, value: float | None, typed: str, typeset: str
) -> None:
    assert metric_text(METRICS[name], value) == typed
    assert metric_value(METRICS[name], value) == typeset
    if name == "median_latency":
        assert time(value) == typeset
    if name == "temperature":
        assert temperature(value) == typeset


def test_the_commands_spell_units_as_they_are_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `bench` does: what is printed can be a gate or a filter."""
    monkeypatch.setenv("EDGEKIT_RESULTS", str(tmp_path / "r.sqlite"))
    Store(tmp_path / "r.sqlite").add_many(runs(40))
    said = ""
    for command in (["list"], ["show"], ["diff", "latest"], ["trend"], ["best"], ["baseline"]):
        done = CliRunner().invoke(results, command, env={"COLUMNS": "160"})
        assert done.exit_code == 0, done.output
        said += done.stdout
    assert " us" in said
    assert "µ" not in said
    assert "°" not in said
