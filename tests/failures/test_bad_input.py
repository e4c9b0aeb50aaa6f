"""A-b5, first half: what a user gives that is wrong. Clear message, stable code, right exit code, no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import MODEL, edgekit

pytestmark = [pytest.mark.base, pytest.mark.usefixtures("own_local")]

GOOD = MODEL.read_bytes()
ONNX_HEAD = bytes.fromhex("0808120770792d6f6e6e78")


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("content", "codes"),
    [
        (None, {"E_MODEL_MISSING"}),
        (b"", {"E_MODEL_EMPTY"}),
        (GOOD[:1000], {"E_MODEL_TRUNCATED", "E_MODEL_CORRUPT"}),
        (GOOD[: len(GOOD) // 2], {"E_MODEL_TRUNCATED", "E_MODEL_CORRUPT"}),
        (flipped(GOOD, 1), {"E_MODEL_CORRUPT", "E_MODEL_TRUNCATED"}),
        (b"\x89PNG\r\n\x1a\n" + bytes(5000), {"E_MODEL_FORMAT"}),
        (b"hello, world\n" * 100, {"E_MODEL_FORMAT"}),
    ],
    ids=["missing", "empty", "truncated", "half", "corrupted", "png", "text"],
)
@pytest.mark.parametrize("command", ["push", "run", "bench", "inspect"])
def test_ab5_bad_model(tmp_path: Path, content: bytes | None, codes: set[str], command: str) -> None:
    path = tmp_path / "model.tflite"
    if content is not None:
        path.write_bytes(content)
    device = () if command == "inspect" else ("-d", "local:")
    done = edgekit(command, path, *device, "--json", cwd=tmp_path)
    if command == "bench" and content is None:
        codes = codes | {"E_NO_RELEASE", "E_NAME"}
    error = done.error()
    assert error["code"] in codes
    assert done.code == 1
    assert error["hint"]


def test_ab5_a_folder_is_no_model(tmp_path: Path) -> None:
    done = edgekit("push", tmp_path, "-d", "local:", "--json")
    assert done.error()["code"] == "E_MODEL_FORMAT"


def test_ab5_a_profile_with_three_errors_tells_all_three_with_lines(tmp_path: Path) -> None:
    profile = tmp_path / "mine.yaml"
    profile.write_text(
        "schema: edgekit.profile/1\n"
        "name: mine\n"
        "runtims: [litert]\n"
        "bench:\n"
        "  threads: many\n"
        "limits:\n"
        "  median_latency: 12\n",
        encoding="utf-8",
    )
    done = edgekit("profile", "check", profile, "--json")
    error = done.error()
    assert done.code == 1
    assert error["code"] == "E_PROFILE"
    assert {entry["line"] for entry in error["errors"]} == {3, 5, 7}
    assert all(entry["file"].endswith("mine.yaml") for entry in error["errors"])
    assert any("runtimes" in entry["message"] for entry in error["errors"])
    text = edgekit("profile", "check", profile)
    assert text.code == 1
    for line in (3, 5, 7):
        assert f"mine.yaml:{line}:" in text.stdout + text.stderr
    used = edgekit("push", MODEL, "-d", "local:", "-p", profile, "--json")
    assert used.error()["code"] == "E_PROFILE"


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (("push", MODEL, "-d", "nowhere"), "E_ADDRESS", 1),
        (("push", MODEL, "-d", "ftp://x"), "E_ADDRESS", 1),
        (("push", MODEL, "-d", "local:", "-p", "no-such-profile"), "E_PROFILE_NOT_FOUND", 1),
        (("push", MODEL, "-d", "local:", "--name", "../up"), "E_NAME", 1),
        (("push", MODEL, "-d", "local:", "--version", "a/b"), "E_NAME", 1),
        (("bench", MODEL, "-d", "local:", "--cpus", "9-1"), "E_CPUS", 1),
        (("bench", MODEL, "-d", "local:", "--cpus", "4000"), "E_CPUS", 1),
        (("bench", MODEL, "-d", "local:", "--launches", "0"), "E_PLAN", 1),
        (("bench", MODEL, "-d", "local:", "--gate", "median_latency<=12"), None, 1),
        (("bench", MODEL, "-d", "local:", "--gate", "speed<=12ms"), "E_METRIC", 1),
        (("bench", MODEL, "-d", "local:", "--runtime", "nix"), "E_NO_PLUGIN", 1),
        (("bench", MODEL, "-d", "local:", "--label", "x"), "E_LABEL", 1),
        (("bench", "nothing@1", "-d", "local:"), "E_NO_RELEASE", 1),
        (("rollback", "nothing", "-d", "local:"), "E_NO_RELEASE", 1),
        (("results", "show", "nothing"), "E_NO_RUN", 1),
        (("push",), "E_USAGE", 2),
        (("frobnicate",), "E_USAGE", 2),
        (("push", MODEL, "--launches", "3"), "E_USAGE", 2),
    ],
    ids=lambda value: (
        " ".join(str(v) if not isinstance(v, Path) else "MODEL" for v in value)
        if isinstance(value, tuple)
        else str(value)
    ),
)
def test_ab5_wrong_words(arguments: tuple[str, ...], code: str | None, exit_code: int) -> None:
    done = edgekit(*arguments, "--json")
    error = done.error()
    assert done.code == exit_code
    assert code is None or error["code"] == code
    plain = edgekit(*arguments)
    assert plain.code == exit_code
    assert "Traceback" not in plain.stderr
    assert plain.stderr.strip()


def test_a_missing_extra_is_one_line_and_exit_8(tmp_path: Path) -> None:
    """A2, on an interpreter that cannot import the quantizer: the packages are hidden, not replaced."""
    hide = tmp_path / "sitecustomize.py"
    hide.write_text(
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('ai_edge_quantizer', 'ai_edge_litert'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Hide())\n"
    )
    done = edgekit(
        *("convert", MODEL, "--recipe", "int8-dynamic", "-o", tmp_path / "out.ekm"),
        env={"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
    )
    assert done.code == 8
    assert "pip install 'edgekit-sdk[litert]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_whole_commands_deadline() -> None:
    done = edgekit("bench", MODEL, "-d", "local:", "--min-seconds", "30", "--timeout", "3", "--json")
    assert done.error()["code"] == "E_TIMEOUT"
    assert done.code == 3


def test_a_missing_model_file_is_not_taken_for_a_release(tmp_path: Path) -> None:
    done = edgekit("bench", "nosuch.tflite", "-d", "local:", "--json", cwd=tmp_path)
    assert (done.code, done.error()["code"]) == (1, "E_MODEL_MISSING")


def test_a_forgotten_colon_is_asked_about(tmp_path: Path) -> None:
    error = edgekit("releases", "-d", "local", "--json", cwd=tmp_path).error()
    assert (error["code"], "`local:`" in error["hint"]) == ("E_ADDRESS", True)
