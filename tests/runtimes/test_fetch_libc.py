"""scripts/fetch_libc: through this machine's apt, with no root and no second architecture."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "fetch_libc"
NOBODY = 65534

pytestmark = pytest.mark.skipif(
    "VERSION_CODENAME=bookworm" not in Path("/etc/os-release").read_text() or not shutil.which("dpkg-deb"),
    reason="the libc sets are made on Debian 12",
)


def fetch(
    *arguments: str, environment: dict[str, str], script: Path = SCRIPT, user: int | None = None
) -> subprocess.CompletedProcess[str]:
    # another user may not be able to reach this Python; Debian's own is enough
    python = sys.executable if user is None else "/usr/bin/python3"
    return subprocess.run(
        [python, str(script), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )


@pytest.mark.skipif(os.getuid() != 0, reason="becoming another user needs root")
def test_as_a_user_for_another_architecture(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for name in ("cache", "out", "tmp"):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, NOBODY, NOBODY)
    for parent in tmp_path.parents:  # pytest's own folders are closed to others
        if Path(tempfile.gettempdir()) in parent.parents:
            parent.chmod(0o755)
    script = Path(shutil.copy(SCRIPT, tmp_path / "out"))  # the checkout may be closed to others
    architectures = ["dpkg", "--print-foreign-architectures"]
    before = subprocess.run(architectures, capture_output=True, timeout=30).stdout
    environment = {"EDGEKIT_CACHE_DIR": str(tmp_path / "cache"), "TMPDIR": str(tmp_path / "tmp"), "HOME": "/"}
    arguments = ["--abi", "arm64-v8a", "--output", str(tmp_path / "out")]
    done = fetch(*arguments, environment=environment, script=script, user=NOBODY)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "out" / "arm64-v8a" / "libc"
    assert done.stdout == f"{folder}\n"
    libraries = {path.name for path in folder.iterdir() if ".so" in path.name}
    assert libraries == {
        "ld-linux-aarch64.so.1",
        "libc.so.6",
        "libdl.so.2",
        "libgcc_s.so.1",
        "libm.so.6",
        "libpthread.so.0",
        "librt.so.1",
        "libstdc++.so.6",
    }
    for name in libraries:
        head = (folder / name).read_bytes()[:20]
        assert head[:5] == b"\x7fELF\x02"
        assert int.from_bytes(head[18:20], "little") == 183  # EM_AARCH64
    packages = (folder / "PACKAGES").read_text()
    assert "libc6 2.36-" in packages
    assert packages.count(" arm64 sha256:") == 5
    assert "GNU LESSER GENERAL PUBLIC LICENSE" in (folder / "LGPL-2.1").read_text()
    assert "GCC RUNTIME LIBRARY EXCEPTION" in (folder / "copyright.gcc-12").read_text()
    assert subprocess.run(architectures, capture_output=True, timeout=30).stdout == before
    # the second time nothing is fetched: apt is not even looked for
    offline = {**environment, "PATH": "/nonexistent"}
    again = fetch(*arguments, environment=offline, script=script, user=NOBODY)
    assert again.returncode == 0, again.stderr


def test_packages_that_nobody_signed_are_refused(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "Packages").write_text("")
    (repository / "Release").write_text("Suite: bookworm\nDate: Mon, 01 Jan 2024 00:00:00 UTC\n")
    sources = tmp_path / "sources.list"
    sources.write_text(f"deb file:{repository} ./\n")
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{sources}";\nDir::Etc::sourceparts "/nonexistent";\n'
        'Acquire::AllowInsecureRepositories "true";\n'
    )
    tmp_path.chmod(0o755)
    environment = {"APT_CONFIG": str(tmp_path / "apt.conf"), "EDGEKIT_CACHE_DIR": str(tmp_path / "cache")}
    done = fetch("--abi", "arm64-v8a", "--output", str(tmp_path / "out"), environment=environment)
    assert done.returncode == 8
    assert "is not signed" in done.stderr
    assert not (tmp_path / "out").exists()
