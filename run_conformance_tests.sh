#!/usr/bin/env bash
# Runs a conformance suite of the OCI Distribution Spec against a fresh registry.
# Usage: ./run_conformance_tests.sh [BINARY [ARGUMENTS...]]
# BINARY is test/conformance/conformance.test unless named; docs/conformance.md tells how to compile it.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${1:-$top/test/conformance/conformance.test}
[[ $binary == /* ]] || binary=$PWD/$binary
cd "$top"

fail() {
  echo "$1" >&2
  exit 1
}

# The environment wins over the file, so that one run can differ without an edit.
load_variables() {
  local name value
  while IFS='=' read -r name value; do
    if [[ $name =~ ^[A-Z][A-Z0-9_]*$ && -z ${!name+set} ]]; then
      export "$name=$value"
    fi
  done <test/conformance/.env_vars
}

port_answers() {
  (exec 3<>"/dev/tcp/localhost/$port") 2>/dev/null
}

# wait_until SECONDS COMMAND...: whether the command succeeded within that time.
wait_until() {
  local tries=$(($1 * 10))
  shift
  until "$@"; do
    ((tries-- > 0)) || return 1
    sleep 0.1
  done
}

port_is_free() {
  ! port_answers
}

free_the_port() {
  port_is_free && return
  [[ -t 0 && -t 1 ]] || fail "Port $port is in use: end the process that listens there, then run this again."
  local holder answer
  holder=$(lsof -t -sTCP:LISTEN -i "tcp:$port" 2>/dev/null | head -n 1) || true
  [[ -n $holder ]] || fail "Port $port is in use by a process that lsof does not show: end it, then run this again."
  read -r -p "Port $port is in use by process $holder ($(ps -o comm= -p "$holder")). End it? [y/N] " answer
  [[ $answer == [yY]* ]] || fail "Port $port stays in use: nothing was run."
  kill "$holder"
  wait_until 10 port_is_free || fail "Process $holder did not end."
}

server=
folder=
stop_registry() {
  if [[ -n $server ]]; then
    kill "$server" 2>/dev/null || true
    wait "$server" || true
  fi
  [[ -z $folder ]] || rm -rf "$folder"
}

registry_is_up_or_gone() {
  port_answers || ! kill -0 "$server" 2>/dev/null
}

start_registry() {
  folder=$(mktemp -d)
  PORT=$port STORAGE_PATH=$folder LOG_FORMAT=json node dist/src/cli.js >test/conformance/registry.log 2>&1 &
  server=$!
  if ! wait_until 30 registry_is_up_or_gone || ! kill -0 "$server" 2>/dev/null; then
    fail "The registry did not start: $(tail -n 1 test/conformance/registry.log)"
  fi
}

main() {
  local status=0
  [[ -x $binary ]] || fail "There is no program $binary: docs/conformance.md tells how to compile it."
  load_variables
  port=${OCI_REGISTRY##*:}
  free_the_port
  npm run --silent build
  trap stop_registry EXIT
  start_registry
  mkdir -p results
  rm -f report.html results/report.html
  "$binary" "${@:2}" || status=$?
  [[ ! -f results/report.html ]] || mv results/report.html report.html
  return "$status"
}

main "$@"
