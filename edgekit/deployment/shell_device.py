"""A device that has a POSIX shell and no agent: just what a push needs, one script per step."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.deployment import shell_script as scripts
from edgekit.deployment.shell_script import Section, Tools, read_sums
from edgekit.devices.journal import Entry
from edgekit.devices.layout import LAYOUT_VERSION, Layout
from edgekit.errors import DeviceBusy, DeviceError, RemoteError, VerificationError
from edgekit.transports.base import Progress, Transport
from edgekit.transports.files import errno_of_text, write_error

STEP_SECONDS = 60.0
SLOWEST_BYTES_PER_S = 1 << 20
"""Hashing and syncing on a device may be as slow as this."""
SLOWEST_LINK_BYTES_PER_S = 20_000


@dataclass(frozen=True)
class Found:
    """What the device says about one release, and about its folder. Texts are as they lie there; None: no such file.
    `sums`: sha256 of the files asked for, None where a file is missing."""

    layout: str | None
    kept: tuple[str, ...]
    journal: bytes | None
    current: str | None
    manifest: bytes | None
    folder: bool
    sums: Mapping[str, str | None]


class ShellDevice:
    """Made by `open`. Every method is one round trip and raises what the device's tools said as an error of edgekit:
    DeviceFull, DeviceReadOnly, DevicePermission, DeviceBusy, RemoteError (E_LEASE where the lease was lost)."""

    def __init__(self, transport: Transport, root: str) -> None:
        self.transport = transport
        self.address = transport.address
        # With a slash in front, so that no folder's name is taken for an option.
        self.root = root if root.startswith("/") else f"./{root}"
        self.layout = Layout(self.root)
        self.tools = Tools(scripts.DIGESTS[0], flock=False, syncfs=False, boot_id="unknown")
        self.round_trips = 0

    @classmethod
    def open(cls, transport: Transport, root: str | None, *, make: bool) -> ShellDevice:
        """Find out what the shell there has; `make`: the root is made where it is not.

        Raises DeviceError E_SHELL_TOOLS where that is not enough for a push.
        """
        device = cls(transport, root or transport.default_root)
        args = [device.root, "make" if make else ""]
        device.tools = device._tools(device._run(scripts.probe_script(), args, "look at the shell"))
        return device

    def _tools(self, sections: Sequence[Section]) -> Tools:
        said = {section.key: section.value for section in sections}
        digest = said.get("digest")
        if digest not in scripts.DIGESTS:
            raise DeviceError(
                "the device has no tool that computes a sha256, so a push cannot be checked there",
                code="E_SHELL_TOOLS",
                device=self.address,
                hint=f"put one of these there: {', '.join(words.split()[0] for words in scripts.DIGESTS)}",
            )
        return Tools(digest, "flock" in said, "syncfs" in said, said.get("boot", "unknown"))

    def ask(
        self, body: str, args: Sequence[str], what: str, *, stdin: bytes = b"", size_bytes: int = 0
    ) -> list[Section]:
        """Run one of the scripts; `size_bytes`: how much is read or synced there, for the deadline."""
        seconds = STEP_SECONDS + size_bytes / SLOWEST_BYTES_PER_S
        return self._run(scripts.script(body, self.tools), args, what, stdin, seconds)

    def _run(
        self,
        text: str,
        args: Sequence[str],
        what: str,
        stdin: bytes = b"",
        timeout_seconds: float = STEP_SECONDS,
    ) -> list[Section]:
        self.round_trips += 1
        argv = ["sh", "-c", text, "sh", *args]
        done = self.transport.run(argv, stdin=stdin, timeout=timeout_seconds)
        said = done.stderr.rpartition(scripts.MARK.encode() + b"\n")[2].decode("utf-8", "replace")
        sections = scripts.read_answer(done.stdout)
        if sections is None:
            raise RemoteError(
                f"the device's shell does not answer (exit code {done.exit_code}): {said.strip()[-300:]}",
                code="E_SHELL_TOOLS",
                status=done.exit_code,
                stderr=said,
                device=self.address,
                hint="a push without an agent needs a POSIX shell there, called sh",
            )
        if done.exit_code:
            raise self._failed(done.exit_code, said, what)
        return sections

    def _failed(self, status: int, said: str, what: str) -> DeviceError | VerificationError:
        if status == scripts.LOCK_BUSY:
            return DeviceBusy(
                "somebody is taking or giving back the device's lease (lease.lock is locked)",
                device=self.address,
                hint="try again in a moment",
            )
        if status == scripts.LEASE_LOST:
            return RemoteError(
                f"{what}: another host took the device over",
                code="E_LEASE",
                status=status,
                device=self.address,
                hint="do it again when it is done",
            )
        if status == scripts.CUT_SHORT:
            return VerificationError(
                f"{what}: what arrived has another sha256 than the source",
                code="E_TRANSFER_HASH",
                hint="try again; if it happens again the device's storage or memory is damaged",
                device=self.address,
                transient=True,
            )
        return write_error(errno_of_text(said), self.root, self.address, f"{what}: {said.strip()[-300:]}")

    def look(self, name: str, version: str, files: Sequence[str], size_bytes: int) -> Found:
        """What is there now; the files' hashes are computed there from their bytes."""
        args = [self.root, name, version]
        sections = self.ask(
            scripts.LOOK_SUMS, args, "look at the release", stdin=_lines(files), size_bytes=size_bytes
        )
        values = {section.key: section.value for section in sections}
        bodies = {section.key: section.body for section in sections}
        return Found(
            layout=values.get("layout"),
            kept=tuple(section.value for section in sections if section.key == "kept"),
            journal=bodies.get("journal"),
            current=values.get("current"),
            manifest=bodies.get("manifest"),
            folder="folder" in values,
            sums=read_sums(sections, list(files)),
        )

    def recover(self, entry: Entry | None, token: str) -> None:
        """Finish what an agent's push left in the journal; None: the journal is none, and goes."""
        if entry is None:
            self.ask(scripts.DROP_JOURNAL, [self.root, token], "remove the journal")
            return
        layout, name, version = self.layout, entry.name, entry.version
        args = [self.root, layout.model(name), version, layout.staging(name, version, entry.content)]
        args += [layout.gone(name, version), entry.manifest_sha256, "yes" if entry.activate else "", token]
        self.ask(scripts.RECOVER, args, f"finish the push of {name}@{version} that was cut off")

    def make_room(self, name: str, staging: str, folders: Sequence[str], token: str) -> int | None:
        """The staging folder with `folders` in it, and nothing of other pushes of that name beside it.
        Bytes that are free there; None where that is not told."""
        args = [self.root, self.layout.model(name), token, staging, str(LAYOUT_VERSION)]
        sections = self.ask(scripts.ROOM, args, "make the folder", stdin=_lines(folders))
        df = next((section.body for section in sections if section.key == "df"), b"")
        return scripts.read_available_bytes(df)

    def put(self, source: Path, remote: str, size_bytes: int, progress: Progress) -> None:
        """One file, not checked."""
        self.round_trips += 1
        seconds = STEP_SECONDS + size_bytes / SLOWEST_LINK_BYTES_PER_S
        self.transport.put(source, remote, mode=0o644, timeout=seconds, progress=progress)

    def sums(self, folder: str, files: Sequence[str], size_bytes: int) -> dict[str, str | None]:
        """sha256 of files in a folder, computed there from their bytes."""
        sections = self.ask(
            scripts.VERIFY, [folder], "check what arrived", stdin=_lines(files), size_bytes=size_bytes
        )
        return read_sums(sections, list(files))

    def complete(
        self, name: str, version: str, staging: str, manifest: bytes, token: str, size_bytes: int
    ) -> None:
        """Make the staging folder the release; a damaged one in its place goes."""
        layout = self.layout
        args = [self.root, staging, layout.release(name, version), layout.gone(name, version), token]
        args.append(hashlib.sha256(manifest).hexdigest())
        self.ask(scripts.COMPLETE, args, "complete the release", stdin=manifest, size_bytes=size_bytes)

    def activate(self, name: str, version: str, token: str) -> None:
        """Let `current` name this version."""
        args = [self.root, self.layout.model(name), version, token]
        self.ask(scripts.ACTIVATE, args, "activate the release")

    def discard(self, staging: str) -> None:
        self.ask(scripts.DISCARD, [staging], "remove what was put")

    def manifests(self, name: str | None) -> list[Section]:
        """For each name "models" or "failed" and "current"; then each "version", with "manifest" and "failure"."""
        return self.ask(scripts.LIST, [self.root, name or ""], "list the releases")


def _lines(names: Sequence[str]) -> bytes:
    """For `read`: a payload's names are printable (deployment/payload.py), so none holds a line feed."""
    return "".join(f"{name}\n" for name in names).encode()
