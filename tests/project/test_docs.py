"""Pages that are made from the source are up to date."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("script", "page"),
    [("error_codes", "errors.md"), ("cli_reference", "cli.md"), ("formats_page", "formats.md")],
)
def test_a_made_page_is_what_its_script_prints(script: str, page: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / script],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=True,
    )
    assert (ROOT / "docs" / page).read_text(encoding="utf-8") == done.stdout, (
        f"scripts/{script} > docs/{page}"
    )


def test_every_command_has_a_help_text_of_its_own() -> None:
    from edgekit.cli.main import COMMANDS, cli

    for name in COMMANDS:
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        assert command.help, name


def test_the_readme_is_finished() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "@@" not in text
    for line in text.splitlines():
        for link in re.findall(r"\]\(([^)#]+)\)", line):
            assert link.startswith("http") or (ROOT / link).exists(), link


def test_every_kind_of_address_is_in_the_reference() -> None:
    """Those that edgekit.addresses tells of in its own docstring."""
    from edgekit import addresses

    kinds = set(re.findall(r"^    ([a-z+]+:)", addresses.__doc__ or "", re.MULTILINE))
    assert kinds >= {"local:", "adb:", "ssh:", "adb+ssh:", "sim:"}
    table = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8").partition("## Device addresses")[2]
    rows = table.partition("##")[0]
    assert [kind for kind in sorted(kinds) if f"| `{kind}" not in rows] == []
