"""A-b5: devices that are not there, refuse, are full, or cannot be written. Real adb, real adbd, real sshd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import MODEL, QUICK, edgekit


def config(folder: Path, address: str, root: str) -> Path:
    (folder / "edgekit.yaml").write_text(f'devices: {{it: {{address: "{address}", root: "{root}"}}}}\n')
    return folder


@pytest.mark.android
class TestAdb:
    def test_ab5_no_device(self, make_adb_host: Any) -> None:
        host = make_adb_host("36")
        done = edgekit("push", MODEL, "--json", env=host.env)
        error = done.error()
        assert (done.code, error["code"]) == (3, "E_DEVICE_NOT_FOUND")
        assert error["hint"]

    def test_ab5_an_unknown_serial(self, make_adb_host: Any) -> None:
        host = make_adb_host("36")
        done = edgekit("push", MODEL, "-s", "ABSENT", "--json", env=host.env)
        assert (done.code, done.error()["code"]) == (3, "E_DEVICE_NOT_FOUND")

    def test_ab5_two_devices_and_no_choice(self, make_adbd: Any) -> None:
        first = make_adbd()
        second = make_adbd(host=first.host)
        done = edgekit("push", MODEL, "--json", env=first.env)
        error = done.error()
        assert (done.code, error["code"]) == (3, "E_DEVICE_AMBIGUOUS")
        text = error["message"] + error["hint"]
        assert first.serial in text
        assert second.serial in text

    def test_ab5_unauthorized(self, make_adbd: Any) -> None:
        device = make_adbd(auth=True)
        done = edgekit("push", MODEL, "-s", device.serial, "--json", env=device.env)
        error = done.error()
        assert (done.code, error["code"]) == (3, "E_DEVICE_UNAUTHORIZED")
        assert error["hint"]
        rows = edgekit("devices", "--json", env=device.env).ok().json()["devices"]
        row = next(r for r in rows if r["address"] == f"adb:{device.serial}")
        assert row["state"] == "unauthorized"
        assert row["hint"]

    @pytest.mark.parametrize("version", ["36", "29"])
    def test_ab5_offline(self, make_adbd: Any, version: str) -> None:
        """The daemon is gone, adb still lists it: the message says so, and once it is back a push succeeds,
        though adb says "already connected" of the dead connection."""
        device = make_adbd(version=version)
        device.kill()
        device.host.poll_until(
            lambda: device.host.states().get(device.serial) != "device", "adb to notice", timeout=30
        )
        done = edgekit("push", MODEL, "-s", device.serial, "--json", env=device.env)
        assert done.code == 3
        assert done.error()["code"] in ("E_DEVICE_OFFLINE", "E_DEVICE_NOT_FOUND", "E_DEVICE_LOST")
        device.restart()
        again = edgekit("push", MODEL, "-s", device.serial, "--json", env=device.env).ok().json()
        assert again["activated"]

    def test_ab5_full(self, make_adbd: Any) -> None:
        device = make_adbd(small_tmp_bytes=6 << 20)
        done = edgekit("push", MODEL, "-s", device.serial, "--json", env=device.env)
        error = done.error()
        assert (done.code, error["code"]) == (3, "E_DEVICE_FULL")
        assert edgekit("releases", "-s", device.serial, "--json", env=device.env).ok().json() == {
            "releases": []
        }
        left = device.shell("find /data/local/tmp/edgekit -name '*.ek-tmp'").stdout
        assert not left.strip()

    def test_ab5_read_only(self, make_adbd: Any) -> None:
        device = make_adbd(read_only_tmp=True)
        done = edgekit("push", MODEL, "-s", device.serial, "--json", env=device.env)
        assert (done.code, done.error()["code"]) == (3, "E_DEVICE_READ_ONLY")


class TestSsh:
    @pytest.mark.parametrize(
        ("known", "client_key", "code"),
        [
            ("unknown", "right", "E_HOST_KEY_UNKNOWN"),
            ("changed", "right", "E_HOST_KEY_CHANGED"),
            ("trusted", "wrong", "E_AUTHENTICATION"),
        ],
    )
    def test_ab5_keys(self, make_sshd: Any, ssh_client: Any, known: str, client_key: str, code: str) -> None:
        server = make_sshd(known=known, client_key=client_key)
        done = edgekit("push", MODEL, "-d", server.address, "--json", env=ssh_client.env)
        error = done.error()
        assert (done.code, error["code"]) == (3, code)
        assert error["hint"]
        if known == "unknown":
            assert "ssh-keyscan" in error["hint"]

    def test_ab5_nobody_listens(self, make_sshd: Any, ssh_client: Any) -> None:
        server = make_sshd()
        server.stop()
        done = edgekit("push", MODEL, "-d", server.address, "--json", env=ssh_client.env)
        assert done.code == 3
        assert done.error()["code"].startswith("E_DEVICE_")

    def test_ab5_full(self, make_sshd: Any, ssh_client: Any, tmp_path: Path) -> None:
        """First too small for the model, with room for the agent; then too small for anything."""
        server = make_sshd()
        for size in (5 << 20, 100 << 10):
            folder = config(tmp_path, server.address, server.small_disk(size) + "/edgekit")
            done = edgekit("push", MODEL, "-d", "it", "--json", env=ssh_client.env, cwd=folder)
            error = done.error()
            assert (done.code, error["code"]) == (3, "E_DEVICE_FULL")
            assert error["hint"]

    def test_ab5_full_while_it_is_sent(self, make_sshd: Any, ssh_client: Any, tmp_path: Path) -> None:
        """There is room for the model but not for the runtime: what was put of it is taken back."""
        server = make_sshd()
        disk = server.small_disk(7 << 20)
        folder = config(tmp_path, server.address, disk + "/edgekit")
        done = edgekit("push", MODEL, "-d", "it", "--json", env=ssh_client.env, cwd=folder)
        assert (done.code, done.error()["code"]) == (3, "E_DEVICE_FULL")
        rows = edgekit("releases", "-d", "it", "--json", env=ssh_client.env, cwd=folder).ok().json()
        assert rows == {"releases": []}
        sent = (
            edgekit("push", MODEL, "-d", "it", "--no-smoke", "--json", env=ssh_client.env, cwd=folder)
            .ok()
            .json()
        )
        assert sent["activated"]

    def test_ab5_read_only(self, make_sshd: Any, ssh_client: Any, tmp_path: Path) -> None:
        server = make_sshd()
        folder = config(tmp_path, server.address, server.read_only_folder() + "/edgekit")
        done = edgekit("push", MODEL, "-d", "it", "--json", env=ssh_client.env, cwd=folder)
        assert (done.code, done.error()["code"]) == (3, "E_DEVICE_READ_ONLY")

    def test_a_login_script_that_prints_does_no_harm(self, make_sshd: Any, ssh_client: Any) -> None:
        server = make_sshd(noise=True)
        done = edgekit("bench", MODEL, "-d", server.address, "--json", *QUICK, env=ssh_client.env).ok().json()
        assert done["latency"]["count"] >= 60


def test_several_devices_some_of_which_fail(sshd: Any, tmp_path: Path) -> None:
    """Exit 6, results of those that worked, errors of those that did not."""
    arguments = ("push", MODEL, "-d", sshd.address, "-d", "ssh://127.0.0.1:1", "--json", "--no-smoke")
    done = edgekit(*arguments, env=sshd.client.env, cwd=tmp_path)
    assert done.code == 6
    document = done.json()
    assert [row["device"] for row in document["results"]] == [sshd.address]
    assert document["failed"][0]["device"] == "ssh://127.0.0.1:1"
    assert document["failed"][0]["error"]["code"].startswith("E_")
