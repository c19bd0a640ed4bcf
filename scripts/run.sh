#!/usr/bin/env bash
# `make run`: the stack up, the demo played, the stack left up. In a terminal it stays in front and Ctrl-C stops everything;
# without one it returns, and `make stop` stops everything.
set -uo pipefail
cd "$(dirname "$0")/.."
sayso=.venv/bin/sayso
trap 'trap - INT TERM; echo; "$sayso" down; exit 130' INT TERM
"$sayso" up --detach || exit $?
"$sayso" demo || { code=$?; echo "error: the demo failed; the stack is up for a look: $sayso status, $sayso logs" >&2; exit $code; }
if [ -t 0 ] && [ -t 1 ]; then
  echo "The stack is up. Ctrl-C stops it; type the commands above in another terminal. Logs follow."
  "$sayso" logs --follow
else
  echo "The stack is up. \`make stop\` stops it."
fi
