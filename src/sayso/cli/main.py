"""The `sayso` command. Data to stdout, messages to stderr; exit codes as in docs/cli.md."""

from __future__ import annotations

import sys
from typing import Any

import typer

from sayso.cli.audit_commands import audit_app
from sayso.cli.case_commands import case_app, cases, tasks
from sayso.cli.dead_commands import dead_app
from sayso.cli.decide_commands import decide
from sayso.cli.demo_commands import demo
from sayso.cli.event_commands import event, events, outbox
from sayso.cli.keys_commands import keys_app
from sayso.cli.notices_commands import notices
from sayso.cli.output import printable, say
from sayso.cli.person_commands import person_app
from sayso.cli.policy_commands import policy_app
from sayso.cli.publish_commands import explain, publish
from sayso.cli.runtime_commands import doctor, runtime_app
from sayso.cli.saga_commands import saga_app
from sayso.cli.serve_commands import serve
from sayso.cli.simulate_commands import simulate
from sayso.cli.stack_commands import down, logs, status, up
from sayso.cli.upkeep_commands import backup, config_app, ledger_app, restore
from sayso.cli.workflow_commands import workflow_app
from sayso.errors import ConfigurationError, SaysoError

app = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, help="Event-driven approvals on Dapr.")

STACK = "The local stack"
EVENTS = "Events and cases"
PEOPLE = "People"
PROCESSES = "Processes"
UsageError: Any = typer.BadParameter.__base__
"""Typer's own base of wrong options, arguments and commands, which has no public name."""

INTERRUPTED = 130
"""As a shell names an end by Ctrl-C."""

for command in (up, down, status, logs, doctor):
    app.command(rich_help_panel=STACK)(command)
app.add_typer(runtime_app, name="runtime", rich_help_panel=STACK)
for question in (demo, publish, decide, cases, tasks, events, event, outbox, explain):
    app.command(rich_help_panel=EVENTS)(question)
app.add_typer(case_app, name="case", rich_help_panel=EVENTS)
app.add_typer(dead_app, name="dead", rich_help_panel=EVENTS)
app.add_typer(saga_app, name="saga", rich_help_panel=EVENTS)
app.add_typer(workflow_app, name="workflow", rich_help_panel=EVENTS)
app.add_typer(ledger_app, name="ledger", rich_help_panel=PROCESSES)
app.add_typer(audit_app, name="audit", rich_help_panel=PROCESSES)
app.add_typer(config_app, name="config", rich_help_panel=PROCESSES)
app.add_typer(policy_app, name="policy", rich_help_panel=PEOPLE)
app.add_typer(keys_app, name="keys", rich_help_panel=PEOPLE)
app.add_typer(person_app, name="person", rich_help_panel=PEOPLE)
app.command(rich_help_panel=PEOPLE)(notices)
for upkeep in (serve, simulate, backup, restore):
    app.command(rich_help_panel=PROCESSES)(upkeep)


@app.callback()
def _root() -> None:
    """Event-driven approvals on Dapr."""


def main(arguments: list[str] | None = None) -> None:
    """Run one command; an error on purpose is one clear line, not a traceback."""
    try:
        _refuse_broken_text(sys.argv[1:] if arguments is None else arguments)
        code = app(args=arguments, prog_name="sayso", standalone_mode=False)
    except SaysoError as error:
        say(("error: ", "bold red"), "\n".join(printable(line) for line in str(error).splitlines()))
        sys.exit(error.exit_code)
    except UsageError as error:
        _say_usage(error)
        sys.exit(ConfigurationError.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _say_usage(error: Any) -> None:
    """One line like every other error; the help where somebody gave no command at all."""
    message = str(error.format_message()).strip()
    if not message:
        return  # no command at all: Typer has printed the help
    command = error.ctx.command_path if error.ctx is not None else "sayso"
    say(("error: ", "bold red"), f"{printable(' '.join(message.split()))} See: {command} --help")


def _refuse_broken_text(arguments: list[str]) -> None:
    """Bytes that are no UTF-8 arrive as surrogates, which no database and no broker takes."""
    for argument in arguments:
        if any("\ud800" <= character <= "\udfff" for character in argument):
            raise ConfigurationError(f"the argument {argument} is not valid UTF-8")


if __name__ == "__main__":
    main()
