"""The supervisor as a process of its own: `sayso up --detach`, and the stacks of tests.

In: `UpOptions`. Out: a stack that is ready, or an error that says what went wrong; the supervisor goes on behind it.
Run as `python -m sayso.stack.background ORDER_AS_JSON`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from pydantic import BaseModel
from rich.console import Console

from sayso.errors import ConfigurationError, SaysoError
from sayso.stack import leftovers
from sayso.stack.logs import tail
from sayso.stack.plan import Tools, UpOptions
from sayso.stack.process import die_with
from sayso.stack.state import StackState, StackStatus
from sayso.stack.up import READY_SECONDS, Shown, StackFailedError, already_running, run_stack
from sayso.stack.view import StackView

POLL_SECONDS = 0.05
STOP_SECONDS = 60.0
LOG_NAME = "supervisor.out"

_started: dict[int, subprocess.Popen[bytes]] = {}
"""Supervisors that this process started: it must collect their exit codes."""


class Order(BaseModel):
    """What the supervisor is told on its command line."""

    options: UpOptions
    tools: Tools
    ends_with: int | None = None
    """Process id of whoever started it and takes it along when it ends."""


def start(options: UpOptions, tools: Tools, show: Shown, *, dies_with_us: bool = False) -> StackState:
    """Start a supervisor in a session of its own and wait until its stack is ready.

    With `dies_with_us` the stack is stopped when this process ends, however it ends (Linux).
    """
    before = StackState.load(options.state_dir)
    if leftovers.supervisor_of(before) is not None:
        raise already_running(options.state_dir)
    child = _spawn(Order(options=options, tools=tools, ends_with=os.getpid() if dies_with_us else None))
    _started[child.pid] = child
    try:
        return _wait_ready(options, child, show)
    except KeyboardInterrupt:
        child.terminate()
        child.wait(STOP_SECONDS)
        raise


def stop(state: StackState, show: Shown, timeout_seconds: float = STOP_SECONDS) -> None:
    """Ask the supervisor to stop everything; when it does not within the time, end it and what it kept."""
    supervisor = leftovers.supervisor_of(state)
    if supervisor is not None:
        supervisor.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + timeout_seconds
        while leftovers.supervisor_of(state) is not None and time.monotonic() < deadline:
            show(StackState.load(state.state_dir) or state)
            time.sleep(POLL_SECONDS)
        if leftovers.supervisor_of(state) is not None:
            supervisor.kill()
    if child := _started.pop(state.supervisor_pid, None):
        child.wait(timeout_seconds)
    last = StackState.load(state.state_dir) or state
    leftovers.reap(last)
    last.status = StackStatus.STOPPED
    last.save()
    show(last)


def _spawn(order: Order) -> subprocess.Popen[bytes]:
    """Nothing of this process runs in the child: gRPC's handlers of a fork have been seen to end it."""
    logs = order.options.logs
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / LOG_NAME).open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "sayso.stack.background", order.model_dump_json()],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _wait_ready(options: UpOptions, child: subprocess.Popen[bytes], show: Shown) -> StackState:
    deadline = time.monotonic() + READY_SECONDS + STOP_SECONDS
    while time.monotonic() < deadline:
        state = StackState.load(options.state_dir)
        ours = state is not None and state.supervisor_pid == child.pid
        if state is not None and ours:
            show(state)
            if state.status in (StackStatus.READY, StackStatus.DEGRADED):
                return state
        if child.poll() is not None:
            words = "\n".join(tail(options.logs / LOG_NAME, 30)).strip()
            error = (state.error if state is not None and ours else "") or words
            raise (ConfigurationError if child.returncode == ConfigurationError.exit_code else StackFailedError)(
                error or f"the supervisor ended with exit code {child.returncode} and said nothing"
            )
        time.sleep(POLL_SECONDS)
    child.kill()
    raise StackFailedError(f"the supervisor did not report anything for {READY_SECONDS + STOP_SECONDS:.0f} s; it was ended")


def main() -> None:
    """Be the supervisor."""
    order = Order.model_validate_json(sys.argv[1])
    if order.ends_with is not None:
        die_with(order.ends_with, signal.SIGTERM)
    try:
        with StackView(Console(stderr=True)) as view:
            run_stack(order.options, order.tools, view)
    except SaysoError as error:
        print(error, file=sys.stderr)  # noqa: T201 - who started us reads it from the log
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
