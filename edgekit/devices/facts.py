"""What a device is: one shell script that prints the files and properties that tell, and its reading.

The same script serves an opened device (through the agent) and a look at one without putting anything there.
"""

from __future__ import annotations

import shlex

import msgspec

from edgekit.errors import DeviceError
from edgekit.profiles.facts import FACT_COMMANDS, FACT_FILES, DeviceFacts

_MARK = "@@edgekit "
_END = "@@edgekit-end"
MAX_FILE_BYTES = 65536
_LIBSTDCXX = "ls -1 /usr/lib/*/libstdc++.so.6.* /usr/lib64/libstdc++.so.6.* /usr/lib/libstdc++.so.6.*"

TOOLS = ("dumpsys", "jetson_clocks", "lshal", "nvpmodel", "perfetto", "tegrastats", "vcgencmd")
"""Commands of families of devices that tell heat, frequencies or power."""
_COOLING = "/sys/class/thermal/cooling_device*"
_POLICIES = "/sys/devices/system/cpu/cpufreq/policy*"


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """Facts, and the texts that tell a runtime which libraries the device has."""

    facts: DeviceFacts
    getconf: str | None = None
    libstdcxx: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    """Folders of cpufreq, with the sysroot before them."""
    tools: tuple[str, ...] = ()
    """Which of TOOLS are installed."""
    cooling: dict[str, str] = {}
    """Folders of cooling devices, with the sysroot before them, to what the kernel calls each."""


def facts_argv(sysroot: str = "") -> list[str]:
    """The command that prints everything; works in dash, bash, busybox, toybox and mksh.

    `sysroot` is put before /sys paths. What cannot be read is left out: each file stands for itself.
    """
    root = shlex.quote(sysroot.rstrip("/")) if sysroot else ""
    patterns = " ".join(root + path if path.startswith("/sys/") else path for path in FACT_FILES)
    lines = [
        f"for f in {patterns}; do",
        '[ -r "$f" ] || continue;',
        f'printf "\\n{_MARK}%s\\n" "$f"; head -c {MAX_FILE_BYTES} "$f" 2>/dev/null; done;',
    ]
    for key, argv in FACT_COMMANDS.items():
        lines.append(f"printf '\\n{_MARK}%s\\n' {shlex.quote(key)}; {shlex.join(argv)} 2>/dev/null;")
    lines.append(f"printf '\\n{_MARK}libstdcxx\\n'; {_LIBSTDCXX} 2>/dev/null;")
    lines.append(f"printf '\\n{_MARK}policies\\n'; ls -1d {root}{_POLICIES} 2>/dev/null;")
    lines.append(
        f"printf '\\n{_MARK}tools\\n'; for t in {' '.join(TOOLS)}; do command -v $t >/dev/null 2>&1 && echo $t; done;"
    )
    lines.append(
        f"printf '\\n{_MARK}cooling\\n'; for c in {root}{_COOLING}; do [ -r $c/type ] && read -r t < $c/type && "
        'echo "$c $t"; done;'
    )
    lines.append(f"printf '\\n{_END}\\n'")
    return ["sh", "-c", " ".join(lines)]


def read_facts(output: bytes, kind: str, sysroot: str = "", device: str | None = None) -> Description:
    """The script's output as a description. Raises DeviceError E_FACTS where its end is missing (cut short)."""
    from edgekit.profiles import facts_from_texts

    text = output.decode("utf-8", "replace")
    whole, end, _ = text.partition("\n" + _END)
    if not end:
        raise DeviceError(
            "the device's description was cut short",
            code="E_FACTS",
            device=device,
            transient=True,
            hint="try again",
        )
    texts: dict[str, str] = {}
    root = sysroot.rstrip("/")
    for block in whole.split("\n" + _MARK)[1:]:
        path, _, content = block.partition("\n")
        if content.strip("\n\0 "):
            texts[path.removeprefix(root) if root else path] = content
    libraries, policies = texts.pop("libstdcxx", "").split(), texts.pop("policies", "").split()
    tools, cooling = texts.pop("tools", "").split(), texts.pop("cooling", "").strip().splitlines()
    return Description(
        facts=facts_from_texts(texts, kind="local" if kind == "local" else None),
        getconf=texts.get("getconf GNU_LIBC_VERSION"),
        libstdcxx=tuple(libraries),
        policies=tuple(policies),
        tools=tuple(tool for tool in tools if tool in TOOLS),
        cooling={path: kind for path, _, kind in (line.partition(" ") for line in cooling) if kind},
    )
