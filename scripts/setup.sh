#!/usr/bin/env bash
# Makes .venv with the locked versions of everything. Run by the Makefile; safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."
# A distribution builds its Python with profile-guided optimisation; one that was built by hand or by pyenv mostly has none, and costs a
# seventh more CPU. So the system's own is taken, where it is complete and of the version that everything is tested with. PYTHON=… takes another one.
system=/usr/bin/python3
if [ -n "${PYTHON:-}" ]; then
  python=$PYTHON
elif "$system" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
  python=$system
else
  python=python3
fi
command -v "$python" >/dev/null || { echo "error: $python is missing; install Python 3.11 or newer, or set PYTHON" >&2; exit 2; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "error: $python is $("$python" --version 2>&1); Sayso needs Python 3.11 or newer (set PYTHON)" >&2; exit 2; }
if [ ! -x .venv/bin/python ]; then
  echo "setup: virtual environment in .venv, of $python" >&2
  "$python" -m venv .venv || { echo "error: python3-venv is missing; install it (Debian: apt-get install python3-venv)" >&2; exit 2; }
fi
echo "setup: .venv has $(.venv/bin/python --version)" >&2
.venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip -q
[ -x .venv/bin/uv ] || .venv/bin/python -m pip install -q --disable-pip-version-check "uv>=0.9"
echo "setup: installing the locked packages" >&2
# Compiled now: where PYTHONDONTWRITEBYTECODE is set, every process that starts would compile all it imports, and take twice as long.
UV_PYTHON_DOWNLOADS=never VIRTUAL_ENV=.venv .venv/bin/uv sync --frozen --inexact --all-extras --compile-bytecode --python .venv/bin/python --quiet
echo "setup: done" >&2
