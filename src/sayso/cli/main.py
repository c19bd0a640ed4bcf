"""The `sayso` command. Data to stdout, messages to stderr; exit codes as in docs/cli.md."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.text import Text

from sayso.cli.notices_commands import notices
from sayso.cli.runtime_commands import doctor, runtime_app
from sayso.cli.serve_commands import serve
from sayso.cli.stack_commands import down, logs, status, up
from sayso.errors import SaysoError

app = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, help="Event-driven approvals on Dapr.")

STACK = "The local stack"
PEOPLE = "People"
PROCESSES = "Processes"

for command in (up, down, status, logs, doctor):
    app.command(rich_help_panel=STACK)(command)
app.add_typer(runtime_app, name="runtime", rich_help_panel=STACK)
app.command(rich_help_panel=PEOPLE)(notices)
app.command(rich_help_panel=PROCESSES)(serve)


@app.callback()
def _root() -> None:
    """Event-driven approvals on Dapr."""


def main(arguments: list[str] | None = None) -> None:
    """Run one command; an error on purpose is one clear line, not a traceback."""
    try:
        app(args=arguments)
    except SaysoError as error:
        Console(stderr=True).print(Text.assemble(("error: ", "bold red"), str(error)), soft_wrap=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
