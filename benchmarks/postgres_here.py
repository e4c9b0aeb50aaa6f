"""A real PostgreSQL of one's own: a cluster in a new folder, on a UNIX socket there, ended by its process id.

PostgreSQL refuses to run as root, so it is run as the user `postgres` then. Used by benchmarks and by tests.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SETTINGS = {"max_connections": "60", "shared_buffers": "64MB", "max_wal_size": "2GB"}
QUICK = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
"""For tests of behaviour: nothing in them is about power cuts."""


class NoPostgres(Exception):
    """It is not installed, or cannot be started here."""


class Cluster:
    """A running server. `url(database)` is what edgekit takes."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], user: str) -> None:
        self.folder, self.process, self.user = folder, process, user
        self._count = 0

    def url(self, database: str = "postgres", user: str | None = None) -> str:
        return f"postgresql://{user or self.user}@/{database}?host={self.folder}"

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement as the owner, outside of a transaction."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def new_database(self) -> str:
        """The URL of an empty database."""
        self._count += 1
        name = f"results_{self._count}"
        self.sql(f"CREATE DATABASE {name}")
        return self.url(name)


def programs() -> Path:
    """The folder of PostgreSQL's programs. Raises NoPostgres."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if not found:
        raise NoPostgres("PostgreSQL is not installed (Debian's package postgresql)")
    return found[-1].parent


@contextmanager
def cluster(settings: dict[str, str], lines: str = "") -> Iterator[Cluster]:
    """`lines`: put before those of pg_hba.conf. Raises NoPostgres."""
    programs_ = programs()
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    as_user: dict[str, object] = (
        {"user": user, "group": user, "extra_groups": []} if os.geteuid() == 0 else {}
    )
    folder = Path(tempfile.mkdtemp(prefix="ek-pg-", dir="/tmp"))  # a socket's path has room for 107 bytes
    if as_user:
        shutil.chown(folder, user, user)
    try:
        data = folder / "data"
        initdb = [
            programs_ / "initdb",
            "-D",
            data,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
            "--locale=C.UTF-8",
        ]
        subprocess.run(initdb, check=True, capture_output=True, timeout=180, cwd=folder, **as_user)  # type: ignore[call-overload]
        rules = data / "pg_hba.conf"
        rules.write_text(lines + rules.read_text())
        every = {"listen_addresses": "", "unix_socket_directories": str(folder), **SETTINGS, **settings}
        argv = [programs_ / "postgres", "-D", data, *(f"--{name}={value}" for name, value in every.items())]
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=folder, **as_user)  # type: ignore[call-overload]
        try:
            _wait(programs_, folder, process)
            yield Cluster(folder, process, user)
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(timeout=60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(programs_: Path, folder: Path, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + 120
    while time.monotonic() < ends:
        if process.poll() is not None:
            raise NoPostgres(f"PostgreSQL ended: {(folder / 'log').read_text()[-2000:]}")
        ready = subprocess.run(
            [programs_ / "pg_isready", "-q", "-h", folder], timeout=30, capture_output=True
        )
        if ready.returncode == 0:
            return
        time.sleep(0.1)
    raise NoPostgres("PostgreSQL did not answer within 120 s")
