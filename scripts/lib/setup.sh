# Shared by scripts/demo and scripts/test. Source it; it sets `root` and defines functions only.
# shellcheck shell=bash

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
cache="${EDGEKIT_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/edgekit}"
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf '%s\n' "== $*" >&2; }
die() { printf '%s\n' "error: $*" >&2; exit 8; }

is_root_on_debian() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && [ -e /etc/debian_version ]; }

# apt_install PACKAGE...: what is missing of these, quietly; the list is refreshed only when needed.
apt_install() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ "${#missing[@]}" = 0 ] && return 0
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  timeout 900 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 && return 0
  timeout 300 apt-get update -qq >/dev/null || true
  timeout 900 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# usable_python NAME: it runs, is 3.11 to 3.13, and can make environments.
usable_python() {
  timeout 20 "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
    >/dev/null 2>&1
}

# find_python [VERSION...]: prints the first usable one of these, else fails.
find_python() {
  local name
  for name in "$@"; do
    if usable_python "$name"; then command -v "$name"; return 0; fi
  done
  return 1
}

any_python() {
  find_python python3.11 /usr/bin/python3.11 python3 /usr/bin/python3 python3.12 python3.13 && return 0
  if is_root_on_debian; then
    apt_install python3 python3-venv >&2 && find_python /usr/bin/python3 && return 0
  fi
  die "Python 3.11 to 3.13 with venv is needed (on Debian: apt-get install python3 python3-venv)"
}

# make_venv FOLDER PYTHON REQUIREMENT...: an environment that has these and edgekit itself (editable).
# Nothing is done where the last call asked for the same.
make_venv() {
  local folder=$1 python=$2 stamp version requirement
  shift 2
  version=$("$python" -c 'import sys; print(*sys.version_info[:2], sep=".")')
  stamp=$({ cat "$root/pyproject.toml" "$root/ios_export/pyproject.toml"; printf '%s\n' "$version" "$root" "$@"; } | sha256sum | cut -d' ' -f1)
  [ -e "$folder/.stamp" ] && [ "$(cat "$folder/.stamp")" = "$stamp" ] && return 0
  [ -e "$folder/lib/python$version" ] && [ -x "$folder/bin/pip" ] || new_venv "$folder" "$python"
  local requirements=()
  for requirement in "$@"; do
    case "$requirement" in
      torch==*) read -r -a requirement <<< "$(cpu_torch "$folder/bin/python" "$requirement")" ;;
      *) requirement=("$requirement") ;;
    esac
    requirements+=("${requirement[@]}")
  done
  say "installing into ${folder##*/}: ${requirements[*]}"
  timeout 600 "$folder/bin/python" -m pip install -q --retries 5 "pip>=24" || die "pip failed; is the package index reachable?"
  timeout 1800 "$folder/bin/python" -m pip install -q --retries 5 "${requirements[@]}" \
    || die "pip failed; is the package index reachable?"
  printf '%s' "$stamp" > "$folder/.stamp"
}

# new_venv FOLDER PYTHON: from nothing, and once more where that fails: ensurepip writes a lot of small files, and has been seen to.
new_venv() {
  local try
  for try in 1 2; do
    rm -rf "$1"
    "$2" -m venv "$1" && return 0
    say "python -m venv failed (try $try)"
  done
  die "no virtual environment can be made in $1: is there room, and is python3-venv installed?"
}

# cpu_torch PYTHON torch==VERSION: the requirement that gives the CPU build of PyTorch, never gigabytes of CUDA: where the
# configured index offers the CPU build under this version it is taken from there, else from PyTorch's own index.
cpu_torch() {
  local report
  report=$(timeout 300 "$1" -m pip install --dry-run --ignore-installed --no-deps --quiet --report - "$2" 2>/dev/null || true)
  case "$report" in
    *+cpu*) echo "$2" ;;
    *) echo "--extra-index-url https://download.pytorch.org/whl/cpu $2+cpu" ;;
  esac
}
