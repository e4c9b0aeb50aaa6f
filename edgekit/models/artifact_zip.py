"""An artifact in one file: a zip archive of its folder, the same bytes for the same artifact."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from edgekit.cache import atomic_path, cache_dir, host_errors, sha256_file
from edgekit.errors import ModelError
from edgekit.models.formats import detect_format

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip archive can tell."""
CACHE_PART = "unpacked"


def is_zipped_artifact(path: Path) -> bool:
    """Whether a file is an archive that calls itself an artifact. Does not check it."""
    try:
        return detect_format(path) == "artifact"
    except ModelError:
        return False


def write_zip(folder: Path, target: Path) -> None:
    """All files of an artifact's folder, stored as they are (weights do not compress), in the order of their names.

    Raises HostError.
    """
    import zipfile  # only here and below: push starts up without it

    with (
        atomic_path(target) as temporary,
        host_errors(target),
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
    ):
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EPOCH)
            entry.external_attr = 0o644 << 16
            large = path.stat().st_size >= zipfile.ZIP64_LIMIT
            with open(path, "rb") as source, archive.open(entry, "w", force_zip64=large) as member:
                shutil.copyfileobj(source, member, 1 << 20)


def unpacked(path: Path, *, anew: bool = False) -> Path:
    """The folder of a zipped artifact, in the cache under the archive's own hash. Its files are not checked here.

    Raises ModelError E_ARTIFACT, E_MODEL_ARCHIVE; HostError.
    """
    if not is_zipped_artifact(path):
        raise ModelError(
            f"{path} is not an artifact", code="E_ARTIFACT", hint="make one with: edgekit convert MODEL"
        )
    from edgekit.models.archives import extract

    with host_errors(path):
        sha256 = sha256_file(path)
    parent = cache_dir(CACHE_PART)
    folder = parent / sha256 / f"{path.stem}.ekm"
    if folder.is_dir() and not anew:
        return folder
    scratch = Path(tempfile.mkdtemp(prefix=".unpack-", dir=parent))
    try:
        extract(path, scratch / "new" / folder.name)
        with host_errors(folder):
            if anew:
                shutil.rmtree(folder, ignore_errors=True)
            folder.parent.mkdir(exist_ok=True)
            if not folder.is_dir():  # another process may have been quicker
                (scratch / "new" / folder.name).rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder
