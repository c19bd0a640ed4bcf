#!/usr/bin/env bash
# `make demo`: the stack up, the demo played, everything stopped again. Exit code 0 only if all went well.
set -uo pipefail
cd "$(dirname "$0")/.."
sayso=.venv/bin/sayso
trap 'trap - INT TERM; "$sayso" down; exit 130' INT TERM
code=0
"$sayso" up --detach && "$sayso" demo || code=$?
"$sayso" down || code=$?
exit $code
