"""perfetto's own schema (the package `perfetto`) as a witness (D2-b1): what our reader is tested with is what perfetto writes, and
what we ask of it is a configuration that it understands."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edgekit.meters.perfetto import POLL_MS, PROBE_MS, config_text
from edgekit.parse import ParseError
from edgekit.parse.perfetto import PowerRails, parse_power_rails
from tests.parse.outputs import output
from tests.parse.perfetto_trace import recorded, sample

schema = pytest.importorskip("perfetto.protos.perfetto.trace.perfetto_trace_pb2")
text_format = pytest.importorskip("google.protobuf.text_format")


def test_the_sample_on_the_wire_is_the_text_of_its_file() -> None:
    assert schema.Trace.FromString(sample()) == text_format.Parse(output("perfetto_rails"), schema.Trace())


def test_every_number_is_what_the_schema_reads() -> None:
    """A trace of many looks, numbers large and small."""
    looks = [
        (16_086_645.0 + 250 * look, {"A": look, "B": 2**41 + 7**9 * look, "C": 127 + look % 3})
        for look in range(40)
    ]
    data = recorded(("A", "B", "C"), looks)
    ours = parse_power_rails(data)
    names, found = {}, []
    for packet in schema.Trace.FromString(data).packet:
        rails = packet.power_rails
        names.update({one.index: one.rail_name for one in rails.rail_descriptor})
        if rails.energy_data:
            energies = {names[one.index]: (one.timestamp_ms, one.energy) for one in rails.energy_data}
            found.append((packet.timestamp, energies))
    assert [rail.name for rail in ours.rails] == list(names.values())
    assert found == [
        (look.time_ns, {name: (one.time_ms, one.energy_uj) for name, one in look.counts.items()})
        for look in ours.looks
    ]


def test_what_the_schema_writes_is_read() -> None:
    """The same by its own encoder, with fields that we do not ask for, and a session."""
    trace = schema.Trace()
    trace.packet.add(sequence_flags=1, trusted_packet_sequence_id=7, first_packet_on_sequence=True)
    packet = trace.packet.add(timestamp=5_000_000_000, trusted_packet_sequence_id=7, sequence_flags=2)
    packet.power_rails.rail_descriptor.add(index=0, rail_name="VDD", sampling_rate=1000)
    packet.power_rails.energy_data.add(index=0, timestamp_ms=4990, energy=17)
    packet.power_rails.session_uuid = 2**63 + 5
    found = parse_power_rails(trace.SerializeToString())
    assert [rail.name for rail in found.rails] == ["VDD"]
    assert [(look.time_ns, look.counts["VDD"].energy_uj) for look in found.looks] == [(5_000_000_000, 17)]


@pytest.mark.parametrize("duration_ms", [PROBE_MS, 3_600_000])
def test_perfetto_understands_what_it_is_asked_for(duration_ms: int) -> None:
    config = text_format.Parse(config_text(duration_ms), schema.TraceConfig())
    (source,) = config.data_sources
    assert source.config.name == "android.power"
    power = source.config.android_power_config
    assert (power.battery_poll_ms, power.collect_power_rails) == (POLL_MS, True)
    assert config.duration_ms == duration_ms
    (buffer,) = config.buffers
    assert buffer.fill_policy == schema.TraceConfig.BufferConfig.DISCARD  # what the numbers mean comes first
    assert not config.write_into_file


def test_a_trace_of_a_real_tracing_service(tmp_path: Path) -> None:
    """Chromium records with perfetto's own service: some thousand packets of every kind, and no rails among them."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no Chromium")
    trace = tmp_path / "trace"
    argv = [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'user'}"]
    argv += ["--trace-startup=-*,toplevel", f"--trace-startup-file={trace}", "--trace-startup-format=proto"]
    argv += ["--trace-startup-duration=1", "--timeout=2500", "about:blank"]
    subprocess.run(argv, capture_output=True, timeout=120, check=False)
    data = trace.read_bytes()
    assert len(schema.Trace.FromString(data).packet) > 100
    assert parse_power_rails(data) == PowerRails()
    with pytest.raises(ParseError, match=r"cut short|are left"):
        parse_power_rails(data[:-1])
