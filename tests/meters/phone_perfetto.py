"""A program in the place of Android's perfetto with its daemons: it asks a HAL, which is a file of the test's /sys, four times a second,
and when it is told to end, or its time is over, prints a trace. A simulator: no such phone was at hand. Runs in mksh with toybox
and busybox's awk, and in dash. What it prints is checked against perfetto's schema in test_perfetto.py.
"""

from __future__ import annotations

from pathlib import Path

from tests.meters.boards import in_place

RAILS = ("S2M_VDD_CPUCL2", "S7M_VDD_TPU")
HAL = "/sys/hal_rails"
"""One line: ms of CLOCK_BOOTTIME, and uWs of each rail."""

ENCODE = r"""
function v(n,  s) {
  s = ""
  while (n >= 128) { s = s sprintf("\\%03o", n % 128 + 128); n = int(n / 128) }
  return s sprintf("\\%03o", n)
}
function text(s,  at, out) {
  out = ""
  for (at = 1; at <= length(s); at++) out = out sprintf("\\%03o", index(ascii, substr(s, at, 1)) + 31)
  return out
}
function number(field, n) { return v(field * 8) v(n) }
function message(field, body) { return v(field * 8 + 2) v(length(body) / 4) body }
function packet(body) { return message(1, body number(10, 3)) }
BEGIN {
  for (at = 32; at < 127; at++) ascii = ascii sprintf("%c", at)
  count = split(rails, name, " ")
  printf "%s", packet(number(13, 1))
}
NF == count + 2 {
  body = ""
  if (!told++) for (at = 1; at <= count; at++) body = body message(1, number(1, at - 1) message(2, text(name[at])))
  for (at = 1; at <= count; at++) body = body message(2, number(1, at - 1) number(2, $2) number(3, $(at + 2)))
  printf "%s", packet(number(8, $1 * 1000000000) message(40, body) number(13, 2))
}
"""

SCRIPT = """#!/bin/sh
config=$(cat)
case "$*" in '-c - --txt -o -') ;; *) exit 1;; esac
case "$config" in *'"android.power"'*'battery_poll_ms: 250 collect_power_rails: true'*) ;; *) exit 1;; esac
left=${config##*duration_ms: }
looks=
trap 'left=0' TERM
while [ "$left" -gt 0 ]; do
  read -r hal < HAL
  read -r up rest < /proc/uptime
  looks="$looks$up $hal
"
  sleep 0.25
  left=$((left > 250 ? left - 250 : 0))
done
printf "$(echo "$looks" | AWK -v rails='RAILS' 'ENCODE')"
"""


def program(file: Path, hal: str = HAL) -> Path:
    """Its file, executable."""
    text = SCRIPT.replace("HAL", hal).replace("AWK", "awk").replace("RAILS", " ".join(RAILS))
    file.parent.mkdir(exist_ok=True)
    file.write_text(text.replace("ENCODE", ENCODE))
    file.chmod(0o755)
    return file


class Hal:
    """Its counters: two rails, each with `idle_mw`, the first with `busy_mw` more while something runs."""

    def __init__(self, file: Path, idle_mw: float, busy_mw: float) -> None:
        self.file, self.idle_mw, self.busy_mw = file, idle_mw, busy_mw
        self.energies_uj = [3e8, 7e8]

    def text(self) -> str:
        with Path("/proc/uptime").open() as uptime:
            ms = float(uptime.read().split()[0]) * 1000
        return f"{ms:012.0f} {self.energies_uj[0]:012.0f} {self.energies_uj[1]:012.0f}\n"

    def tell(self, busy: bool, seconds: float) -> None:
        self.energies_uj[0] += seconds * (self.idle_mw + (self.busy_mw if busy else 0.0)) * 1000
        self.energies_uj[1] += seconds * self.idle_mw * 1000
        in_place(self.file, self.text())
