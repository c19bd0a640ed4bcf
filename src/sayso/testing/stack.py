"""A private local stack for tests and benchmarks.

In: broker, ledger, a state folder. Out: a handle on a stack that is ready, on free ports beside a person's own.
Invariant: the stack is stopped when the block is left, also by an error, and when this process is killed (Linux).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import psutil

from sayso.stack import background, leftovers
from sayso.stack.plan import UpOptions, install_tools, subscriptions_of
from sayso.stack.probes import answer_of
from sayso.stack.sidecar import sidecar_ready, worker_connected
from sayso.stack.state import Broker, LedgerKind, ProcessState, StackState, StackStatus
from sayso.stack.up import StackFailedError, wipe

PROJECT = Path(__file__).parents[3]
"""The checkout that this package is run from."""

POLL_SECONDS = 0.05
READY_SECONDS = 90.0
KILL_SECONDS = 30.0
PAUSES = (signal.SIGSTOP, signal.SIGCONT)


class StackHandle:
    """A running stack."""

    def __init__(self, options: UpOptions) -> None:
        self.options = options

    @classmethod
    def of(cls, state: StackState) -> Self:
        """A handle on a stack that was started in another way."""
        return cls(UpOptions(project=state.project, state_dir=state.state_dir, broker=state.broker, ledger=state.ledger))

    @property
    def state(self) -> StackState:
        """The state as the supervisor last wrote it."""
        state = StackState.load(self.options.state_dir)
        assert state is not None, "the supervisor wrote it before this handle was made"
        return state

    def process(self, name: str) -> ProcessState:
        """The process of this name, such as `daprd`."""
        process = self.state.process(name)
        if process is None:
            raise KeyError(f"no process {name!r}; there are {', '.join(each.name for each in self.state.processes)}")
        return process

    def processes(self) -> dict[str, psutil.Process]:
        """Name → process of all that run now."""
        found = {each.name: leftovers.find(each.pid, each.create_time) for each in self.state.processes}
        return {name: process for name, process in found.items() if process is not None}

    def log(self, name: str) -> str:
        """What this process has logged so far."""
        return self.process(name).log.read_text(encoding="utf-8", errors="replace")

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Signal one process, and wait until it has ended; the supervisor starts it again. Returns the pid that it had."""
        process = self.processes()[name]
        process.send_signal(number)
        if number not in PAUSES:
            process.wait(KILL_SECONDS)
        return process.pid

    def wait_ready(self, timeout_seconds: float = READY_SECONDS) -> None:
        """Wait until every process runs and truly answers, now, whatever was written earlier."""
        deadline = time.monotonic() + timeout_seconds
        while missing := self._missing():
            if time.monotonic() > deadline:
                raise StackFailedError(f"not ready after {timeout_seconds:.0f} s: {missing}")
            time.sleep(POLL_SECONDS)

    def _missing(self) -> str:
        state = self.state
        if state.status is not StackStatus.READY:
            return next((f"{each.name}: {each.detail or each.status}" for each in state.processes if each.detail), state.status)
        running = self.processes()
        dead = [each.name for each in state.processes if each.name not in running]
        if dead:
            return f"{', '.join(dead)} not running"
        return asyncio.run(_missing_at_sidecars(state, subscriptions_of(self.options.config_dir)))


async def _missing_at_sidecars(state: StackState, topics: frozenset[str]) -> str:
    for port in state.sidecar_http_ports or [state.dapr_http_port]:
        missing = await answer_of(sidecar_ready(port, topics)) or await answer_of(worker_connected(port))
        if missing:
            return missing
    return ""


@contextlib.contextmanager
def running_stack(
    state_dir: Path,
    *,
    broker: Broker = "valkey",
    ledger: LedgerKind = "sqlite",
    project: Path = PROJECT,
    env_overrides: Mapping[str, str] | None = None,
    fresh: bool = False,
    keep_data: bool = False,
    replicas: int = 1,
    partitionable: bool = False,
) -> Iterator[StackHandle]:
    """Start a stack on free ports, stop it at the end; its data goes too unless `keep_data`.

    Call it on the main thread: the stack is tied to the thread that started it.
    """
    options = UpOptions(
        project=project.resolve(),
        state_dir=state_dir.resolve(),
        broker=broker,
        ledger=ledger,
        fresh=fresh,
        use_default_ports=False,
        replicas=replicas,
        partitionable=partitionable,
        environment=dict(env_overrides or {}),
    )
    tools = install_tools(options, lambda _: None)
    state = background.start(options, tools, lambda _: None, dies_with_us=True)
    try:
        yield StackHandle(options)
    finally:
        background.stop(state, lambda _: None)
        if not keep_data:
            wipe(options.state_dir)
