"""What a push says to a device's plain POSIX shell, and how the answers are read. Pure.

Scripts are constants; all that varies travels as arguments or on stdin, never inside a script. They keep to what dash,
mksh and ash have (numbers of 32 bits, echo that may read backslashes), and below what an old adbd takes as a command.

An answer begins after a line MARK (login scripts print things): lines "KEY VALUE", each followed by the lines of the
file that it speaks of, with a `|` before each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MARK = "edgekit-shell/1"
LOCK_BUSY, LEASE_LOST, CUT_SHORT = 91, 92, 93
"""Exit codes of the scripts: lease.lock stays locked; the lease is another's; stdin did not arrive whole."""
FILE_BYTES = 1 << 20
"""As much of a manifest or a journal is read."""

DIGESTS = (
    "sha256sum",
    "toybox sha256sum",
    "busybox sha256sum",
    "shasum -a 256",
    "openssl dgst -sha256",
)
"""What computes a sha256 of stdin. A device chooses among these; nothing else that it says gets into a script."""
KNOWN_SHA256 = "308a3fb3dc96037b48811b03a7a4cd9c479df7936e21e37e256c4fa240445e02"
"""Of "edgekit" and a line feed: a tool that says otherwise is not used."""

_BEGIN = f"""\
LC_ALL=C; export LC_ALL; umask 022
echo {MARK}; echo {MARK} >&2
"""

_COMMON = f"""\
word() {{ case $2 in ""|*[!A-Za-z0-9._+-]*) echo "$1 ?";; *) echo "$1 $2";; esac; }}
show() {{ head -c {FILE_BYTES} "$1" | sed "s/^/|/"; echo; }}
whole() {{ case $(digest <"$1") in *"$2"*) ;; *) exit {CUT_SHORT};; esac; }}
is() {{ [ -e "$1" ] || [ -L "$1" ]; }}
held() {{ who=; {{ read -r who; read -r who; read -r who; read -r who; }} <"$1/lease"
[ "$who" = "$2" ] || exit {LEASE_LOST}; }}
"""

# 9>&9: mksh closes such descriptors before it starts a program. The lock lives as long as the shell has 9 open.
_LOCK = f"""\
lock() {{ exec 9>>"$1/lease.lock" || exit 1; n=0
until flock -n 9 9>&9; do n=$((n+1)); [ $n -lt 5 ] || exit {LOCK_BUSY}; sleep 1; done; }}
"""
_NO_LOCK = "lock() { :; }\n"

PROBE = """\
[ -z "$2" ] || mkdir -p "$1" || exit 1
for t in DIGESTS; do
case $(echo edgekit | $t 2>/dev/null) in *KNOWN*) echo "digest $t"; break;; esac; done
if [ -d "$1" ]; then
if (flock -s -n 9 9>&9) 9<"$1" 2>/dev/null; then echo flock; fi
if sync -f "$1" 2>/dev/null; then echo syncfs; fi; fi
b=unknown; read -r b </proc/sys/kernel/random/boot_id; word boot "$b"
"""
"""Arguments: root, "make" or nothing. A shared lock on the folder: whether flock takes a descriptor."""

LOOK = """\
is "$1/layout" && word layout "$(head -c 64 "$1/layout")"
for k in models run runtimes jobs failed; do is "$1/$k" && echo "kept $k"; done
[ -f "$1/journal" ] && { echo journal; show "$1/journal"; }
is "$1/models/$2/current" && word current "$(head -c 200 "$1/models/$2/current")"
d=$1/models/$2/$3
is "$d" && echo folder
[ -f "$d/manifest.json" ] && { echo manifest; show "$d/manifest.json"; }
"""
SUMS = """\
i=0; while IFS= read -r f; do [ -f "$d/$f" ] && echo "sha256 $i $(digest <"$d/$f")"; i=$((i+1)); done
exit 0
"""
"""`d`: the folder; stdin: names in it, one a line."""
LOOK_SUMS = LOOK + SUMS
"""Arguments: root, name, version."""
VERIFY = "d=$1\n" + SUMS
"""Arguments: folder."""

LEASE_READ = """\
u=; read -r u </proc/uptime; word uptime "${u%% *}"
is "$1/lease" && { echo "lease $(digest <"$1/lease")"; show "$1/lease"; }
exit 0
"""
"""Arguments: root."""
LEASE_SWAP = f"""\
lock "$1"
if is "$1/lease"; then was=$(digest <"$1/lease"); else was=none; fi
case $was in *"$2"*) ;; *) exit {LEASE_LOST};; esac
t=$1/.lease.$5.ek-tmp
{{ echo "edgekit-lease 1" && echo "$3" && echo "$4" && echo "$5" && echo "$6"; }} >"$t" || exit 1
mv -f "$t" "$1/lease" && exit 0
is "$t" && exit 1
exit {LEASE_LOST}
"""
"""Arguments: root, sha256 of the lease that is to be replaced or "none", then the lines of the new one (the third
is the token). The temporary file is the token's own, as nothing may lock; who holds the lease removes what lies there:
then that one was quicker."""
LEASE_DROP = 'lock "$1"; held "$1" "$2"; rm -f "$1/lease"\n'
"""Arguments: root, token."""

ROOM = """\
held "$1" "$3"
if ! is "$1/layout"; then t=$1/.layout.ek-tmp; echo "$5" >"$t" && mv -f "$t" "$1/layout" || exit 1; fi
mkdir -p "$2" || exit 1
rm -rf "$2"/.*.ek-tmp "$2"/.*.ek-gone "$1"/.lease.*.ek-tmp
mkdir "$4" || exit 1
while IFS= read -r f; do mkdir -p "$4/$f" || exit 1; done
echo df; df -Pk "$2" | sed "s/^/|/"
exit 0
"""
"""Arguments: root, folder of the name, token, staging folder, layout version; stdin: folders to make in it.
Only the holder of the lease is here, so what other pushes and deletions left in there is nobody's."""
COMPLETE = """\
cat >"$2/manifest.json" || exit 1
whole "$2/manifest.json" "$6"
flush "$2" || exit 1
lock "$1"; held "$1" "$5"
if is "$3"; then rm -rf "$4" && mv -f "$3" "$4" || exit 1; fi
mv -f "$2" "$3" || exit 1
exec 9>&-
flush "$3" || exit 1
rm -rf "$4"
"""
"""Arguments: root, staging, release, where a damaged release goes, token, sha256 of the manifest; stdin: the manifest.
mv into a folder that is there would put one into the other: hence the look before it, under the lock."""
ACTIVATE = """\
if ! [ -f "$2/$3/manifest.json" ]; then echo "$3: no such release" >&2; exit 1; fi
if [ -d "$2/current" ]; then echo "current: is a directory" >&2; exit 1; fi
t=$2/.current.$4.ek-tmp
echo "$3" >"$t" && flush "$t" || exit 1
lock "$1"; held "$1" "$4"
mv -f "$t" "$2/current" || exit 1
exec 9>&-
flush "$2/current"
"""
"""Arguments: root, folder of the name, version, token (in the temporary name too: an agent that took over has its own)."""
RECOVER = """\
f=$2/$3
lock "$1"; held "$1" "$8"
same() { [ -f "$1/manifest.json" ] && case $(digest <"$1/manifest.json") in *"$2"*) ;; *) false;; esac; }
go=
if same "$4" "$6"; then
if is "$f"; then rm -rf "$5" && mv -f "$f" "$5" || exit 1; fi
mv -f "$4" "$f" || exit 1; go=1
elif same "$f" "$6"; then go=1; fi
if [ "$go$7" = 1yes ]; then
t=$2/.current.$8.ek-tmp; echo "$3" >"$t" && flush "$t" && mv -f "$t" "$2/current" || exit 1; fi
flush "$1" || exit 1
rm -f "$1/journal"
rm -rf "$5"
"""
"""Arguments: root, folder of the name, version, staging, gone, sha256 of the manifest, "yes" to activate, token.
The same as edgekit.devices.journal.recovery."""
DROP_JOURNAL = 'lock "$1"; held "$1" "$2"; rm -f "$1/journal"\n'
"""Arguments: root, token."""
DISCARD = 'rm -rf "$1"\n'
LIST = """\
for p in models failed; do m=$1/$p
for d in "$m"/*/; do
n=${d%/}; n=${n##*/}; [ -z "$2" ] || [ "$n" = "$2" ] || continue
case $n in *[!A-Za-z0-9._+-]*) continue;; esac
[ -d "$m/$n" ] && [ ! -L "$m/$n" ] || continue
echo "$p $n"
[ -f "$m/$n/current" ] && word current "$(head -c 200 "$m/$n/current")"
for v in "$m/$n"/*/; do
v=${v%/}; v=${v##*/}; case $v in *[!A-Za-z0-9._+-]*) continue;; esac
[ -L "$m/$n/$v" ] && continue
echo "version $v"
for f in manifest failure; do [ -f "$m/$n/$v/$f.json" ] && { echo "$f"; show "$m/$n/$v/$f.json"; }; done
done; done; done
exit 0
"""
"""Arguments: root, a name or nothing."""


@dataclass(frozen=True)
class Tools:
    """What a device's shell has. `digest`: one of DIGESTS. `flock`: the agents' own lock can be taken.
    `syncfs`: one file system can be synced, with its errors; else all are. `boot_id`: "unknown" where it is not told."""

    digest: str
    flock: bool
    syncfs: bool
    boot_id: str


@dataclass(frozen=True)
class Section:
    """One line of an answer, and the file's lines that followed it."""

    key: str
    value: str
    body: bytes


def probe_script() -> str:
    return (
        _BEGIN
        + _COMMON
        + PROBE.replace("KNOWN", KNOWN_SHA256).replace("DIGESTS", " ".join(f'"{words}"' for words in DIGESTS))
    )


def script(body: str, tools: Tools) -> str:
    """A whole script: `body` with the functions it uses, made of what the device has."""
    digest = f"digest() {{ {tools.digest}; }}\n"
    sync = 'sync -f "$1"' if tools.syncfs else "sync"
    return (
        _BEGIN + _COMMON + digest + f"flush() {{ {sync}; }}\n" + (_LOCK if tools.flock else _NO_LOCK) + body
    )


def read_answer(stdout: bytes) -> list[Section] | None:
    """None where there is no answer: what ran was not the script."""
    _, mark, said = stdout.partition(MARK.encode() + b"\n")
    if not mark:
        return None
    sections: list[Section] = []
    for line in said.split(b"\n"):
        if line.startswith(b"|"):
            if sections:
                last = sections[-1]
                sections[-1] = Section(last.key, last.value, last.body + line[1:] + b"\n")
        elif line.strip():
            key, _, value = line.decode("ascii", "replace").strip().partition(" ")
            sections.append(Section(key, value, b""))
    return sections


def read_sha256(text: str) -> str | None:
    """The hash in what a tool printed: `HASH  -`, `SHA2-256(stdin)= HASH`."""
    found = re.search(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])", text)
    return found[0] if found else None


def read_sums(sections: list[Section], names: list[str]) -> dict[str, str | None]:
    """sha256 by name; None where there is no such file, or it cannot be read."""
    sums: dict[str, str | None] = dict.fromkeys(names)
    for section in sections:
        number, _, said = section.value.partition(" ")
        if section.key == "sha256" and number.isdecimal() and int(number) < len(names):
            sums[names[int(number)]] = read_sha256(said)
    return sums


def read_available_bytes(df: bytes) -> int | None:
    """Free bytes in what `df -Pk FOLDER` prints; None where that cannot be read."""
    found = re.search(rb"\s\d+\s+\d+\s+(-?\d+)\s+(?:\d+%|-)\s", df)
    return int(found[1]) * 1024 if found else None
