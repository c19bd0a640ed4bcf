"""`sayso up`, `down`, `status`, `logs`: the local stack.

In: options. Out: data to stdout, messages to stderr. Exit codes: 0 done; 1 the stack did not become ready, or (status) is not
ready; 2 a setting or tool is wrong, or the stack runs already.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from importlib import import_module
from itertools import cycle
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from sayso.config_file import did_you_mean
from sayso.errors import ConfigurationError
from sayso.stack import background, leftovers
from sayso.stack.logs import follow, tail
from sayso.stack.plan import UpOptions, install_tools
from sayso.stack.state import Broker, LedgerKind, ProcessStatus, StackState, StackStatus
from sayso.stack.up import already_running, end_leftovers, run_stack
from sayso.stack.view import StackView, status_table

LOG_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_red")

ProjectOption = Annotated[Path, typer.Option("--project", metavar="DIR", help="The folder with dapr.yaml and components/.")]
StateDirOption = Annotated[
    Path, typer.Option("--state-dir", metavar="DIR", envvar="SAYSO_STATE_DIR", help="Data and logs of the stack.")
]
HERE, STATE_DIR = Path(), Path(".sayso")


def up(
    broker: Annotated[Broker, typer.Option(help="What carries the topics.")] = "valkey",
    ledger: Annotated[LedgerKind, typer.Option(help="Where the ledger is; with postgresql Dapr's state is there too.")] = "sqlite",
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when the stack is ready; it goes on running.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin with nothing: remove all data of the state folder.")] = False,
    replicas: Annotated[int, typer.Option(min=1, max=4, help="Sidecars with subscribers and worker of their own.")] = 1,
    project: ProjectOption = HERE,
    state_dir: StateDirOption = STATE_DIR,
) -> None:
    """Start the local stack and wait until every part is truly ready. Ctrl-C stops it."""
    options = UpOptions(
        project=project.resolve(),
        state_dir=_located(project, state_dir),
        broker=broker,
        ledger=ledger,
        fresh=fresh,
        replicas=replicas,
    )
    running = StackState.load(options.state_dir)
    if leftovers.supervisor_of(running) is not None:
        raise already_running(options.state_dir)
    console = Console(stderr=True)
    for name in end_leftovers(options.state_dir):
        console.print(f"ended {name}, which an earlier stack had left behind")
    tools = install_tools(options, console.print)
    with StackView(console) as view:
        if detach:
            state = background.start(options, tools, view)
        else:
            run_stack(options, tools, _announcing(view, console))
    if detach:
        _say_ready(console, state)


def down(project: ProjectOption = HERE, state_dir: StateDirOption = STATE_DIR) -> None:
    """Stop the local stack. What it stored stays, for the next `sayso up`."""
    console = Console(stderr=True)
    state = StackState.load(_located(project, state_dir))
    left = bool(state) and any(leftovers.find(each.pid, each.create_time) for each in (state.processes if state else ()))
    if state is None or (leftovers.supervisor_of(state) is None and not left):
        console.print("nothing is running")
        return
    with StackView(console, known=state) as view:
        background.stop(state, view)
    console.print("stopped; the data is kept")


def status(
    as_json: Annotated[bool, typer.Option("--json", help="The state as one JSON object.")] = False,
    project: ProjectOption = HERE,
    state_dir: StateDirOption = STATE_DIR,
) -> None:
    """Show what runs, where, and what is in the ledger. Exit code 0 only when all of it is ready."""
    folder = _located(project, state_dir)
    state = _current(folder)
    asked = state if state and state.status is not StackStatus.STOPPED else None
    summary, health = _asked_of_ledger(asked, "ledger_summary"), _asked_of_ledger(asked, "ledger_health")
    if as_json:
        document: dict[str, Any] = state.shareable() if state else {"status": "stopped", "processes": []}
        print(json.dumps({**document, "ledger_summary": summary, "ledger_health": health}, indent=2))  # noqa: T201 - data
    else:
        _show_status(Console(), folder, state, summary)
        _show_health(Console(), state, health)
    raise typer.Exit(0 if state and state.status is StackStatus.READY else 1)


def logs(
    process: Annotated[str | None, typer.Argument(help="One process; all when left out.")] = None,
    follow_on: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines of each process.")] = 100,
    project: ProjectOption = HERE,
    state_dir: StateDirOption = STATE_DIR,
) -> None:
    """Show the logs of the stack's processes, each line with the name of its process."""
    folder = _located(project, state_dir) / "logs"
    state = StackState.load(_located(project, state_dir))
    names = [each.name for each in state.processes] if state else []
    if process is not None and process not in names:
        raise ConfigurationError(f'no process "{process}"{did_you_mean(process, names)}')
    chosen = [folder / f"{name}.log" for name in ([process] if process else names)]
    show = _log_printer(Console(highlight=False, soft_wrap=True), names)
    later = follow(chosen)
    for log in chosen:
        for line in tail(log, lines):
            show(log.stem, line)
    if follow_on:
        with contextlib.suppress(KeyboardInterrupt):
            for name, line in later:
                show(name, line)


def _located(project: Path, state_dir: Path) -> Path:
    return (project / state_dir).resolve()


def _announcing(view: StackView, console: Console) -> Callable[[StackState], None]:
    """The view, and once a word about what to do next."""
    said = False

    def show(state: StackState) -> None:
        nonlocal said
        view(state)
        if state.status is StackStatus.READY and not said:
            said = True
            _say_ready(console, state)
            console.print("Ctrl-C stops it")

    return show


def _say_ready(console: Console, state: StackState) -> None:
    for usual, used in state.moved_ports.items():
        console.print(f"port {usual} is taken; {used} is used instead")
    gateway = f", the gateway at {state.gateway_url}" if state.gateway_url else ""
    console.print(f"ready: {state.broker} at {state.broker_address}, Dapr at http://127.0.0.1:{state.dapr_http_port}{gateway}")


def _current(state_dir: Path) -> StackState | None:
    """The state as it is now: a supervisor that was killed could not write that it ended."""
    state = StackState.load(state_dir)
    if state is not None and leftovers.supervisor_of(state) is None:
        state.status = StackStatus.FAILED if state.status is StackStatus.FAILED else StackStatus.STOPPED
        for process in state.processes:
            if leftovers.find(process.pid, process.create_time) is None and process.status is not ProcessStatus.FAILED:
                process.status, process.pid = ProcessStatus.STOPPED, None
    return state


def _asked_of_ledger(state: StackState | None, question: str) -> dict[str, Any] | None:
    if state is None:
        return None
    queries = import_module("sayso.ledger.queries")  # here, because the database drivers take a moment to load
    answer: dict[str, Any] | None = getattr(queries, question)(state.ledger_url)
    return answer


def _show_status(console: Console, state_dir: Path, state: StackState | None, summary: dict[str, Any] | None) -> None:
    if state is None:
        console.print(f"no stack in {state_dir}; `sayso up` starts one")
        return
    console.print(f"{state.status}: {state.broker} and {state.ledger}, data in {state.state_dir}", soft_wrap=True)
    if state.error:
        console.print(Text(state.error, style="red"), soft_wrap=True)
    console.print(status_table(state))
    if summary:
        console.print("ledger: " + ", ".join(f"{count} {name}" for name, count in summary.items()), soft_wrap=True)


def _show_health(console: Console, state: StackState | None, health: dict[str, Any] | None) -> None:
    if state is None or health is None:
        return
    waits = ", ".join(
        f"{health[rows]} to be {verb}" + (f" (the oldest for {health[f'{rows}_oldest_seconds']:.0f} s)" if health[rows] else "")
        for rows, verb in (("undispatched", "dispatched"), ("outbox", "published"), ("notices", "sent"))
    )
    trouble = f"{health['cases_overdue']} past their deadline, {health['cases_in_trouble']} in trouble with the engine"
    unused = ", ".join(f"{rows} {state}" for state, rows in health["events"].items() if rows) or "none"
    lines = {"waiting": waits, "cases": trouble, "events": f"{unused}; {health['failed_last_hour']} failed within the last hour"}
    lines["alarms"] = ", ".join(f"{kind} since {since}" for kind, since in health["alarms"].items()) or "none"
    lines["alerts"] = ", ".join(f"{count} {kind}" for kind, count in health["alerts_last_day"].items()) or "none"
    lines["alerts"] += " within the last day"
    file = state.project / os.environ.get("SAYSO_CONFIG_DIR", "config") / "bindings.yaml"
    if health["bindings_digest"] and file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() != health["bindings_digest"]:
        lines["bindings"] = "the file is not the one that runs; restart: sayso down && sayso up --detach"
    lines |= {"metrics": " ".join(state.metrics.values())} if state.metrics else {}
    for name, text in lines.items():
        style = "red" if name == "alarms" and health["alarms"] else ""
        console.print(Text.assemble(f"{name}: ", (text, style)), soft_wrap=True)


def _log_printer(console: Console, names: list[str]) -> Callable[[str, str], None]:
    width = max((len(name) for name in names), default=0)
    colours = dict(zip(names, cycle(LOG_COLOURS), strict=False))

    def show(name: str, line: str) -> None:
        console.print(Text.assemble((f"{name:<{width}} | ", colours.get(name, "")), line))

    return show
