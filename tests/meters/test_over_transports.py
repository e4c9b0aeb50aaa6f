"""Energy of every device family over a real transport (D2-b2): a whole `edgekit bench` each, by the agent behind OpenSSH or
adbd, from a /sys of the test's own. Constructed data: no such device was at hand. All run side by side, as most of
each is idle time."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import MODEL, edgekit
from tests.meters import phone_perfetto
from tests.meters.boards import Board, check_energy, measures
from tests.meters.families import FAMILIES, Energy, Family, following, vcgencmd
from tests.targets.adb_host import AdbHost
from tests.targets.adbd import AdbdDevice, AdbdOptions
from tests.targets.ssh_client import SshClientHome, public_part
from tests.targets.sshd import SshdOptions, SshServer

pytestmark = pytest.mark.android
AT_ONCE = 3
"""Of those that are read ten times a second; fuel gauges wait beside them."""
every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


class Lab:
    """One SSH client and one adb server, and the devices of this file behind them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.client = SshClientHome(folder / "ssh-client")
        self.host = AdbHost(folder / "adb-host", "36")
        stack.callback(self.host.close)
        self.host.start()

    def attach(self, family: Family, folder: Path) -> Board:
        """A device that sees the family's tree as its /sys."""
        sysfs = folder / "tree" / "sys"
        sysfs.mkdir(parents=True)
        if family.transport == "adb":
            device = AdbdDevice(folder / "adbd", self.host, AdbdOptions(sysfs=sysfs))
            self.stack.callback(device.close)
            if family.perfetto:
                device.add_program(phone_perfetto.program(folder / "bin" / "perfetto"))
            device.connect()
            return Board(folder, device.address, f"/data/local/tmp/ek-{uuid.uuid4().hex[:8]}")
        server = SshServer(folder / "sshd", self.client, SshdOptions(sysfs=sysfs))
        self.stack.callback(server.close)
        self.client.trust(server.host, server.port, public_part(server.host_key))
        if family.vcgencmd:
            assert server.sandbox is not None
            server.sandbox.run(["mount", "--bind", str(vcgencmd(folder / "bin")), "/usr/local/bin"])
        return Board(folder, server.address)

    def bench(self, family: Family, board: Board, longer: float = 1.0) -> dict[str, Any]:
        """`longer`: than the family's --min-seconds."""
        options = ["--iterations", "5", "--warmup-iterations", "2", *family.options, "--json"]
        at = options.index("--min-seconds") + 1
        options[at] = f"{float(options[at]) * longer:g}"
        env = self.host.env if family.transport == "adb" else self.client.env
        found: dict[str, Any] = edgekit(
            "bench", MODEL, "-d", "it", *options, cwd=board.folder, env=env
        ).json()
        return found


class Records:
    """What `edgekit bench` says of each family: all at once, and one alone once more."""

    def __init__(self, lab: Lab, boards: Mapping[str, Board], stack: ExitStack) -> None:
        self.lab, self.boards = lab, boards
        slow = stack.enter_context(ThreadPoolExecutor(len(FAMILIES)))
        fast = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        self.first = {
            family.name: (slow if family.gauge else fast).submit(lab.bench, family, boards[family.name])
            for family in FAMILIES
        }

    def alone(self, family: Family) -> dict[str, Any]:
        """Windows three times as long, when nothing else of this file runs: where the host was so busy that a meter was not
        read in time, or the test's own sensors came late."""
        wait(self.first.values())
        return self.lab.bench(family, self.boards[family.name], 3.0)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Records]:
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("families")
        lab = Lab(folder, stack)
        boards, tells = {}, {}
        for number, family in enumerate(FAMILIES):
            board = boards[family.name] = lab.attach(family, folder / f"{number:02}")
            board.shows(family.tree, family.profile)
            tells[board.root] = family.sensors(board.tree)
        stack.enter_context(following(tells))
        yield Records(lab, boards, stack)


def has_energy(record: dict[str, Any], expected: Energy) -> None:
    assert "error" not in record, record
    costs = expected.meter != "perfetto"  # the system's daemons ask, which tell nobody what it took them
    check_energy(record, expected.meter, expected.added_mw, expected.idle_mw, costs=costs)


@measures
@every_family
def test_energy_or_an_honest_refusal(family: Family, records: Records) -> None:
    try:
        says_what_is_expected(records.first[family.name].result(), family)
    except Exception:
        says_what_is_expected(records.alone(family), family)


def says_what_is_expected(record: dict[str, Any], family: Family) -> None:
    assert "error" not in record, record
    if isinstance(family.expected, str):
        assert list(record["energy"]) == ["unavailable"]
        assert family.expected in record["energy"]["unavailable"]
    else:
        has_energy(record, family.expected)
