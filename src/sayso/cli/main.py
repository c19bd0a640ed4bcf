"""The `sayso` command. Data to stdout, messages to stderr; exit codes as in docs/cli.md."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from sayso.cli.serve_commands import serve
from sayso.errors import SaysoError

app = typer.Typer(
    no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, help="Event-driven approvals on Dapr."
)
app.command()(serve)


@app.callback()
def _root() -> None:
    """Event-driven approvals on Dapr."""


def main(arguments: list[str] | None = None) -> None:
    """Run one command; an error on purpose is one clear line, not a traceback."""
    try:
        app(args=arguments)
    except SaysoError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True, markup=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
