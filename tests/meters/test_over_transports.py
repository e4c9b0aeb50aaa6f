"""Energy of every device family over a real transport (D2-b2): a whole `edgekit bench` each, by the agent behind OpenSSH or
adbd, from a /sys of the test's own. Constructed data: no such device was at hand. All run side by side, as most of
each is idle time."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import MODEL, edgekit
from tests.meters.boards import Board, check_energy
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
            device.connect()
            return Board(folder, device.address, f"/data/local/tmp/ek-{uuid.uuid4().hex[:8]}")
        server = SshServer(folder / "sshd", self.client, SshdOptions(sysfs=sysfs))
        self.stack.callback(server.close)
        self.client.trust(server.host, server.port, public_part(server.host_key))
        if family.vcgencmd:
            assert server.sandbox is not None
            server.sandbox.run(["mount", "--bind", str(vcgencmd(folder / "bin")), "/usr/local/bin"])
        return Board(folder, server.address)

    def bench(self, family: Family, board: Board) -> dict[str, Any]:
        options = ("--iterations", "5", "--warmup-iterations", "2", *family.options, "--json")
        env = self.host.env if family.transport == "adb" else self.client.env
        found: dict[str, Any] = edgekit(
            "bench", MODEL, "-d", "it", *options, cwd=board.folder, env=env
        ).json()
        return found


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Future[dict[str, Any]]]]:
    """What `edgekit bench` says of each family."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("families")
        lab = Lab(folder, stack)
        boards, tells = {}, {}
        for number, family in enumerate(FAMILIES):
            board = boards[family.name] = lab.attach(family, folder / f"{number:02}")
            board.shows(family.tree, family.profile)
            tells[board.root] = family.sensors(board.tree)
        stack.enter_context(following(tells))
        slow = stack.enter_context(ThreadPoolExecutor(len(FAMILIES)))
        fast = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        yield {
            family.name: (
                slow if "battery" in family.profile or "battery-charge" in family.options else fast
            ).submit(lab.bench, family, boards[family.name])
            for family in FAMILIES
        }


@every_family
def test_energy_or_an_honest_refusal(family: Family, records: Mapping[str, Future[dict[str, Any]]]) -> None:
    record = records[family.name].result()
    assert "error" not in record, record
    if isinstance(family.expected, Energy):
        check_energy(record, family.expected.meter, family.expected.added_mw, family.expected.idle_mw)
    else:
        assert list(record["energy"]) == ["unavailable"]
        assert family.expected in record["energy"]["unavailable"]
