#!/usr/bin/env bash
# `make run`: the stack up, the demo played, the stack left up. In a terminal it stays in front and Ctrl-C stops everything;
# without one it returns, and `make stop` stops everything.
set -uo pipefail
cd "$(dirname "$0")/.."
sayso=.venv/bin/sayso
trap 'trap - INT TERM; echo; "$sayso" down; exit 130' INT TERM
if "$sayso" status >/dev/null 2>&1; then
  echo "The stack is up already; here is the story on it."
else
  "$sayso" up --detach || exit $?
fi
"$sayso" demo || { code=$?; echo "error: the demo failed; the stack is up for a look: $sayso status, $sayso logs" >&2; exit $code; }
if [ -t 0 ] && [ -t 1 ]; then
  echo "The stack is up. Ctrl-C stops it; type the commands above in another terminal. ($sayso logs --follow shows the logs.)"
  trap 'trap - INT TERM; echo; "$sayso" down; exit 0' INT TERM
  while "$sayso" status >/dev/null 2>&1; do sleep 60 & wait $!; done
  echo "error: the stack is not up any more; see $sayso status and $sayso logs" >&2
  exit 1
else
  echo "The stack is up. \`make stop\` stops it."
fi
