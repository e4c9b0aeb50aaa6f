"""Contents of files, held once however many simulated devices have them, with their hash."""

from __future__ import annotations

import hashlib
import threading
from weakref import WeakValueDictionary


class Blob:
    """Bytes that never change; `sha256` (raw, 32 bytes) was computed from them."""

    __slots__ = ("__weakref__", "data", "sha256")

    def __init__(self, data: bytes, sha256: bytes) -> None:
        self.data = data
        self.sha256 = sha256


_LOCK = threading.Lock()
_HELD: WeakValueDictionary[bytes, Blob] = WeakValueDictionary()


def blob_of(data: bytes) -> Blob:
    digest = hashlib.sha256(data).digest()
    with _LOCK:
        return _HELD.setdefault(digest, Blob(data, digest))
