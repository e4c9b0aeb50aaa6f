"""Settings: flag > EDGEKIT_* > edgekit.yaml > the user's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.config import load_config, user_config_dir
from edgekit.errors import InputError

pytestmark = pytest.mark.base


def test_nearest_file_wins_over_the_users_and_the_environment_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = user_config_dir()
    user.mkdir(parents=True)
    (user / "edgekit.yaml").write_text(
        "device: far\nprofile: users\ndevices: {far: 'adb:1', pi: 'ssh://other'}\n"
    )
    inner = tmp_path / "project" / "deep"
    inner.mkdir(parents=True)
    (tmp_path / "project" / "edgekit.yaml").write_text(
        "device: pi\ndevices:\n  pi: {address: 'ssh://pi@rpi', root: /opt/ek}\n"
    )
    config = load_config(inner)
    assert config.device == "pi"
    assert config.profile == "users"
    entry = config.entry("pi")
    assert entry is not None
    assert (entry.address, entry.root) == ("ssh://pi@rpi", "/opt/ek")
    far = config.entry("far")
    assert far is not None
    assert far.address == "adb:1"
    assert config.entry("nowhere") is None
    monkeypatch.setenv("EDGEKIT_DEVICE", "local:")
    assert load_config(inner).device == "local:"


@pytest.mark.parametrize("text", ["devics: {}", "device: [1]", "a: b: c", "devices: {x: {addres: y}}", "- 1"])
def test_a_wrong_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "edgekit.yaml").write_text(text)
    with pytest.raises(InputError) as error:
        load_config(tmp_path)
    assert error.value.code == "E_CONFIG"
    assert "edgekit.yaml" in error.value.message


def test_an_empty_file_is_no_setting(tmp_path: Path) -> None:
    (tmp_path / "edgekit.yaml").write_text("# nothing\n")
    assert load_config(tmp_path).device is None


def test_tools_of_the_users_own_are_named_from_where_the_file_lies(tmp_path: Path) -> None:
    digest = "0" * 64
    (tmp_path / "edgekit.yaml").write_text(
        f"runtimes:\n  benchmark-model: {{binary: ./bm, sha256: '{digest}', version: '2.17', generation: litert}}\n"
        "  trtexec: {program: /usr/src/tensorrt/bin/trtexec}\n"
    )
    runtimes = load_config(tmp_path).runtimes
    entry = runtimes["benchmark-model"]
    assert (entry.binary, entry.sha256, entry.version) == (str(tmp_path / "bm"), digest, "2.17")
    assert (entry.generation, runtimes["trtexec"].binary) == ("litert", None)


@pytest.mark.parametrize("entry", ["sha256: '12'", "version: ../x", "generation: old", "binari: x"])
def test_a_wrong_entry_for_a_tool_is_named(tmp_path: Path, entry: str) -> None:
    (tmp_path / "edgekit.yaml").write_text(f"runtimes: {{benchmark-model: {{{entry}}}}}\n")
    with pytest.raises(InputError) as error:
        load_config(tmp_path)
    assert error.value.code == "E_CONFIG"
