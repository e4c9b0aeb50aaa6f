# Shared by scripts/test and the test of it. Source it; it defines functions only.
# shellcheck shell=bash

# tested CACHE PYTHON ARGUMENT...: the tests, and what failed once more by itself, one after another: with thousands of
# tests beside each other on a machine that does other work too, one that is right can fail. What is wrong in edgekit
# fails again; what passed only then is told by name, to be looked at. More than five are not chance.
tested() {
  local cache=$1 python=$2 status=0 failed=()
  shift 2
  rm -f "$cache/v/cache/lastfailed"
  "$python" -m pytest -o "cache_dir=$cache" "$@" || status=$?
  [ "$status" = 1 ] || return "$status"
  mapfile -t failed < <("$python" -c 'import json, sys; print(*json.load(open(sys.argv[1])), sep="\n")' "$cache/v/cache/lastfailed")
  if [ "${#failed[@]}" -gt 5 ] || [ -z "${failed[*]}" ]; then return 1; fi
  printf '== %s\n' "once more, by themselves: ${#failed[@]} that failed"
  "$python" -m pytest -o "cache_dir=$cache" "${failed[@]}" -q || return 1
  printf '== %s\n' "passed only when run by themselves:" "${failed[@]}"
}
