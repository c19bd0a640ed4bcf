"""The beginning and the end of `python -m sayso.testing.*`: options read by Typer, progress on stderr, our own errors as one line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import typer

from sayso.errors import SaysoError


def say(text: str) -> None:
    """Progress and complaints."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def run(main: Callable[..., Any]) -> None:
    """Call it with what the command line says."""
    try:
        typer.run(main)
    except SaysoError as error:
        say(f"error: {error}")
        sys.exit(error.exit_code)
